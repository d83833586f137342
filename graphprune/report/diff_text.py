"""A diff as text. Its last two lines are an interface; scripts should read the JSON."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.diagnostics.terminal_text import text_width
from graphprune.diff.changes import GraphDiff, LayerDiff
from graphprune.report.diff_connections import graph_lines
from graphprune.report.diff_layers import layer_lines
from graphprune.report.diff_summary import diff_facts, diff_header, hidden_line, summary_lines

_NARROWEST = 16
"""Columns that a layer's name keeps on a narrow terminal."""


def render_diff_text(
    diff: GraphDiff, *, show_all: bool = False, brief: bool = False, width: int | None = None
) -> str:
    """Return `diff` as aligned text; its last line ends with a line break.

    Args:
        diff: What to show.
        show_all: Also show layers in which nothing, or nothing but trained values, differs.
        brief: Only the two summary lines.
        width: Columns of the terminal; long names lose their middle where lines do not fit. Nothing
            is shortened without it.
    """
    if diff.is_empty and not show_all and not brief:
        compared = diff.is_weights_equal is not None
        return (
            "No differences.\n"
            if compared
            else "No differences in graph and pruning; weights were not compared.\n"
        )
    if brief:
        return summary_lines(diff) + "\n"
    layers = diff.layers if show_all else diff.notable_layers
    blocks = [
        diff_header(diff),
        diff_facts(diff),
        "\n".join(_fit_layers(layers, show_all=show_all, width=width)),
        "\n".join(line for _, line in graph_lines(diff)),
        hidden_line(diff, len(layers)),
    ]
    return "\n\n".join(block for block in [*blocks, summary_lines(diff)] if block) + "\n"


def _fit_layers(layers: Sequence[LayerDiff], *, show_all: bool, width: int | None) -> list[str]:
    """Return the lines about layers, with names shortened where lines are longer than `width`."""
    lines = [line for _, line in layer_lines(layers, show_all=show_all)]
    if width is None or all(text_width(line) <= width for line in lines):
        return lines
    name_width = max(_NARROWEST, width // 3)
    return [line for _, line in layer_lines(layers, show_all=show_all, name_width=name_width)]
