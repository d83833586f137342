"""Which TensorFlow operations a config may have a model run: computations on tensors, and nothing that touches files, processes or Python.

A `TFOpLambda` layer calls whatever public TensorFlow function its config names, a `TensorFlowOpLayer` whatever operation its `node_def` names
(tf_keras/src/layers/core/tf_op_layer.py, tf_keras/src/engine/base_layer.py), so a file could make a model write files when it is built or trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MODULES = frozenset(
    [
        "__operators__",
        "audio",
        "bitwise",
        "dtypes",
        "experimental.numpy",
        "image",
        "keras.activations",
        "keras.backend",
        "keras.losses",
        "linalg",
        "math",
        "nn",
        "quantization",
        "ragged",
        "random",
        "sets",
        "signal",
        "sparse",
        "strings",
    ]
)
"""Modules of TensorFlow whose functions compute on tensors only; so do those at its top level, but for these."""
_REFUSED = re.compile(r"file|library|reader|py_func|numpy_function|print|save|restore|session|queue|register|enable|disable|^function$|^assert", re.IGNORECASE)
_OP = re.compile(r"(File|PyFunc|Save|Restore|Print|Dataset|Iterator|Reader|Queue|Summary|Lookup|Table|Send|Recv|Call|Launch|Checkpoint|Assert)")


def find_unsafe_op(config: Any) -> str | None:
    """Return the name of an operation in a config that does more than compute on tensors, None if there is none.

    Example:
        >>> layer = {"class_name": "TFOpLambda", "config": {"name": "w", "function": "io.write_file"}}
        >>> find_unsafe_op({"layers": [layer]}), find_unsafe_op({**layer, "config": {"function": "math.add"}})
        ('io.write_file', None)
    """
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            named = _operation(item)
            if named is not None:
                return named
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return None


def _operation(item: Mapping[str, Any]) -> str | None:
    """Return the operation that a layer's entry names, if it is an unsafe one."""
    kind, config = item.get("class_name"), item.get("config")
    if not isinstance(config, Mapping):
        return None
    if kind in ("TFOpLambda", "ClassMethod"):
        function = config.get("function", config.get("cls_symbol"))
        return function if isinstance(function, str) and not _is_computation(function) else None
    if kind == "TensorFlowOpLayer":
        operation = _node_operation(config.get("node_def"))
        return operation if _OP.search(operation) else None
    return None


def _is_computation(function: str) -> bool:
    """Return whether a public name of TensorFlow, without its `tf.`, is a function that computes on tensors only."""
    module, _, name = function.removeprefix("compat.v1.").rpartition(".")
    return module in MODULES or (not module and _REFUSED.search(name) is None)


def _node_operation(node: Any) -> str:
    """Return the operation of a `NodeDef`, which configs hold as JSON text, as a mapping, or as protobuf text."""
    if isinstance(node, str):
        try:
            node = json.loads(node)
        except ValueError:
            return node
    return str(node.get("op", "")) if isinstance(node, Mapping) else str(node)
