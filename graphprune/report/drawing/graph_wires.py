"""The wires of a drawing: one for each tensor that a box takes from another.

A wire has the tensor's shape, a note on how it is used, and a place at both boxes such that no two
labels of a box overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.graph.classes.builtin_layers import layer_class
from graphprune.graph.frames import Use
from graphprune.graph.layers import name_call

MOST_ALIKE = 8
"""More tensors than this from one box to another share the last wire."""


@dataclass(frozen=True, slots=True)
class Wire:
    """One tensor from a box to another, by their numbers.

    Attributes:
        source, target: The boxes.
        shape: The tensor's shape, empty where it is not known.
        note: Which call or output of the source it comes from, which call of the target takes it,
            and as what; empty where there is no choice.
        change: `added` or `removed` where only one side of a diff has it.
        port: The place of its tensor among those that the source gives, from 0.
        is_alone: Whether no other wire carries this tensor, so that its label can stand below its
            source.
        use: Source call, tensor index, target call and argument.
    """

    source: int
    target: int
    shape: str = ""
    note: str = ""
    change: str = ""
    port: int = 0
    is_alone: bool = True
    use: tuple[int, int, int, str] = (0, 0, 0, "0")

    @property
    def label(self) -> str:
        """What a drawing writes beside the wire."""
        return " ".join(filter(None, (self.shape, f"({self.note})" if self.note else "")))


@dataclass(slots=True)
class WireList:
    """Collects the tensor uses of one model, in the order of its drawing."""

    _found: list[Wire] = field(default_factory=list)
    _made: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    _kinds: dict[int, str] = field(default_factory=dict)

    def add(self, source: int, target: int, call: int, use: Use, shape: str, kind: str) -> None:
        """Add the tensor that call `call` of the box `target`, a layer of class `kind`, takes."""
        self._kinds[target] = kind
        self._made.setdefault(source, set()).add((use.source_call, use.source_tensor))
        self._found.append(
            Wire(
                source,
                target,
                shape,
                use=(
                    use.source_call,
                    use.source_tensor,
                    call,
                    layer_class(kind).argument_name(use.argument),
                ),
            )
        )

    def made_by(self, source: int) -> list[tuple[int, int]]:
        """Return the tensors of a box that are taken: call and index, in order."""
        return sorted(self._made.get(source, ()))

    def wires(self, calls: Sequence[int]) -> tuple[Wire, ...]:
        """Return the wires with their notes; `calls` tells how often each box is called."""
        ports = {
            source: {made: port for port, made in enumerate(sorted(all_made))}
            for source, all_made in self._made.items()
        }
        takes = Counter(self._rivals(wire) for wire in self._found if wire.use[3].isdecimal())
        noted = [
            replace(
                wire,
                port=ports[wire.source][wire.use[:2]],
                note=_note(
                    wire,
                    calls,
                    len({tensor for _, tensor in self._made[wire.source]}),
                    takes[self._rivals(wire)],
                ),
            )
            for wire in self._found
        ]
        return mark_alone(_bundled(noted))

    def _rivals(self, wire: Wire) -> tuple[int, ...]:
        """Return the key of the wires that need notes to tell them apart.

        These are the wires into one call; from one source if the order of inputs has no meaning.
        """
        target = wire.target, wire.use[2]
        return (
            (*target, wire.source) if layer_class(self._kinds[wire.target]).is_symmetric else target
        )


def mark_alone(wires: Sequence[Wire]) -> tuple[Wire, ...]:
    """Return the wires with `is_alone` set if no other wire has the same tensor."""
    takers = Counter((wire.source, wire.port) for wire in wires)
    return tuple(replace(wire, is_alone=takers[wire.source, wire.port] == 1) for wire in wires)


def _note(wire: Wire, calls: Sequence[int], outputs: int, takes: int) -> str:
    source_call, tensor, call, argument = wire.use
    parts = [f"of {name_call(source_call)}"] if calls[wire.source] > 1 else []
    parts += [f"output {tensor}"] if outputs > 1 or tensor else []
    role = argument
    if argument.isdecimal():
        role = f"input {argument}" if takes > 1 else ""
    if calls[wire.target] > 1:
        role = f"{name_call(call)}: {role}" if role else name_call(call)
    return escape_controls(", ".join([*parts, role] if role else parts))


def _bundled(wires: Sequence[Wire]) -> list[Wire]:
    """Return the first few wires between any two boxes, with a count of the others."""
    total = Counter((wire.source, wire.target) for wire in wires)
    seen: Counter[tuple[int, int]] = Counter()
    kept = []
    for wire in wires:
        ends = wire.source, wire.target
        seen[ends] += 1
        if seen[ends] == MOST_ALIKE and total[ends] > MOST_ALIKE:
            kept.append(replace(wire, shape="", note=f"{total[ends] - MOST_ALIKE + 1} more"))
        elif seen[ends] <= MOST_ALIKE:
            kept.append(wire)
    return kept


_STEP, _SHARE = 24, 0.7
"""Between two wires at a box: this far, but over no more than this share of its width."""
_LEVELS = 8
"""Lines of labels at one end of a box; where there are more, they begin again."""
LEVEL_HEIGHT = 12


@dataclass(frozen=True, slots=True)
class WirePlace:
    """The ends of one wire as x, and the place of its label.

    The label is below the source or above the target, `level` lines away (0 is nearest).
    """

    start: float
    end: float
    below_source: bool
    level: int


def label_lines(wires: Sequence[Wire], boxes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the number of label lines below and above each of `boxes` boxes."""
    below, above = [0] * boxes, [0] * boxes
    for wire in wires:
        if wire.label:
            side, box = (below, wire.source) if wire.is_alone else (above, wire.target)
            side[box] = min(side[box] + 1, _LEVELS)
    return tuple(below), tuple(above)


def place_wires(
    wires: Sequence[Wire],
    paths: Sequence[Sequence[int]],
    x: Sequence[float],
    widths: Sequence[float],
) -> tuple[WirePlace, ...]:
    """Return the place of each wire; a box takes its wires in the order of their last bend.

    Args:
        wires: The wires.
        paths: The boxes and bends that each wire passes.
        x: The middle of each box and bend.
        widths: Of the boxes.
    """
    ports = [1] * len(widths)
    into: dict[int, list[int]] = {}
    for index, wire in enumerate(wires):
        ports[wire.source] = max(ports[wire.source], wire.port + 1)
        into.setdefault(wire.target, []).append(index)
    ends: dict[int, float] = {}
    order: list[int] = []
    for target, found in into.items():
        found.sort(key=lambda index: (x[paths[index][-2]], wires[index].port))
        ends |= {
            index: x[target] + _offset(place, len(found), widths[target])
            for place, index in enumerate(found)
        }
        # the rightmost label is nearest to the box, so that no wire crosses it
        order += reversed(found)
    levels = _label_levels(wires, order, len(widths))
    return tuple(
        WirePlace(
            x[wire.source] + _offset(wire.port, ports[wire.source], widths[wire.source]),
            ends[index],
            wire.is_alone,
            levels[index],
        )
        for index, wire in enumerate(wires)
    )


def _label_levels(wires: Sequence[Wire], order: Sequence[int], boxes: int) -> dict[int, int]:
    """Return the line of each wire's label, counted from its box; wires in `order`."""
    below, above = [0] * boxes, [0] * boxes
    levels: dict[int, int] = {}
    for index in order:
        wire = wires[index]
        side, box = (below, wire.source) if wire.is_alone else (above, wire.target)
        levels[index] = side[box] % _LEVELS
        side[box] += bool(wire.label)
    return levels


def _offset(place: int, count: int, width: float) -> float:
    """Return how far from a box's middle the wire at `place` of `count` stands."""
    return (place - (count - 1) / 2) * min(_STEP, _SHARE * width / max(count - 1, 1))
