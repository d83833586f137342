"""Layer settings as comparable values, and the dotted paths at which two of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.diff.changes import ConfigChange
from graphprune.graph.entries import canonical

_CONNECTIONS = frozenset({"input_layers", "output_layers", "inbound_nodes"})
_STORED_SEQUENCES = frozenset({"__tuple__", "TensorShape"})


def plain_config(config: Mapping[str, Any], *, names: bool, is_model: bool = False) -> dict[str, Any]:
    """Return a layer's `get_config()` without its own name, alike for the `.keras` and the `.h5` way of writing it.

    Of a model the inner layers and connections are left out: they are layers and connections of the graph themselves.

    Args:
        config: The config.
        names: Whether layers inside it (of `TimeDistributed`, `Bidirectional`) keep their names.
        is_model: Whether the layer is a model.
    """
    left_out = {"name"} | (_CONNECTIONS | {"layers"} if is_model else frozenset())
    plain: dict[str, Any] = _simplify(canonical({key: value for key, value in config.items() if key not in left_out}), names=names)
    return plain


def compare_settings(before: Any, after: Any, path: str) -> Iterator[ConfigChange]:
    """Yield what differs between two values that `plain_config` made; a missing key equals null.

    Example:
        >>> [change.path for change in compare_settings({"units": 3, "bias": {"seed": 1}}, {"units": 3, "bias": {"seed": 2}}, "config")]
        ['config.bias.seed']
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from compare_settings(before.get(key), after.get(key), f"{path}.{key}")
    elif _is_list_of_dicts(before) and _is_list_of_dicts(after) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from compare_settings(left, right, f"{path}[{index}]")
    elif not _is_same(before, after):
        yield ConfigChange(path, before, after)


def _simplify(value: Any, *, names: bool) -> Any:
    """Return a canonical value with stored tuples as lists and, where asked for, without the names of the layers in it."""
    if isinstance(value, list):
        return [_simplify(item, names=names) for item in value]
    if not isinstance(value, Mapping):
        return value
    if str(value.get("class_name")) in _STORED_SEQUENCES and "items" in value:
        return _simplify(value["items"], names=names)
    kept = {key: _simplify(item, names=names) for key, item in value.items() if names or key not in _CONNECTIONS}
    if not names and "class_name" in kept and isinstance(kept.get("config"), dict):
        kept = {key: item for key, item in kept.items() if key != "name"} | {"config": {key: item for key, item in kept["config"].items() if key != "name"}}
    return kept


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _is_same(before: Any, after: Any) -> bool:
    """Return whether two plain values are equal; True is not 1, and NaN equals itself."""
    if isinstance(before, bool) != isinstance(after, bool):
        return False
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(_is_same(left, right) for left, right in zip(before, after, strict=True))
    return bool(before == after) or bool(before != before and after != after)
