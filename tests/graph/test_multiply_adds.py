"""Multiply-adds of layers, counted by hand."""

import pytest
from builders import build_graph

from graphprune.graph.multiply_adds import count_multiply_adds, sum_multiply_adds

IMAGE = "in:InputLayer(batch_input_shape=[None, 8, 8, 4])"
STEPS = "in:InputLayer(batch_input_shape=[None, 5, 4])"
HEADS = "MultiHeadAttention(num_heads=2, key_dim=3)[4, 2, 3]"

COUNTS = {
    "dense": ("in > x:Dense[4, 6]", 4 * 6),
    "dense at each step": (f"{STEPS} > x:Dense[4, 6]", 5 * 4 * 6),
    "convolution": (f"{IMAGE} > x:Conv2D[3, 3, 4, 6]", 6 * 6 * 9 * 4 * 6),
    "with strides": (f"{IMAGE} > x:Conv2D(strides=[2, 2])[3, 3, 4, 6]", 3 * 3 * 9 * 4 * 6),
    "in groups": (f"{IMAGE} > x:Conv2D(groups=2)[3, 3, 2, 6]", 6 * 6 * 9 * 2 * 6),
    "transposed": (f"{IMAGE} > x:Conv2DTranspose(strides=[2, 2])[3, 3, 6, 4]", 8 * 8 * 9 * 4 * 6),
    "depthwise": (f"{IMAGE} > x:DepthwiseConv2D[3, 3, 4, 2]", 6 * 6 * 9 * 4 * 2),
    "separable": (f"{IMAGE} > x:SeparableConv2D[3, 3, 4, 6]", 6 * 6 * (9 * 4 + 4 * 6)),
    "recurrent": (f"{STEPS} > x:LSTM[4, 12]", 5 * (4 * 12 + 3 * 12)),
    "attention": (f"{STEPS} > x:{HEADS}", 5 * 4 * 4 * 6 + 2 * 5 * 5 * (3 + 3)),
    "embedding": ("in > x:Embedding[16, 4]", 0),
    "normalization": (f"{IMAGE} > x:BatchNormalization[4]", 0),
    "without weights": (f"{IMAGE} > x:MaxPooling2D(pool_size=2)", 0),
    "open axes": (
        "in:InputLayer(batch_input_shape=[None, None, None, 4]) > x:Conv2D[3, 3, 4, 6]",
        None,
    ),
    "called twice": ("in > x:Dense[4, 4] > x", 2 * 4 * 4),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_layer_is_counted(name):
    text, count = COUNTS[name]
    assert count_multiply_adds(build_graph(text))["x"] == count


def test_a_model_is_the_sum_of_its_layers_if_all_are_known():
    counts = count_multiply_adds(build_graph("in > fc_1[4, 6] > relu > fc_2[6, 2]"))
    assert sum_multiply_adds(counts) == 24 + 12
    assert sum_multiply_adds({**counts, "other": None}) is None


def test_a_nested_model_counts_for_each_call():
    graph = build_graph(
        "in > fc_1[4, 4] > inner > inner > out[4, 2]",
        models={"inner": "start:InputLayer(batch_input_shape=[None, 4]) > fc_2[4, 4]"},
    )
    assert count_multiply_adds(graph)["inner::fc_2"] == 2 * 16


def test_a_custom_layer_with_a_matrix_is_not_known_and_neither_is_what_reads_it():
    graph = build_graph("in > x:Own>Layer[4, 4] > fc[4, 2]")
    assert count_multiply_adds(graph) == {"x": None, "fc": None}
