"""Plans and diffs as GitHub Markdown, with a fenced `diff` block that GitHub colours by sign."""

from __future__ import annotations

import re
from collections.abc import Sequence

from graphprune.diff.changes import GraphDiff
from graphprune.plan.changes import Plan
from graphprune.report.diff_layers import layer_lines
from graphprune.report.diff_text import diff_heads, graph_lines, has_two_kerases
from graphprune.report.plan_table import table_lines
from graphprune.report.plan_text import plan_heads
from graphprune.report.tables import Line

_ENDS = 2
"""The last lines of the heads of a report are its summary."""
_INDENT = 2


def render_plan_github(plan: Plan, *, show_all: bool = False, brief: bool = False) -> str:
    """Return the plan as Markdown: `+` wraps, `-` unwraps, `!` changes, a space is unchanged.

    The options are those of the text.
    """
    heads = plan_heads(plan)
    ends = 1 if plan.is_empty else _ENDS
    shown = [change for change in plan.changes if show_all or change.actions != ("noop",)]
    if plan.is_empty and not show_all:
        shown = []
    hidden = plan.hidden if show_all else ()
    table = [_marked(line) for line in table_lines(plan, shown, hidden)]
    return fenced_document("Pruning plan", heads[:-ends], table, heads[-ends:], brief=brief)


def render_diff_github(diff: GraphDiff, *, show_all: bool = False, brief: bool = False) -> str:
    """Return the diff as Markdown: `+` added, `-` removed, `!` changed, a space for details.

    The options are those of the text.
    """
    heads = diff_heads(diff)
    lines = [
        _marked(line)
        for line in layer_lines(
            diff.layers if show_all else diff.notable_layers,
            show_all=show_all,
            joined=has_two_kerases(diff),
        )
    ]
    connections = [_marked(line) for line in graph_lines(diff)]
    return fenced_document(
        "Model diff",
        heads[:-_ENDS],
        [*lines, *([""] if lines and connections else []), *connections],
        heads[-_ENDS:],
        brief=brief,
    )


def _marked(line: Line) -> str:
    """Return an indented line with GitHub's sign in front; other signs of the report stay."""
    sign = {"+": "+", "-": "-", "": " ", "=": " ", "?": " ", ".": " "}.get(line.sign, "!")
    text = line.text[_INDENT:]
    if sign in "+-":
        text = " " + text[1:]
    return f"{sign} {text}".rstrip()


def fenced_document(
    title: str,
    heads: Sequence[str],
    lines: Sequence[str],
    ends: Sequence[str],
    *,
    brief: bool = False,
) -> str:
    """Return Markdown with a title, the summary, and the block unless `brief`.

    The fence is longer than any row of backticks in the block.
    """
    if brief:
        return "\n".join([f"### {title}", "", "  \n".join(ends), ""])
    body = [*heads, *(["", *lines] if lines else [])]
    fence = "`" * max(
        3, 1 + max((len(row) for row in re.findall("`+", "\n".join(body))), default=0)
    )
    return "\n".join([f"### {title}", "", "  \n".join(ends), "", f"{fence}diff", *body, fence, ""])
