"""Weights whose shape the config of their layer contradicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostile_files import IN, layer, model, write_h5, write_keras

from graphprune.errors import ArchiveError, GraphError
from graphprune.graph import LayerGraph, graph_from_config, graph_to_config, read_graph
from graphprune.graph.weight_faults import find_shape_fault

LSTM = {"class_name": "LSTM", "config": {"name": "lstm", "units": 2}}
GRU = {"class_name": "GRU", "config": {"name": "gru", "units": 2, "reset_after": False}}
CELL = {"class_name": "SimpleRNNCell", "config": {"name": "cell", "units": 2}}
DENSE = {"class_name": "Dense", "config": {"name": "dense", "units": 3}}
CONV = {"filters": 6, "kernel_size": [2, 3]}
MHA = {"num_heads": 2, "key_dim": 3}

SHAPES: list[tuple[str, dict[str, Any], str]] = [
    ("Dense", {"units": 3}, "kernel 5? 3; bias 3"),
    ("Dense", {"units": 3.0}, "kernel 5? 3"),
    ("Embedding", {"input_dim": 9, "output_dim": 4}, "embeddings 9 4"),
    ("Conv1D", {"filters": 6, "kernel_size": 2}, "kernel 2 5? 6; bias 6"),
    ("Conv2D", {**CONV, "groups": 3}, "kernel 2 3 4? 6; bias 6"),
    ("Conv3D", {"filters": 6, "kernel_size": [2, 3, 4]}, "kernel 2 3 4 5? 6"),
    ("Conv2DTranspose", CONV, "kernel 2 3 6 5?; bias 6"),
    (
        "DepthwiseConv2D",
        {"kernel_size": [2, 3], "depth_multiplier": 2},
        "depthwise_kernel 2 3 5? 2; bias 10",
    ),
    (
        "SeparableConv2D",
        {**CONV, "depth_multiplier": 2},
        "depthwise_kernel 2 3 5? 2; pointwise_kernel 1 1 10 6; bias 6",
    ),
    (
        "LocallyConnected1D",
        {"filters": 6, "kernel_size": [2], "implementation": 1},
        "kernel 4? 10 6; bias 4? 6",
    ),
    (
        "LocallyConnected2D",
        {**CONV, "implementation": 2, "data_format": "channels_first"},
        "kernel 5? 4? 4? 6 3? 2?; bias 3? 2? 6",
    ),
    ("LocallyConnected2D", {**CONV, "implementation": 3}, "kernel 99?"),
    ("SimpleRNN", {"units": 2}, "kernel 5? 2; recurrent_kernel 2 2; bias 2"),
    ("LSTM", {"units": 2}, "kernel 5? 8; recurrent_kernel 2 8; bias 8"),
    ("GRU", {"units": 2}, "kernel 5? 6; recurrent_kernel 2 6; bias 2 6"),
    ("GRU", {"units": 2, "reset_after": False}, "kernel 5? 6; recurrent_kernel 2 6; bias 6"),
    ("ConvLSTM2D", CONV, "kernel 2 3 5? 24; recurrent_kernel 2 3 6 24; bias 24"),
    ("RNN", {"cell": CELL}, "kernel 5? 2; recurrent_kernel 2 2"),
    (
        "RNN",
        {"cell": {"class_name": "StackedRNNCells", "config": {"cells": [CELL, CELL]}}},
        "cells.0.kernel 5? 2; cells.1.kernel 4? 2; cells.1.bias 2",
    ),
    ("TimeDistributed", {"layer": DENSE}, "layer.kernel 5? 3; layer.bias 3"),
    ("SpectralNormalization", {"layer": DENSE}, "layer.kernel 5? 3; layer.bias 3; vector_u 1 3"),
    (
        "Bidirectional",
        {"layer": LSTM, "backward_layer": GRU},
        "forward_layer.kernel 5? 8; backward_layer.kernel 5? 6; backward_layer.bias 6",
    ),
    (
        "MultiHeadAttention",
        MHA,
        (
            "query.kernel 5? 2 3; query.bias 2 3; value.kernel 4? 2 3; attention_output.kernel 2 3"
            " 5; attention_output.bias 5"
        ),
    ),
    (
        "MultiHeadAttention",
        {**MHA, "value_dim": 4, "output_shape": [7, 8]},
        "value.kernel 5? 2 4; attention_output.kernel 2 4 7 8; attention_output.bias 7 8",
    ),
    (
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": [None, 2, 3], "bias_axes": "de"},
        "kernel 5? 2 3; bias 2 3",
    ),
    (
        "EinsumDense",
        {"equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y"},
        "kernel 5? 4; bias 4",
    ),
    (
        "EinsumDense",
        {"equation": "ab...,bc->ac...", "output_shape": [4]},
        "kernel 5? 4; bias 4? 1?",
    ),
    ("BatchNormalization", {"axis": [3]}, "gamma 5?; beta 5; moving_mean 5; moving_variance 5"),
    ("BatchNormalization", {"axis": [1, 3]}, "gamma 5? 1? 4?"),
    ("LayerNormalization", {"axis": [1, 2]}, "gamma 5? 4?; beta 5 4"),
    ("GroupNormalization", {"groups": 4}, "gamma 8?; beta 8"),
    ("Normalization", {"axis": [-1]}, "mean 5?; variance 5; count"),
    ("RandomFourierFeatures", {"output_dim": 3}, "kernel_scale 1; unscaled_kernel 5? 3; bias 3"),
]
"""Class, config, and the shapes that it fits; a length with a question mark depends on the layer's
input.
"""


def build(kind: str, config: dict[str, Any], tensors: dict[str, tuple[int, ...]]) -> LayerGraph:
    entry = {"class_name": kind, "config": {"name": "it", **config}}
    return graph_from_config(
        {"class_name": "Sequential", "config": {"name": "net", "layers": [entry]}},
        tensors={"it": [(name, shape, "float32") for name, shape in tensors.items()]},
    )


def parse(text: str) -> tuple[dict[str, tuple[int, ...]], list[tuple[str, int]]]:
    """Return the shapes in `text`, and the places (weight, axis) of the lengths that the config
    tells.
    """
    parts = [part.split() for part in text.split("; ")]
    told = [
        (name, axis)
        for name, *lengths in parts
        for axis, length in enumerate(lengths)
        if not length.endswith("?")
    ]
    return {
        name: tuple(int(length.rstrip("?")) for length in lengths) for name, *lengths in parts
    }, told


@pytest.mark.parametrize(("kind", "config", "text"), SHAPES)
def test_each_length_that_a_config_tells_is_checked(
    kind: str, config: dict[str, Any], text: str
) -> None:
    shapes, told = parse(text)
    assert find_shape_fault(build(kind, config, shapes)) is None
    for name, axis in told:
        shape = shapes[name]
        lie = (*shape[:axis], shape[axis] + 1, *shape[axis + 1 :])
        assert f": its config asks for a {name} of shape " in (
            find_shape_fault(build(kind, config, shapes | {name: lie})) or ""
        )


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        ("Dense", {"units": -4}, "units must be a whole number above 0, got -4"),
        ("Dense", {"units": "four"}, "units must be a whole number above 0, got 'four'"),
        ("Dense", {"units": float("nan")}, "units must be a whole number above 0, got nan"),
        ("LSTM", {"units": float("inf")}, "units must be a whole number above 0, got inf"),
        ("LSTM", {"units": True}, "units must be a whole number above 0, got True"),
        ("Conv2D", {"filters": 6, "kernel_size": [2]}, "kernel_size must have 2 lengths, got [2]"),
        (
            "Conv2D",
            {"filters": 6, "kernel_size": [2, 0]},
            "kernel_size must be a whole number above 0, got 0",
        ),
        ("Conv2D", {**CONV, "groups": 4}, "filters must be a multiple of groups, got 6 and 4"),
        (
            "EinsumDense",
            {"equation": "ab,bc->ac", "output_shape": [2.5]},
            "output_shape must be a whole number above 0, got 2.5",
        ),
        (
            "EinsumDense",
            {"equation": f"{'a' * 10**6},{'b' * 10**6}->c", "output_shape": 4},
            "equation must have at most 1,000 characters, got 2,000,004",
        ),
        (
            "MultiHeadAttention",
            {**MHA, "output_shape": [2] * 10**4},
            "output_shape must have at most 254 lengths, got 10,000",
        ),
        (
            "InputLayer",
            {"batch_input_shape": [None, float("nan")]},
            "its shape must be a list of at most 254 lengths, got [None, nan]",
        ),
        (
            "InputLayer",
            {"batch_shape": [None] * 300},
            f"its shape must be a list of at most 254 lengths, got {str([None] * 300)[:40]}",
        ),
        (
            "InputLayer",
            {"batch_input_shape": [None, 10**30]},
            f"its shape must be a list of at most 254 lengths, got {[None, 10**30]}",
        ),
        (
            "TimeDistributed",
            {"layer": {"class_name": "Dense", "config": {"units": []}}},
            "units must be a whole number above 0, got []",
        ),
    ],
)
def test_a_setting_that_no_layer_can_have_is_a_fault_with_or_without_weights(
    kind: str, config: dict[str, Any], said: str
) -> None:
    assert (
        find_shape_fault(build(kind, config, {}))
        == f"layer 'it' ({kind}): {said}; no such layer can be built, save the model again"
    )


def test_complex_weights_are_those_of_a_complex_layer_and_not_prunable() -> None:
    tensors = [("kernel", (4, 3), "complex64")]
    graphs = [
        graph_from_config(
            {"class_name": "Sequential", "config": {"name": "net", "layers": [plain]}},
            tensors={"it": tensors},
        )
        for plain in (
            {"class_name": "Dense", "config": {"name": "it", "units": 3, **dtype}}
            for dtype in ({}, {"dtype": "complex64"})
        )
    ]
    said = (
        "layer 'it' (Dense): its config asks for a kernel of float32, got complex64; the file is"
        " damaged, save the model again"
    )
    assert [find_shape_fault(graph) for graph in graphs] == [said, None]
    assert not graphs[1].layer("it").is_candidate


def test_a_class_of_the_user_with_a_name_of_keras_is_let_be() -> None:
    assert (
        find_shape_fault(build("MultiHeadAttention", {"head_num": 2}, {"query.kernel": (4, 4)}))
        is None
    )
    assert find_shape_fault(build("Mine>Dense", {"units": "four"}, {"kernel": (4, 4)})) is None


FAULT = (
    "layer 'fc' (Dense): its config asks for a kernel of shape [in, 5], got [4, 4]; the file is"
    " damaged, save the model again"
)


def test_every_format_says_which_weight_lies(tmp_path: Path) -> None:
    config = model(IN, layer("Dense", "fc", ("in",), units=5, use_bias=True))
    for write in (write_keras, write_h5):
        path = write(tmp_path / "m", config)
        with pytest.raises(ArchiveError) as caught:
            read_graph(path)
        assert str(caught.value) == f"{path}: {FAULT}"
    document = graph_to_config(
        graph_from_config(config, tensors={"fc": [("kernel", (4, 4), "float32")]})
    )
    with pytest.raises(GraphError) as refused:
        read_graph(document)
    assert str(refused.value) == f"graph JSON: {FAULT}"
