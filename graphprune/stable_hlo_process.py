"""Reads a StableHLO module with JAX's MLIR library, in a process of its own: bytes in, JSON out.

The library is native code, which a damaged file may end. See https://openxla.org/stablehlo/spec.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

_CHOICE = re.compile(r"#stablehlo<\w+ (\w+)>")
"""One of some words, such as the direction of a comparison."""
_NAME = re.compile(r'loc\("([^"]*)"')
_SINGLE = (ir.BoolAttr, ir.IntegerAttr, ir.FlatSymbolRefAttr, ir.StringAttr)
_SEVERAL = (ir.DenseI64ArrayAttr, ir.DenseIntElementsAttr)
MAX_CONSTANT = 2**18
"""Values of a constant that are told."""


def _shape(kind: Any) -> list[int | None]:
    ranked = ir.RankedTensorType(kind)
    axes = range(ranked.rank)
    return [None if ranked.is_dynamic_dim(axis) else ranked.get_dim_size(axis) for axis in axes]


def _described(kind: Any) -> list[Any]:
    """Return the type of elements and the shape of a tensor; nothing of other types."""
    ranked = _as(ir.RankedTensorType, kind)
    return [str(kind), None] if ranked is None else [str(ranked.element_type), _shape(kind)]


def _as(kind: Any, value: Any) -> Any:
    """Return an attribute or type as one of a class; None where it is another."""
    try:
        return kind(value)
    except (TypeError, ValueError):
        return None


def _constant(value: Any) -> Any:
    """Return the values of a constant, as one list; None for large ones and for odd types."""
    values = _as(ir.DenseElementsAttr, value)
    if values is None:
        return None
    if values.is_splat:
        kinds = (ir.BoolAttr, ir.IntegerAttr, ir.FloatAttr)
        every = (_as(kind, values.get_splat_value()) for kind in kinds)
        return [each.value for each in every if each is not None][:1] or None
    if len(values) > MAX_CONSTANT:
        return None
    for kind in (ir.DenseIntElementsAttr, ir.DenseFPElementsAttr):
        if (several := _as(kind, value)) is not None:
            return [np.asarray(each).item() for each in several]
    return None


def _setting(value: Any) -> Any:
    """Return an attribute: a number, a truth, a text or a list of such."""
    for kind in _SINGLE:
        if (told := _as(kind, value)) is not None:
            return told.value
    for several in _SEVERAL:
        if (numbers := _as(several, value)) is not None:
            return [int(each) for each in numbers]
    text = str(value)
    choice = _CHOICE.fullmatch(text)
    return choice[1] if choice else text


class _Reader:
    """Numbers the values of a module, and tells its operations."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def block(self, block: Any) -> dict[str, Any]:
        *operations, end = block.operations
        return {
            "inputs": [[self.number(one), *_described(one.type)] for one in block.arguments],
            "operations": [self.operation(one.operation) for one in operations],
            "outputs": [self.number(one) for one in end.operation.operands],
        }

    def operation(self, one: Any) -> dict[str, Any]:
        named = ((each.name, each.attr) for each in _attributes(one))
        settings = {
            name: _constant(value) if one.name == "stablehlo.constant" else _setting(value)
            for name, value in named
        }
        return {
            "kind": one.name,
            "place": _place(one),
            "inputs": [self.number(each) for each in one.operands],
            "outputs": [[self.number(each), *_described(each.type)] for each in one.results],
            "settings": settings,
            "blocks": [self.block(each) for region in one.regions for each in region.blocks],
        }


def _place(operation: Any) -> str:
    """Return the name of an operation, which has those of the scopes that it is in."""
    named = _NAME.match(str(operation.location))
    return named[1] if named else ""


def _attributes(operation: Any) -> Iterable[Any]:
    found = operation.attributes
    return [found[place] for place in range(len(found))]


def describe(module: bytes) -> dict[str, Any]:
    """Return the functions of a module by name."""
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        read = stablehlo.deserialize_portable_artifact(context, module)
        reader = _Reader()
        return {
            ir.StringAttr(one.operation.attributes["sym_name"]).value: reader.block(
                one.operation.regions[0].blocks[0]
            )
            for one in read.body.operations
            if one.operation.name == "func.func"
        }


if __name__ == "__main__":
    json.dump(describe(sys.stdin.buffer.read()), sys.stdout)
