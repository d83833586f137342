"""What an op layer would run, held against the pure functions and operations of TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.archive.allowed.tensorflow_names import (
    ATTRIBUTES,
    CLASS_METHODS,
    OPERATIONS,
    is_pure_function,
)


def find_operation(kind: str, config: Any) -> str | None:
    """Return the operation that an op layer of this class runs and that is not on the list; None
    where it is.

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
    """Return the operation of a `NodeDef` if it is not on the list; a text, in whatever form, is
    none that Keras wrote and runs.
    """
    operation = node.get("op") if isinstance(node, Mapping) else None
    return (
        None
        if isinstance(operation, str) and operation in OPERATIONS
        else str(operation or "operation in a node_def that is not JSON")
    )
