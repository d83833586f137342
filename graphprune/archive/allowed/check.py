"""The check of a config: each name in it must be on the list, or the user's own and fit its place.

Keras imports any module that a config names, and calls what it finds there while it builds the
model (`deserialize_keras_object`, tf_keras/src/saving/serialization_lib.py). So nothing is built
before this walk is done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.archive.allowed.entries import (
    KERAS_3,
    OTHER,
    TF_KERAS,
    Given,
    foreign_module,
    given_kinds,
    keras_kinds,
    name_of,
    string_fits,
)
from graphprune.archive.allowed.keras_names import (
    ACTIVATION,
    FUNCTION,
    LAYER,
    LIMITS,
    LOSS,
    METRIC,
    OPERATION_LAYERS,
    PATHS,
    POLICY,
    PRUNING_SCHEDULE,
    kind_at,
)
from graphprune.archive.allowed.tensorflow_names import (
    ATTRIBUTES,
    CLASS_METHODS,
    OPERATIONS,
    is_pure_function,
)
from graphprune.wrapper_names import CLASS


def find_operation(kind: str, config: Any) -> str | None:
    """Return the operation that an op layer of this class runs; None where it is on the list.

    Example:
        >>> (
        ...     find_operation("TFOpLambda", {"function": "io.write_file"}),
        ...     find_operation("TFOpLambda", {"function": "math.add"}),
        ... )
        ('io.write_file', None)
        >>> find_operation("TensorFlowOpLayer", {"node_def": {"op": "DebugIdentity"}})
        'DebugIdentity'
    """
    if not isinstance(config, Mapping):
        return kind
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        symbol = config.get("function")
        return None if is_pure_function(symbol) else str(symbol)
    if kind == "ClassMethod":
        method = f"{config.get('cls_symbol')}.{config.get('method_name')}"
        return None if method in CLASS_METHODS else method
    if kind == "TensorFlowOpLayer":
        return _find_node_operation(config.get("node_def"))
    attribute = config.get("attr_name")
    return None if isinstance(attribute, str) and attribute in ATTRIBUTES else str(attribute)


def _find_node_operation(node: Any) -> str | None:
    """Return the operation of a `NodeDef`; None where it is on the list.

    A `NodeDef` as text, in any form, is not one that Keras wrote and runs.
    """
    operation = node.get("op") if isinstance(node, Mapping) else None
    return (
        None
        if isinstance(operation, str) and operation in OPERATIONS
        else str(operation or "operation in a node_def that is not JSON")
    )


PATH = "path"
OPERATION = "operation"
SIZE = "size"
_BY_STRING = frozenset(
    {ACTIVATION, "initializer", "regularizer", "constraint", LOSS, METRIC, "optimizer"}
)
"""Kinds that Keras also looks up by a string alone."""
_INHERITED = frozenset({LOSS, METRIC})
"""Kinds that a mapping passes on to all its values: losses by the name of the output."""
CALLED = frozenset({FUNCTION})
"""The kinds of the user's own functions."""
_FUNCTIONS_OF_LAMBDA = {
    "function": "function_type",
    "output_shape": "output_shape_type",
    "mask": "mask_type",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a config names and must not.

    Attributes:
        name: The class, function, operation or file, as the config has it; of a size its key.
        kind: What stands in its place: `layer`, `activation`, ..., `operation`, `path` or `size`.
        layer: The name of the layer whose config it is; empty for compile settings and for the
            model itself.
        module: The module that the config takes it from, where that is none of Keras's.
        is_given: Whether it is the user's own, and does not fit its place.
        other_keras: The Keras that the user's own is built on, if it is not the model's.
        value: Of a size, what the config asks for.
    """

    name: str
    kind: str
    layer: str = ""
    module: str = ""
    is_given: bool = False
    other_keras: str = ""
    value: str = ""

    @property
    def where(self) -> str:
        """The beginning of a message about it."""
        return f"layer {self.layer!r}: " if self.layer else ""


@dataclass(frozen=True, slots=True)
class _Place:
    """A value of the config, and what is known of where it stands."""

    value: Any
    kind: str | None = None
    layer: str = ""
    key: str = ""


def find_refused(
    config: Any, given: Given | None, *, unsafe_ops: bool = False, kind: str | None = LAYER
) -> Refusal | None:
    """Return the first thing that a config names and must not; None where all is on the list.

    Args:
        config: An entry (`class_name`, `config`), or compile settings.
        given: The user's own classes and functions by name. None leaves classes and functions
            unchecked, for a first look before the user's own are imported: operations and paths are
            refused all the same.
        unsafe_ops: Let op layers run any operation.
        kind: What the config must be: a layer, or None for compile settings.

    Example:
        >>> dense = {"class_name": "Dense", "config": {"name": "fc", "activation": "relu"}}
        >>> find_refused(dense, {})
        >>> refusal = find_refused(
        ...     {"class_name": "Dense", "config": {"name": "fc", "activation": "exec"}}, {}
        ... )
        >>> refusal.name, refusal.kind, refusal.layer
        ('exec', 'activation', 'fc')
    """
    waiting = [_Place(config, kind)]
    while waiting:
        place = waiting.pop()
        refusal = _judge(place, given, unsafe_ops=unsafe_ops)
        if refusal is not None:
            return refusal
        waiting.extend(reversed(list(_inside(place, given))))
    return None


def _judge(place: _Place, given: Given | None, *, unsafe_ops: bool) -> Refusal | None:
    """Return what is wrong with the value itself, without what is inside it."""
    if _is_entry(place.value):
        return _judge_entry(place, given, unsafe_ops=unsafe_ops)
    if isinstance(place.value, str) and place.value and place.key in PATHS:
        return Refusal(place.value, PATH, place.layer)
    if isinstance(place.value, int | float) and place.value > LIMITS.get(place.key, math.inf):
        return Refusal(place.key, SIZE, place.layer, value=f"{place.value:.0f}")
    if isinstance(place.value, str) and place.kind is not None and given is not None:
        return _judge_string(place, given)
    return None


def _judge_entry(place: _Place, given: Given | None, *, unsafe_ops: bool) -> Refusal | None:
    entry = place.value
    if not isinstance(entry["class_name"], str):
        return Refusal(str(entry["class_name"]), place.kind or OTHER, place.layer)
    owned = given_kinds(entry, given or {})
    layer = _layer_name(place)
    if owned is None and not unsafe_ops and entry["class_name"] in OPERATION_LAYERS:
        operation = find_operation(entry["class_name"], entry.get("config"))
        if operation is not None:
            return Refusal(operation, OPERATION, layer)
    if given is None:
        return None
    # Keras would call it with what the file says
    if owned == CALLED and entry["class_name"] != "function":
        return Refusal(
            name_of(entry), place.kind or "class", layer, foreign_module(entry), is_given=True
        )
    kinds = keras_kinds(entry) if owned is None else owned
    if _fits(kinds, place.kind, is_given=owned is not None):
        return None
    return Refusal(
        name_of(entry),
        place.kind or _guess_kind(entry),
        layer,
        foreign_module(entry),
        is_given=owned is not None,
        other_keras=_other_keras(kinds),
    )


def _judge_string(place: _Place, given: Given) -> Refusal | None:
    name, kind = place.value, place.kind
    if kind == FUNCTION:
        is_known = name in given and _fits(given[name], FUNCTION, is_given=True)
    elif kind in _BY_STRING:
        is_known = string_fits(name, kind) or (
            name in given and _fits(given[name], kind, is_given=True)
        )
    else:
        return None
    if is_known:
        return None
    own = given.get(name, frozenset())
    return Refusal(name, kind, place.layer, is_given=name in given, other_keras=_other_keras(own))


def _other_keras(kinds: frozenset[str]) -> str:
    return next((kind for kind in (KERAS_3, TF_KERAS) if kind in kinds), "")


def _fits(kinds: frozenset[str], place: str | None, *, is_given: bool) -> bool:
    """Return whether an object of these kinds may stand in a place."""
    if _other_keras(kinds):
        return False
    if place is None:
        return bool(kinds)
    if place == LAYER:
        return LAYER in kinds
    if place == ACTIVATION and LAYER in kinds:
        return True
    if place in (LOSS, METRIC):
        wanted = {LOSS, METRIC, FUNCTION}
    elif place in (POLICY, PRUNING_SCHEDULE):
        wanted = {place}
    else:
        wanted = {place, FUNCTION} if is_given else {place}
    return bool(kinds & wanted) or OTHER in kinds


def _inside(place: _Place, given: Given | None) -> Iterator[_Place]:
    """Yield the values inside a value, each with what stands in its place."""
    value = place.value
    if isinstance(value, list | tuple):
        for item in value:
            yield _Place(item, place.kind, place.layer)
    elif _is_entry(value):
        yield from _inside_entry(place, given)
    elif isinstance(value, Mapping):
        inherited = place.kind if place.kind in _INHERITED else None
        for key, item in value.items():
            yield _Place(item, kind_at(key) or inherited, place.layer, str(key))


def _inside_entry(place: _Place, given: Given | None) -> Iterator[_Place]:
    entry, layer = place.value, _layer_name(place)
    for key, item in entry.items():
        if key not in (
            "class_name",
            "config",
            "module",
            "registered_name",
            "name",
            "inbound_nodes",
        ):
            yield _Place(item, None, layer)
    yield _Place(entry.get("inbound_nodes"), None, layer)
    config = entry.get("config")
    if not isinstance(config, Mapping):
        yield _Place(config, LAYER if isinstance(config, list) else None, layer)
        return
    is_own = (
        given_kinds(entry, given or {}) is not None
        and entry["class_name"].rsplit(">", 1)[-1] != CLASS
    )
    functions = _FUNCTIONS_OF_LAMBDA if entry["class_name"] == "Lambda" else {}
    for key, item in config.items():
        kind = None if is_own or key == "name" else kind_at(key)
        if key in functions:
            kind = FUNCTION if config.get(functions[key]) == "function" or _is_entry(item) else None
        yield _Place(item, kind, layer, "" if is_own else str(key))


def _is_entry(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_name" in value


def _layer_name(place: _Place) -> str:
    """Return the name of the layer that an entry is, or of the layer around it."""
    config = place.value.get("config")
    name = config.get("name") if place.kind == LAYER and isinstance(config, Mapping) else None
    return name if isinstance(name, str) else place.layer


def _guess_kind(entry: Mapping[str, Any]) -> str:
    return FUNCTION if entry["class_name"] == "function" else "class"
