"""Channels that belong together, over graphs drawn as text."""

from dataclasses import replace

import numpy as np
import pytest
from builders import build_graph

from graphprune.graph import LayerGraph, Tensor
from graphprune.shrink.axes import find_channel_axes
from graphprune.shrink.channels import ChannelGroup
from graphprune.shrink.groups import find_groups

IMAGE = "in:InputLayer(batch_input_shape=[None, 8, 8, 3])"
SEQUENCE = "in:InputLayer(batch_input_shape=[None, 5, 4])"


def described(group: ChannelGroup) -> str:
    """Return a group as one line: size, members as `layer.tensor/axis`, reasons."""
    places = [
        f"{member.address}.{member.tensor}/{member.axis}"
        + (f"x{member.positions.shape[1]}" if member.positions.shape[1] > 1 else "")
        for member in group.members
    ]
    reasons = [f"kept: {reason}" for reason in group.kept]
    reasons += [f"filled: {reason}" for reason in group.filled]
    return "; ".join([f"{group.size}: {' '.join(places)}", *reasons])


def groups_of(graph: LayerGraph) -> list[str]:
    return [described(group) for group in find_groups(graph)]


def removable(graph: LayerGraph) -> list[str]:
    return [described(group) for group in find_groups(graph) if group.is_removable]


def test_the_channels_of_a_chain_belong_to_maker_scales_and_reader():
    graph = build_graph(
        f"{IMAGE} > conv_1[3, 3, 3, 4] > bn > relu > conv_2[3, 3, 4, 6] > gap > fc[6, 2]"
    )
    assert groups_of(graph) == [
        "4: conv_1.kernel/3 conv_1.bias/0 bn.gamma/0 bn.beta/0 bn.moving_mean/0"
        " bn.moving_variance/0 conv_2.kernel/2",
        "6: conv_2.kernel/3 conv_2.bias/0 fc.kernel/0",
        "2: fc.kernel/1 fc.bias/0; kept: fc is an output of the model",
    ]
    roles = [(member.role, member.is_zeroed) for member in find_groups(graph)[0].members]
    assert roles == [
        ("produces", True),
        ("scales", True),
        ("scales", True),
        ("scales", True),
        ("statistics", False),
        ("statistics", False),
        ("consumes", False),
    ]


def test_channels_count_once_for_the_tensors_that_make_them():
    graph = build_graph(
        f"{IMAGE} > conv_1[1, 1, 3, 4] > relu > conv_2[1, 1, 4, 4]; relu + conv_2 > add >"
        " conv_3[1, 1, 4, 6]"
    )
    axes = find_channel_axes(graph)
    made = {name: axes.count_made({(name, "kernel")}) for name in ("conv_1", "conv_2", "conv_3")}
    assert made == {"conv_1": 4, "conv_2": 4, "conv_3": 6}
    assert axes.count_made({(name, "kernel") for name in made}) == 10


def test_the_members_of_a_sum_belong_together():
    graph = build_graph(
        f"{IMAGE} > conv_1[1, 1, 3, 4] > relu > conv_2[1, 1, 4, 4] > conv_3[1, 1, 4, 4];"
        " conv_1 + conv_3 > add > gap > fc[4, 2]"
    )
    assert removable(graph) == [
        "4: conv_1.kernel/3 conv_1.bias/0 conv_2.kernel/2 conv_3.kernel/3 conv_3.bias/0"
        " fc.kernel/0",
        "4: conv_2.kernel/3 conv_2.bias/0 conv_3.kernel/2",
    ]


def test_joined_tensors_keep_their_offsets():
    graph = build_graph(
        f"{IMAGE} > conv_1[1, 1, 3, 4]; in > conv_2[1, 1, 3, 2]; conv_1 + conv_2 > cat >"
        " conv_3[1, 1, 6, 5] > gap > fc[5, 2]"
    )
    first, second, *_ = find_groups(graph)
    assert described(first) == "4: conv_1.kernel/3 conv_1.bias/0 conv_3.kernel/2"
    assert first.members[-1].positions.tolist() == [[0], [1], [2], [3]]
    assert described(second) == "2: conv_2.kernel/3 conv_2.bias/0 conv_3.kernel/2"
    assert second.members[-1].positions.tolist() == [[4], [5]]


def test_a_flattened_channel_has_a_place_for_each_pixel():
    graph = build_graph(
        f"{IMAGE} > conv[7, 7, 3, 4] > flatten > fc[16, 2]"  # 2 by 2 pixels are left
    )
    (group,) = (group for group in find_groups(graph) if group.is_removable)
    assert described(group) == "4: conv.kernel/3 conv.bias/0 fc.kernel/0x4"
    assert group.members[-1].positions.tolist() == [
        [0, 4, 8, 12],
        [1, 5, 9, 13],
        [2, 6, 10, 14],
        [3, 7, 11, 15],
    ]


def test_reshaping_a_vector_to_an_image_couples_its_pixels():
    graph = build_graph("in > fc[4, 12] > view:Reshape(target_shape=[2, 2, 3]) > conv[1, 1, 3, 2]")
    assert removable(graph) == ["3: fc.kernel/1x4 fc.bias/0x4 conv.kernel/2"]


def test_depthwise_and_separable_channels_go_through():
    graph = build_graph(
        f"{IMAGE} > conv[1, 1, 3, 4] > depthwise[3, 3, 4, 2] > relu >"
        " separable[1, 1, 8, 5] > gap > fc[5, 2]"
    )
    assert removable(graph)[0] == (
        "4: conv.kernel/3 conv.bias/0 depthwise.depthwise_kernel/2 depthwise.bias/0x2"
        " separable.depthwise_kernel/2x2 separable.pointwise_kernel/2x2"
    )


def test_a_grouped_convolution_loses_whole_groups():
    graph = build_graph(
        f"{IMAGE} > conv_1[1, 1, 3, 4] > conv_2:Conv2D(groups=2)[1, 1, 2, 6] > gap > fc[6, 2]"
    )
    assert removable(graph) == [
        "2: conv_1.kernel/3x2 conv_1.bias/0x2 conv_2.kernel/3x3 conv_2.bias/0x3 fc.kernel/0x3"
    ]


def test_the_units_of_a_recurrent_layer_are_in_all_its_gates():
    graph = build_graph(f"{SEQUENCE} > lstm[4, 12] > fc[3, 2]")
    assert removable(graph) == [
        "3: lstm.recurrent_kernel/0 lstm.kernel/1x4 lstm.recurrent_kernel/1x4 lstm.bias/0x4"
        " fc.kernel/0"
    ]


KEPT = {
    "ln": ("fc_1[4, 6] > ln[6] > out[6, 2]", "ln normalizes over its channels, whose statistics"),
    "softmax": ("fc_1[4, 6] > soft:Softmax(axis=-1) > out[6, 2]", "soft divides them by their sum"),
    "softmax in the layer": (
        "fc_1:Dense(activation='softmax')[4, 6] > out[6, 2]",
        "fc_1 has an activation that is not known to treat each value alone",
    ),
    "lambda": (
        "fc_1[4, 6] > mine:Lambda(function='f') > out[6, 2]",
        "mine is a Lambda, whose effect on channels is not known",
    ),
    "custom": (
        "fc_1[4, 6] > mine:Pkg>Own > out[6, 2]",
        "mine is a Pkg>Own, whose effect on channels is not known",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_proven_keeps_its_channels(name):
    text, reason = KEPT[name]
    graph = build_graph(f"in > {text}")
    first = find_groups(graph)[0]
    assert first.members[0].address == "fc_1"
    assert any(str(found).startswith(reason) for found in first.kept), first.kept
    assert not first.is_removable


def test_a_channel_that_is_not_zero_behind_its_activation_is_not_removable():
    text = f"{IMAGE} > conv_1:Conv2D(activation='sigmoid')[3, 3, 3, 4] > conv_2"
    padded = build_graph(f"{text}:Conv2D(padding='same')[3, 3, 4, 2]")
    assert groups_of(padded)[0] == (
        "4: conv_1.kernel/3 conv_1.bias/0 conv_2.kernel/2; filled: conv_1 is not zero where its"
        " input is"
    )
    # without padding the next bias takes what the kernel makes of the constant
    assert "filled" not in groups_of(build_graph(f"{text}[3, 3, 4, 2]"))[0]


def test_a_gate_whose_product_is_zero_is_removable():
    """Squeeze and excitation: the sigmoid gate is not zero, but what it scales is."""
    graph = build_graph(
        f"{IMAGE} > conv[1, 1, 3, 4] > gap > fc_1[4, 2] >"
        " fc_2:Dense(activation='sigmoid')[2, 4] > view:Reshape(target_shape=[1, 1, 4]);"
        " conv + view > product:Multiply > conv_2[1, 1, 4, 2]"
    )
    assert removable(graph)[0] == (
        "4: conv.kernel/3 conv.bias/0 fc_1.kernel/0 fc_2.kernel/1 fc_2.bias/0 conv_2.kernel/2"
    )


def test_a_shared_layer_couples_what_it_reads():
    graph = build_graph(
        "in > fc_1[4, 6] > shared:Dense[6, 3] > out_1[3, 2]; in > fc_2[4, 6] > shared > out_2[3, 2]"
    )
    assert removable(graph) == [
        "6: fc_1.kernel/1 fc_1.bias/0 fc_2.kernel/1 fc_2.bias/0 shared.kernel/0",
        "3: shared.kernel/1 shared.bias/0 out_1.kernel/0 out_2.kernel/0",
    ]


def test_a_layer_that_stands_in_two_models_loses_the_same_channels_in_both():
    graph = build_graph(
        "in > fc_1[4, 5] > both:Dense[5, 6] > out_1[6, 2]; in > inner > out_2[6, 2]",
        models={
            "inner": "start:InputLayer(batch_input_shape=[None, 4]) > fc_2[4, 5] > both:Dense[5, 6]"
        },
        shapes={"inner::both": (5, 6)},
    )
    alone = removable(graph)
    marked = {
        address: replace(graph.layers[address], entry=entry | {"shared_object_id": 7})
        for address in ("both", "inner::both")
        for entry in [dict(graph.layers[address].entry)]
    }
    together = removable(graph.replace(marked))
    assert (len(alone), len(together)) == (4, 2)
    assert "both.kernel/1" in together[1]
    assert "inner::both.kernel/1" in together[1]


def test_a_layer_with_weights_that_its_class_does_not_make_is_kept():
    graph = build_graph("in > fc_1[4, 5] > fc_2[5, 2]")
    layer = graph.layers["fc_1"]
    scaled = replace(layer, tensors=(*layer.tensors, Tensor("kernel_scale", (5,))))
    assert removable(graph.replace({"fc_1": scaled})) == []


def test_channels_go_into_a_nested_model_and_out():
    graph = build_graph(
        "in > fc_1[4, 6] > inner > out[5, 2]",
        models={"inner": "start:InputLayer(batch_input_shape=[None, 6]) > fc_2[6, 5]"},
    )
    assert removable(graph) == [
        "6: fc_1.kernel/1 fc_1.bias/0 inner::fc_2.kernel/0",
        "5: inner::fc_2.kernel/1 inner::fc_2.bias/0 out.kernel/0",
    ]


def test_each_channel_of_a_member_is_in_one_group():
    graph = build_graph(
        f"{IMAGE} > conv_1[1, 1, 3, 4]; in > conv_2[1, 1, 3, 6]; conv_1 + conv_2 > cat >"
        " depthwise[3, 3, 10, 1] > conv_3[1, 1, 10, 10]; cat + conv_3 > add > gap > fc[10, 2]"
    )
    places: dict[tuple[str, str, int], list[int]] = {}
    for group in find_groups(graph):
        for member in group.members:
            assert len(member.positions) == group.size
            place = (member.address, member.tensor, member.axis)
            places.setdefault(place, []).extend(member.positions.ravel().tolist())
    assert sorted(places["conv_3", "kernel", 2]) == list(range(10))
    assert all(len(found) == len(set(found)) for found in places.values())
    assert np.array_equal(sorted(places["fc", "kernel", 0]), np.arange(10))
