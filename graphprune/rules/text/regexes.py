"""Regular expressions and globs of rule files and options, matched by RE2 in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from graphprune.graph.layers import SEPARATOR

MAX_MEMORY = 1 << 20
"""The most bytes that one expression may use, compiled and while matching."""
MAX_PROGRAM = 5_000
"""The most instructions of a compiled expression; each can read each byte of the text."""

# RE2's errors have no codes in Python, only texts (re2/regexp.cc, re2/re2.cc).
_TOO_LARGE = "pattern too large"
_TOO_MANY_REPEATS = "invalid repetition size"

_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")
_NO_LOOK_AROUND = (
    "say what must not match with 'not', as in 'all: [{name: {regex: \".*conv.*\"}}, {not: {name:"
    ' {regex: ".*bn.*"}}}]\''
)
_NO_REFERENCES = "list the names, or write several expressions under 'any'"
_SMALLER = "list the names, or split it into several expressions under 'any'"
_FEWER = (
    "an expression repeats a part at most 1,000 times, nested repeats multiplied; write '*' or '+'"
)


class RegexError(ValueError):
    """An expression that RE2 does not accept.

    Attributes:
        reason: The fault, to follow "regex" in a sentence.
        help: What to write instead, or "".
    """

    def __init__(self, reason: str, help: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.help = help


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled expression."""

    program: Any

    def matches(self, text: str) -> bool:
        """Return whether the expression matches the whole of `text`."""
        return self.program.fullmatch(_encoded(text)) is not None

    def find(self, text: str) -> str | None:
        """Return the first part of `text` that the expression matches, or None."""
        found = self.program.search(_encoded(text))
        return None if found is None else found.group().decode("utf-8", "replace")


@lru_cache(maxsize=128)
def compile_regex(pattern: str, kind: str = "a regular expression") -> Regex:
    r"""Return the compiled expression; `kind` is its name in messages.

    Syntax: https://github.com/google/re2/wiki/Syntax. `\d`, `\w`, `\s` and `\b` mean ASCII;
    look-around and backreferences do not exist.

    Raises:
        RegexError: RE2 does not accept `pattern`.

    Example:
        >>> compile_regex("block_[0-9]+").matches("block_12")
        True
        >>> compile_regex("[0-9]+").find("block_12")
        '12'
        >>> try:
        ...     compile_regex("a(?!b)")
        ... except RegexError as err:
        ...     print(err)
        must not use look-around: RE2 does not support '(?!'
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = (
        True  # groups are not used, and finding them takes longer than the match
    )
    options.max_mem = MAX_MEMORY
    try:
        program = re2.compile(_encoded(pattern), options)
    except re2.error as err:
        raise _fault(_text_of(err), kind) from None
    if program.programsize > MAX_PROGRAM:
        raise RegexError("is too large", _SMALLER)
    return Regex(program)


def _encoded(text: str) -> bytes:
    return text.encode(
        "utf-8", "surrogatepass"
    )  # names in a model file may contain half a surrogate pair


def _text_of(err: Exception) -> str:
    reason = err.args[0] if err.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _fault(reason: str, kind: str) -> RegexError:
    """Return the fault for RE2's error text."""
    what, _, operator = reason.partition(": ")
    told = f"is not {kind}: {what}"
    if operator:
        told += f" at {operator!r}"
    if operator in _LOOK_AROUND:
        return RegexError(
            f"must not use look-around: RE2 does not support {operator!r}", _NO_LOOK_AROUND
        )
    if operator == "(?P" or (
        len(operator) == 2 and operator[0] == "\\" and operator[1] in "123456789"
    ):
        return RegexError(
            f"must not use backreferences: RE2 does not support {operator!r}", _NO_REFERENCES
        )
    if what.startswith(_TOO_LARGE):
        return RegexError("is too large", _SMALLER)
    return RegexError(told, _FEWER if what == _TOO_MANY_REPEATS else "")


_PIECE = re.compile(r"\*\*+|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)
_SEPARATES = re.compile(f"{SEPARATOR[0]}(?={SEPARATOR[0]})")
_MARK = "\U0010ffff"
"""Replaces a colon that begins a `::` while an address is matched, since RE2 has no look-behind. It
is a Unicode noncharacter, which no text contains.
"""
_GLOB = "a glob"
_COLON = f"[{SEPARATOR[0]}{_MARK}]"


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled glob for whole addresses."""

    regex: Regex

    def matches(self, address: str) -> bool:
        """Return whether the glob matches the whole address."""
        return self.regex.matches(
            _SEPARATES.sub(_MARK, address) if SEPARATOR in address else address
        )


def compile_glob(glob: str) -> Glob:
    """Return the compiled glob: `*` and `?` do not cross `::`, `**` does; `[a-c]` is one character.

    Raises:
        RegexError: a range of characters is reversed, or the glob is too long.

    Example:
        >>> block = compile_glob("block_*")
        >>> [block.matches(address) for address in ("block_1", "net::block_1", "block_1::conv")]
        [True, False, False]
        >>> compile_glob("**block_*").matches("net::block_1")
        True
    """
    pattern = "(?s:" + "".join(map(_translate, _PIECE.findall(glob))) + ")"
    return Glob(compile_regex(pattern, _GLOB))


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
    """Return a character class; it contains the mark if it contains the colon."""
    escaped = letters.replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
    holds_colon = compile_regex(f"[{escaped}]", _GLOB).matches(SEPARATOR[0])
    held = f"{escaped}{_MARK}" if holds_colon else escaped
    return f"[^{held}]" if is_negated else f"[{held}]"
