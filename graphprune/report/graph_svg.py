"""A layer graph as one SVG drawing, nested models opened, without Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from graphprune.graph import LayerGraph
from graphprune.report.graph_rows import place_rows
from graphprune.report.graph_view import Box, FrameView, Wire, view_graph
from graphprune.report.layer_categories import COLOURS
from graphprune.report.numbers import format_share
from graphprune.report.tables import shorten, text_width

_FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_LETTERS = 38
"""Columns of text in a box; a longer text ends in an ellipsis and is whole in the tooltip."""
_COLUMN, _BOLD_COLUMN = 6.6, 8.3
"""Widths of a column of text in the widest of the fonts."""
_LINE, _HEADER, _PAD = 16, 24, 10
_NARROWEST = 168
_GAP, _BEND, _ROW_GAP, _MARGIN = 28, 6, 46, 28
_BAR = 22
_UNPRINTABLE_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STYLE = f"""
text {{ font-family: {_FONT}; font-size: 12px; fill: #1f2733 }}
.title {{ fill: #ffffff; font-weight: 600 }}
.name {{ font-weight: 600 }}
.small {{ font-size: 11px; fill: #4b5563 }}
.shape {{ font-size: 10.5px; fill: #4b5563; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }}
.mark {{ font-size: 11px; font-weight: 600; fill: #92400e }}
.box {{ fill: #ffffff; stroke: #c3cad4 }}
.marked {{ stroke: #b45309; stroke-width: 2.5 }}
.frame {{ fill: #f6f7f9; stroke: #7b8696; stroke-dasharray: 5 3 }}
.wire {{ fill: none; stroke: #8792a2; stroke-width: 1.3 }}
.back {{ stroke-dasharray: 4 3 }}
.rail {{ fill: #e5e8ed }}
.zeros {{ fill: #b45309 }}
"""


@dataclass(frozen=True, slots=True)
class _Picture:
    """One frame drawn: its size, and its elements around the corner (0, 0)."""

    width: float
    height: float
    lines: tuple[str, ...]


def render_graph_svg(graph: LayerGraph, zeros: Mapping[tuple[str, str], int] | None = None) -> str:
    """Return the drawing: boxes titled by class and coloured by category, tensor shapes below the layers that give them, bars of sparsity.

    Args:
        graph: The model.
        zeros: Measured zeros by (address, tensor name); without them there are no bars.
    """
    views = view_graph(graph, zeros)
    picture = _draw_frame(views, "")
    heading = views[""].title
    width, height = max(picture.width, text_width(heading) * 9.5) + 2 * _MARGIN, picture.height + 2 * _MARGIN + 30
    size = f'width="{_number(width)}" height="{_number(height)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_number(width)} {_number(height)}" role="img">',
        f"<title>{_text(heading)}: layer graph</title>",
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.5 8 4 0 7.5Z" fill="#8792a2"/></marker></defs>',
        f'<rect {size} fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="{_MARGIN + 4}" style="font-size:16px;font-weight:600">{_text(heading)}</text>',
        f'<g transform="translate({_number((width - picture.width) / 2)} {_MARGIN + 30})">',
        *picture.lines,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _draw_frame(views: Mapping[str, FrameView], address: str) -> _Picture:
    view = views[address]
    pictures = [_draw_box(views, box) for box in view.boxes]
    x = place_rows(view.rows, [picture.width for picture in pictures], _GAP, _BEND)
    tops, heights = _row_places(view, pictures)
    row_of = {node: row for row, nodes in enumerate(view.rows.rows) for node in nodes}
    middle = [(x[index], tops[row_of[index]]) for index in range(len(pictures))]
    lines: list[str] = []
    for wire, path in zip(view.wires, view.rows.paths, strict=True):
        lines.append(_wire(view, wire, _points(path, x, tops, heights, row_of, pictures)))
    for (left, top), picture, box in zip(middle, pictures, view.boxes, strict=True):
        lines.append(f'<g transform="translate({_number(left - picture.width / 2)} {_number(top)})">')
        lines += [*picture.lines, "</g>"]
        if box.shape:
            lines.append(f'<text class="shape" x="{_number(left + 6)}" y="{_number(top + picture.height + 15)}">{_text(shorten(box.shape, _LETTERS))}</text>')
    right = [left + picture.width / 2 for (left, _), picture in zip(middle, pictures, strict=True)]
    right += [left + 6 + text_width(shorten(box.shape, _LETTERS)) * 6 for (left, _), box in zip(middle, view.boxes, strict=True) if box.shape]
    bottom = tops[-1] + heights[-1] if tops else 0.0
    return _Picture(max([*right, *(value + _BEND for value in x)], default=0.0), bottom, tuple(lines))


def _row_places(view: FrameView, pictures: Sequence[_Picture]) -> tuple[list[float], list[float]]:
    """Return the top and the height of each row."""
    heights = [max((pictures[node].height for node in row if node < len(pictures)), default=0.0) for row in view.rows.rows]
    tops, top = [], 0.0
    for height in heights:
        tops.append(top)
        top += height + _ROW_GAP
    return tops, heights


def _points(
    path: Sequence[int], x: Sequence[float], tops: Sequence[float], heights: Sequence[float], row_of: Mapping[int, int], pictures: Sequence[_Picture]
) -> list[tuple[float, float]]:
    """Return where a wire passes: the bottom of its source, top and bottom of each row between, the top of its target."""
    source, target = path[0], path[-1]
    points = [(x[source], tops[row_of[source]] + pictures[source].height)]
    for bend in path[1:-1]:
        row = row_of[bend]
        points += [(x[bend], tops[row]), (x[bend], tops[row] + heights[row])]
    return [*points, (x[target], tops[row_of[target]])]


def _wire(view: FrameView, wire: Wire, points: Sequence[tuple[float, float]]) -> str:
    start = points[0]
    steps = [f"M{_number(start[0])} {_number(start[1])}"]
    back = points[-1][1] <= start[1]
    if back:
        end, bulge = points[-1], 60
        side = max(start[0], end[0]) + 120
        curve = f"C{_number(side)} {_number(start[1] + bulge)} {_number(side)} {_number(end[1] - bulge)} {_number(end[0])} {_number(end[1])}"
        steps.append(curve)
    else:
        for (left, top), (right, bottom) in pairwise(points):
            half = (top + bottom) / 2
            straight = f"L{_number(right)} {_number(bottom)}"
            steps.append(straight if left == right else f"C{_number(left)} {_number(half)} {_number(right)} {_number(half)} {_number(right)} {_number(bottom)}")
    source, target = view.boxes[wire.source], view.boxes[wire.target]
    told = f"{source.name} to {target.name}" + (f" ({wire.note})" if wire.note else "") + (f": {source.shape}" if source.shape else "")
    return f'<path class="wire{" back" if back else ""}" d="{" ".join(steps)}" marker-end="url(#tip)"><title>{_text(told)}</title></path>'


def _draw_box(views: Mapping[str, FrameView], box: Box) -> _Picture:
    if box.kind == "model" and views[box.address].boxes:
        return _draw_model(box, _draw_frame(views, box.address))
    return _draw_terminal(box) if box.kind in ("input", "output") else _draw_layer(box)


def _draw_terminal(box: Box) -> _Picture:
    text = shorten(f"{box.title}  {box.name}", _LETTERS)
    width, height = max(text_width(text) * _BOLD_COLUMN + 32, _NARROWEST - 48), 30.0
    return _Picture(
        width,
        height,
        (
            _tooltip(box),
            f'<rect width="{_number(width)}" height="{_number(height)}" rx="15" fill="{COLOURS[box.category]}"/>',
            f'<text class="title" x="{_number(width / 2)}" y="19.5" text-anchor="middle">{_text(text)}</text>',
        ),
    )


def _draw_layer(box: Box) -> _Picture:
    rows = [("name", box.name), *(("small", text) for text in (*box.weights, *box.attributes)), *([("mark", f"● {box.mark}")] if box.mark else [])]
    rows = [(kind, shorten(text, _LETTERS)) for kind, text in rows]
    title = shorten(box.title, _LETTERS)
    bar = _BAR if box.sparsity is not None else 0
    width = _width_of([title, *(text for kind, text in rows if kind != "small")], [text for kind, text in rows if kind == "small"])
    height = _HEADER + 6 + len(rows) * _LINE + bar + 6
    lines = [
        _tooltip(box),
        f'<rect class="box{" marked" if box.mark else ""}" width="{_number(width)}" height="{_number(height)}" rx="6"/>',
        f'<path d="{_header_path(width)}" fill="{COLOURS[box.category]}"/>',
        f'<text class="title" x="{_PAD}" y="16">{_text(title)}</text>',
    ]
    for index, (kind, text) in enumerate(rows):
        lines.append(f'<text class="{kind}" x="{_PAD}" y="{_HEADER + 18 + index * _LINE}">{_text(text)}</text>')
    return _Picture(width, height, (*lines, *_bar(box, width, _HEADER + 6 + len(rows) * _LINE)))


def _bar(box: Box, width: float, top: float) -> Iterator[str]:
    """Yield the bar of sparsity: as long as the share of zeros, with the share as text beside it."""
    if box.sparsity is None:
        return
    rail = width - 2 * _PAD - 46
    yield f'<rect class="rail" x="{_PAD}" y="{_number(top + 8)}" width="{_number(rail)}" height="7" rx="3.5"/>'
    if box.sparsity > 0:
        yield f'<rect class="zeros" x="{_PAD}" y="{_number(top + 8)}" width="{_number(max(rail * box.sparsity, 2))}" height="7" rx="3.5"/>'
    yield f'<text class="small" x="{_number(width - _PAD)}" y="{_number(top + 15.5)}" text-anchor="end">{_text(format_share(box.sparsity))}</text>'


def _draw_model(box: Box, inner: _Picture) -> _Picture:
    title = shorten(f"{box.title}  {box.name}", _LETTERS)
    width, height = max(inner.width + 2 * _MARGIN, _width_of([title])), inner.height + _HEADER + 2 * 18
    return _Picture(
        width,
        height,
        (
            _tooltip(box),
            f'<rect class="frame" width="{_number(width)}" height="{_number(height)}" rx="8"/>',
            f'<path d="{_header_path(width)}" fill="{COLOURS["model"]}"/>',
            f'<text class="title" x="{_PAD}" y="16">{_text(title)}</text>',
            f'<g transform="translate({_number((width - inner.width) / 2)} {_HEADER + 18})">',
            *inner.lines,
            "</g>",
        ),
    )


def _header_path(width: float) -> str:
    return f"M0.5 {_HEADER}V6.5a6 6 0 0 1 6-6H{_number(width - 6.5)}a6 6 0 0 1 6 6V{_HEADER}Z"


def _width_of(bold: Sequence[str], plain: Sequence[str] = ()) -> float:
    widths = [text_width(text) * _BOLD_COLUMN for text in bold] + [text_width(text) * _COLUMN for text in plain]
    return max(_NARROWEST, *(width + 2 * _PAD for width in widths))


def _tooltip(box: Box) -> str:
    told = [f"{box.title} {box.name}", *box.weights, *box.attributes, box.mark, f"gives {box.shape}" if box.shape else ""]
    return f"<title>{_text(chr(10).join(filter(None, told)))}</title>"


def _text(text: str) -> str:
    """Return `text` for XML; what no XML file may hold becomes a replacement sign."""
    return escape(_UNPRINTABLE_IN_XML.sub("\ufffd", text), {'"': "&quot;"})


def _number(value: float) -> str:
    return f"{round(value, 1):g}" if abs(value) < 100_000 else f"{value:.1f}"
