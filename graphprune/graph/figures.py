"""What the layers of a model hold and compute with, for files that have no layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.archive.op_layers import find_operation
from graphprune.archive.operations import Operation
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer

_WITH_NUMBERS = frozenset(
    {"Add", "Maximum", "Minimum", "Multiply", "Power", "Subtract", "TrueDivide"}
)
"""Operations that take each constant as it is."""
NEUTRAL = (0, 1)
"""Numbers that an operation may leave out."""


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """What a layer holds and computes with.

    Attributes:
        weights: The shapes of its weights that are real numbers, `3x3x8x16`, sorted.
        numbers: The constants that its operations take, such as an epsilon.
    """

    weights: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()


def describe_figures(
    graph: LayerGraph, constants: Mapping[str, Mapping[str, Any]]
) -> dict[str, LayerFigures]:
    """Return what the layers hold and compute with, by address; those with nothing are left out.

    Args:
        graph: The model.
        constants: The arguments of calls that are not tensors, by layer.
    """
    found = {
        address: LayerFigures(
            tuple(sorted(_weights(layer))), tuple(_numbers(layer, constants.get(address, {})))
        )
        for address, layer in graph.layers.items()
    }
    return {address: figures for address, figures in found.items() if figures != LayerFigures()}


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as `LayerFigures` has it.

    Example:
        >>> shape_text((3, 3, 8)), shape_text(())
        ('3x3x8', 'scalar')
    """
    return "x".join(map(str, shape)) or "scalar"


def _weights(layer: Layer) -> Iterator[str]:
    for tensor in layer.tensors:
        if tensor.dtype.startswith(("float", "bfloat")):
            yield shape_text(tensor.shape)


def _numbers(layer: Layer, constants: Mapping[str, Any]) -> Iterator[float]:
    """Yield the constants that the operations of a layer take, as far as they are known."""
    operation, known = find_operation(layer.entry), known_class(layer.entry)
    if isinstance(operation, Operation):
        taken: Any = constants if operation.name in _WITH_NUMBERS else None
    else:
        names = () if known is None else known.numbers
        taken = [layer.config.get(name) for name in names]
    yield from dict.fromkeys(number for number in _flat(taken) if number not in NEUTRAL)


def _flat(value: Any) -> Iterator[float]:
    """Yield the numbers in a nested value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    elif type(value) in (int, float) and math.isfinite(value):
        yield float(value)
