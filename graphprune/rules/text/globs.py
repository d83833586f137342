"""Globs over addresses."""

from __future__ import annotations

import re

from graphprune.graph.layers import SEPARATOR

_ONE = f"(?:(?!{SEPARATOR}).)"
_PIECE = re.compile(r"\*\*+|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)


def glob_to_regex(glob: str) -> str:
    r"""Return the regular expression for a whole address: `*` and `?` do not cross `::`, `**` does; `[a-c]` and `[!a-c]` are one character.

    Example:
        >>> import re
        >>> [bool(re.fullmatch(glob_to_regex("block_*"), name)) for name in ("block_1", "net::block_1", "block_1::conv")]
        [True, False, False]
        >>> bool(re.fullmatch(glob_to_regex("**block_*"), "net::block_1"))
        True
    """
    return "(?s:" + "".join(map(_translate, _PIECE.findall(glob))) + ")"


def _translate(piece: str) -> str:
    if piece.startswith("**"):
        return ".*"
    if piece == "*":
        return f"{_ONE}*"
    if piece == "?":
        return _ONE
    if len(piece) > 2 and piece[0] == "[":
        negated = piece[1] == "!"
        inside = (
            piece[2 if negated else 1 : -1]
            .replace("\\", r"\\")
            .replace("^", r"\^")
            .replace("[", r"\[")
            .replace("&", r"\&")
            .replace("~", r"\~")
            .replace("|", r"\|")
        )
        return f"[{'^' if negated else ''}{inside}]"
    return re.escape(piece)
