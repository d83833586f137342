"""A diff as text. Its last two lines are an interface; scripts should read the JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.diff.changes import (
    ConfigChange,
    Connection,
    GraphDiff,
    LayerDiff,
    PruningState,
    Side,
    Status,
    TensorDiff,
)
from graphprune.graph.call_numbers import name_call
from graphprune.report.numbers import count_of, format_bytes, format_count, format_share
from graphprune.report.tables import align_rows, escape_controls, shorten, text_width

EVIDENCE = {"weights": "equal weights", "structure": "equal structure", "address": "same address"}
MARKS: Mapping[Status, str] = {
    "added": "+",
    "removed": "-",
    "reconfigured": "~",
    "renamed": ">",
    "wrapped": "w",
    "unwrapped": "u",
}
_VALUE_WIDTH = 60
_SHARE_WIDTH = 5
_CALL = re.compile(r"^calls\.([0-9]{1,9})\.?")
"""What the path of a constant argument begins with: the index of its call."""


def render_diff_text(diff: GraphDiff, *, show_all: bool = False, brief: bool = False) -> str:
    """Return `diff` as aligned text; its last line ends with a line break.

    Args:
        diff: What to show.
        show_all: Also show layers in which nothing, or nothing but trained values, differs.
        brief: Only the two summary lines.
    """
    if diff.is_empty and not show_all and not brief:
        compared = diff.is_weights_equal is not None
        return (
            "No differences.\n"
            if compared
            else "No differences in graph and pruning; weights were not compared.\n"
        )
    if brief:
        return _summary_lines(diff) + "\n"
    layers = diff.layers if show_all else diff.notable_layers
    blocks = [
        _header(diff),
        _facts(diff),
        "\n".join(line for _, line in layer_lines(layers, show_all=show_all)),
        "\n".join(line for _, line in graph_lines(diff)),
        _hidden_line(diff, len(layers)),
    ]
    return "\n\n".join(block for block in [*blocks, _summary_lines(diff)] if block) + "\n"


def diff_heads(diff: GraphDiff) -> tuple[str, ...]:
    """Return what stands above and below the layers, one text a line."""
    return (_header(diff), *_facts(diff).splitlines(), *_summary_lines(diff).splitlines())


def _header(diff: GraphDiff) -> str:
    return f"diff  {escape_controls(diff.left.path)}  ->  {escape_controls(diff.right.path)}"


def _facts(diff: GraphDiff) -> str:
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
    layers = _arrow(format_count(diff.left.layers), format_count(diff.right.layers))
    connections = _arrow(format_count(diff.left.connections), format_count(diff.right.connections))
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


def _hidden_line(diff: GraphDiff, shown: int) -> str:
    hidden = len(diff.layers) - shown
    return (
        f"{count_of(hidden, 'layer')} without structural or sparsity changes hidden (--all)."
        if hidden
        else ""
    )


def _summary_lines(diff: GraphDiff) -> str:
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
            f" {_arrow(format_count(left.parameters), format_count(right.parameters))} parameters."
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


@dataclass(frozen=True, slots=True)
class _Head:
    """One line about a layer: a row of the table, or a changed setting, which has no type and
    reaches further.
    """

    mark: str
    address: str
    type: str
    text: str
    change: ConfigChange | None = None


def layer_lines(layers: Sequence[LayerDiff], *, show_all: bool) -> Iterator[tuple[str, str]]:
    """Yield the mark (a space for none) and the text of each line about the layers; heads are
    aligned with heads, tensors with tensors.
    """
    heads = [list(_heads(layer)) for layer in layers]
    tensors = [_shown_tensors(layer, show_all=show_all) for layer in layers]
    rows = [
        (head.mark, head.address, head.type, head.text)
        for group in heads
        for head in group
        if head.change is None
    ]
    table = iter(align_rows(rows, gaps={1: 1, 3: 3}, indent="  "))
    width = max((text_width(escape_controls(layer.address)) for layer in layers), default=0)
    tensor_lines = iter(
        _tensor_lines(
            [
                (tensor, layer)
                for layer, group in zip(layers, tensors, strict=True)
                for tensor in group
            ]
        )
    )
    for group, shown in zip(heads, tensors, strict=True):
        for head in group:
            line = (
                next(table)
                if head.change is None
                else (
                    f"  {head.mark} {_pad(escape_controls(head.address), width)} "
                    f" {change_text(head.change)}"
                )
            )
            yield head.mark, line
        for _ in shown:
            yield " ", next(tensor_lines)


def _heads(layer: LayerDiff) -> Iterator[_Head]:
    if layer.paired_by is None:
        yield _Head(
            "+" if "added" in layer.status else "-", layer.address, layer.type, _lone_text(layer)
        )
        return
    if "renamed" in layer.status:
        yield _Head(
            ">",
            layer.address,
            layer.type,
            f"renamed from {layer.previous_address} ({EVIDENCE[layer.paired_by]})",
        )
    for change in layer.config:
        yield _Head("~", layer.address, "", "", change)
    if layer.before is None and layer.after is not None:
        yield _Head("w", layer.address, layer.type, f"wrapped{state_text(layer.after)}")
    elif layer.before is not None and layer.after is None:
        yield _Head(
            "u", layer.address, layer.type, f"unwrapped; was wrapped{state_text(layer.before)}"
        )
    elif layer.before != layer.after and layer.before is not None and layer.after is not None:
        yield _Head(" ", layer.address, layer.type, _progress_text(layer.before, layer.after))
    elif not layer.status:
        yield _Head(" ", layer.address, layer.type, _quiet_text(layer))


def _lone_text(layer: LayerDiff) -> str:
    """Return the text of a layer that only one side has."""
    what = "added" if "added" in layer.status else "removed"
    listed = ", ".join(
        f"{tensor.name} {_shape(tensor.shape_after or tensor.shape_before or ())}"
        for tensor in layer.tensors
    )
    state = layer.after or layer.before
    return (
        what
        + (f": {listed}" if listed else "")
        + ("" if state is None else f"; wrapped{state_text(state)}")
    )


def _quiet_text(layer: LayerDiff) -> str:
    """Return the text of a layer that is the same in structure and has the same wrapper, if any."""
    if any(tensor.is_sparsity_changed for tensor in layer.tensors):
        return "sparsity changed"
    if layer.is_pruning_changed:
        return "mask changed"
    return "new values" if any(tensor.values == "changed" for tensor in layer.tensors) else "same"


def state_text(state: PruningState) -> str:
    """Return by which rule a layer is wrapped, and how; it follows the word `wrapped`."""
    by = f" by {state.rule}" if state.rule else ""
    return (
        by if state.pruning is None else f"{by}: {state.pruning.pattern}, {_schedule_text(state)}"
    )


def _schedule_text(state: PruningState) -> str:
    assert state.pruning is not None
    schedule = state.pruning.schedule
    if state.step is None:
        return str(schedule)
    return (
        f"{schedule.name or schedule.curve} {'finished at' if state.finished else 'at'} step"
        f" {state.step}"
    )


def _progress_text(before: PruningState, after: PruningState) -> str:
    """Return the text of a layer that is wrapped on both sides, with what differs between the two."""
    rules = (
        f" by {_arrow(before.rule or 'no rule', after.rule or 'no rule')}"
        if before.rule or after.rule
        else ""
    )
    if before.pruning is None or after.pruning is None:
        return f"wrapped{rules}"
    return (
        f"wrapped{rules}: {_arrow(str(before.pruning.pattern), str(after.pruning.pattern))},"
        f" {_arrow(_schedule_text(before), _schedule_text(after))}"
    )


def _shown_tensors(layer: LayerDiff, *, show_all: bool) -> tuple[TensorDiff, ...]:
    if layer.paired_by is None:
        return ()
    return layer.tensors if show_all else layer.notable_tensors


def _tensor_lines(tensors: Sequence[tuple[TensorDiff, LayerDiff]]) -> list[str]:
    shares = [
        tensor.sparsity_before if tensor.shape_before is not None else tensor.sparsity_after
        for tensor, _ in tensors
    ]
    width = max((len(format_share(share)) for share in shares if share is not None), default=0)
    rows = [
        (
            tensor.name,
            _shapes(tensor),
            _zeros_text(tensor),
            _share_text(tensor, max(width, _SHARE_WIDTH)),
            _target_text(tensor, layer),
            _mask_text(tensor),
        )
        for tensor, layer in tensors
    ]
    return align_rows(rows, gaps={2: 3, 3: 3, 4: 3, 5: 3}, indent="      ")


def _shapes(tensor: TensorDiff) -> str:
    if tensor.shape_before is None:
        return f"added {_shape(tensor.shape_after or ())}"
    if tensor.shape_after is None:
        return f"removed {_shape(tensor.shape_before)}"
    return _arrow(_shape(tensor.shape_before), _shape(tensor.shape_after))


def _shape(shape: tuple[int, ...]) -> str:
    return str(list(shape))


def _zeros_text(tensor: TensorDiff) -> str:
    counts = [
        format_count(zeros)
        for zeros in (tensor.zeros_before, tensor.zeros_after)
        if zeros is not None
    ]
    return f"zeros {_arrow(counts[0], counts[-1])}" if counts else ""


def _share_text(tensor: TensorDiff, width: int) -> str:
    shares = [
        format_share(share)
        for share in (tensor.sparsity_before, tensor.sparsity_after)
        if share is not None
    ]
    if not shares:
        return ""
    return f"{shares[0]:>{width}}" + (f" -> {shares[-1]}" if tensor.is_sparsity_changed else "")


def _target_text(tensor: TensorDiff, layer: LayerDiff) -> str:
    if tensor.target is None:
        return ""
    unfinished = layer.after is not None and layer.after.finished is False
    met = {None: "", True: " met", False: " not yet met" if unfinished else " missed"}[
        tensor.target_met
    ]
    return f"target {format_share(tensor.target)}{met}"


def _mask_text(tensor: TensorDiff) -> str:
    if tensor.mask is None:
        return ""
    mask = tensor.mask
    return (
        f"mask: {format_share(mask.shared)} of kept weights shared, {format_count(mask.dropped)}"
        f" dropped, {format_count(mask.regrown)} regrown"
    )


def graph_lines(diff: GraphDiff) -> Iterator[tuple[str, str]]:
    """Yield the mark and the text of each line about the model itself and its connections."""
    for change in diff.model:
        yield "~", f"  ~ model  {change_text(change)}"
    again = _called_again((*diff.added, *diff.removed))
    for mark, connections in (("+", diff.added), ("-", diff.removed)):
        for connection in connections:
            yield mark, f"  {mark} {escape_controls(_connection_text(connection, again))}"


def _called_again(connections: Sequence[Connection]) -> Collection[str | None]:
    """Return the layers that these connections show to be called several times, so that each call
    wants its number.
    """
    sources = {connection.source for connection in connections if connection.source_call}
    return sources | {connection.target for connection in connections if connection.target_call}


def _connection_text(connection: Connection, again: Collection[str | None]) -> str:
    source, target = connection.source, connection.target
    if source is None:
        return f"input {connection.source_tensor} -> {target}"
    tensor = connection.source_tensor
    made = (
        source
        + (f" ({name_call(connection.source_call)})" if source in again else "")
        + (f" (tensor {tensor})" if tensor else "")
    )
    if target is None:
        return f"{made} -> {connection.argument}"
    argument = connection.argument
    places = (
        []
        if argument == "0"
        else [argument if argument.startswith(("input", "output")) else f"input {argument}"]
    )
    if target in again:
        places.append(name_call(connection.target_call))
    return f"{made} -> {target}" + (f" ({', '.join(places)})" if places else "")


def change_text(change: ConfigChange) -> str:
    """Return a changed setting with both values, long ones cut."""
    path = _CALL.sub(lambda call: f"{name_call(int(call[1]))} ", change.path)
    return f"{escape_controls(path)}  {_value_text(change.before)} -> {_value_text(change.after)}"


def _value_text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return shorten(escape_controls(text), _VALUE_WIDTH)


def _arrow(before: str, after: str) -> str:
    return before if before.strip() == after else f"{before} -> {after}"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - text_width(text))
