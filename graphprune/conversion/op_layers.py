"""Op layers of tf_keras, the matching operations of Keras 3, and the operands of their calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.archive.entries import type_of
from graphprune.conversion.calls import Call, is_reference
from graphprune.conversion.operations import SLICING, Operation, by_class, by_function

_OP_LAYERS = ("TFOpLambda", "SlicingOpLambda")


def op_layer_class(operation: Operation) -> str:
    """Return the layer class of tf_keras that holds an operation."""
    return "SlicingOpLambda" if operation.functions[0] == SLICING else "TFOpLambda"


def find_operation(entry: Mapping[str, Any]) -> Operation | str | None:
    """Return the operation of an entry, or its name if it has no counterpart; None for layers."""
    if type_of(entry) in _OP_LAYERS:
        function = str(entry["config"].get("function"))
        return by_function().get(function.removeprefix("compat.v1."), f"tf.{function}")
    module = str(entry.get("module") or "")
    if module.startswith("keras.src.ops."):
        return by_class().get((module, entry["class_name"]), f"{module}.{entry['class_name']}")
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
    return [ordered[0]], named | settings


def _slice_for_2(part: Any) -> Any:
    if isinstance(part, Mapping) and part.get("class_name") == "__slice__":
        return {key: part["config"].get(key) for key in _BOUNDS}
    if isinstance(part, Mapping) and part.get("class_name") == "__ellipsis__":
        return "Ellipsis"
    return part
