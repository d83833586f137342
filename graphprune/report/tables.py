"""Lines and tables of a report, safe to print on a terminal.

Rich draws only the live line of a training run. Its tables were tried: 10,000 rows of nine cells
take 47 s, here 0.6 s (Rich 15.0, same machine); columns cannot give way in a stated order, an empty
column takes space, and a line cannot be broken with an indent. Its widths of characters differ
between versions, and the same input must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.diagnostics.terminal_text import Paint, escape_controls, plain, text_width

HANGING = 4
"""Further indent of the rest of a broken line, in columns."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report, and its parts that have a colour on a terminal.

    Attributes:
        text: The line without colour.
        parts: Start, end and kind of each coloured part; the kind is a sign such as `+`.
    """

    text: str
    parts: tuple[tuple[int, int, str], ...] = ()

    @property
    def sign(self) -> str:
        """The sign that the line begins with; empty for none."""
        return self.parts[0][2] if self.parts else ""


def join_blocks(blocks: Iterable[Sequence[Line]]) -> list[Line]:
    """Return the lines of all blocks, with an empty line between two; empty blocks are left out."""
    lines: list[Line] = []
    for block in blocks:
        lines += [Line(""), *block] if lines and block else block
    return lines


def to_lines(text: str) -> list[Line]:
    """Return `text` as lines without colour; no line for an empty text."""
    return [Line(line) for line in text.split("\n")] if text else []


def render_lines(lines: Iterable[Line], width: int | None = None, paint: Paint = plain) -> str:
    r"""Return the lines as text, coloured by `paint`; the last one ends with a line break.

    A line that is longer than `width` columns is broken, at a space where there is one, and what
    follows is indented. Nothing is broken without a width.

    Example:
        >>> lines = [Line("  + conv2d_1 -> flatten (input 1)", ((2, 12, "+"),)), Line("short")]
        >>> print(render_lines(lines, 24, lambda kind, text: f"[{text}]"), end="")
          [+ conv2d_1] -> flatten
              (input 1)
        short
    """
    return "".join(f"{part}\n" for line in lines for part in _render_line(line, width, paint))


def _render_line(line: Line, width: int | None, paint: Paint) -> Iterator[str]:
    first, *rest = [line.text] if width is None else _wrap(line.text, width)
    pieces, at = [], 0
    for start, end, kind in line.parts:
        part = first[start:end]
        pieces += [first[at:start], paint(kind, part) if part else ""]
        at = end
    yield "".join([*pieces, first[at:]])
    yield from rest


def shorten(text: str, width: int) -> str:
    """Return `text`, cut to `width` columns with an ellipsis where it is longer.

    Example:
        >>> shorten("kernel [in 784, out 300]", 10)
        'kernel [i…'
    """
    if text_width(text) <= width:
        return text
    while text and text_width(text) > max(width - 1, 0):
        text = text[:-1]
    return text + "…"


def shorten_middle(text: str, width: int) -> str:
    """Return `text`, with an ellipsis for its middle if it is longer than `width` columns.

    The beginning and the end of a name tell layers apart.

    Example:
        >>> shorten_middle("expanded_conv_depthwise_BN", 15), shorten_middle("fc1", 15)
        ('expande…wise_BN', 'fc1')
    """
    if text_width(text) <= width:
        return text
    start = shorten(text, width - width // 2)
    end = text[len(start) - 1 :]
    while text_width(end) > width // 2:
        end = end[1:]
    return start + end


def _wrap(line: str, width: int) -> list[str]:
    if text_width(line) <= width:
        return [line]
    indent = " " * min(len(line) - len(line.lstrip()) + HANGING, width // 2)
    lines, rest = [], line
    while text_width(rest) > width:
        head = rest
        while text_width(head) > max(width, len(indent) + 2):
            head = head[:-1]
        end = len(head) if rest[len(head)] == " " else head.rfind(" ")
        if end <= len(rest) - len(rest.lstrip()):
            end = len(head)
        lines.append(rest[:end].rstrip())
        rest = indent + rest[end:].lstrip()
    return [*lines, rest]


def align_rows(
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    *,
    gaps: Mapping[int, int] | None = None,
    indent: str = "",
) -> list[str]:
    """Return one line a row, with aligned columns and escaped control characters.

    Args:
        rows: The cells; rows may differ in length.
        right: Columns (from 0) that are aligned to the right.
        gaps: Spaces before a column where that is not 2.
        indent: What every line starts with.

    Example:
        >>> for line in align_rows(
        ...     [["fc1", "235,200", "dense"], ["predictions", "1,000"]], right={1}
        ... ):
        ...     print(line)
        fc1          235,200  dense
        predictions    1,000
    """
    cells = [[escape_controls(cell) for cell in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    widths = [
        max((text_width(row[column]) for row in cells if column < len(row)), default=0)
        for column in range(columns)
    ]
    return [(indent + _join_cells(row, widths, right, gaps or {})).rstrip() for row in cells]


def mark_rows(
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    gaps: Mapping[int, int] | None = None,
) -> list[Line]:
    """Return rows that begin with a sign and a name as aligned, indented lines.

    Sign and name have the colour of the sign; the other arguments are those of `align_rows`.

    Example:
        >>> mark_rows([("+", "fc1", "Dense"), ("", "", "bias")])
        [Line(text='  + fc1  Dense', parts=((2, 7, '+'),)), Line(text='         bias', parts=())]
    """
    texts = align_rows(rows, right, gaps={1: 1, **(gaps or {})}, indent="  ")
    name_start = 2 + max((len(row[0]) for row in rows), default=0) + 1
    return [
        Line(text, ((2, name_start + len(escape_controls(row[1])), row[0]),))
        if row[0].strip()
        else Line(text)
        for text, row in zip(texts, rows, strict=True)
    ]


def fit_rows(
    rows: Sequence[tuple[str, ...]],
    width: int,
    shortened: Iterable[tuple[int, int]],
    middles: Collection[int],
    lay_out: Callable[[Sequence[tuple[str, ...]]], list[str]],
) -> list[tuple[str, ...]]:
    """Return the rows with columns shortened or left out in turn until all lines fit into `width`.

    Args:
        rows: The cells.
        width: Columns of the terminal.
        shortened: What gives way, in turn: (column, how narrow it may become); 0 leaves it out.
        middles: Columns whose texts keep beginning and end.
        lay_out: From rows to lines.

    Example:
        >>> fit_rows([("fc1", "kernel, bias")], 12, [(1, 6), (1, 0)], (), align_rows)
        [('fc1', 'kernel…')]
    """
    fitted = list(rows)
    for column, narrowest in shortened:
        line = max(map(text_width, lay_out(fitted)), default=0)
        if line <= width:
            break
        longest = max(text_width(escape_controls(row[column])) for row in fitted)
        allowed = max(longest - (line - width), min(narrowest, longest)) if narrowest else 0
        cut = shorten_middle if column in middles else shorten
        fitted = [
            (
                *row[:column],
                cut(escape_controls(row[column]), allowed) if allowed else "",
                *row[column + 1 :],
            )
            for row in fitted
        ]
    return fitted


def name_left_out(
    rows: Sequence[tuple[str, ...]], fitted: Sequence[tuple[str, ...]], headings: Mapping[int, str]
) -> str:
    """Return a line that names the columns that were left out, or an empty text."""
    names = [
        heading
        for column, heading in headings.items()
        if any(row[column] for row in rows) and not any(row[column] for row in fitted)
    ]
    return f"The terminal is too narrow for: {', '.join(names)}." if names else ""


def _join_cells(
    row: Sequence[str], widths: Sequence[int], right: Collection[int], gaps: Mapping[int, int]
) -> str:
    """Return one row as a line; a column that is empty in all rows takes no space."""
    line = ""
    for column, cell in enumerate(row):
        if not widths[column]:
            continue
        space = " " * (widths[column] - text_width(cell))
        gap = " " * gaps.get(column, 2) if line else ""
        line += gap + (space + cell if column in right else cell + space)
    return line
