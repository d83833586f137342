"""What one serialized object names, and of which kinds that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.archive.allowed.keras_names import (
    ACTIVATION,
    ACTIVATION_LAYERS,
    APPLICATION_LAYERS,
    COLUMN,
    FEATURE_COLUMNS,
    FUNCTION,
    INITIALIZER,
    KERAS,
    KERAS_3_OPERATIONS,
    LAYER,
    LOSS,
    METRIC,
    METRIC_FUNCTIONS,
    MODEL_MODULES,
    MODELS,
    NOT_LOADED_BY_TF_KERAS,
    OPERATION_LAYERS,
    OPERATION_MODULES,
    OPTIMIZER,
    PRUNING_SCHEDULE,
)
from graphprune.archive.allowed.tensorflow_names import is_unary_function
from graphprune.archive.entries import below_keras

Given = Mapping[str, frozenset[str]]
"""The user's own classes and functions: of which kinds each name is. A kind is one of
`keras_names`, or `OTHER`.
"""

OTHER = "other"
"""A class of the user's of none of Keras's kinds; allowed anywhere but in place of a layer."""

DATA = frozenset({
    "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__",
    "__keras_tensor__", "TensorShape", "__lambda__",
})  # fmt: skip
"""Objects that are data. `__lambda__` is bytecode, which `holds_lambda_bytecode` finds and which
has its own option.
"""

KERAS_3 = "Keras 3"
"""A class of the user's that is built on Keras 3; it fits nowhere in a model of tf_keras."""
TF_KERAS = "tf_keras"
"""A class of the user's that is built on tf_keras; it fits nowhere in a model of Keras 3."""

NUMBERS = frozenset({
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64", "complex64", "complex128",
})  # fmt: skip
"""Types of the arrays that a config may hold; other descriptions of types (`U300000000`, records)
let a few bytes become gigabytes.
"""

TYPE_SPECS = frozenset({"TensorSpec", "RaggedTensorSpec", "SparseTensorSpec"})
TYPE_SPEC_MODULES = frozenset({
    "tensorflow.python.framework.tensor", "tensorflow.python.framework.tensor_spec",
    "tensorflow.python.framework.sparse_tensor", "tensorflow.python.ops.ragged.ragged_tensor",
    "builtins",
})  # fmt: skip
TENSORFLOW_INITIALIZERS = (
    "tensorflow.python.ops.init_ops_v2",
    frozenset({
        "Constant", "GlorotNormal", "GlorotUniform", "Identity", "Ones", "Orthogonal",
        "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros",
    }),
)  # fmt: skip
"""Module and classes of TensorFlow's own initializers, which EfficientNetV2 and other models of
`tf_keras.applications` use (`tf.constant_initializer`).
"""
NO_NAME = frozenset({None, "function"})
"""The registered names of a function that was never registered."""


def name_of(entry: Mapping[str, Any]) -> str:
    """Return the name that an object is looked up by: a function's own name, or the class name."""
    named = entry.get("config") if entry["class_name"] == "function" else entry["class_name"]
    return str(named if isinstance(named, str) and named else entry["class_name"])


def foreign_module(entry: Mapping[str, Any]) -> str:
    """Return the module that an entry names; empty for Keras's and Python's own or none."""
    module = entry.get("module")
    return (
        module
        if isinstance(module, str) and module != "builtins" and below_keras(module) is None
        else ""
    )


def given_kinds(entry: Mapping[str, Any], given: Given) -> frozenset[str] | None:
    """Return the kinds of the user's object that an entry names; None where it names none."""
    names = (
        (name_of(entry),)
        if entry["class_name"] == "function"
        else (entry.get("registered_name"), entry["class_name"])
    )
    return next((given[name] for name in names if isinstance(name, str) and name in given), None)


def keras_kinds(entry: Mapping[str, Any]) -> frozenset[str]:
    """Return the kinds of the Keras object that an entry names; empty if it is not on the list."""
    kind = entry["class_name"]
    if not _has_text_names(entry):
        return frozenset()
    if kind == "function":
        return _function_kinds(entry.get("module"), name_of(entry), entry.get("registered_name"))
    if kind in DATA:
        return frozenset({OTHER}) if _is_data(entry) else frozenset()
    if kind in ("__typespec__", "TypeSpec"):
        return frozenset({OTHER}) if _is_type_spec(entry) else frozenset()
    if entry.get("registered_name") not in (None, kind, _registered_by_tf_keras(entry)):
        return frozenset()
    return _class_kinds(kind, entry["module"]) if "module" in entry else _legacy_kinds(kind)


def is_of_keras(name: str) -> bool:
    """Return whether a version of Keras has a class or function of this name.

    Example:
        >>> [is_of_keras(name) for name in ("RMSNormalization", "LocallyConnected1D", "Doubled")]
        [True, True, False]
    """
    return any(name in names.classes or name in names.functions for names in KERAS.values())


def string_fits(name: str, kind: str) -> bool:
    """Return whether Keras has an object of this kind and name (`"activation": "relu"`)."""
    if kind == ACTIVATION:
        return name in KERAS[kind].functions or name in ACTIVATION_LAYERS
    if kind == OPTIMIZER:
        return name.lower() in {known.lower() for known in KERAS[kind].classes}
    if kind in (LOSS, METRIC):
        return (
            name in METRIC_FUNCTIONS or name in KERAS[LOSS].classes or name in KERAS[METRIC].classes
        )
    known = KERAS[kind]
    return name in known.classes or name in known.functions


def _class_kinds(name: str, module: object) -> frozenset[str]:
    if module == TENSORFLOW_INITIALIZERS[0]:
        return frozenset({INITIALIZER}) if name in TENSORFLOW_INITIALIZERS[1] else frozenset()
    tail = below_keras(module)
    if tail is None:
        return frozenset({PRUNING_SCHEDULE}) if _is_tfmot_schedule(name, module) else frozenset()
    kinds = {
        kind for kind, names in KERAS.items() if _has_class(kind, name) and tail in names.modules
    }
    is_layer = (
        (name in MODELS and tail in MODEL_MODULES)
        or (name in OPERATION_LAYERS and tail in OPERATION_MODULES)
        or name in KERAS_3_OPERATIONS.get(tail, ())
        or _is_of_application(name, str(module))
    )
    return frozenset(kinds | ({LAYER} if is_layer else set()))


def _is_of_application(name: str, module: str) -> bool:
    """Return whether a module of Keras defines a layer for its applications, and can load it."""
    is_loaded = name not in NOT_LOADED_BY_TF_KERAS or not module.startswith("tf_keras.")
    return is_loaded and name in APPLICATION_LAYERS.get(below_keras(module) or "", ())


def _registered_by_tf_keras(entry: Mapping[str, Any]) -> str | None:
    """Return the name by which tf_keras registers a layer of an application, if it is one."""
    kind = entry["class_name"]
    known = APPLICATION_LAYERS.get(below_keras(entry.get("module")) or "", ())
    return f"Custom>{kind}" if kind in known and kind not in NOT_LOADED_BY_TF_KERAS else None


def _has_class(kind: str, name: str) -> bool:
    """Return whether a class is on the list.

    Keras also finds optimizers by names in lower case (`optimizers.deserialize`).
    """
    return name in KERAS[kind].classes or (kind == OPTIMIZER and string_fits(name, kind))


def _legacy_kinds(name: str) -> frozenset[str]:
    """Return the kinds of a class that is named without its module, as in `.h5` files."""
    kinds = {kind for kind in KERAS if _has_class(kind, name)}
    if name in MODELS or name in OPERATION_LAYERS:
        kinds.add(LAYER)
    if name in FEATURE_COLUMNS:
        kinds.add(COLUMN)
    if name in ("ConstantSparsity", "PolynomialDecay"):
        kinds.add(PRUNING_SCHEDULE)
    return frozenset(kinds)


def _function_kinds(module: object, name: str, registered: object) -> frozenset[str]:
    if registered not in NO_NAME and registered != name:
        return frozenset()
    tail = "" if module in (None, "builtins") else below_keras(module)
    if tail is None:
        return frozenset({ACTIVATION, FUNCTION}) if is_unary_function(module, name) else frozenset()
    kinds = {
        kind
        for kind, names in KERAS.items()
        if name in names.functions and (not tail or tail in names.modules)
    }
    return frozenset(kinds | {FUNCTION} if kinds else kinds)


def _has_text_names(entry: Mapping[str, Any]) -> bool:
    """Return whether all names of an entry are strings, as Keras writes them."""
    return isinstance(entry["class_name"], str) and all(
        isinstance(entry.get(key), str | None)
        for key in ("module", "registered_name", "spec_name", "type_spec")
    )


def _is_data(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry is plain data and names no module.

    tf_keras does not know all of these classes, and would import the module of those that it
    does not know.
    """
    if entry.get("module") not in (None, "builtins") or entry.get("registered_name") not in (
        None,
        entry["class_name"],
    ):
        return False
    config = entry.get("config")
    return entry["class_name"] != "__numpy__" or (
        isinstance(config, Mapping)
        and isinstance(config.get("dtype"), str)
        and config["dtype"] in NUMBERS
    )


def _is_type_spec(entry: Mapping[str, Any]) -> bool:
    name = entry.get("spec_name", entry.get("type_spec"))
    return (
        name in TYPE_SPECS
        and entry.get("module", "builtins") in TYPE_SPEC_MODULES
        and entry.get("registered_name") is None
    )


def _is_tfmot_schedule(name: str, module: object) -> bool:
    package = str(module).partition(".")[0]
    return name in ("ConstantSparsity", "PolynomialDecay") and package in (
        "tensorflow_model_optimization",
        "graphprune",
    )
