"""Globs over addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphprune.graph.layers import SEPARATOR
from graphprune.rules.text.regexes import Regex, compile_regex

_PIECE = re.compile(r"\*\*+|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)
_SEPARATES = re.compile(f"{SEPARATOR[0]}(?={SEPARATOR[0]})")
_MARK = "\U0010ffff"
"""Stands for a colon that begins a `::` while an address is matched: RE2 cannot look at the letter
behind. Unicode promises that no text holds it.
"""
_KIND = "a glob"
_COLON = f"[{SEPARATOR[0]}{_MARK}]"


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob, ready to match whole addresses."""

    regex: Regex

    def matches(self, address: str) -> bool:
        """Return whether the whole address fits the glob."""
        return self.regex.matches(
            _SEPARATES.sub(_MARK, address) if SEPARATOR in address else address
        )


def compile_glob(glob: str) -> Glob:
    """Return the glob: `*` and `?` do not cross `::`, `**` does; `[a-c]` and `[!a-c]` are one
    character.

    Raises:
        RegexError: a range of letters runs backwards, or the glob is too long.

    Example:
        >>> block = compile_glob("block_*")
        >>> [block.matches(address) for address in ("block_1", "net::block_1", "block_1::conv")]
        [True, False, False]
        >>> compile_glob("**block_*").matches("net::block_1")
        True
    """
    pattern = "(?s:" + "".join(map(_translate, _PIECE.findall(glob))) + ")"
    return Glob(compile_regex(pattern, _KIND))


def _translate(piece: str) -> str:
    if piece.startswith("**"):
        return ".*"
    if piece == "*":
        return f"[^{_MARK}]*"
    if piece == "?":
        return f"[^{_MARK}]"
    if piece == SEPARATOR[0]:
        return _COLON
    if len(piece) > 2 and piece[0] == "[":
        return _one_of(piece[1:-1].removeprefix("!"), is_negated=piece[1] == "!")
    return re.escape(piece)


def _one_of(letters: str, *, is_negated: bool) -> str:
    """Return a class of letters; it holds the mark where it holds the colon."""
    escaped = letters.replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
    holds_colon = compile_regex(f"[{escaped}]", _KIND).matches(SEPARATOR[0])
    held = f"{escaped}{_MARK}" if holds_colon else escaped
    return f"[^{held}]" if is_negated else f"[{held}]"
