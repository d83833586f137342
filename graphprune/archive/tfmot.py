"""Models pruned by tfmot, with their wrappers renamed as graphprune names them.

tfmot is the TensorFlow Model Optimization toolkit.

The toolkit's wrapper is of the same class, `PruneLowMagnitude`, and adds `prune_low_magnitude_` to
the name of the layer inside; its config says the same in other words (`pruning_schedule`,
`block_size`, `block_pooling_type`), which `graphprune.graph.wrappers` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.archive.entries import Entry, is_model, type_of
from graphprune.wrapper_names import CLASS, MODULE, REGISTERED

PREFIX = "prune_low_magnitude_"


def is_toolkit_config(config: Mapping[str, Any]) -> bool:
    """Return whether the toolkit wrote this config of a wrapper."""
    return "pruning_schedule" in config and "pruning" not in config


def is_toolkit_wrapper(entry: Any) -> bool:
    """Return whether this is the toolkit's wrapper around a layer."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("class_name"), str)
        and _is_wrapper(entry)
        and is_toolkit_config(entry["config"])
    )


def rename_toolkit_wrappers(config: Entry) -> tuple[Entry, dict[str, str]]:
    """Return a model's config with tfmot's wrappers renamed, and new names by old ones.

    A wrapper gets the name of its layer, and graphprune's class.

    Wrappers that keep the toolkit's name in a file of graphprune, because they were saved after
    `prune_scope()`, are named so as well.
    """
    wrappers = [
        entry for model in _models(config) for entry in _members(model) if _is_wrapper(entry)
    ]
    names = {
        old: old.removeprefix(PREFIX)
        for entry in wrappers
        if (old := str(entry["config"].get("name"))) == f"{PREFIX}{_inner_name(entry)}"
    }
    return (
        (_rename(config, names), names)
        if names or any(map(is_toolkit_wrapper, wrappers))
        else (config, {})
    )


def _is_wrapper(entry: dict[str, Any]) -> bool:
    config = entry.get("config")
    return (
        type_of(entry).rpartition(">")[2] == CLASS
        and isinstance(config, dict)
        and isinstance(config.get("layer"), dict)
    )


def _inner_name(entry: Entry) -> str:
    inner = entry["config"]["layer"].get("config")
    return str(inner.get("name")) if isinstance(inner, dict) else ""


def _models(entry: Entry) -> Iterator[Entry]:
    if is_model(entry):
        yield entry
        for member in _members(entry):
            yield from _models(member)


def _members(model: Entry) -> list[dict[str, Any]]:
    return [
        entry
        for entry in model["config"]["layers"]
        if isinstance(entry, dict) and isinstance(entry.get("class_name"), str)
    ]


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """Return a copy with new names for old: of layers, connections, outputs, compile settings."""
    if isinstance(value, list):
        return [_rename(item, names) for item in value]
    if not isinstance(value, dict):
        return names.get(value, value) if isinstance(value, str) else value
    copy = {names.get(key, key): _rename(item, names) for key, item in value.items()}
    if is_toolkit_wrapper(value):
        copy |= (
            {"class_name": CLASS, "registered_name": REGISTERED, "module": MODULE}
            if "module" in value
            else {"class_name": REGISTERED}
        )
    return copy
