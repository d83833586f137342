"""A diff as the marks of a drawing."""

from __future__ import annotations

from graphprune.diff.changes import GraphDiff, LayerDiff, PruningState, TensorDiff
from graphprune.report.diff_layers import EVIDENCE, MARKS, state_text
from graphprune.report.diff_settings import change_text
from graphprune.report.diff_summary import diff_heads
from graphprune.report.drawing.layer_marks import Facts, LayerMark, Marking
from graphprune.report.numbers import format_count, format_share

_FIRST = ("added", "removed", "reconfigured", "wrapped", "unwrapped", "renamed")
"""Where a layer has several statuses, the first of these gives its colour."""
_CHANGED = "%"


def mark_diff(diff: GraphDiff) -> Marking:
    """Return the marks of the layers that differ in more than trained values."""
    marks = [(layer, _mark(layer)) for layer in diff.notable_layers]
    used = {status for layer, _ in marks for status in layer.status}
    legend: list[tuple[str, str, str]] = [
        (sign, status, status) for status, sign in MARKS.items() if status in used
    ]
    if any(mark.status == "changed" for _, mark in marks):
        legend.append((_CHANGED, "changed", "sparsity, mask or step changed"))
    lines = (
        ("━", "added", "new connection", diff.added),
        ("┅", "removed", "removed connection", diff.removed),
    )
    legend += [(sign, status, words) for sign, status, words, connections in lines if connections]
    return Marking(
        title="diff",
        lines=diff_heads(diff),
        marks={layer.address: mark for layer, mark in marks if "removed" not in layer.status},
        removed={layer.address: mark for layer, mark in marks if "removed" in layer.status},
        legend=tuple(legend),
    )


def _mark(layer: LayerDiff) -> LayerMark:
    pruned = [
        tensor
        for tensor in layer.tensors
        if tensor.target is not None or tensor.is_sparsity_changed
    ]
    return LayerMark(
        sign=" ".join(MARKS[status] for status in layer.status) or _CHANGED,
        status=next((status for status in _FIRST if status in layer.status), "changed"),
        text=", ".join(_words(layer)),
        before=_share([(tensor.zeros_before, tensor.size_before) for tensor in pruned]),
        after=_share([(tensor.zeros_after, tensor.size_after) for tensor in pruned]),
        facts=_facts(layer),
        tensors={tensor.name: _tensor_facts(tensor) for tensor in layer.tensors},
    )


def _words(layer: LayerDiff) -> list[str]:
    if not layer.status:
        return [
            (
                "sparsity changed"
                if any(tensor.is_sparsity_changed for tensor in layer.tensors)
                else "pruning changed"
            )
        ]
    told = {
        "renamed": f"renamed from {layer.previous_address}",
        "wrapped": f"wrapped{_by(layer.after)}",
        "unwrapped": f"unwrapped{_by(layer.before)}",
    }
    return [told.get(status, status) for status in layer.status]


def _by(state: PruningState | None) -> str:
    return f" by {state.rule}" if state is not None and state.rule else ""


def _share(counts: list[tuple[int | None, int]]) -> float | None:
    known = [zeros for zeros, _ in counts if zeros is not None]
    size = sum(size for _, size in counts)
    return sum(known) / size if size and len(known) == len(counts) else None


def _facts(layer: LayerDiff) -> Facts:
    facts = [("Status", ", ".join(_words(layer)))]
    if layer.previous_address is not None and layer.paired_by is not None:
        facts.append(("Paired by", EVIDENCE[layer.paired_by]))
    facts += [("Changed", change_text(change)) for change in layer.config]
    facts += [
        (name, f"wrapped{state_text(state)}")
        for name, state in (("Before", layer.before), ("After", layer.after))
        if state is not None
    ]
    return tuple(facts)


def _tensor_facts(tensor: TensorDiff) -> Facts:
    facts = []
    if tensor.shape_before != tensor.shape_after:
        facts += [
            (name, str(list(shape)))
            for name, shape in (
                ("shape before", tensor.shape_before),
                ("shape after", tensor.shape_after),
            )
            if shape is not None
        ]
    for name, zeros, size in (
        ("zeros before", tensor.zeros_before, tensor.size_before),
        ("zeros after", tensor.zeros_after, tensor.size_after),
    ):
        facts += (
            [(name, f"{format_count(zeros)} ({format_share(zeros / max(size, 1))})")]
            if zeros is not None and size
            else []
        )
    if tensor.target is not None:
        met = {None: "", True: ", met", False: ", not met"}[tensor.target_met]
        facts.append(("target", f"{format_share(tensor.target)}{met}"))
    return (
        *facts,
        *([("values", tensor.values)] if tensor.values is not None and tensor.is_paired else []),
    )
