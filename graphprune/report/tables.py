"""Plain text in aligned columns, safe to print on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence

from graphprune.errors import escape_controls

__all__ = ["align_rows", "escape_controls", "shorten", "shorten_middle", "text_width"]


def text_width(text: str) -> int:
    """Return how many terminal columns `text` takes.

    Example:
        >>> text_width("fc1"), text_width("層")
        (3, 2)
    """
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


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
    """Return `text`, with an ellipsis for its middle where it is longer than `width` columns; its beginning and end tell layers apart.

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


def align_rows(rows: Sequence[Sequence[str]], right: Collection[int] = (), *, gaps: Mapping[int, int] | None = None, indent: str = "") -> list[str]:
    """Return one line a row, the cells of a column below each other and control characters escaped.

    Args:
        rows: The cells; rows may differ in length.
        right: Columns (from 0) that are aligned to the right.
        gaps: Spaces before a column where that is not 2.
        indent: What every line starts with.

    Example:
        >>> for line in align_rows([["fc1", "235,200", "dense"], ["predictions", "1,000"]], right={1}):
        ...     print(line)
        fc1          235,200  dense
        predictions    1,000
    """
    cells = [[escape_controls(cell) for cell in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    widths = [max((text_width(row[column]) for row in cells if column < len(row)), default=0) for column in range(columns)]
    return [(indent + _join_cells(row, widths, right, gaps or {})).rstrip() for row in cells]


def _join_cells(row: Sequence[str], widths: Sequence[int], right: Collection[int], gaps: Mapping[int, int]) -> str:
    """Return one row as a line; a column that is empty in all rows takes no space."""
    line = ""
    for column, cell in enumerate(row):
        if not widths[column]:
            continue
        space = " " * (widths[column] - text_width(cell))
        gap = " " * gaps.get(column, 2) if line else ""
        line += gap + (space + cell if column in right else cell + space)
    return line
