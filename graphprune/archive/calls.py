"""Calls of layers in the forms of both Kerases.

tf_keras stores a call as references `[layer, call, tensor, keywords]`; Keras 3 stores it as
`{"args": [...], "kwargs": {...}}`, in which a tensor is an object of class `__keras_tensor__`
(keras/src/models/functional.py, `serialize_node`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

TENSOR = "__keras_tensor__"
"""The class of tensors in calls that Keras 3 wrote."""
CONSTANT = "_CONSTANT_VALUE"
"""Stands for the layer name where a layer is called on a constant (tf_keras/src/engine/node.py)."""

Call = tuple[list[Any], dict[str, Any]]
"""The positional arguments and the keywords; tensors in them are references."""


def is_reference(value: Any) -> bool:
    """Return whether this is a tensor reference: layer, call, tensor and, optionally, keywords."""
    return (
        isinstance(value, list | tuple)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
    )


def references(value: Any) -> Iterator[Sequence[Any]]:
    """Yield every reference in an argument."""
    if is_reference(value):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)


def read_call(node: Any) -> Call:
    """Return the call that an inbound node of tf_keras stands for.

    A file repeats the keywords on each reference of a call; the first one is read here.
    """
    keywords: dict[str, Any] = {}
    for reference in references(node):
        if len(reference) == 4 and isinstance(reference[3], Mapping):
            keywords = dict(reference[3])
            break
    return [_plain(node)], keywords


def _plain(value: Any) -> Any:
    if is_reference(value):
        return value[2] if value[0] == CONSTANT else list(value[:3])
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return items[0] if len(items) == 1 and is_reference(value[0]) else items
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def node_for_keras_3(
    call: Call, names: Collection[str], shift: Mapping[str, int]
) -> dict[str, Any]:
    """Return a call in the form of Keras 3.

    Args:
        call: The arguments.
        names: The layers of the model; a list that begins with another string is not a reference.
        shift: The number of the first call of each layer if it is not 0: tf_keras counts the calls
            of a model with its own input from 1.
    """
    args, keywords = call
    return {
        "args": [_tensors(arg, names, shift) for arg in args],
        "kwargs": {key: _tensors(value, names, shift) for key, value in keywords.items()},
    }


def _tensors(value: Any, names: Collection[str], shift: Mapping[str, int]) -> Any:
    if is_reference(value) and value[0] in names:
        history = [value[0], value[1] - shift.get(value[0], 0), value[2]]
        return {
            "class_name": TENSOR,
            "config": {"shape": [None], "dtype": "float32", "keras_history": history},
        }
    if isinstance(value, list | tuple):
        return [_tensors(item, names, shift) for item in value]
    if isinstance(value, Mapping):
        return {key: _tensors(item, names, shift) for key, item in value.items()}
    return value


def node_for_keras_2(call: Call, *, is_operation: bool) -> list[Any]:
    """Return a call in the form of tf_keras.

    The first argument's references each carry all keywords.

    The references of a layer are put in a list; an operation takes its argument unchanged
    (`_preserve_input_structure_in_config` of tf_keras/src/engine/base_layer.py).
    """
    args, keywords = call
    node: list[Any] = _with_keywords(args[0], keywords)
    return [node] if is_reference(node) and not is_operation else node


def _with_keywords(value: Any, keywords: Mapping[str, Any]) -> Any:
    if is_reference(value):
        return [*value[:3], dict(keywords)]
    if isinstance(value, list | tuple):
        return [_with_keywords(item, keywords) for item in value]
    if isinstance(value, Mapping):
        return {key: _with_keywords(item, keywords) for key, item in value.items()}
    return [CONSTANT, -1, value, dict(keywords)]
