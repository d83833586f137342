"""Which module serves an object, without importing a Keras."""

from importlib.util import find_spec

import pytest

from graphprune.dispatch import SCOPES, SEAMS, is_keras_3
from graphprune.errors import GraphError


def of(*modules):
    """An object whose classes come from these modules, the first one last."""
    kind = object
    for module in modules:
        kind = type("Dense", (kind,), {"__module__": module})
    return kind()


@pytest.mark.parametrize(
    "home", [*SCOPES.values(), *(home for pair in SEAMS.values() for home in pair)]
)
def test_every_module_that_is_named_exists(home):
    assert find_spec(f"graphprune.{home}") is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (of("keras.src.layers.core.dense"), True),
        (of("keras.src.layers.core.dense", "own"), True),
        (of("tf_keras.src.layers.core.dense"), False),
        (of("tensorflow.python.module", "tf_keras.src.engine.training", "own"), False),
        (3, False),
        ([], False),
        ([of("keras.src.layers"), of("keras.src.layers")], True),
    ],
)
def test_the_module_of_its_classes_says_whose_an_object_is(value, expected):
    assert is_keras_3(value) is expected


def test_a_list_of_both_kerases_is_refused():
    with pytest.raises(
        GraphError, match=r"^the list mixes objects of Keras 3 \(module keras\) and tf_keras; give"
    ):
        is_keras_3([of("keras.src.layers"), of("tf_keras.src.layers")])
