"""One serialized object, as Keras writes it into a model's config: what it says, and copies of it.

The dialect of `.keras` files has `module` and `registered_name` beside `class_name` and `config`;
the older one of `.h5` files has only the last two, with the registered name as class name
(tf_keras/src/saving/serialization_lib.py and saving/legacy/serialization.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from graphprune.nested import mappings_in, rebuild
from graphprune.wrapper_names import REGISTERED

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
    """Return whether the class comes from Keras.

    In the older dialect, which has no module, a plain name counts as Keras's.
    """
    if "module" not in entry:
        return ">" not in entry["class_name"]
    return below_keras(entry["module"]) is not None


def below_keras(module: object) -> str | None:
    """Return the part of a module's name below `keras.` or `tf_keras.`, without `src`.

    None for a module of another package.

    Example:
        >>> [
        ...     below_keras(name)
        ...     for name in ("keras.layers", "tf_keras.src.engine.functional", "keras", "os")
        ... ]
        ['layers', 'engine.functional', '', None]
    """
    if not isinstance(module, str):
        return None
    package, _, rest = module.partition(".")
    return rest.removeprefix("src.") if package in ("keras", "tf_keras") else None


def is_model(entry: Entry) -> bool:
    """Return whether this is a Functional or Sequential model, whose layers are in its config."""
    config = entry.get("config")
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        return False
    return "input_layers" in config or (type_of(entry) == "Sequential" and is_builtin(entry))


def is_own_model(entry: Entry) -> bool:
    """Return whether this is a model of Keras 3 whose layers are not in its config.

    Such is a subclassed model, or one whose config is the arguments of its constructor. Only the
    dialect of Keras 3 names a module, and a model with one stands at the top of a file.
    """
    return "module" in entry and not is_builtin(entry) and not is_model(entry)


def holds_lambda_bytecode(value: Any) -> bool:
    """Return whether serialized Python code is anywhere in `value`.

    Keras writes a lambda as an object of class `__lambda__`, and a Lambda layer's function as
    `function_type: lambda`.
    """
    return any(
        item.get("class_name") == "__lambda__"
        or "lambda"
        in (item.get("function_type"), item.get("output_shape_type"), item.get("mask_type"))
        for item in mappings_in(value)
    )


PLACEMENT = ("name", "inbound_nodes")
"""The keys that say where a layer stands in its model and not what it is."""


def is_entry(value: Any) -> bool:
    """Return whether `value` is a serialized layer, whatever class it names."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("class_name"), str)
        and isinstance(value.get("config"), Mapping)
    )


def is_input(entry: Entry) -> bool:
    """Return whether this is an InputLayer."""
    return type_of(entry) == "InputLayer" and is_builtin(entry)


def is_wrapper(entry: Entry) -> bool:
    """Return whether this is graphprune's pruning wrapper."""
    return type_of(entry) == REGISTERED


def name_of(entry: Entry) -> str:
    """Return the layer's own name.

    Raises:
        KeyError: neither the entry nor its config names it.
    """
    return str(entry["name"] if "name" in entry else entry["config"]["name"])


def to_snake_case(name: str) -> str:
    """Return a class name as `.keras` files spell it (tf_keras/src/utils/generic_utils.py).

    Example:
        >>> (
        ...     to_snake_case("PReLU"),
        ...     to_snake_case("Conv2DTranspose"),
        ...     to_snake_case("TFOpLambda"),
        ...     to_snake_case("_Low"),
        ... )
        ('p_re_lu', 'conv2d_transpose', 'tf_op_lambda', 'private__low')
    """
    snake = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
    return f"private{snake}" if snake.startswith("_") else snake


def copy_config(value: Any) -> Any:
    """Return a copy that shares no dict, list or tuple with `value`; other objects are kept."""
    return rebuild(value, lambda mapping: mapping)


_PLAIN = frozenset({str, bool, int, float, type(None)})
_ADDRESS = frozenset({"shared_object_id"})
_TRACES = _ADDRESS | {"module", "registered_name", "build_config", "compile_config"}


def canonical(value: Any) -> Any:
    """Return `value` as plain JSON without dialect, memory addresses, build or compile settings.

    Example:
        >>> canonical(
        ...     {
        ...         "module": "keras.layers",
        ...         "class_name": "A",
        ...         "config": {"n": (1, 2)},
        ...         "registered_name": None,
        ...         "shared_object_id": 7,
        ...     }
        ... )
        {'class_name': 'A', 'config': {'n': [1, 2]}}
        >>> canonical(
        ...     {
        ...         "activation": {
        ...             "module": "builtins",
        ...             "class_name": "function",
        ...             "config": "mine",
        ...             "registered_name": "function",
        ...         }
        ...     }
        ... )
        {'activation': 'mine'}
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict or isinstance(value, Mapping):
        is_object = "class_name" in value and "config" in value
        if is_object and value["class_name"] == "function" and isinstance(value["config"], str):
            return value["config"]
        left_out = _TRACES if is_object else _ADDRESS
        found = {
            str(key): item if type(item) in _PLAIN else canonical(item)
            for key, item in value.items()
            if key not in left_out
        }
        if is_object:
            found["class_name"] = type_of(value)
        return found
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else canonical(item) for item in value]
    if isinstance(value, str | int | float):
        return value
    return _canonical_object(value)


def _canonical_object(value: Any) -> Any:
    if isinstance(getattr(value, "tolist", None), Callable):  # type: ignore[arg-type]
        return canonical(value.tolist())
    named = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
