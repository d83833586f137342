"""Op layers of tf_keras, the matching operations of Keras 3, and the operands of their calls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from graphprune.archive.calls import Call, is_reference, node_for_keras_2, read_call
from graphprune.archive.entries import type_of
from graphprune.archive.operations import SLICING, Operation, by_class, by_function

_OP_LAYERS = ("TFOpLambda", "SlicingOpLambda")


def op_layer_class(operation: Operation) -> str:
    """Return the layer class of tf_keras that holds an operation."""
    return "SlicingOpLambda" if operation.functions[0] == SLICING else "TFOpLambda"


def find_operation(entry: Mapping[str, Any]) -> Operation | str | None:
    """Return the operation of an entry, or its name if it has no counterpart; None for layers."""
    if is_op_layer(entry):
        function = str(entry["config"].get("function"))
        return by_function().get(function.removeprefix("compat.v1."), f"tf.{function}")
    module = str(entry.get("module") or "")
    if module.startswith("keras.src.ops."):
        name = str(entry["class_name"])
        return by_class().get((module, name), f"{module}.{name}")
    return None


def operands_for_keras_3(operation: Operation, call: Call) -> Call:
    """Return the call of an op layer as a call of an operation.

    It has only the operands, in order; settings are part of the operation.
    """
    (first,), keywords = call
    if operation.functions[0] == SLICING:
        return [first, [_slice_for_3(part) for part in _parts(keywords.get("slice_spec"))]], {}
    others = [keywords[name] for name in operation.operands[1:] if name in keywords]
    return [first, *others], {}


def _parts(spec: Any) -> list[Any]:
    return spec if isinstance(spec, list) else [spec]


def _slice_for_3(part: Any) -> Any:
    if isinstance(part, Mapping) and {"start", "stop", "step"} <= set(part):
        return {"class_name": "__slice__", "config": {key: part[key] for key in _BOUNDS}}
    if part == "Ellipsis" or (
        isinstance(part, Mapping) and part.get("class_name") == "__ellipsis__"
    ):
        return {"class_name": "__ellipsis__", "config": {}}
    return part


_BOUNDS = ("start", "stop", "step")


def with_module(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of an operation of Keras 3 with its module, which `.h5` files do not have.

    Classes such as `Add` are layers as well, and only layers can be trained.
    """
    config, name = entry.get("config"), entry.get("class_name")
    if "module" in entry or not isinstance(config, Mapping) or "trainable" in config:
        return entry
    return {**entry, "module": module} if (module := _modules().get(str(name))) else entry


@cache
def _modules() -> Mapping[str, str]:
    return {name: module for module, name in by_class()}


def as_op_layer(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation of Keras 3 as tf_keras has it; what has no counterpart stays as it is.

    Args:
        entry: The operation, its calls in the form of tf_keras.
    """
    operation = find_operation(entry)
    config = entry.get("config")
    calls = [read_call(node) for node in entry.get("inbound_nodes") or ()]
    if (
        not isinstance(operation, Operation)
        or not isinstance(config, Mapping)
        or other_setting(operation, config) is not None
        or not all(_fits(operation, call) for call in calls)
    ):
        return dict(entry)
    kind = op_layer_class(operation)
    nodes = [
        node_for_keras_2(operands_for_keras_2(operation, call, config), is_operation=True)
        for call in calls
    ]
    made = {
        "module": "keras.src.layers.core.tf_op_layer",
        "class_name": kind,
        "config": {
            "name": config.get("name"),
            "trainable": True,
            "dtype": "float32",
            "function": operation.functions[0],
        },
        "registered_name": kind,
    }
    return {**entry, **made, "inbound_nodes": nodes}


def is_op_layer(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry is an op layer of tf_keras."""
    return type_of(entry) in _OP_LAYERS


def why_no_op_layer(entry: Mapping[str, Any], operation: Operation) -> str:
    """Return what tf_keras lacks of an operation that `as_op_layer` kept as it is."""
    setting = other_setting(operation, entry["config"])
    if setting is None:
        return f"has no counterpart of this call of {operation.name}"
    value = str(entry["config"][setting])[:60]
    return f"has no counterpart of the setting {setting!r}, here {value!r}"


def _fits(operation: Operation, call: Call) -> bool:
    """Return whether a call has operands only, as many as the operation takes."""
    (first,), keywords = call
    count = len(operation.operands) + (operation.functions[0] == SLICING)
    numbers = {key.removeprefix("arg_") for key in keywords if key.startswith("arg_")}
    if len(numbers) < len(keywords) or not all(number.isdecimal() for number in numbers):
        return False
    taken = 1 if count == 1 or is_reference(first) else len(first)
    total = taken + len(numbers)
    return total <= count and all(int(number) < total for number in numbers)


def other_setting(operation: Operation, config: Mapping[str, Any]) -> str | None:
    """Return a setting of an operation of Keras 3 that tf_keras cannot compute with, if any."""
    known = {"name", "trainable", "dtype", *operation.settings.values()}
    return next(
        (
            key
            for key, value in config.items()
            if key not in known and value is not None and value != operation.fixed.get(key)
        ),
        None,
    )


def op_layer_settings(entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an op layer, its function by the first of its names.

    Its dtype says nothing of what it computes.

    Args:
        entry: The op layer.
        config: Its settings as plain JSON.
    """
    operation = find_operation(entry)
    kept = {key: value for key, value in config.items() if key not in ("dtype", "trainable")}
    if isinstance(operation, Operation) and "function" in kept:
        kept["function"] = operation.functions[0]
    return kept


def plain_keywords(operation: Operation, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of an op layer's call without those that have their default values."""
    defaults = {"name": None, **operation.neutral, **operation.defaults}
    return {
        key: value
        for key, value in keywords.items()
        if key not in defaults or value != defaults[key]
    }


def operands_for_keras_2(operation: Operation, call: Call, config: Mapping[str, Any]) -> Call:
    """Return the call of an operation as a call of an op layer.

    The first operand stays; the others and the settings in `config` become keywords.
    """
    (first,), keywords = call
    given = {
        int(key.removeprefix("arg_")): value
        for key, value in keywords.items()
        if key.removeprefix("arg_").isdecimal()
    }
    count = len(operation.operands)
    tensors = [first] if count == 1 or is_reference(first) else list(first)
    rest = iter(tensors)
    total = len(tensors) + len(given)
    ordered = [given[at] if at in given else next(rest) for at in range(total)]
    if operation.functions[0] == SLICING:
        spec = [_slice_for_2(part) for part in _parts(ordered[1])]
        return [ordered[0]], {"slice_spec": spec}
    named = dict(zip(operation.operands[1:], ordered[1:], strict=False))
    back = {other: key for key, other in operation.settings.items()}
    settings = {back[key]: value for key, value in config.items() if key in back}
    return [ordered[0]], plain_keywords(operation, named | settings)


def _slice_for_2(part: Any) -> Any:
    if (
        isinstance(part, Mapping)
        and part.get("class_name") == "__slice__"
        and isinstance(part.get("config"), Mapping)
    ):
        return {key: part["config"].get(key) for key in _BOUNDS}
    if isinstance(part, Mapping) and part.get("class_name") == "__ellipsis__":
        return "Ellipsis"
    return part
