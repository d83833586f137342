"""Two models in one drawing: the right one, with the layers and connections that only the left one
has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from graphprune.diff.changes import GraphDiff
from graphprune.graph import LayerGraph
from graphprune.report.drawing.graph_rows import arrange_rows
from graphprune.report.drawing.graph_view import Box, FrameView, mark_box, view_graph
from graphprune.report.drawing.graph_wires import Wire, mark_alone
from graphprune.report.drawing.layer_marks import LayerMark, Marking

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
        """Return a view of the right side with the boxes and wires that only its counterpart on the
        left has.
        """
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
        """Return the number of each left box among `boxes`, to which the boxes that are gone are
        added; boxes that moved to another model have none.
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
    """Return the wires of both sides: a wire is kept where the other side has one like it, or one
    more between the same boxes.
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
