"""How often a call of a layer multiplies and adds, for one sample: rules of layer classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphprune.graph.classes.channels import Weights
from graphprune.graph.classes.lengths import Config
from graphprune.graph.shapes.axis_lengths import Shape

MultiplyAddsRule = Callable[[Config, Weights, Sequence[Shape], Shape], int]
"""From a config, the shapes of weights, those of the tensors that are taken, and that of the output
to the count; TypeError where an axis is open.
"""


def at_each_place(*kernels: str, of_input: bool = False) -> MultiplyAddsRule:
    """Return the rule of kernels that are applied at each place of the output.

    A place is an index of all axes but the batch and the channels. `of_input` counts the places of
    the input, for transposed convolutions.
    """

    def rule(config: Config, weights: Weights, taken: Sequence[Shape], made: Shape) -> int:
        shape = taken[0] if of_input else made
        channels = shape[1] if config.get("data_format") == "channels_first" else shape[-1]
        return _size(weights, kernels) * _product(shape[1:]) // _known(channels)

    return rule


def for_each_step(_config: Config, weights: Weights, taken: Sequence[Shape], made: Shape) -> int:
    """Return the count of a recurrent layer: its kernels in each step and at each place."""
    places = _product(made[-3:-1]) if len(weights["kernel"]) > 2 else 1
    return _size(weights, ("kernel", "recurrent_kernel")) * _known(taken[0][1]) * places


def einsum(config: Config, weights: Weights, _taken: Sequence[Shape], made: Shape) -> int:
    """Return the count of an EinsumDense: all axes of the result, and those that are summed."""
    _, _, right = str(config["equation"]).replace(" ", "").partition(",")
    kernel, _, result = right.replace("...", "").partition("->")
    lengths = zip(kernel, weights["kernel"], strict=True)
    summed = math.prod(length for axis, length in lengths if axis not in result)
    return _product(made[1:]) * summed


def attention(config: Config, weights: Weights, taken: Sequence[Shape], _made: Shape) -> int:
    """Return the count of an attention with heads: projections, scores, and weighted sums."""
    query, value = _product(taken[0][1:-1]), _product(taken[min(1, len(taken) - 1)][1:-1])
    own = ("query.kernel", "attention_output.kernel", "gate.kernel")
    projected = query * _size(weights, own) + value * _size(weights, ("key.kernel", "value.kernel"))
    heads, width = weights["query.kernel"][1:]
    return projected + heads * query * value * (width + weights["value.kernel"][-1])


def dot_product(_config: Config, _weights: Weights, taken: Sequence[Shape], made: Shape) -> int:
    """Return the count of an Attention layer: scores, and weighted sums."""
    query, value = taken[:2]
    scores = _product(query[1:-1]) * _known(value[-2])
    return scores * (_known(query[-1]) + _known(made[-1]))


def _size(weights: Mapping[str, Sequence[int]], names: Sequence[str]) -> int:
    return sum(math.prod(weights[name]) for name in names if name in weights)


def _product(lengths: Sequence[Any]) -> int:
    return math.prod(_known(length) for length in lengths)


def _known(length: int | None) -> int:
    if length is None:
        raise TypeError("an open axis")
    return length
