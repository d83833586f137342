"""Plans and diffs for a comment on GitHub: Markdown with a fenced `diff` block, whose lines GitHub
colours by their first sign.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from graphprune.diff.changes import GraphDiff
from graphprune.plan.changes import Plan
from graphprune.report.diff_layers import layer_lines
from graphprune.report.diff_text import diff_heads, graph_lines
from graphprune.report.plan_table import table_lines
from graphprune.report.plan_text import plan_heads

_ENDS = 2
"""The last lines of the heads of a report are its summary."""
_INDENT = 2


def render_plan_github(plan: Plan, *, show_all: bool = False, brief: bool = False) -> str:
    """Return the plan as Markdown: `+` wraps, `-` unwraps, `!` changes, and a space leaves as it
    is; options as for text.
    """
    heads = plan_heads(plan)
    ends = 1 if plan.is_empty else _ENDS
    shown = [change for change in plan.changes if show_all or change.actions != ("noop",)]
    if plan.is_empty and not show_all:
        shown = []
    hidden = plan.hidden if show_all else ()
    table = [_marked(symbol, line) for symbol, line in table_lines(plan, shown, hidden)]
    return _document("Pruning plan", heads[:-ends], table, heads[-ends:], brief=brief)


def render_diff_github(diff: GraphDiff, *, show_all: bool = False, brief: bool = False) -> str:
    """Return the diff as Markdown: `+` was added, `-` was removed, `!` was changed, and a space
    belongs to the line above; options as for text.
    """
    heads = diff_heads(diff)
    lines = [
        _marked(mark, line)
        for mark, line in layer_lines(
            diff.layers if show_all else diff.notable_layers, show_all=show_all
        )
    ]
    connections = [_marked(mark, line) for mark, line in graph_lines(diff)]
    return _document(
        "Model diff",
        heads[:-_ENDS],
        [*lines, *([""] if lines and connections else []), *connections],
        heads[-_ENDS:],
        brief=brief,
    )


def _marked(mark: str, line: str) -> str:
    """Return an indented line with GitHub's sign in front; the report's own sign stays where it
    says more.
    """
    sign = {"+": "+", "-": "-", "": " ", " ": " ", "=": " ", "?": " ", ".": " "}.get(mark, "!")
    return (
        f"{sign} "
        + (line[_INDENT:].replace(mark, " " * len(mark), 1) if sign in "+-" else line[_INDENT:])
    ).rstrip()


def _document(
    title: str, heads: Sequence[str], lines: Sequence[str], ends: Sequence[str], *, brief: bool
) -> str:
    """Return Markdown: a title, the summary, and unless `brief` the block; its fence is longer than
    any row of backticks in it.
    """
    if brief:
        return "\n".join([f"### {title}", "", "  \n".join(ends), ""])
    body = [*heads, *(["", *lines] if lines else [])]
    fence = "`" * max(
        3, 1 + max((len(row) for row in re.findall("`+", "\n".join(body))), default=0)
    )
    return "\n".join([f"### {title}", "", "  \n".join(ends), "", f"{fence}diff", *body, fence, ""])
