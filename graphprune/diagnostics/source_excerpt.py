"""One line of a source file with a caret under a column, as a terminal shows it."""

from __future__ import annotations

from graphprune.diagnostics.terminal_text import PaintPart, escape_controls, plain, text_width

MAX_WIDTH = 100
"""Terminal columns that are shown of a line."""
_TAB = "    "
_CUT = "..."


def render_excerpt(text: str, line: int, column: int | None, paint: PaintPart = plain) -> list[str]:
    r"""Return the numbered line, and one with a caret under its character `column` (from 1) where
    that is known; long lines are cut around the caret.

    Tabs take four columns, wide characters two, and control characters stand as escapes; the caret
    is under the right one all the same.

    Example:
        >>> print("\n".join(render_excerpt("  match: {typ: Dense}", 12, 11)))
            12 |   match: {typ: Dense}
               |           ^
    """
    at = max(0, min(column or 1, len(text) + 1) - 1)
    first, last = _window(text, at)
    shown, before = _shown(text[first:last]).rstrip(), _shown(text[first:at])
    head = f"    {line} | "
    left = _CUT if first else ""
    right = _CUT if last < len(text) else ""
    excerpt = f"{head}{left}{shown}{right}".rstrip()
    if column is None:
        return [excerpt]
    caret = f"{' ' * (text_width(before) + len(left))}^"
    return [excerpt, f"{' ' * (len(head) - 2)}| {paint('caret', caret)}"]


def _shown(text: str) -> str:
    return "".join(_TAB if char == "\t" else escape_controls(char) for char in text)


def _window(text: str, at: int) -> tuple[int, int]:
    """Return the range of characters around `at` that fits; all of them where the line is short."""
    if len(text) <= MAX_WIDTH and text_width(_shown(text)) <= MAX_WIDTH:
        return 0, len(text)
    first = last = at
    width, half = 0, MAX_WIDTH // 2
    while first > 0 and width < half:
        first -= 1
        width += text_width(_shown(text[first]))
    while last < len(text) and width < MAX_WIDTH:
        width += text_width(_shown(text[last]))
        last += 1
    return first, last
