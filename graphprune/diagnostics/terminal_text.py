"""Text from untrusted files, made safe and short enough for a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

Paint = Callable[[str, str], str]
"""Return a text in the colour of its kind: `error`, `place`, `+`, ... (kind, then text)."""
MAX_WORD = 300
MAX_TEXT = 4_000
_LONG_WORD = re.compile(rf"\S{{{MAX_WORD + 1},}}")
_HEAD, _TAIL = 100, 40


def escape_controls(text: str) -> str:
    r"""Return `text` with everything that a terminal would execute or hide as an escape.

    Names come from untrusted files; a name must not move the cursor or fake a line of the report.

    Example:
        >>> print(escape_controls("fc1\x1b[2J\n"))
        fc1\x1b[2J\n
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return a message of readable length; a name from a file may have a million letters.

    Words of more than 300 characters lose their middle, texts of more than `limit` their end; how
    much is said.

    Example:
        >>> shorten(
        ...     f"no layer is named '{'a' * 1_000_000}'"
        ... ) == f"no layer is named '{'a' * 99}...(999,862 characters)...{'a' * 39}'"
        True
    """
    if len(text) <= MAX_WORD:
        return text
    text = _LONG_WORD.sub(
        lambda word: (
            f"{word[0][:_HEAD]}...({len(word[0]) - _HEAD - _TAIL:,}"
            f" characters)...{word[0][-_TAIL:]}"
        ),
        text,
    )
    return (
        text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit:,} more characters)"
    )


def plain(_kind: str, text: str) -> str:
    """Return the text without colour."""
    return text


def text_width(text: str) -> int:
    """Return how many terminal columns `text` takes.

    Example:
        >>> text_width("fc1"), text_width("層")
        (3, 2)
    """
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
