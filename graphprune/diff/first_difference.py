"""The first difference in structure between two models, in one line."""

from __future__ import annotations

from collections.abc import Iterator

from graphprune.diff.changes import PRUNING_PREFIX, ConfigChange, Connection, GraphDiff, LayerDiff

_FUNCTIONS = ("config.function.", "config.output_shape.", "config.mask.")
"""What the paths of settings inside a stored Python function begin with."""


def find_difference(diff: GraphDiff) -> str | None:
    """Return the first difference between two models apart from wrappers and weights, or None.

    Example:
        >>> from graphprune.diff.graph_diff import diff_graphs
        >>> from graphprune.graph.read import read_graph
        >>> layers = (
        ...     {"class_name": "Dense", "config": {"name": "fc", "units": units}}
        ...     for units in (3, 4)
        ... )
        >>> graphs = [
        ...     read_graph(
        ...         {"class_name": "Sequential", "config": {"name": "net", "layers": [layer]}}
        ...     )
        ...     for layer in layers
        ... ]
        >>> find_difference(diff_graphs(*graphs, left_path="a.keras", right_path="b.keras"))
        "layer 'fc' has units 3 in a.keras and 4 in b.keras"
    """
    return next(_differences(diff), None)


def _differences(diff: GraphDiff) -> Iterator[str]:
    left, right = diff.left.path, diff.right.path
    for change in diff.model:
        yield f"the model has {_changed(change, left, right)}"
    for layer in diff.layers:
        yield from _layer_differences(layer, left, right)
    for edges, path in ((diff.added, right), (diff.removed, left)):
        for edge in edges:
            yield f"{_connection(edge)} only in {path}"


def _layer_differences(layer: LayerDiff, left: str, right: str) -> Iterator[str]:
    name = f"layer '{layer.address}'"
    if layer.paired_by is None:
        yield f"{name} ({layer.type}) is only in {right if 'added' in layer.status else left}"
        return
    if layer.previous_address is not None:
        yield f"layer '{layer.previous_address}' of {left} is '{layer.address}' in {right}"
    for change in layer.config:
        if not change.path.startswith(PRUNING_PREFIX) and not _is_bytecode(layer, change):
            yield f"{name} has {_changed(change, left, right)}"
    for tensor in layer.tensors:
        if tensor.shape_before != tensor.shape_after:
            yield (
                f"{name} has {tensor.name} {_shape(tensor.shape_before)} in {left} and"
                f" {_shape(tensor.shape_after)} in {right}"
            )


def _is_bytecode(layer: LayerDiff, change: ConfigChange) -> bool:
    """Return whether the functions of a Lambda layer differ, which pruning does not touch.

    Another version of Python compiles the same function to other bytecode.
    """
    return layer.type == "Lambda" and change.path.startswith(_FUNCTIONS)


def _changed(change: ConfigChange, left: str, right: str) -> str:
    return (
        f"{change.path.removeprefix('config.')} {change.before!r} in {left} and {change.after!r} in"
        f" {right}"
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


def _connection(edge: Connection) -> str:
    return (
        f"{edge.source or 'the input of the model'} goes to"
        f" {edge.target or 'the output of the model'}"
    )
