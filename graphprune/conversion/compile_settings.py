"""The compile settings of a model for the other Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphprune.archive import Archive
from graphprune.archive.allowed.keras_names import KERAS, OPTIMIZER
from graphprune.archive.entries import is_builtin
from graphprune.conversion.settings import Parameters
from graphprune.nested import rebuild

_PARTS = {
    "optimizer": "optimizers",
    "loss": "losses",
    "metrics": "metrics",
    "weighted_metrics": "metrics",
}
_PLAIN = ("loss_weights",)
_DEFAULTS = (("reduction", "auto"), ("name", None))
"""Settings that tf_keras writes and Keras 3 does not read, with their default values."""
_SCALED = ("LossScaleOptimizer", "LossScaleOptimizerV3")


class UnknownSettingError(Exception):
    """A part of the compile settings has no counterpart; the text names it."""


def with_plain_names(archive: Archive) -> Archive:
    """Return the saved model with the optimizers in its compile settings under their own names.

    tf_keras registers its optimizers like a user's classes, and `.h5` files and SavedModels have
    them as `Custom>Adam` (tf_keras/src/optimizers/adam.py).
    """
    return replace(archive, training_config=rebuild(archive.training_config, _plain_name))


def _plain_name(entry: dict[str, Any]) -> dict[str, Any]:
    package, _, name = str(entry.get("class_name")).rpartition(">")
    is_own = package == "Custom" and "module" not in entry and name in KERAS[OPTIMIZER].classes
    return entry | {"class_name": name} if is_own else entry


def converted_compile_settings(archive: Archive, parameters: Parameters) -> dict[str, Any] | None:
    """Return the compile settings as `compile_from_config` takes them, or None without any.

    Raises:
        UnknownSettingError: they name something that the other Keras lacks.
    """
    given = archive.compile_settings
    settings = {"optimizer": given.get("optimizer_config"), **given}
    if settings.get("optimizer") is None:
        return None
    found = {
        key: _converted(module, settings[key], parameters)
        for key, module in _PARTS.items()
        if settings.get(key) is not None
    }
    return found | {key: settings[key] for key in _PLAIN if settings.get(key) is not None}


def _converted(module: str, value: Any, parameters: Parameters) -> Any:
    if isinstance(value, list | tuple):
        return [_converted(module, item, parameters) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value or "config" not in value:
        return {key: _converted(module, item, parameters) for key, item in value.items()}
    kind, config = value["class_name"], value["config"]
    if kind == "function" and isinstance(config, str):
        return config
    if kind in _SCALED:
        return _converted(module, config["inner_optimizer"], parameters)
    found = _class_of(module, kind, parameters) if is_builtin(value) else None
    if found is None:
        raise UnknownSettingError(f"{kind} of {value.get('module') or 'the file'}")
    where, accepted = found
    if "fn" in accepted and isinstance(config.get("fn"), str):
        config = config | {"fn": _function(where, config["fn"])}
        accepted |= config.keys()  # what the wrapper passes on to the function
    return {
        "module": f"keras.{where}",
        "class_name": kind,
        "config": {
            key: item if key == "fn" else _converted("optimizers.schedules", item, parameters)
            for key, item in config.items()
            if key in accepted and (key, item) not in _DEFAULTS
        },
        "registered_name": None,
    }


def _function(module: str, name: str) -> dict[str, Any]:
    """Return the entry of a function, which `.h5` files of tf_keras hold by its name alone."""
    named = {"class_name": "function", "config": name, "registered_name": name}
    return {"module": f"keras.{module}", **named}


def _class_of(module: str, kind: str, parameters: Parameters) -> tuple[str, frozenset[str]] | None:
    for where in (module, "losses") if module == "metrics" else (module,):
        accepted = parameters(where, kind)
        if accepted is not None:
            return where, accepted
    return None
