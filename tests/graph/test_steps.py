"""Steps of calls that converters write in a form of their own."""

import pytest

from graphprune.graph.classes.activation_steps import MATRIX, softmax_along
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.composite_steps import for_each_step
from graphprune.graph.classes.steps import EACH, StepCall, combined

TWO = [(None, 5, 3)] * 2


@pytest.mark.parametrize("computes", ["multiply", "maximum", "minimum"])
def test_products_and_extremes_of_keras_3_with_masks_are_not_known(computes):
    masked = {"is_masked": True, "is_mask_known": True}
    assert combined(computes)(StepCall({}, {}, TWO, keras=3, **masked)) is None
    assert combined(computes)(StepCall({}, {}, TWO, keras=2, **masked)) == (computes,)
    assert combined(computes)(StepCall({}, {}, TWO, keras=3)) == (computes,)
    assert combined("add")(StepCall({}, {}, TWO, keras=3, **masked)) == ("add",)


def test_a_layer_for_each_step_that_only_moves_values_has_no_steps_of_its_own():
    flatten = {"class_name": "Flatten", "config": {"name": "flatten"}}
    given = StepCall({"layer": flatten}, {}, [(None, 3, 6, 2)], inside=lambda *_: ())
    assert for_each_step(given) == (EACH,)


@pytest.mark.parametrize(
    ("shape", "kernel", "wanted"),
    [
        ((None, 1), (1, 4), ("matrix 1x4",)),
        ((None, 5, 1), (1, 4), None),
        ((None, 5, 3), (3, 4), ("matrix 3x4",)),
    ],
)
def test_a_dense_of_one_feature_for_each_step_is_not_known(shape, kernel, wanted):
    assert MATRIX(StepCall({}, {"kernel": kernel}, [shape])) == wanted


@pytest.mark.parametrize(
    ("equation", "kernel", "wanted"),
    [
        ("abc,cd->abd", (6, 7), ("matrix 6x7", "relu")),
        ("...c,cde->...de", (6, 2, 3), ("matrix 6x6", "relu")),
        ("abcd,cde->abe", (8, 6, 4), ("matrix 48x4", "relu")),
        ("abc,bd->adc", (5, 6), None),
        ("abc,dc->abd", (7, 6), None),
        ("abc,c->ab", (6,), None),
        ("abc,cd->abd", (1, 7), None),
    ],
)
def test_an_einsum_over_the_last_axes_is_a_product_with_a_matrix(equation, kernel, wanted):
    call = StepCall({"equation": equation, "activation": "relu"}, {"kernel": kernel}, [None])
    assert known_class({"class_name": "EinsumDense", "config": {}}).steps(call) == wanted


@pytest.mark.parametrize(("order", "axes"), [("channels_last", "1 2"), ("channels_first", "2 3")])
def test_a_global_pool_is_over_the_axes_of_space(order, axes):
    call = StepCall({"data_format": order}, {}, [(None, 4, 4, 4)])
    entry = {"class_name": "GlobalAveragePooling2D", "config": {}}
    assert known_class(entry).steps(call) == (f"mean over {axes}",)


@pytest.mark.parametrize(
    ("shape", "axis", "wanted"),
    [
        ((None, 8), -1, ("softmax, length 8",)),
        ((None, None), -1, ("softmax",)),
        ((None, 5, 8), -1, ("softmax, length 8",)),
        ((None, 5, 8), [1], ("softmax, length 5",)),
        ((None, 8, 8), -1, None),
        ((None, 8, 8), 1, None),
        ((None, None, 8), -1, None),
        ((None, 5, None), 2, None),
    ],
)
def test_a_softmax_is_known_where_its_length_tells_the_axis(shape, axis, wanted):
    assert softmax_along(StepCall({"axis": axis}, {}, [shape])) == wanted
