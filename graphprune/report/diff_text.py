"""A diff as text: the layers between a head and a summary, then the connections.

The last two lines are an interface; scripts should read the JSON.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from graphprune.diagnostics.terminal_text import Paint, escape_controls, plain, text_width
from graphprune.diff.changes import Connection, GraphDiff, LayerDiff, Side, TensorDiff
from graphprune.graph.inner_layers import describe_connections
from graphprune.graph.layers import name_call
from graphprune.report.diff_layers import arrow, change_text, layer_lines
from graphprune.report.numbers import count_of, format_bytes, format_count, format_share
from graphprune.report.tables import Line, join_blocks, render_lines, to_lines


def diff_heads(diff: GraphDiff) -> tuple[str, ...]:
    """Return the lines above and below the layers."""
    return (diff_header(diff), *diff_facts(diff).splitlines(), *summary_lines(diff).splitlines())


def diff_header(diff: GraphDiff) -> str:
    """Return the line that names both models."""
    return f"diff  {escape_controls(diff.left.path)}  ->  {escape_controls(diff.right.path)}"


def diff_facts(diff: GraphDiff) -> str:
    """Return one line each about the graph, the pruning and the weights, or what was compared."""
    if diff.part:
        return f"compared  {escape_controls(diff.part)}"
    return (
        f"graph     {_graph_fact(diff)}\npruning   {_pruning_fact(diff)}\nweights  "
        f" {_weights_fact(diff)}" + _connections_fact(diff)
    )


def _connections_fact(diff: GraphDiff) -> str:
    """Return a further line if the connections of a side are unknown."""
    told = (describe_connections(graph) for graph in diff.graphs or ())
    return "".join(f"\n{escape_controls(line)}" for line in dict.fromkeys(told) if line)


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
    """Return the two summary lines: layers by status, and zeros."""
    statuses = ", ".join(
        f"{format_count(count)} {status}" for status, count in diff.count_statuses().items()
    )
    return (
        f"Diff: {statuses}, {format_count(len(diff.rewired))} rewired;"
        f" {count_of(diff.sparsity_changed, 'tensor')} changed sparsity.\n{_zeros_line(diff)}"
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


def graph_lines(diff: GraphDiff) -> Iterator[Line]:
    """Yield the lines about the model itself and its connections."""
    for change in diff.model:
        yield Line(f"  ~ model  {change_text(change)}", ((2, 9, "~"),))
    again = _called_again((*diff.added, *diff.removed))
    for mark, connections in (("+", diff.added), ("-", diff.removed)):
        for connection in connections:
            text = escape_controls(_connection_text(connection, again))
            source = escape_controls(connection.source or "input")
            yield Line(f"  {mark} {text}", ((2, 4 + len(source), mark),))


def _called_again(connections: Sequence[Connection]) -> Collection[str | None]:
    """Return the layers with several calls in these connections, whose calls need a number."""
    sources = {connection.source for connection in connections if connection.source_call}
    return sources | {connection.target for connection in connections if connection.target_call}


def _connection_text(connection: Connection, again: Collection[str | None]) -> str:
    source, target = connection.source, connection.target
    gone = {end: " (removed)" if end in connection.gone else "" for end in ("source", "target")}
    taken = f"{target}{gone['target']}"
    if source is None:
        return f"input {connection.source_tensor} -> {taken}"
    tensor = connection.source_tensor
    made = (
        source
        + gone["source"]
        + (f" ({name_call(connection.source_call)})" if source in again else "")
        + (f" (tensor {tensor})" if tensor else "")
    )
    if target is None:
        return f"{made} -> {connection.argument}"
    argument = connection.argument
    places = []
    if argument != "0":
        is_named = argument.startswith(("input", "output"))
        places.append(argument if is_named else f"input {argument}")
    if target in again:
        places.append(name_call(connection.target_call))
    return f"{made} -> {taken}" + (f" ({', '.join(places)})" if places else "")


_NARROWEST = 16
"""Columns that a layer's name keeps on a narrow terminal."""


def render_diff_text(
    diff: GraphDiff,
    *,
    show_all: bool = False,
    brief: bool = False,
    width: int | None = None,
    paint: Paint = plain,
) -> str:
    """Return `diff` as aligned text.

    Args:
        diff: What to show.
        show_all: Also show layers in which nothing, or nothing but trained values, differs.
        brief: Only the two summary lines.
        width: Columns of the terminal; long names lose their middle where lines do not fit. Nothing
            is shortened without it.
        paint: Adds colour.
    """
    if diff.is_empty and not show_all and not brief:
        return render_lines([Line(_nothing(diff))], width, paint)
    blocks = [to_lines(summary_lines(diff))]
    if not brief:
        layers = diff.layers if show_all else diff.notable_layers
        blocks = [
            to_lines(diff_header(diff)),
            to_lines(diff_facts(diff)),
            _fit_layers(layers, show_all=show_all, width=width, joined=has_two_kerases(diff)),
            list(graph_lines(diff)),
            to_lines(hidden_line(diff, len(layers))),
            *blocks,
        ]
    return render_lines(join_blocks(blocks), width, paint)


def _nothing(diff: GraphDiff) -> str:
    """Return the text of a diff without differences."""
    if diff.part:
        return f"No differences in {escape_controls(diff.part)}."
    if diff.is_weights_equal is None:
        return "No differences in graph and pruning; weights were not compared."
    return "No differences."


def has_two_kerases(diff: GraphDiff) -> bool:
    """Return whether the two models are of different Kerases."""
    return diff.graphs is not None and diff.graphs[0].keras != diff.graphs[1].keras


def _fit_layers(
    layers: Sequence[LayerDiff], *, show_all: bool, width: int | None, joined: bool
) -> list[Line]:
    """Return the lines about layers, with names shortened where lines are longer than `width`."""
    lines = list(layer_lines(layers, show_all=show_all, joined=joined))
    if width is None or all(text_width(line.text) <= width for line in lines):
        return lines
    narrow = max(_NARROWEST, width // 3)
    return list(layer_lines(layers, show_all=show_all, name_width=narrow, joined=joined))
