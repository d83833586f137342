"""Layers that applications of Keras define for themselves, told from a user's own."""

import pytest

from graphprune.archive.allowed.keras_names import APPLICATION_LAYERS
from graphprune.graph.classes import applications
from graphprune.graph.classes.builtin_layers import (
    find_channel_rule,
    find_output_shapes,
    known_class,
    same_class,
)

SCALE = {"class_name": "CustomScaleLayer", "config": {"name": "sum", "scale": 0.2}}
MODULE = "applications.inception_resnet_v2"
REGISTERED = "Custom>CustomScaleLayer"
OF_KERAS = {
    "Keras 3": {"module": f"keras.src.{MODULE}", "registered_name": "CustomScaleLayer"},
    "tf_keras": {"module": f"tf_keras.src.{MODULE}", "registered_name": REGISTERED},
    "an early tf_keras": {"module": f"keras.{MODULE}", "registered_name": REGISTERED},
}
OWN = {
    "a module of the user": {"module": "nets.layers", "registered_name": REGISTERED},
    "another module of Keras": {"module": "keras.src.applications.resnet"},
    "no module": {},
    "no module, registered": {"class_name": REGISTERED},
}


def test_every_layer_on_the_list_has_a_record():
    assert {name for names in APPLICATION_LAYERS.values() for name in names} == {
        *applications.CLASSES
    }


@pytest.mark.parametrize("case", OF_KERAS)
def test_the_module_tells_a_layer_of_an_application(case):
    entry = SCALE | OF_KERAS[case]
    assert known_class(entry) is applications.CLASSES["CustomScaleLayer"]
    assert same_class(entry) == "CustomScaleLayer"
    shapes = [(None, 3, 3, 8), (None, 3, 3, 8)]
    assert find_output_shapes(entry, shapes) == (shapes[0],)


@pytest.mark.parametrize("case", OWN)
def test_a_users_class_of_the_same_name_is_another(case):
    entry = SCALE | OWN[case]
    assert known_class(entry) is None
    assert find_channel_rule(entry) is None


@pytest.mark.parametrize("scale", ["0.2", None, True, float("inf"), float("nan"), [0.2]])
def test_a_scale_that_is_no_number_is_damage(scale):
    with pytest.raises(ValueError, match="must be a finite number"):
        applications._scale_of({"scale": scale})
