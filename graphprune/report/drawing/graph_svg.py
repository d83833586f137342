"""A layer graph as one SVG drawing, nested models opened, without Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from graphprune.diagnostics.terminal_text import text_width
from graphprune.graph import LayerGraph
from graphprune.report.drawing.graph_rows import place_rows
from graphprune.report.drawing.graph_view import Box, FrameView, view_graph
from graphprune.report.drawing.graph_wires import (
    LEVEL_HEIGHT,
    Wire,
    WirePlace,
    label_lines,
    place_wires,
)
from graphprune.report.drawing.layer_marks import STATUSES, Marking
from graphprune.report.drawing.svg_boxes import (
    HEADER,
    LETTERS,
    Picture,
    css_of,
    draw_head,
    draw_layer,
    draw_terminal,
    number,
    to_xml,
    tooltip,
    width_of,
)
from graphprune.report.tables import shorten

_FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_GAP, _BEND, _ROW_GAP, _MARGIN = 28, 6, 46, 28
_HEAD_LINE, _HEAD_COLUMN, _BACK = 18, 7.3, 20

_STYLE = f"""
text {{ font-family: {_FONT}; font-size: 12px; fill: #1f2733 }}
.title {{ fill: #ffffff; font-weight: 600 }}
.name {{ font-weight: 600 }}
.small {{ font-size: 11px; fill: #4b5563 }}
.shape {{ font-size: 10.5px; fill: #4b5563; paint-order: stroke; stroke: #ffffff; \
stroke-width: 4px; stroke-linejoin: round }}
.mark {{ font-size: 11px; font-weight: 600; fill: #92400e }}
.box {{ fill: #ffffff; stroke: #c3cad4 }}
.marked {{ stroke: #b45309; stroke-width: 2.5 }}
.frame {{ fill: #f6f7f9; stroke: #7b8696; stroke-dasharray: 5 3 }}
.wire {{ fill: none; stroke: #8792a2; stroke-width: 1.3 }}
.back {{ stroke-dasharray: 4 3 }}
.rail {{ fill: #e5e8ed }}
.zeros {{ fill: #b45309 }}
.zeros.before {{ fill: #5c2c06 }}
.badge {{ fill: #ffffff }}
.sign {{ font-weight: 700 }}
.line {{ font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #4b5563 }}
.box[class*="s-"], .frame[class*="s-"], .end[class*="s-"] {{ stroke-width: 3 }}
.gone {{ stroke-dasharray: 6 4 }}
path.head.gone {{ stroke-dasharray: none }}
.frame[class*="s-"]:not(.gone) {{ stroke-dasharray: none }}
.wire.added {{ stroke: #1a7f37; stroke-width: 2.6 }}
.wire.removed {{ stroke: #c62430; stroke-width: 2; stroke-dasharray: 2 4 }}
"""


def render_graph_svg(graph: LayerGraph, zeros: Mapping[tuple[str, str], int] | None = None) -> str:
    """Return the drawing of a model: boxes with sparsity bars, and arrows with tensor shapes.

    Args:
        graph: The model.
        zeros: Measured zeros by (address, tensor name); without them there are no bars.
    """
    return render_views(view_graph(graph, zeros))


def render_views(views: Mapping[str, FrameView], marking: Marking | None = None) -> str:
    """Return the drawing of a model's views, with what a plan or a diff says of it at its head."""
    kind = marking.title if marking else "layer graph"
    picture = _draw_frame(views, "")
    heading = views[""].title
    heads = list(_heads(heading, marking))
    top = _MARGIN + 30 + (len(heads) - 1) * _HEAD_LINE
    width = (
        max(picture.width, text_width(heading) * 9.5, *(head.width for head in heads)) + 2 * _MARGIN
    )
    height = picture.height + top + _MARGIN
    size = f'width="{number(width)}" height="{number(height)}"'
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {number(width)}'
            f' {number(height)}" role="img">'
        ),
        f"<title>{to_xml(heading)}: {kind}</title>",
        f"<style>{_STYLE}{_status_style() if marking else ''}</style>",
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9"'
            ' markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5 8 4 0'
            ' 7.5Z" fill="#8792a2"/></marker></defs>'
        ),
        f'<rect {size} fill="#ffffff"/>',
        *(line for head in heads for line in head.lines),
        f'<g transform="translate({number((width - picture.width) / 2)} {number(top)})">',
        *picture.lines,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _heads(heading: str, marking: Marking | None) -> Iterator[Picture]:
    """Yield the lines above the drawing: the model's name, the report's summary, the legend."""
    yield Picture(
        0,
        0,
        (
            (
                f'<text x="{_MARGIN}" y="{_MARGIN + 4}"'
                f' style="font-size:16px;font-weight:600">{to_xml(heading)}</text>'
            ),
        ),
    )
    lines = marking.lines if marking else ()
    for row, line in enumerate(lines, 1):
        yield Picture(
            text_width(line) * _HEAD_COLUMN,
            0,
            (
                (
                    f'<text class="line" xml:space="preserve" x="{_MARGIN}"'
                    f' y="{_MARGIN + 4 + row * _HEAD_LINE}">{to_xml(line)}</text>'
                ),
            ),
        )
    if marking and marking.legend:
        yield _legend(marking, _MARGIN + 8 + (len(lines) + 1) * _HEAD_LINE)


def _legend(marking: Marking, y: float) -> Picture:
    left, lines = 0.0, []
    for sign, status, words in marking.legend:
        told = f"{sign} {words}"
        lines.append(
            f'<text class="sign s-{status}" x="{number(_MARGIN + left)}"'
            f' y="{number(y)}">{to_xml(told)}</text>'
        )
        left += text_width(told) * 8 + 16
    return Picture(left, 0, tuple(lines))


def _status_style() -> str:
    return "".join(
        f".box.s-{status},.frame.s-{status},.end.s-{status}{{stroke:{colour.light}}}"
        f".sign.s-{status},.mark.s-{status}{{fill:{colour.light}}}\n"
        for status, colour in STATUSES.items()
    )


def _draw_frame(views: Mapping[str, FrameView], address: str) -> Picture:
    view = views[address]
    pictures = [_draw_box(views, box) for box in view.boxes]
    widths = [picture.width for picture in pictures]
    x = place_rows(view.rows, widths, _GAP, _BEND)
    tops, heights = _row_places(view, pictures)
    row_of = {node: row for row, nodes in enumerate(view.rows.rows) for node in nodes}
    lines: list[str] = []
    labels: list[str] = []
    right = [x[index] + width / 2 for index, width in enumerate(widths)] + [
        value + _BEND for value in x
    ]
    for wire, path, place in zip(
        view.wires,
        view.rows.paths,
        place_wires(view.wires, view.rows.paths, x, widths),
        strict=True,
    ):
        edge = max(right[wire.source], right[wire.target])
        points = _points(path, place, x, tops, heights, row_of, pictures)
        lines.append(_wire(view, wire, points, edge))
        right += [edge + _BACK] if row_of[wire.target] <= row_of[wire.source] else []
        if wire.label:
            label, end = _label(wire, place, points)
            labels.append(label)
            right.append(end)
    for index, picture in enumerate(pictures):
        lines.append(
            f'<g transform="translate({number(x[index] - picture.width / 2)}'
            f' {number(tops[row_of[index]])})">'
        )
        lines += [*picture.lines, "</g>"]
    bottom = tops[-1] + heights[-1] if tops else 0.0
    return Picture(max(right, default=0.0), bottom, (*lines, *labels))


def _label(
    wire: Wire, place: WirePlace, points: Sequence[tuple[float, float]]
) -> tuple[str, float]:
    """Return the label of a wire, below its source or above its target, and where it ends."""
    text, shift = shorten(wire.label, LETTERS), place.level * LEVEL_HEIGHT
    if place.below_source:
        left, bottom = place.start + 6, points[0][1] + 15 + shift
    else:
        left, bottom = place.end + 6, points[-1][1] - 10 - shift
    label = f'<text class="shape" x="{number(left)}" y="{number(bottom)}">{to_xml(text)}</text>'
    return label, left + text_width(text) * 6


def _row_places(view: FrameView, pictures: Sequence[Picture]) -> tuple[list[float], list[float]]:
    """Return the top and the height of each row, with room for labels between rows."""
    heights = [
        max((pictures[node].height for node in row if node < len(pictures)), default=0.0)
        for row in view.rows.rows
    ]
    below, above = (
        [
            max((lines[node] for node in row if node < len(pictures)), default=0)
            for row in view.rows.rows
        ]
        for lines in label_lines(view.wires, len(view.boxes))
    )
    tops, top = [], 0.0
    for height, under, over in zip(
        heights, below, [*above[1:], *([0] if above else [])], strict=True
    ):
        tops.append(top)
        top += height + _ROW_GAP + LEVEL_HEIGHT * (max(under - 1, 0) + max(over - 1, 0))
    return tops, heights


def _points(
    path: Sequence[int],
    place: WirePlace,
    x: Sequence[float],
    tops: Sequence[float],
    heights: Sequence[float],
    row_of: Mapping[int, int],
    pictures: Sequence[Picture],
) -> list[tuple[float, float]]:
    """Return the points of a wire: its source, both ends of each row between, its target."""
    source, target = path[0], path[-1]
    points = [(place.start, tops[row_of[source]] + pictures[source].height)]
    for bend in path[1:-1]:
        row = row_of[bend]
        points += [(x[bend], tops[row]), (x[bend], tops[row] + heights[row])]
    return [*points, (place.end, tops[row_of[target]])]


def _wire(view: FrameView, wire: Wire, points: Sequence[tuple[float, float]], edge: float) -> str:
    """Return a wire through `points`; one that goes up passes right of `edge`, where boxes end."""
    start = points[0]
    steps = [f"M{number(start[0])} {number(start[1])}"]
    back = points[-1][1] <= start[1]
    if back:
        end, bulge = points[-1], 60
        # control points of a curve whose middle is _BACK beyond the boxes
        side = (edge + _BACK - (start[0] + end[0]) / 8) / 0.75
        steps.append(
            f"C{number(side)} {number(start[1] + bulge)} {number(side)} {number(end[1] - bulge)}"
            f" {number(end[0])} {number(end[1])}"
        )
    else:
        for (left, top), (right, bottom) in pairwise(points):
            half = (top + bottom) / 2
            straight = f"L{number(right)} {number(bottom)}"
            steps.append(
                straight
                if left == right
                else (
                    f"C{number(left)} {number(half)} {number(right)} {number(half)} {number(right)}"
                    f" {number(bottom)}"
                )
            )
    source, target = view.boxes[wire.source], view.boxes[wire.target]
    change = f" {wire.change}" if wire.change else ""
    told = f"{wire.change} {source.name} to {target.name}".strip()
    told += f" ({wire.note})" if wire.note else ""
    told += f": {wire.shape}" if wire.shape else ""
    return (
        f'<path class="wire{" back" if back else ""}{change}" d="{" ".join(steps)}"'
        f' marker-end="url(#tip)"><title>{to_xml(told)}</title></path>'
    )


def _draw_box(views: Mapping[str, FrameView], box: Box) -> Picture:
    if box.frame is not None and views[box.frame].boxes:
        return _draw_model(box, _draw_frame(views, box.frame))
    return draw_terminal(box) if box.kind in ("input", "output") else draw_layer(box)


def _draw_model(box: Box, inner: Picture) -> Picture:
    title = shorten(f"{box.title}  {box.name}", LETTERS)
    width, height = (
        max(inner.width + 2 * _MARGIN, width_of([f"{box.sign}  {title}  {box.calls_text}"])),
        inner.height + HEADER + 2 * 18,
    )
    status = css_of(box)
    return Picture(
        width,
        height,
        (
            tooltip(box),
            (
                f'<rect class="frame{status}" width="{number(width)}" height="{number(height)}"'
                ' rx="8"/>'
            ),
            *draw_head(box, title, width),
            f'<g transform="translate({number((width - inner.width) / 2)} {HEADER + 18})">',
            *inner.lines,
            "</g>",
        ),
    )
