"""Where wires leave and meet their boxes, and where their labels stand: a place for each tensor, no
two labels of a box on one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphprune.report.drawing.graph_view import FrameView

_STEP, _SHARE = 24, 0.7
"""Between two wires at a box: this far, but over no more than this share of its width."""
_LEVELS = 8
"""Lines of labels at one end of a box; where there are more, they begin again."""
LEVEL_HEIGHT = 12


@dataclass(frozen=True, slots=True)
class WirePlace:
    """One wire's ends as x; its label stands below its source or above its target, `level` lines
    from there (0 is nearest).
    """

    start: float
    end: float
    below_source: bool
    level: int


def label_lines(view: FrameView) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return how many lines of labels stand below and above each box."""
    below, above = [0] * len(view.boxes), [0] * len(view.boxes)
    for wire in view.wires:
        if wire.label:
            side, box = (below, wire.source) if wire.is_alone else (above, wire.target)
            side[box] = min(side[box] + 1, _LEVELS)
    return tuple(below), tuple(above)


def place_wires(
    view: FrameView, x: Sequence[float], widths: Sequence[float]
) -> tuple[WirePlace, ...]:
    """Return the place of each wire; those into a box meet it in the order in which they come from
    left to right.

    Args:
        view: The boxes and wires.
        x: The middle of each box and bend.
        widths: Of the boxes.
    """
    ports = [1] * len(view.boxes)
    into: dict[int, list[int]] = {}
    for index, wire in enumerate(view.wires):
        ports[wire.source] = max(ports[wire.source], wire.port + 1)
        into.setdefault(wire.target, []).append(index)
    ends: dict[int, float] = {}
    order: list[int] = []
    for target, wires in into.items():
        wires.sort(key=lambda index: (x[view.rows.paths[index][-2]], view.wires[index].port))
        ends.update(
            {
                index: x[target] + _offset(place, len(wires), widths[target])
                for place, index in enumerate(wires)
            }
        )
        # the rightmost label stands nearest to the box, so that no wire crosses it
        order += reversed(wires)
    below, above = [0] * len(view.boxes), [0] * len(view.boxes)
    levels: dict[int, int] = {}
    for index in order:
        wire = view.wires[index]
        side, box = (below, wire.source) if wire.is_alone else (above, wire.target)
        levels[index] = side[box] % _LEVELS
        side[box] += bool(wire.label)
    starts = [
        x[wire.source] + _offset(wire.port, ports[wire.source], widths[wire.source])
        for wire in view.wires
    ]
    return tuple(
        WirePlace(starts[index], ends[index], wire.is_alone, levels[index])
        for index, wire in enumerate(view.wires)
    )


def _offset(place: int, count: int, width: float) -> float:
    """Return how far from a box's middle the wire at `place` of `count` stands."""
    return (place - (count - 1) / 2) * min(_STEP, _SHARE * width / max(count - 1, 1))
