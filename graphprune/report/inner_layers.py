"""The layers inside one layer, such as the cells of an RNN: their weights and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphprune.archive.entries import is_model
from graphprune.graph.classes.builtin_layers import layer_class
from graphprune.graph.layers import SEPARATOR, Layer, Tensor

_CELL = re.compile(r"cells\.([0-9]{1,9})")


def inner_tensors(layer: Layer) -> dict[str, list[Tensor]]:
    """Return the weights of inner layers by path (`forward_layer`), with names relative to it."""
    inner: dict[str, list[Tensor]] = {}
    for tensor in layer.tensors:
        path = inner_path(tensor)
        if path:
            inner.setdefault(path, []).append(replace(tensor, name=tensor.name[len(path) + 1 :]))
    return inner


def inner_path(tensor: Tensor) -> str:
    """Return the path of the tensor's inner layer; empty for a tensor of the layer itself.

    Example:
        >>> inner_path(Tensor("forward_layer.kernel", (3, 4))), inner_path(Tensor("kernel", (3, 4)))
        ('forward_layer', '')
    """
    return tensor.name.rpartition(".")[0]


def inner_type(layer: Layer, path: str) -> str:
    """Return the class of the layer inside at `path`, empty where neither config nor class says."""
    return _class_inside(layer.type, layer.config, path)


def _class_inside(kind: str, config: Mapping[str, Any], path: str) -> str:
    known = layer_class(kind)
    if path in known.attributes:
        return known.attribute_class
    if (cell := _CELL.fullmatch(path)) is not None:
        return _class_of(_item(_cells(config), int(cell[1])))
    first, _, rest = path.partition(".")
    inner = _inner_entry(config, first)
    if not rest or not isinstance(inner, Mapping) or not isinstance(inner.get("config"), Mapping):
        return _class_of(inner)
    return (
        _class_in_model(inner["config"], rest)
        if is_model(inner)
        else _class_inside(_class_of(inner), inner["config"], rest)
    )


def _inner_entry(config: Mapping[str, Any], attribute: str) -> Any:
    """Return the entry of the layer that a wrapper has in an attribute."""
    if attribute == "backward_layer":
        return config.get("backward_layer") or config.get("layer")
    return config.get("layer") if attribute in ("layer", "forward_layer") else None


def _cells(config: Mapping[str, Any]) -> Any:
    """Return the cells of a StackedRNNCells, or of an RNN that has one."""
    cell = config.get("cell")
    inner = cell.get("config") if isinstance(cell, Mapping) else config
    return inner.get("cells") if isinstance(inner, Mapping) else None


def _class_in_model(config: Mapping[str, Any], path: str) -> str:
    """Return the class at `path` in a held model: an address, or one inside it after a dot."""
    for layer in config["layers"]:
        inner = layer.get("config") if isinstance(layer, Mapping) else None
        if not isinstance(inner, Mapping):
            continue
        name = str(layer.get("name") or inner.get("name"))
        if path == name:
            return _class_of(layer)
        if path.startswith(f"{name}{SEPARATOR}") and is_model(layer):
            return _class_in_model(inner, path.removeprefix(f"{name}{SEPARATOR}"))
        if path.startswith(f"{name}.") and (
            found := _class_inside(_class_of(layer), inner, path.removeprefix(f"{name}."))
        ):
            return found
    return ""


def _item(items: Any, index: int) -> Any:
    return items[index] if isinstance(items, list | tuple) and index < len(items) else None


def _class_of(entry: Any) -> str:
    return str(entry.get("class_name", "")) if isinstance(entry, Mapping) else ""
