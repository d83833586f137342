"""The layers inside one layer (the two of a Bidirectional, the cells of an RNN, the projections of an attention): their weights and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphprune.graph.classes.config_weights import ATTENTION_LAYERS
from graphprune.graph.entries import is_model, to_snake_case
from graphprune.graph.layers import Layer, Tensor

_CELL = re.compile(r"cells\.(\d+)")
_HELD = "layer.layers."
"""What the names of weights in `.keras` files begin with where a layer holds a model; then comes the class, numbered from the second one on."""


def inner_tensors(layer: Layer) -> dict[str, list[Tensor]]:
    """Return the weights of the layers inside, by their path in the layer (`forward_layer`), named without it."""
    inner: dict[str, list[Tensor]] = {}
    for tensor in layer.tensors:
        path = inner_path(tensor)
        if path:
            inner.setdefault(path, []).append(replace(tensor, name=tensor.name[len(path) + 1 :]))
    return inner


def inner_path(tensor: Tensor) -> str:
    """Return where in its layer the tensor's own layer stands, empty for a tensor of the layer itself.

    Example:
        >>> inner_path(Tensor("forward_layer.kernel", (3, 4))), inner_path(Tensor("kernel", (3, 4)))
        ('forward_layer', '')
    """
    return tensor.name.rpartition(".")[0]


def inner_type(layer: Layer, path: str) -> str:
    """Return the class of the layer inside at `path`, empty where neither config nor class says."""
    config = layer.config
    if layer.type == "MultiHeadAttention" and path in ATTENTION_LAYERS:
        return "EinsumDense"
    if (cell := _CELL.fullmatch(path)) is not None:
        return _class_of(_item(_cells(config), int(cell[1])))
    if path == "backward_layer":
        return _class_of(config.get("backward_layer") or config.get("layer"))
    if path in ("layer", "forward_layer"):
        return _class_of(config.get("layer"))
    return _class_in_model(config.get("layer"), path)


def _cells(config: Mapping[str, Any]) -> Any:
    """Return the cells of a StackedRNNCells, or of an RNN that has one."""
    cell = config.get("cell")
    inner = cell.get("config") if isinstance(cell, Mapping) else config
    return inner.get("cells") if isinstance(inner, Mapping) else None


def _class_in_model(entry: Any, path: str) -> str:
    """Return the class of a layer of a held model: by its name in HDF5 files, by its class's number in `.keras` files."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str) or not is_model(entry):
        return ""
    seen: dict[str, int] = {}
    for layer in entry["config"]["layers"]:
        if not isinstance(layer, Mapping):
            continue
        kind = to_snake_case(_class_of(layer))
        number = seen[kind] = seen.get(kind, -1) + 1
        config = layer.get("config")
        named = layer.get("name") or (config.get("name") if isinstance(config, Mapping) else None)
        if path in (named, f"{_HELD}{kind}" + (f"_{number}" if number else "")):
            return _class_of(layer)
    return ""


def _item(items: Any, index: int) -> Any:
    return items[index] if isinstance(items, list | tuple) and index < len(items) else None


def _class_of(entry: Any) -> str:
    return str(entry.get("class_name", "")) if isinstance(entry, Mapping) else ""
