"""Which classes and functions a config would have Keras import: everything that is neither Keras's, nor ours, nor given by the user.

Keras imports any installed module that a config names (`_retrieve_class_or_fn`, tf_keras/src/saving/serialization_lib.py), and importing runs it.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

import tf_keras

TRUSTED = ("keras", "tf_keras", "graphprune", "tensorflow")


def find_foreign(config: Any, custom_objects: Mapping[str, Any]) -> str | None:
    """Return the name of a class or function that would be imported from elsewhere, None if there is none."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            if _is_foreign(item, custom_objects):
                return _name(item)
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return None


def _is_foreign(item: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> bool:
    module, registered = item.get("module"), item.get("registered_name")
    if not isinstance(module, str) or "class_name" not in item or _is_given(_name(item), registered, custom_objects):
        return False
    package = module.partition(".")[0]
    if package == "builtins":  # what Keras writes for a function; it looks in Keras first, and in Python's own builtins last
        return hasattr(builtins, _name(item))
    return package not in TRUSTED


def _is_given(name: str, registered: Any, custom_objects: Mapping[str, Any]) -> bool:
    if name in custom_objects or registered in custom_objects:
        return True
    return isinstance(registered, str) and tf_keras.utils.get_registered_object(registered) is not None


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("config") if item.get("class_name") == "function" else item["class_name"])
