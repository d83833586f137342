"""What a diff comes to: the lines above and below its layers."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.diff.changes import GraphDiff, Side, TensorDiff
from graphprune.report.diff_settings import arrow
from graphprune.report.numbers import count_of, format_bytes, format_count, format_share


def diff_heads(diff: GraphDiff) -> tuple[str, ...]:
    """Return what stands above and below the layers, one text a line."""
    return (diff_header(diff), *diff_facts(diff).splitlines(), *summary_lines(diff).splitlines())


def diff_header(diff: GraphDiff) -> str:
    """Return the line that names both models."""
    return f"diff  {escape_controls(diff.left.path)}  ->  {escape_controls(diff.right.path)}"


def diff_facts(diff: GraphDiff) -> str:
    """Return one line each about the graph, the pruning and the weights."""
    return (
        f"graph     {_graph_fact(diff)}\npruning   {_pruning_fact(diff)}\nweights  "
        f" {_weights_fact(diff)}"
    )


def _graph_fact(diff: GraphDiff) -> str:
    size = (
        f"{count_of(diff.right.layers, 'layer')}, {count_of(diff.right.connections, 'connection')}"
    )
    if diff.is_graph_equal:
        return f"same: {size}, inputs and outputs"
    kept = not (
        diff.added or diff.removed or any(layer.is_content_changed for layer in diff.layers)
    )
    if kept and not any(change.path != "name" for change in diff.model):
        return f"same but for names: {size}, inputs and outputs"
    layers = arrow(format_count(diff.left.layers), format_count(diff.right.layers))
    connections = arrow(format_count(diff.left.connections), format_count(diff.right.connections))
    return f"differs: {layers} layers, {connections} connections"


def _pruning_fact(diff: GraphDiff) -> str:
    counts = diff.count_statuses()
    changed = sum(
        layer.is_pruning_changed
        for layer in diff.layers
        if layer.before is not None and layer.after is not None
    )
    parts = [
        f"{format_count(count)} {what}"
        for what, count in (("wrapped", counts["wrapped"]), ("unwrapped", counts["unwrapped"]))
        if count
    ]
    if changed:
        parts.append(f"{format_count(changed)} wrapped on both sides with changes")
    left, right = (
        sum(layer.before is not None for layer in diff.layers),
        sum(layer.after is not None for layer in diff.layers),
    )
    if parts:
        return ", ".join(parts)
    if diff.is_pruning_equal:
        return (
            f"same: {format_count(right)} wrapped on both sides"
            if right
            else "no wrappers on either side"
        )
    return f"{format_count(left)} -> {format_count(right)} wrapped"


def _weights_fact(diff: GraphDiff) -> str:
    tensors = [tensor for layer in diff.layers for tensor in layer.tensors]
    paired = [tensor for tensor in tensors if tensor.is_paired]
    changed = sum(tensor.values == "changed" for tensor in paired)
    parts = [
        f"{count} {what}"
        for what, count in (
            ("added", _count_only(tensors, "before")),
            ("removed", _count_only(tensors, "after")),
        )
        if count
    ]
    if any(tensor.values is None for tensor in paired):
        fact = "values not compared"
    elif not changed and not parts:
        return f"same: {count_of(len(paired), 'tensor')}"
    else:
        fact = f"{format_count(changed)} with new values"
    return ", ".join([count_of(len(paired), "tensor"), fact, *parts])


def _count_only(tensors: Sequence[TensorDiff], missing: str) -> int:
    return sum(
        (tensor.shape_before if missing == "before" else tensor.shape_after) is None
        for tensor in tensors
    )


def hidden_line(diff: GraphDiff, shown: int) -> str:
    """Return the line that counts the layers that are not shown, or nothing."""
    hidden = len(diff.layers) - shown
    return (
        f"{count_of(hidden, 'layer')} without structural or sparsity changes hidden (--all)."
        if hidden
        else ""
    )


def summary_lines(diff: GraphDiff) -> str:
    """Return the two summary lines: layers by what happened to them, and zeros."""
    statuses = ", ".join(
        f"{format_count(count)} {status}" for status, count in diff.count_statuses().items()
    )
    return (
        f"Diff: {statuses}; {count_of(diff.sparsity_changed, 'tensor')} changed"
        f" sparsity.\n{_zeros_line(diff)}"
    )


def _zeros_line(diff: GraphDiff) -> str:
    left, right = diff.left, diff.right
    if left.zeros is None and right.zeros is None:
        line = (
            "Zeros: not measured in"
            f" {arrow(format_count(left.parameters), format_count(right.parameters))} parameters."
        )
    elif left.parameters == right.parameters:
        line = (
            f"Zeros: {_zeros(left)} -> {_zeros(right)} of {count_of(right.parameters, 'parameter')}"
            f" ({_share(left)} -> {_share(right)})."
        )
    else:
        sides = (
            f"{_zeros(left)} of {format_count(left.parameters)} -> {_zeros(right)} of"
            f" {count_of(right.parameters, 'parameter')}"
        )
        line = f"Zeros: {sides} ({_share(left)} -> {_share(right)})."
    if diff.weights_gzip is None:
        return line
    before, after = diff.weights_gzip
    return f"{line}   Weights gzip: {format_bytes(before)} -> {format_bytes(after)}"


def _zeros(side: Side) -> str:
    return "unknown" if side.zeros is None else format_count(side.zeros)


def _share(side: Side) -> str:
    return "unknown" if side.zeros is None else format_share(side.zeros / max(side.parameters, 1))
