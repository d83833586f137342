"""Which channels are dead, by the values of weights."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from builders import build_graph
from memory_weights import MemoryWeights, make_weights

from graphprune.graph import LayerGraph, graph_from_config
from graphprune.report.shrink_text import render_shrink_text
from graphprune.shrink import walk
from graphprune.shrink.dead import Removal, find_dead
from graphprune.shrink.summary import summarize

IMAGE = "in:InputLayer(batch_input_shape=[None, 8, 8, 3])"
CONVS = f"{IMAGE} > conv_1[3, 3, 3, 4] > bn > relu > conv_2[3, 3, 4, 6] > gap > fc[6, 2]"


@dataclass
class Weights(MemoryWeights):
    """Weights with their graph, as `find_dead` takes them."""

    graph: LayerGraph = field(default=None)

    path = "net"

    def opened(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_fault):
        return None


def weights_of(text: str, **models: str) -> Weights:
    graph = build_graph(text, models=models or None)
    return Weights(make_weights(graph).tensors, graph=graph)


def zero(weights: Weights, address: str, channels: list[int], *names: str) -> None:
    for name in names:
        weights.tensors[address, name][..., channels] = 0


def removed(weights: Weights) -> dict[str, list[int]]:
    """Return the removed places of each axis, by `layer.tensor/axis`."""
    removal = find_dead(weights)
    return {
        f"{address}.{tensor}/{axis}": np.flatnonzero(~kept).tolist()
        for (address, tensor, axis), kept in removal.kept.items()
    }


def reasons(removal: Removal) -> list[str]:
    return [f"{zeros.address} {zeros.count}: {zeros.reason}" for zeros in removal.staying]


def test_a_filter_is_dead_with_bias_gamma_and_beta():
    weights = weights_of(CONVS)
    zero(weights, "bn", [1, 3], "gamma", "beta")
    norm = [f"bn.{name}/0" for name in ("gamma", "beta", "moving_mean", "moving_variance")]
    places = ["conv_1.kernel/3", "conv_1.bias/0", *norm, "conv_2.kernel/2"]
    assert removed(weights) == {place: [1, 3] for place in places}


def shifted_net(settings: str, *more: str) -> Weights:
    """A zero filter that batch normalization shifts, read by a convolution with these settings."""
    text = (
        f"{IMAGE} > conv_1[3, 3, 3, 4] > bn > relu > conv_2:Conv2D({settings})[3, 3, 4, 6] >"
        f" {' > '.join((*more, 'gap'))} > fc[6, 2]"
    )
    weights = weights_of(text)
    zero(weights, "conv_1", [0], "kernel", "bias")
    for name, value in (("beta", 0.5), ("moving_mean", 0.0)):
        weights.tensors["bn", name][0] = value
    return weights


def test_the_constant_of_a_zero_filter_goes_into_the_next_bias():
    weights = shifted_net("padding='valid'")
    removal = find_dead(weights)
    assert removed(weights)["conv_2.kernel/2"] == [0]
    wanted = 0.5 * weights.tensors["conv_2", "kernel"][:, :, 0, :].sum((0, 1))
    assert list(removal.folded) == [("conv_2", "bias")]
    np.testing.assert_allclose(removal.folded["conv_2", "bias"], wanted, rtol=1e-6)


def test_the_report_names_what_took_constants():
    weights = shifted_net("padding='valid'")
    summary = summarize(weights.graph, find_dead(weights))
    assert summary.to_config()["folded"] == [{"address": "conv_2", "weight": "bias"}]
    text = render_shrink_text(summary, (100, 50))
    assert "\ntook the constants of removed channels: conv_2 bias\n" in text


def test_without_a_bias_the_moving_mean_behind_takes_the_constant():
    weights = shifted_net("use_bias=False", "bn_2")
    folded = find_dead(weights).folded
    wanted = -0.5 * weights.tensors["conv_2", "kernel"][:, :, 0, :].sum((0, 1))
    assert list(folded) == [("bn_2", "moving_mean")]
    np.testing.assert_allclose(folded["bn_2", "moving_mean"], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (
            shifted_net("padding='same'"),
            "pads its input with zeros, so that no bias can take their constant",
        ),
        (
            shifted_net("use_bias=False", "relu_2:ReLU"),
            "has no bias that could take their constant",
        ),
        (
            shifted_net("use_bias=False, activation='relu'", "bn_2"),
            "has no bias that could take their constant",
        ),
    ],
    ids=["padded", "no bias", "an activation before the moving mean"],
)
def test_a_constant_that_nothing_can_take_stays_with_the_reason(weights, reason):
    removal = find_dead(weights)
    assert (removed(weights), removal.folded) == ({}, {})
    assert reasons(removal) == [f"conv_1 1: conv_2 {reason}"]


def test_a_constant_value_of_an_attention_stays_because_queries_may_be_masked():
    weights = weights_of(
        "in:InputLayer(batch_input_shape=[None, 5, 4]) > fc_1[4, 3]; in > fc_2[4, 3];"
        " fc_1 + fc_2 > mix:Attention() > fc_3[3, 2]"
    )
    zero(weights, "fc_1", [0], "kernel", "bias")
    zero(weights, "fc_2", [0], "kernel")
    weights.tensors["fc_2", "bias"][0] = 2
    assert find_dead(weights).folded == {}
    assert reasons(find_dead(weights)) == [
        "fc_1 1: fc_3 reads values of them that are not zero",
        "fc_2 1: fc_3 reads values of them that are not zero",
    ]


@pytest.mark.parametrize(
    ("settings", "stays"),
    [
        ("pad_to_aspect_ratio=True, fill_value=2.0", True),
        ("pad_to_aspect_ratio=True, fill_value=0.0", False),
        ("crop_to_aspect_ratio=True, fill_value=2.0", False),
    ],
)
def test_a_resizing_that_pads_with_a_number_fills_zero_channels(settings, stays):
    weights = weights_of(
        f"{IMAGE} > conv_1[3, 3, 3, 4] > size:Resizing(height=9, width=5, {settings}) >"
        " conv_2[3, 3, 4, 6] > gap > fc[6, 2]"
    )
    zero(weights, "conv_1", [0], "kernel", "bias")
    removal = find_dead(weights)
    assert bool(removal.removed) is not stays
    assert reasons(removal) == ["conv_1 1: size is not zero where its input is"] * stays


def test_a_constant_goes_on_through_what_reads_constants_alone():
    weights = weights_of("in > fc_1[4, 3] > fc_2:Dense(activation='sigmoid')[3, 4] > fc_3[4, 2]")
    zero(weights, "fc_1", [0], "kernel")
    weights.tensors["fc_2", "kernel"][1:, 2] = 0  # it reads the constant unit 0 alone
    read, bias, last = (weights.tensors[key] for key in [
        ("fc_2", "kernel"), ("fc_2", "bias"), ("fc_3", "kernel")
    ])  # fmt: skip
    constant = weights.tensors["fc_1", "bias"][0]
    value = 1 / (1 + np.exp(-(constant * read[0, 2] + bias[2])))
    assert removed(weights)["fc_2.kernel/1"] == [2]
    folded = find_dead(weights).folded
    np.testing.assert_allclose(folded["fc_2", "bias"], constant * read[0], rtol=1e-6)
    np.testing.assert_allclose(folded["fc_3", "bias"], value * last[2], rtol=1e-6)


FROM = ["fc_1", 0, 0]


def net_with_operation(function: str, node: list[Any]) -> Weights:
    """A net of tf_keras in which an operation reads a Dense layer with one constant unit, -2."""
    layers = [
        ("InputLayer", {"name": "in", "batch_input_shape": [None, 4]}, []),
        ("Dense", {"name": "fc_1", "units": 3}, [[["in", 0, 0, {}]]]),
        ("TFOpLambda", {"name": "op", "function": function}, [node]),
        ("Dense", {"name": "fc_2", "units": 2}, [[["op", 0, 0, {}]]]),
    ]
    config = {
        "name": "net",
        "layers": [
            {"class_name": kind, "config": settings, "name": settings["name"], "inbound_nodes": at}
            for kind, settings, at in layers
        ],
        "input_layers": [["in", 0, 0]],
        "output_layers": [["fc_2", 0, 0]],
    }
    shapes = {"fc_1": ((4, 3), (3,)), "fc_2": ((3, 2), (2,))}
    facts = {
        name: [("kernel", kernel, "float32"), ("bias", bias, "float32")]
        for name, (kernel, bias) in shapes.items()
    }
    graph = graph_from_config({"class_name": "Functional", "config": config}, tensors=facts)
    weights = Weights(make_weights(graph).tensors, graph=graph)
    zero(weights, "fc_1", [0], "kernel")
    weights.tensors["fc_1", "bias"][0] = -2
    return weights


@pytest.mark.parametrize(
    ("function", "node", "value"),
    [
        ("math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": FROM}], 3),
        ("math.subtract", [*FROM, {"y": 1.0}], -3),
        ("math.multiply", [*FROM, {"y": 4.0}], -8),
        ("math.pow", [*FROM, {"y": 2.0}], 4),
        ("nn.leaky_relu", [*FROM, {"alpha": 0.1}], -0.2),
        ("nn.leaky_relu", [*FROM, {}], -0.4),
        ("math.negative", [*FROM, {}], 2),
    ],
)
def test_constants_go_through_operations(function, node, value):
    weights = net_with_operation(function, node)
    assert removed(weights)["fc_2.kernel/0"] == [0]
    np.testing.assert_allclose(
        find_dead(weights).folded["fc_2", "bias"],
        value * weights.tensors["fc_2", "kernel"][0],
        rtol=1e-6,
    )


def test_a_depthwise_kernel_makes_another_constant_of_each():
    text = (
        f"{IMAGE} > conv_1[3, 3, 3, 4] > depthwise:DepthwiseConv2D()[3, 3, 4, 1] >"
        " conv_2:Conv2D(padding='valid')[1, 1, 4, 6] > gap > fc[6, 2]"
    )
    weights = weights_of(text)
    zero(weights, "conv_1", [1], "kernel")
    weights.tensors["conv_1", "bias"][1] = 2
    made = 2 * weights.tensors["depthwise", "depthwise_kernel"][:, :, 1, 0].sum()
    made += weights.tensors["depthwise", "bias"][1]
    wanted = made * weights.tensors["conv_2", "kernel"][0, 0, 1]
    np.testing.assert_allclose(find_dead(weights).folded["conv_2", "bias"], wanted, rtol=1e-6)


def test_a_shared_layer_takes_no_constants_that_differ():
    text = (
        "in(batch_input_shape=[None, 4]) > fc_1[4, 3] > fc_both[3, 2]; in > fc_2[4, 3] > fc_both;"
        " fc_both@0 + fc_both@1 > add"
    )
    weights = weights_of(text)
    zero(weights, "fc_1", [0], "kernel")
    zero(weights, "fc_2", [0], "kernel")
    weights.tensors["fc_1", "bias"][0], weights.tensors["fc_2", "bias"][0] = 1, 2
    assert removed(weights) == {}
    assert reasons(find_dead(weights)) == [
        "fc_1 1: fc_both reads other constants in another call",
        "fc_2 1: fc_both reads other constants in another call",
    ]


def test_a_bias_takes_constants_along_all_axes_of_the_kernel_or_none():
    def net(bias_axes: str) -> Weights:
        weights = weights_of(
            "in:InputLayer(batch_input_shape=[None, 5, 4]) > fc_1[4, 3] >"
            f" mix:EinsumDense(equation='abc,cde->abed', output_shape=[5, 6, 2],"
            f" bias_axes='{bias_axes}')[3, 2, 6] > flatten > fc_2[60, 2]"
        )
        zero(weights, "fc_1", [0], "kernel")
        return weights

    weights = net("ed")
    kernel, constant = weights.tensors["mix", "kernel"], weights.tensors["fc_1", "bias"][0]
    assert removed(weights)["mix.kernel/0"] == [0]
    np.testing.assert_allclose(
        find_dead(weights).folded["mix", "bias"], constant * kernel[0].T, rtol=1e-6
    )
    weights = net("d")
    assert removed(weights) == {}
    assert reasons(find_dead(weights)) == [
        "fc_1 1: mix has no bias along all axes of what it makes of their constant"
    ]


def test_a_channel_is_alive_where_a_bias_along_other_axes_fills_it():
    weights = weights_of(
        "in:InputLayer(batch_input_shape=[None, 5, 4]) >"
        " mix:EinsumDense(equation='abc,cde->abde', output_shape=[5, 2, 6], bias_axes='d')"
        "[4, 2, 6] > flatten > fc[60, 2]"
    )
    zero(weights, "mix", [0], "kernel")
    assert removed(weights) == {}
    assert reasons(find_dead(weights)) == ["mix 1: fc reads values of them that are not zero"]
    weights.tensors["mix", "bias"][1:] = 0  # one place is left
    assert removed(weights) == {}
    weights.tensors["mix", "bias"][:] = 0
    assert removed(weights) == {"mix.kernel/2": [0], "fc.kernel/0": [*range(0, 60, 6)]}


def test_a_filter_with_something_left_is_alive():
    weights = weights_of(f"{IMAGE} > conv_1[1, 1, 3, 4] > relu > conv_2[1, 1, 4, 2]")
    zero(weights, "conv_1", [2], "bias")
    assert removed(weights) == {}


def test_a_channel_that_nothing_reads_is_dead_whatever_its_value():
    weights = weights_of("in > fc_1:Dense(activation='sigmoid')[4, 6] > fc_2[6, 2]")
    weights.tensors["fc_2", "kernel"][[0, 5], :] = 0
    assert removed(weights)["fc_1.kernel/1"] == [0, 5]


def test_death_goes_on_to_what_reads_only_dead_channels():
    weights = weights_of("in > fc_1[4, 3] > fc_2[3, 4] > fc_3[4, 2]")
    zero(weights, "fc_1", [0], "kernel", "bias")
    weights.tensors["fc_2", "kernel"][1:, 2] = 0  # it reads the dead unit 0 alone
    zero(weights, "fc_2", [2], "bias")
    assert removed(weights)["fc_2.kernel/1"] == [2]


def test_a_sum_is_dead_where_all_its_members_are():
    text = (
        f"{IMAGE} > conv_1[1, 1, 3, 4]; in > conv_2[1, 1, 3, 4]; conv_1 + conv_2 > add >"
        " conv_3[1, 1, 4, 2]"
    )
    weights = weights_of(text)
    zero(weights, "conv_1", [0, 1], "kernel", "bias")
    zero(weights, "conv_2", [1, 2], "kernel", "bias")
    assert removed(weights)["conv_1.kernel/3"] == [1]
    assert reasons(find_dead(weights)) == [
        "conv_1 1: conv_3 reads values of them that are not zero",
        "conv_2 1: conv_3 reads values of them that are not zero",
    ]


def test_a_product_is_dead_where_one_factor_is():
    text = (
        f"{IMAGE} > conv_1[1, 1, 3, 4]; in > conv_2[1, 1, 3, 4]; conv_1 + conv_2 >"
        " product:Multiply > conv_3[1, 1, 4, 2]"
    )
    weights = weights_of(text)
    zero(weights, "conv_1", [0], "kernel", "bias")
    assert removed(weights)["conv_2.kernel/3"] == [0]


def test_one_channel_of_a_layer_stays():
    weights = weights_of("in > fc_1[4, 3] > fc_2[3, 2]")
    zero(weights, "fc_1", [0, 1, 2], "kernel", "bias")
    assert removed(weights)["fc_1.kernel/1"] == [1, 2]
    assert reasons(find_dead(weights)) == ["fc_1 1: fc_1 keeps at least one channel"]


def test_a_unit_of_an_lstm_is_dead_with_its_candidate():
    weights = weights_of("in:InputLayer(batch_input_shape=[None, 5, 4]) > lstm[4, 12] > fc[3, 2]")
    for name in ("kernel", "recurrent_kernel", "bias"):
        weights.tensors["lstm", name][..., 6 + 1] = 0  # block 2 is the candidate
    found = removed(weights)
    assert found["lstm.recurrent_kernel/0"] == [1]
    assert found["lstm.kernel/1"] == [1, 4, 7, 10]


def test_a_unit_that_reads_a_living_one_is_alive():
    weights = weights_of("in:InputLayer(batch_input_shape=[None, 5, 4]) > lstm[4, 12] > fc[3, 2]")
    for name in ("kernel", "bias"):
        weights.tensors["lstm", name][..., [6, 7]] = 0
    weights.tensors["lstm", "recurrent_kernel"][:, 7] = 0
    weights.tensors["lstm", "recurrent_kernel"][:2, 6] = 0
    assert removed(weights)["lstm.recurrent_kernel/0"] == [1]


def test_outputs_keep_their_zeros():
    weights = weights_of("in > fc_1[4, 3]")
    zero(weights, "fc_1", [0], "kernel", "bias")
    assert removed(weights) == {}
    assert reasons(find_dead(weights)) == ["fc_1 1: fc_1 is an output of the model"]


def test_nothing_dead_is_nothing_removed():
    removal = find_dead(weights_of(CONVS))
    assert (removal.kept, removal.lengths, removal.removed, removal.staying) == ({}, {}, {}, ())


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("in > fc_1[4, 3]", False),
        ("in > words:Embedding(mask_zero=False)[9, 4] > fc_1[4, 3]", False),
        ("in > words:Embedding(mask_zero=True)[9, 4] > fc_1[4, 3]", True),
        ("in > own:mypkg>Own > fc_1[4, 3]", True),
    ],
)
def test_layers_that_make_masks_and_those_of_the_user_may_mask_steps(text, may):
    assert walk._may_mask(build_graph(text)) is may
