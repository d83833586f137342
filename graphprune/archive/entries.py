"""One serialized object, as Keras writes it into a model's config: what its dict says, in both
dialects.

The dialect of `.keras` files has `module` and `registered_name` beside `class_name` and `config`;
the older one of `.h5` files has only the last two, with the registered name as class name
(tf_keras/src/saving/serialization_lib.py and saving/legacy/serialization.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]
LAMBDA = "<lambda>"
"""What Python calls every lambda, and old files say of one."""


def type_of(entry: Entry) -> str:
    """Return the registered class name.

    Example:
        >>> (
        ...     type_of({"class_name": "Dense", "registered_name": None}),
        ...     type_of({"class_name": "Low", "registered_name": "My>Low"}),
        ... )
        ('Dense', 'My>Low')
    """
    return str(entry.get("registered_name") or entry["class_name"])


def is_builtin(entry: Entry) -> bool:
    """Return whether the class comes from Keras; the older dialect cannot tell, there a plain name
    counts as Keras's.
    """
    if "module" not in entry:
        return ">" not in entry["class_name"]
    return str(entry["module"] or "").split(".")[0] in ("keras", "tf_keras")


def is_model(entry: Entry) -> bool:
    """Return whether this is a Functional or Sequential model, whose layers are in its config."""
    config = entry.get("config")
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        return False
    return "input_layers" in config or (type_of(entry) == "Sequential" and is_builtin(entry))


def holds_lambda_bytecode(value: Any) -> bool:
    """Return whether serialized Python code is anywhere in `value`.

    Keras writes a lambda as an object of class `__lambda__`, and a Lambda layer's function as
    `function_type: lambda`.
    """
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            if item.get("class_name") == "__lambda__" or "lambda" in (
                item.get("function_type"),
                item.get("output_shape_type"),
                item.get("mask_type"),
            ):
                return True
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return False
