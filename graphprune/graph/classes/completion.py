"""Settings that a config leaves out, filled in.

Two configs that make the same layer become equal, whichever Keras wrote them.

Keras adds settings from version to version (`groups` of a Conv2D, `optional` of an InputLayer), so
a file of an older Keras that is loaded and saved again has more keys, and nothing has changed.
`defaults.json` has the defaults of every class that `tf_keras.layers` exports, of the settings that
these classes have in Keras 3 only (`keras2` names those that only tf_keras has), and of
initializers, regularizers and constraints; `python tests/layer_defaults.py` writes it from the
classes themselves. Where the Kerases name a
class or a setting differently (`LayerClass.keras3_class`, `keras3_names`), the name is that of
Keras 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from graphprune.archive.entries import Entry, canonical, is_entry, to_snake_case, type_of
from graphprune.archive.op_layers import find_operation, op_layer_settings
from graphprune.graph.classes.activations import to_float32
from graphprune.graph.classes.builtin_layers import known_class, layer_class, same_class
from graphprune.graph.classes.python_code import comparable_function

DEFAULTS_FILE = Path(__file__).with_name("defaults.json")

_PARAMETERS = ("initializer", "regularizer", "constraint")
_POLICIES = frozenset({"Policy", "PolicyV1"})
_STORED_SEQUENCES = frozenset({"__tuple__", "TensorShape"})
_TAKEN_FROM = {"strides": "pool_size", "value_dim": "key_dim"}
_ALIASES = {"l1_l2": "L1L2"}
_ACTIVATIONS = {"swish": "silu", "hard_swish": "hard_silu"}
"""Names of activations for which Keras 3 writes another; tf_keras knows both of the first pair."""


def complete_config(entry: Entry) -> dict[str, Any]:
    """Return the settings of a layer as plain JSON, with the defaults of what is left out.

    The same holds for the layers inside it.

    For a class that is not Keras's own, only settings that all classes have are filled in.

    Example:
        >>> dense = {
        ...     "class_name": "Dense",
        ...     "config": {
        ...         "units": 3,
        ...         "dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}},
        ...     },
        ... }
        >>> [
        ...     complete_config(dense)[key]
        ...     for key in ("units", "dtype", "use_bias", "kernel_initializer")
        ... ]
        [3, 'mixed_float16', True, {'class_name': 'GlorotUniform', 'config': {'seed': None}}]
    """
    config = {str(key): complete_setting(str(key), value) for key, value in entry["config"].items()}
    if find_operation(entry) is not None:
        return op_layer_settings(entry, config)
    return (
        config
        if known_class(entry) is None or type_of(entry) not in _table()["layers"]
        else _fill(type_of(entry), config)
    )


def complete_setting(key: str, value: Any) -> Any:
    """Return one setting as plain JSON.

    Objects have their defaults, dtype policies and functions are names, Python code is a hash,
    stored tuples are lists.
    """
    if isinstance(value, str) and key.endswith(_PARAMETERS):
        return _named_parameter(value)
    if isinstance(value, str) and is_activation(key):
        return activation_names(value)[0]
    if isinstance(value, list | tuple):
        return [complete_setting(key, item) for item in value]
    if not isinstance(value, Mapping):
        return canonical(value)
    kind, config = value.get("class_name"), value.get("config")
    if kind == "function" and isinstance(config, str):
        return activation_names(config)[0] if is_activation(key) else config
    if isinstance(kind, str) and kind in _STORED_SEQUENCES and "items" in value:
        return complete_setting(key, value["items"])
    if kind == "__lambda__" and isinstance(config, Mapping):
        return comparable_function(complete_setting(key, config.get("value", config)))
    if isinstance(kind, str) and isinstance(config, Mapping):
        return _complete_object(key, value)
    return {
        str(inner): complete_setting(str(inner), item) for inner, item in canonical(value).items()
    }


def is_activation(key: str) -> bool:
    """Return whether a setting names an activation, such as `recurrent_activation`."""
    return key.endswith("activation")


def activation_names(name: str) -> tuple[str, ...]:
    """Return all names of an activation, first the one that Keras 3 writes.

    Example:
        >>> activation_names("silu"), activation_names("relu")
        (('silu', 'swish'), ('relu',))
    """
    written = _ACTIVATIONS.get(name, name)
    return (written, *(other for other, same in _ACTIVATIONS.items() if same == written))


def with_whole_axes(
    kind: str, settings: dict[str, Any], get_rank: Callable[[], int | None]
) -> dict[str, Any]:
    """Return complete settings with axes counted from the first, where the rank is known.

    tf_keras writes `axis` so once a layer is built, Keras 3 as the program gave it. The same holds
    for the layer inside a layer.

    Args:
        kind: The layer's class.
        settings: The settings of a built-in or custom class.
        get_rank: Called if an axis is counted from the end: the rank of what the layer takes.

    Example:
        >>> norm = {"class_name": "BatchNormalization", "config": {"axis": [-1]}}
        >>> with_whole_axes("TimeDistributed", {"layer": norm}, lambda: 3)["layer"]["config"]
        {'axis': [1]}
    """
    axes, known = settings.get("axis"), layer_class(kind)
    held: Any = settings.get("layer")
    if (
        isinstance(axes, list)
        and all(type(axis) is int for axis in axes)
        and min(axes, default=0) < 0
    ):
        rank = get_rank()
        return settings | {"axis": [axis % rank for axis in axes]} if rank else settings
    if known.parts is None or not is_entry(held):
        return settings

    def rank_inside() -> int | None:
        rank = get_rank()
        return None if rank is None else max(0, rank - known.outer_axes)

    inside = with_whole_axes(held["class_name"], held["config"], rank_inside)
    return settings | {"layer": {**held, "config": inside}}


def find_other_setting(entry: Entry, key: str) -> Any:
    """Return a setting that a config lacks and another Keras writes, or None.

    It may have another name there; else it has its default.

    Example:
        >>> leaky = {"class_name": "LeakyReLU", "config": {"alpha": 0.5}}
        >>> find_other_setting(leaky, "negative_slope")
        0.5
        >>> norm = {"class_name": "SyncBatchNormalization", "config": {}}
        >>> find_other_setting(norm, "synchronized"), find_other_setting(norm, "renorm")
        (True, False)
    """
    known = known_class(entry)
    if known is None:
        return None
    for name, other in known.keras3_names.items():
        if key in (name, other):
            return entry["config"].get(other if key == name else name)
    if key in known.keras3_settings:
        return known.keras3_settings[key]
    kind, table = type_of(entry), _table()
    if key in table["keras2"].get(kind, ()):
        return table["layers"][kind][key]
    return table["keras3"].get(kind, {}).get(key)


def default_of(kind: str, key: str) -> Any:
    """Return the default of a setting of a built-in class, in either Keras; None without one."""
    table = _table()
    own = table["layers"].get(kind, {})
    return own[key] if key in own else table["keras3"].get(kind, {}).get(key)


def fill_from_other(config: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a custom class, with defaults that only `other` has.

    These are settings that some class of Keras has by default.

    A custom layer inherits settings from a class that its file does not name.
    """
    inherited = {
        key: value for key, value in other.items() if key not in config and is_inherited(key, value)
    }
    return config | inherited


def is_inherited(key: str, value: Any) -> bool:
    """Return whether `value` is what some class of Keras fills in where a config has no `key`."""
    return json.dumps(value, sort_keys=True) in _known_values().get(key, ())


def _complete_object(key: str, entry: Entry) -> Any:
    if entry["class_name"] in _POLICIES and "name" in entry["config"]:
        return entry["config"]["name"]
    plain: dict[str, Any] = canonical({**entry, "config": {}})
    plain["class_name"] = same_class(entry)
    if key.endswith(_PARAMETERS):
        return plain | {
            "config": _complete_parameter(key, type_of(entry), canonical(entry["config"]))
        }
    return plain | {"config": complete_config(entry)}


def _complete_parameter(key: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an initializer, regularizer or constraint as Keras writes them."""
    known = _table()["parameters"].get(kind)
    if known is None:
        return config
    filled = {**known, **config}
    if key.endswith("initializer"):
        filled.pop("dtype", None)  # of TensorFlow 1; Keras drops it
        if kind == "VarianceScaling" and filled["distribution"] == "normal":
            filled["distribution"] = "truncated_normal"
        if kind == "Constant" and type(filled["value"]) is int:
            filled["value"] = float(filled["value"])  # as Keras 3 does
    if key.endswith("regularizer"):
        filled = {name: to_float32(value) for name, value in filled.items()}
    # newer versions of Keras 3 add settings to initializers, with null as default
    return {name: value for name, value in filled.items() if value is not None or name in known}


def _named_parameter(name: str) -> Any:
    """Return the object that Keras makes of the name of an initializer, regularizer or constraint.

    A name that the table does not have is returned as it is.
    """
    kind = _parameter_names().get(name)
    return (
        name if kind is None else {"class_name": kind, "config": dict(_table()["parameters"][kind])}
    )


def _fill(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    table, known = _table(), layer_class(kind)
    defaults = {**table["keras3"].get(kind, {}), **table["layers"][kind]}
    filled = {**defaults, **config}
    for key in table["nulls"].get(kind, ()):
        if filled[key] is None:
            filled[key] = defaults[key]
    for key, source in _TAKEN_FROM.items():
        if source in filled and filled.get(key) is None:
            filled[key] = filled[source]
    named = {known.keras3_names.get(key, key): value for key, value in filled.items()}
    used = {key: value for key, value in named.items() if key not in known.unused}
    return known.normalize(used | dict(known.keras3_settings))


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    table: Mapping[str, Mapping[str, Any]] = json.loads(DEFAULTS_FILE.read_text(encoding="utf-8"))
    return table


@cache
def _parameter_names() -> Mapping[str, str]:
    kinds = _table()["parameters"]
    return {to_snake_case(kind): kind for kind in kinds} | {kind: kind for kind in kinds} | _ALIASES


@cache
def _known_values() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for defaults in _table()["layers"].values():
        for key, value in defaults.items():
            found.setdefault(key, set()).add(json.dumps(value, sort_keys=True))
    return {key: frozenset(values) for key, values in found.items()}
