"""A diff as a page and as a drawing.

The right model is drawn, with the layers and connections that only the left one has, and a mark on
each layer that differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from graphprune.diff.changes import GraphDiff, LayerDiff, PruningState, TensorDiff
from graphprune.diff.document import graph_diff_to_config
from graphprune.graph import LayerGraph
from graphprune.report.diff_layers import EVIDENCE, MARKS, change_text, state_text
from graphprune.report.diff_text import diff_heads
from graphprune.report.drawing.graph_html import render_page
from graphprune.report.drawing.graph_rows import arrange_rows
from graphprune.report.drawing.graph_svg import render_views
from graphprune.report.drawing.graph_view import Box, FrameView, mark_box, view_graph
from graphprune.report.drawing.graph_wires import Wire, mark_alone
from graphprune.report.drawing.layer_marks import Facts, LayerMark, Marking
from graphprune.report.drawing.page_data import Drawing, Metrics
from graphprune.report.numbers import format_count, format_share

_FIRST = ("added", "removed", "reconfigured", "wrapped", "unwrapped", "renamed")
"""Where a layer has several statuses, the first of these gives its colour."""
_CHANGED = "%"


def mark_diff(left: LayerGraph, right: LayerGraph, diff: GraphDiff) -> Marking:
    """Return the marks of the layers that differ in more than trained values."""
    marks = [(layer, _mark(layer, _prunable(layer, left, right))) for layer in diff.notable_layers]
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


def _prunable(layer: LayerDiff, left: LayerGraph, right: LayerGraph) -> set[str]:
    """Return the names of the prunable weights of a layer, on the side that has it."""
    graph = left if "removed" in layer.status else right
    found = graph.layers.get(layer.address)
    return {tensor.name for tensor in found.prunable} if found is not None else set()


def _mark(layer: LayerDiff, prunable: set[str]) -> LayerMark:
    pruned = [
        tensor
        for tensor in layer.tensors
        if tensor.target is not None or (tensor.is_sparsity_changed and tensor.name in prunable)
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


Views = Mapping[str, FrameView]


def view_diff(left: LayerGraph, right: LayerGraph, diff: GraphDiff, marking: Marking) -> Views:
    """Return the views of the right model, each with what only the left one has in it.

    A model that was removed whole has its view as well, under a key of its own, as its address may
    be that of another layer on the right.
    """
    before, after = view_graph(left), view_graph(right, marks=marking.marks)
    pair_of = {
        layer.previous_address or layer.address: layer.address
        for layer in diff.layers
        if layer.paired_by is not None
    }
    merge = _Merge(before, after, pair_of, marking.removed)
    views = {key: merge.frame(view) for key, view in after.items()}
    for key, new in merge.keys.items():
        view = before[key]
        views[new] = replace(
            view,
            boxes=tuple(merge.ghost(box) for box in view.boxes),
            wires=tuple(replace(wire, change="removed") for wire in view.wires),
        )
    return views


class _Merge:
    def __init__(
        self,
        before: Views,
        after: Views,
        pair_of: Mapping[str, str],
        removed: Mapping[str, LayerMark],
    ) -> None:
        self._before = before
        self._pair_of = {**pair_of, "": ""}
        self._removed = removed
        self._frame_of = {after: before for before, after in self._pair_of.items()}
        self.keys: dict[str, str] = {}
        for key in before:
            if key in removed:
                self.keys[key] = _free_key(key, {*after, *self.keys.values()})

    def ghost(self, box: Box) -> Box:
        """Return a box of the left side as one that is gone."""
        marked = mark_box(box, self._removed.get(box.address))
        return replace(
            marked, frame=None if box.frame is None else self.keys.get(box.frame), is_gone=True
        )

    def frame(self, right: FrameView) -> FrameView:
        """Return a view of the right side with the boxes and wires that only the left side has."""
        left = self._before.get(self._frame_of.get(right.address, right.address))
        if left is None or self._frame_of.get(right.address) is None:
            return replace(
                right, wires=tuple(replace(wire, change="added") for wire in right.wires)
            )
        boxes = list(right.boxes)
        place = self._places(left, right, boxes)
        had = [
            replace(wire, source=place[wire.source], target=place[wire.target])
            for wire in left.wires
            if wire.source in place and wire.target in place
        ]
        wires = mark_alone(_joined(had, right.wires))
        return FrameView(
            right.address,
            right.title,
            tuple(boxes),
            wires,
            arrange_rows(len(boxes), [(wire.source, wire.target) for wire in wires]),
        )

    def _places(self, left: FrameView, right: FrameView, boxes: list[Box]) -> dict[int, int]:
        """Return the index of each left box in `boxes`, after adding those that were removed.

        Boxes that moved to another model have none.
        """
        by_address = {box.address: index for index, box in enumerate(right.boxes) if box.address}
        outputs = _outputs(right.boxes)
        place: dict[int, int] = {}
        for index, box in enumerate(left.boxes):
            if box.address in self._removed:
                place[index] = len(boxes)
                boxes.append(self.ghost(box))
            elif box.address and self._pair_of.get(box.address) in by_address:
                place[index] = by_address[self._pair_of[box.address]]
        place.update(zip(_outputs(left.boxes), outputs, strict=False))
        return place


def _joined(had: Sequence[Wire], has: Sequence[Wire]) -> list[Wire]:
    """Return the wires of both sides, marked as added or removed.

    A wire is unchanged if the other side has the same use, or another wire between the same boxes.
    """
    left: dict[tuple[int, int], list[Wire]] = {}
    for wire in had:
        left.setdefault((wire.source, wire.target), []).append(wire)
    alike = {(wire.source, wire.target, wire.use) for wire in had}
    for wire in has:
        if (wire.source, wire.target, wire.use) in alike:
            left[wire.source, wire.target] = [
                other for other in left[wire.source, wire.target] if other.use != wire.use
            ]
    joined = []
    for wire in has:
        is_like = (wire.source, wire.target, wire.use) in alike
        others = left.get((wire.source, wire.target))
        joined.append(wire if is_like or others else replace(wire, change="added"))
        if others and not is_like:
            others.pop(0)
    return [
        *joined,
        *(replace(wire, change="removed") for wires in left.values() for wire in wires),
    ]


def _outputs(boxes: Sequence[Box]) -> list[int]:
    return [index for index, box in enumerate(boxes) if box.kind == "output"]


def _free_key(address: str, taken: set[str]) -> str:
    key = f"{address} (removed)"
    while key in taken:
        key += "'"
    return key


def render_diff_html(
    left: LayerGraph, right: LayerGraph, diff: GraphDiff, metrics: Metrics | None = None
) -> str:
    """Return the page of a diff: the right model, with the layers that only the left one has.

    Each layer is marked with its change; the script tag `report` has the diff's JSON.

    Args:
        left: The model before.
        right: The model after.
        diff: What differs.
        metrics: What the values of the right model's tensors say, by (address, tensor name), for
            the panels.
    """
    marking = mark_diff(left, right, diff)
    return render_page(
        Drawing(right, view_diff(left, right, diff, marking), metrics, marking, left),
        graph_diff_to_config(diff),
    )


def render_diff_svg(left: LayerGraph, right: LayerGraph, diff: GraphDiff) -> str:
    """Return the drawing of a diff: the right model, with the layers that only the left one has."""
    marking = mark_diff(left, right, diff)
    return render_views(view_diff(left, right, diff, marking), marking)
