"""Configs of Keras 3, brought into the form that tf_keras writes, so that one graph reads both.

A call is `{"args": [...], "kwargs": {...}}`, whose tensors are objects of class `__keras_tensor__`
with `keras_history`: layer, call, tensor (keras/src/models/functional.py and
keras/src/saving/serialization_lib.py of Keras 3). The weights lie where tf_keras 2.15 puts them.
Operations that both Kerases have become op layers, and those of implicit masks are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.archive.calls import TENSOR
from graphprune.archive.implied_masks import without_implied_masks
from graphprune.archive.op_layers import as_op_layer, with_module
from graphprune.nested import rebuild

_MODELS = ("Functional", "Sequential")
POLICIES = ("DTypePolicy", "FloatDTypePolicy")


def is_keras_3(version: str, config: Mapping[str, Any]) -> bool:
    """Return whether Keras 3 wrote this model; without a version, by the module of its class."""
    major = version.split(".")[0]
    return (
        int(major) >= 3
        if major.isdecimal() and len(major) < 4
        else str(config.get("module") or "").startswith("keras.src.models")
    )


def without_backend(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's entry with optimizers that can be loaded on every backend.

    On PyTorch, Keras 3 writes optimizers as classes of that backend, such as `SGD` of
    `keras.src.backend.torch.optimizers.torch_sgd`.

    Example:
        >>> adam = {"module": "keras.src.backend.torch.optimizers.torch_adam", "class_name": "Adam"}
        >>> without_backend({"compile_config": {"optimizer": adam}})["compile_config"]["optimizer"]
        {'module': 'keras.optimizers', 'class_name': 'Adam', 'registered_name': None}
    """
    compiling = config.get("compile_config")
    made = {} if compiling is None else {"compile_config": rebuild(compiling, _of_any_backend)}
    return {**config, **made}


_TORCH_OPTIMIZERS = "keras.src.backend.torch.optimizers.torch_"


def _of_any_backend(entry: dict[str, Any]) -> dict[str, Any]:
    if str(entry.get("module")).startswith(_TORCH_OPTIMIZERS):
        return entry | {"module": "keras.optimizers", "registered_name": None}
    return entry


def model_from_keras_3(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's entry in the form of tf_keras, with the module that tells its Keras.

    Keras 3 writes no modules into `.h5` files, and `keras` for a Sequential model.
    """
    kind = str(config.get("class_name"))
    found: dict[str, Any] = config_from_keras_3(dict(config))
    if kind in _MODELS and found.get("module", "keras") == "keras":
        found["module"] = f"keras.src.models.{kind.lower()}"
    return found


def config_from_keras_3(value: Any) -> Any:
    """Return a serialized object in the form of tf_keras; what has the form already is copied."""
    if isinstance(value, list):
        return [config_from_keras_3(item) for item in value]
    if not isinstance(value, dict):
        return value
    config = value.get("config")
    if (
        value.get("class_name") in POLICIES
        and isinstance(config, dict)
        and isinstance(config.get("name"), str)
    ):
        return config["name"]
    copy = {
        key: item if key == "inbound_nodes" else config_from_keras_3(item)
        for key, item in value.items()
    }
    if (
        value.get("class_name") == "InputLayer"
        and isinstance(config, dict)
        and "batch_shape" in config
    ):
        copy["config"] = {
            ("batch_input_shape" if key == "batch_shape" else key): item
            for key, item in copy["config"].items()
        }
    if isinstance(copy.get("config"), dict) and "input_layers" in copy["config"]:
        copy["config"] = _functional(copy["config"])
    return copy


def _functional(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a Functional model with its calls in the form of tf_keras."""
    layers = config.get("layers")
    if not isinstance(layers, list):
        return config
    first = {entry["name"]: 1 for entry in layers if _has_input(entry)}
    in_outputs = {
        entry["name"]: 1
        for entry in layers
        if _has_input(entry) and entry["class_name"] == "Sequential"
    }
    members = [
        (
            with_module(entry) | {"inbound_nodes": _nodes(entry["inbound_nodes"], first)}
            if _has_nodes(entry)
            else entry
        )
        for entry in layers
    ]
    outputs = _shift(config.get("output_layers"), in_outputs)
    if all(_has_nodes(entry) and _is_named(entry) for entry in members):
        members = [as_op_layer(entry) for entry in without_implied_masks(members, outputs)]
    return config | {"layers": members, "output_layers": outputs}


def _has_nodes(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("inbound_nodes"), list)


def _is_named(entry: Any) -> bool:
    return isinstance(entry.get("name"), str) and isinstance(entry.get("class_name"), str)


def _has_input(entry: Any) -> bool:
    """Return whether this is a model with an input of its own.

    tf_keras counts the calls of such a model from 1; Keras 3 from 0, but those of a Functional
    model from 1 where it names the outputs of the model around it.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return False
    config = entry.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    return (
        isinstance(layers, list)
        and bool(layers)
        and isinstance(layers[0], dict)
        and layers[0].get("class_name") == "InputLayer"
    )


def _nodes(nodes: list[Any], first: Mapping[str, int]) -> list[Any]:
    return [
        (
            _node(node, first)
            if isinstance(node, dict) and isinstance(node.get("args"), list)
            else config_from_keras_3(node)
        )
        for node in nodes
    ]


def _node(node: dict[str, Any], first: Mapping[str, int]) -> Any:
    """Return one call as tf_keras has it: positional tensors, then all else as keywords.

    The keywords are those of the first tensor. `training` is left out: Keras 3 writes what the call
    had without a word of the program, and the model's own argument takes its place (`operation_fn`,
    keras/src/models/functional.py).
    """
    args = [_argument(arg, first) for arg in node["args"]]
    given = node.get("kwargs") or {}
    keywords = (
        {str(key): _argument(value, first) for key, value in given.items() if key != "training"}
        if isinstance(given, dict)
        else {}
    )
    taken = [(arg, list(_references(arg))) for arg in args]
    keywords |= {
        f"arg_{position}": arg for position, (arg, references) in enumerate(taken) if not references
    }
    positional = [(arg, references) for arg, references in taken if references]
    if not positional:
        return {key: value if list(_references(value)) else [] for key, value in keywords.items()}
    for reference in (reference for _, references in positional for reference in references):
        reference.append(keywords)
    made = [arg for arg, _ in positional]
    return made[0] if len(made) == 1 and not is_reference(made[0]) else made


def _argument(value: Any, first: Mapping[str, int]) -> Any:
    """Return an argument in which each tensor is a reference `[layer, call, tensor]`."""
    if isinstance(value, dict) and value.get("class_name") == TENSOR:
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        return _shift(history, first)
    if isinstance(value, list):
        return [_argument(item, first) for item in value]
    if isinstance(value, dict):
        return {key: _argument(item, first) for key, item in value.items()}
    return value


def is_reference(value: Any) -> bool:
    """Return whether a value in a config names an output of a layer's call: [name, call, index]."""
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
    )


def _shift(value: Any, first: Mapping[str, int]) -> Any:
    if is_reference(value):
        return [value[0], value[1] + first.get(value[0], 0), value[2]]
    if isinstance(value, list):
        return [_shift(item, first) for item in value]
    return (
        {key: _shift(item, first) for key, item in value.items()}
        if isinstance(value, dict)
        else value
    )


def _references(value: Any) -> Iterator[list[Any]]:
    if is_reference(value):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)
