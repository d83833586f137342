"""The marks and colours of layers in a drawing.

A layer has the colour of its category; a plan or a diff adds a sign, a status with a colour of its
own, words, and the sparsity before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphprune.graph.classes.builtin_layers import is_custom, known_class, layer_class
from graphprune.graph.layers import Layer
from graphprune.report.numbers import format_share

Facts = tuple[tuple[str, str], ...]
"""Names and values, as a panel shows them."""


@dataclass(frozen=True, slots=True)
class LayerMark:
    """The change of one layer; its texts are not yet escaped.

    Attributes:
        sign: The text mark of the report, so that colour is never alone (`+`, `-/+`, `> w`).
        status: One key of `STATUSES`; it gives the colour.
        text: What the box says of it.
        before, after: The share of zeros in the prunable weights; None where it was not measured,
            or there are none.
        facts: What the panel says of it.
        tensors: What the panel says of each tensor, by its name.
    """

    sign: str
    status: str
    text: str
    before: float | None = None
    after: float | None = None
    facts: Facts = ()
    tensors: Mapping[str, Facts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Marking:
    """All marks of a drawing.

    Attributes:
        title: What the drawing is of: `plan`, `diff`.
        lines: What stands at its head, one text a line.
        marks: By address; of a diff, those of the right side.
        removed: By address on the left side: layers that only that side has.
        legend: (sign, status, words) of the marks in use.
    """

    title: str
    lines: tuple[str, ...]
    marks: Mapping[str, LayerMark]
    removed: Mapping[str, LayerMark] = field(default_factory=dict)
    legend: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Colour:
    """The colour of a status on light and on dark paper."""

    light: str
    dark: str


_GREEN, _RED, _AMBER = (
    Colour("#1a7f37", "#4ac26b"),
    Colour("#c62430", "#ff8182"),
    Colour("#8f5f00", "#e3b341"),
)
_BLUE, _VIOLET, _PINK = (
    Colour("#0a62c9", "#79b8ff"),
    Colour("#7a45d1", "#c297ff"),
    Colour("#b03284", "#ff9bce"),
)
_TEAL, _GREY = Colour("#0b6f80", "#56c2d1"), Colour("#5b6675", "#a3adbb")

STATUSES: Mapping[str, Colour] = {
    "wrap": _GREEN,
    "unwrap": _RED,
    "retarget": _AMBER,
    "rewrap": _AMBER,
    "keep": _BLUE,
    "unclaimed": _GREY,
    "noop": _TEAL,
    "added": _GREEN,
    "removed": _RED,
    "reconfigured": _AMBER,
    "renamed": _BLUE,
    "wrapped": _VIOLET,
    "unwrapped": _PINK,
    "changed": _TEAL,
}
"""Each at least 4.5 to 1 against its paper, white or nearly black."""


def share_text(before: float | None, after: float | None) -> str:
    """Return the sparsity of a bar as text.

    Example:
        >>> (
        ...     share_text(0.0, 0.9),
        ...     share_text(0.5, 0.5),
        ...     share_text(None, 0.5),
        ...     share_text(0.25, None),
        ...     share_text(None, None),
        ... )
        ('0.0% → 90.0%', '50.0%', '50.0%', '25.0%', '')
    """
    known = [format_share(share) for share in (before, after) if share is not None]
    return " → ".join(dict.fromkeys(known))


COLOURS: Mapping[str, str] = {
    "convolution": "#35639c",
    "dense": "#66539a",
    "sequence": "#8a4a72",
    "embedding": "#4f6d2f",
    "normalization": "#41704c",
    "activation": "#94522f",
    "pooling": "#26727a",
    "shape": "#5d6673",
    "merge": "#766423",
    "regularization": "#7b5468",
    "operation": "#4c5a6b",
    "custom": "#7a4a4a",
    "model": "#3b4453",
    "input": "#2d5d4f",
    "output": "#2d5d4f",
}
"""Dark enough for white text on each (contrast of 4.5 to 1 at least)."""


def category_of(layer: Layer) -> str:
    """Return the layer's category, a key of `COLOURS`; `custom` for every custom layer."""
    if layer.kind != "layer":
        return layer.kind
    if is_custom(layer.entry):
        return "custom"
    return (known_class(layer.entry) or layer_class(layer.type)).category
