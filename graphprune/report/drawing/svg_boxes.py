"""The boxes of an SVG drawing: layers, inputs and outputs, each around the corner (0, 0)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from graphprune.diagnostics.terminal_text import text_width
from graphprune.report.drawing.graph_view import Box
from graphprune.report.drawing.layer_marks import COLOURS, share_text
from graphprune.report.tables import shorten, shorten_middle

LETTERS = 38
"""Columns of text in a box; longer texts are shortened, and whole in the tooltip."""
HEADER = 24
_COLUMN, _BOLD_COLUMN, _SMALL_COLUMN = 6.6, 8.3, 6.3
"""Widths of a column of text in the widest of the fonts."""
_LINE, _PAD = 16, 10
_NARROWEST, _NARROWEST_END, _SHORTEST_RAIL = 168, 120, 60
_BAR = 22
_UNPRINTABLE_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Picture:
    """Something drawn: its size, and its elements."""

    width: float
    height: float
    lines: tuple[str, ...]


def draw_terminal(box: Box) -> Picture:
    """Return an input or output of the model, round at its ends."""
    text = shorten(f"{box.title}  {box.name}", LETTERS)
    badge = _badge(box, 12, 6)
    width, height = max(text_width(text) * _BOLD_COLUMN + 32 + badge.width, _NARROWEST_END), 30.0
    middle = (width + badge.width) / 2
    return Picture(
        width,
        height,
        (
            tooltip(box),
            (
                f'<rect class="end{css_of(box)}" width="{number(width)}" height="{number(height)}"'
                f' rx="15" fill="{COLOURS[box.category]}"/>'
            ),
            *badge.lines,
            (
                f'<text class="title" x="{number(middle)}" y="19.5"'
                f' text-anchor="middle">{to_xml(text)}</text>'
            ),
        ),
    )


def draw_layer(box: Box) -> Picture:
    """Return a layer: its class on its colour, its name, weights, settings, mark and bar below."""
    mark: list[tuple[str, str]] = []
    if box.mark:
        mark.append(("mark", box.mark if box.sign else f"● {box.mark}"))
    rows = [
        ("name", box.name),
        *(("small", text) for text in (*box.weights, *box.attributes)),
        *mark,
    ]
    rows = [
        (kind, (shorten_middle if kind == "name" else shorten)(text, LETTERS))
        for kind, text in rows
    ]
    share = share_text(box.before, box.sparsity)
    width = width_of(
        [_titled(box), *(text for kind, text in rows if kind != "small")],
        [text for kind, text in rows if kind == "small"],
    )
    width = (
        max(width, text_width(share) * _SMALL_COLUMN + _SHORTEST_RAIL + 2 * _PAD)
        if share
        else width
    )
    top = HEADER + 6 + len(rows) * _LINE
    height = top + (_BAR if share else 0) + 6
    lines = [
        tooltip(box),
        (
            f'<rect class="box{css_of(box)}{" marked" if box.mark and not box.sign else ""}"'
            f' width="{number(width)}" height="{number(height)}" rx="6"/>'
        ),
        *draw_head(box, shorten(box.title, LETTERS), width),
    ]
    for index, (kind, text) in enumerate(rows):
        lines.append(
            f'<text class="{kind}{css_of(box) if kind == "mark" else ""}" x="{_PAD}"'
            f' y="{HEADER + 18 + index * _LINE}">{to_xml(text)}</text>'
        )
    return Picture(width, height, (*lines, *_bar(box, share, width, top)))


def draw_head(box: Box, title: str, width: float) -> Iterator[str]:
    """Yield the coloured head of a box with its sign and `title`, and how often it is called."""
    badge = _badge(box, 5, 4)
    path = f"M0.5 {HEADER}V6.5a6 6 0 0 1 6-6H{number(width - 6.5)}a6 6 0 0 1 6 6V{HEADER}Z"
    yield f'<path class="head{css_of(box)}" d="{path}" fill="{COLOURS[box.category]}"/>'
    yield from badge.lines
    yield f'<text class="title" x="{number(_PAD + badge.width)}" y="16">{to_xml(title)}</text>'
    if box.calls_text:
        yield (
            f'<text class="title calls" x="{number(width - _PAD)}" y="16"'
            f' text-anchor="end">{to_xml(box.calls_text)}</text>'
        )


def css_of(box: Box) -> str:
    """Return the CSS classes that say what a plan or diff does to the box, each after a space."""
    names = [f"s-{box.status}"] if box.status else []
    return "".join(f" {name}" for name in (*names, *["gone"] * box.is_gone))


def _titled(box: Box) -> str:
    return "  ".join((box.sign, shorten(box.title, LETTERS), box.calls_text))


def _badge(box: Box, left: float, top: float) -> Picture:
    """Return the sign of a plan or diff on white, or an empty picture."""
    if not box.sign:
        return Picture(0, 0, ())
    width = 10 + text_width(box.sign) * _BOLD_COLUMN
    sign = (
        f'<text class="sign{css_of(box)}" x="{number(left + width / 2)}" y="{number(top + 12.5)}"'
        f' text-anchor="middle">{to_xml(box.sign)}</text>'
    )
    return Picture(
        width,
        16,
        (
            (
                f'<rect class="badge" x="{number(left)}" y="{number(top)}" width="{number(width)}"'
                ' height="16" rx="4"/>'
            ),
            sign,
        ),
    )


def _bar(box: Box, share: str, width: float, top: float) -> Iterator[str]:
    """Yield the sparsity bar: filled to the share of zeros, and darker to the share before."""
    if not share:
        return
    rail = width - 3 * _PAD - text_width(share) * _SMALL_COLUMN
    place = f'y="{number(top + 8)}" height="7" rx="3.5"'
    yield f'<rect class="rail" x="{_PAD}" width="{number(rail)}" {place}/>'
    for kind, zeros in (("zeros", box.sparsity), ("zeros before", box.before)):
        if zeros:
            yield (
                f'<rect class="{kind}" x="{_PAD}" width="{number(max(rail * zeros, 2))}" {place}/>'
            )
    yield (
        f'<text class="small" x="{number(width - _PAD)}" y="{number(top + 15.5)}"'
        f' text-anchor="end">{to_xml(share)}</text>'
    )


def width_of(bold: Sequence[str], plain: Sequence[str] = ()) -> float:
    """Return how wide a box must be for these lines of text."""
    widths = [text_width(text) * _BOLD_COLUMN for text in bold] + [
        text_width(text) * _COLUMN for text in plain
    ]
    return max(_NARROWEST, *(width + 2 * _PAD for width in widths))


def tooltip(box: Box) -> str:
    """Return the full texts of the box."""
    share = share_text(box.before, box.sparsity)
    told = [
        f"{box.sign} {box.title} {box.name}".strip(),
        box.calls_text,
        *box.weights,
        *box.attributes,
        box.mark,
        f"zeros {share}" if share else "",
    ]
    told.append(f"gives {box.shape}" if box.shape else "")
    return f"<title>{to_xml(chr(10).join(filter(None, told)))}</title>"


def to_xml(text: str) -> str:
    """Return `text` for XML; what no XML file may hold becomes a replacement sign."""
    return escape(_UNPRINTABLE_IN_XML.sub("\ufffd", text), {'"': "&quot;"})


def number(value: float) -> str:
    """Return a length with one decimal at most."""
    return f"{round(value, 1):g}" if abs(value) < 100_000 else f"{value:.1f}"
