"""What layers over sequences make of shapes: recurrent layers and their wrappers, attention,
einsum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.shapes.spatial_shapes import convolved_length, per_axis, rank_of

Config = Mapping[str, Any]

_STATES = {"LSTM": 2, "GRU": 1, "SimpleRNN": 1}


def recurrent_shapes(kind: str, config: Config, shape: Shape) -> tuple[Shape, ...]:
    """Return what an LSTM, GRU or SimpleRNN gives: its output, and states if it returns them."""
    if config.get("time_major"):
        raise ValueError("a recurrent layer with time as its first axis")
    batch, steps, _ = shape
    states = ((batch, config["units"]),) * (_STATES[kind] if config.get("return_state") else 0)
    return (
        (
            (batch, steps, config["units"])
            if config.get("return_sequences")
            else (batch, config["units"])
        ),
        *states,
    )


def rnn_shapes(_kind: str, config: Config, shape: Shape) -> tuple[Shape, ...]:
    """Return what an RNN of a built-in cell, or of several, gives; its states are not told."""
    cell = config["cell"]
    inner = cell["config"]
    units = (
        inner["cells"][-1]["config"]["units"]
        if cell["class_name"] == "StackedRNNCells"
        else inner["units"]
    )
    return recurrent_shapes("SimpleRNN", {**config, "units": units, "return_state": False}, shape)


def conv_lstm_shapes(kind: str, config: Config, shape: Shape) -> tuple[Shape, ...]:
    """Return what a ConvLSTM gives; its states are not told."""
    rank = rank_of(kind)
    if config.get("data_format") == "channels_first" or len(shape) != rank + 3:
        raise ValueError("a ConvLSTM whose channels come first")
    settings = zip(
        *(
            per_axis(config.get(key, 1), rank)
            for key in ("kernel_size", "strides", "dilation_rate")
        ),
        strict=True,
    )
    lengths = zip(shape[2:-1], settings, strict=True)
    space = tuple(
        None if length is None else convolved_length(length, k, s, d, config)
        for length, (k, s, d) in lengths
    )
    steps = (shape[1],) if config.get("return_sequences") else ()
    return ((shape[0], *steps, *space, config["filters"]),)


def two_way_shapes(
    config: Config, forward: Sequence[Shape], backward: Sequence[Shape]
) -> tuple[Shape, ...]:
    """Return what a Bidirectional gives, from what its two layers give."""
    merge = config["merge_mode"]
    states = (*forward[1:], *backward[1:])
    if merge is None:
        return (forward[0], backward[0], *states)
    left, right = forward[0][-1], backward[0][-1]
    if merge == "concat" and left is not None and right is not None:
        return ((*forward[0][:-1], left + right), *states)
    if merge in ("sum", "mul", "ave") and forward[0] == backward[0]:
        return (forward[0], *states)
    raise ValueError(f"merge mode {merge!r} is not known")


def multi_head_shape(_kind: str, config: Config, taken: Sequence[Shape]) -> Shape:
    """Return what MultiHeadAttention gives for its query; the scores, which it may give as well,
    are not told.
    """
    query, shape = taken[0], config.get("output_shape")
    if shape is None:
        return query
    return *query[:-1], *(shape if isinstance(shape, list | tuple) else (shape,))


def attention_shape(_kind: str, _config: Config, taken: Sequence[Shape]) -> Shape:
    """Return what a dot-product or additive attention gives for [query, value] or [query, value,
    key].
    """
    query, value = taken[:2]
    return (*query[:-1], value[-1])


def einsum_shape(_kind: str, config: Config, shape: Shape) -> Shape:
    """Return what an EinsumDense gives; an ellipsis stands for the axes before the named ones."""
    parts = re.fullmatch(
        r"(\.{3})?([A-Za-z]+),[A-Za-z]+->(\.{3})?([A-Za-z]+)", config["equation"].replace(" ", "")
    )
    if parts is None or bool(parts[1]) != bool(parts[3]):
        raise ValueError(f"equation {config['equation']!r} is not known")
    named, result = parts[2], parts[4]
    lengths = dict(zip(named, shape[len(shape) - len(named) :], strict=True))
    told = (
        config["output_shape"]
        if isinstance(config["output_shape"], list | tuple)
        else [config["output_shape"]]
    )
    made = dict(zip(reversed(result), reversed(told), strict=False))
    extra = shape[: len(shape) - len(named)]
    if extra and not parts[1]:
        raise ValueError(f"equation {config['equation']!r} has fewer axes than {shape}")
    return (*extra, *(lengths[letter] if letter in lengths else made[letter] for letter in result))
