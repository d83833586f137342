"""The bytes of rule files and rule tests as text."""

from __future__ import annotations

import codecs

from graphprune.diagnostics.diagnostic import Diagnostic, Where

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_MODELS = {b"PK\x03\x04": "a .keras file", b"\x89HDF": "an HDF5 file"}
_HEAD = 1000


def decode_text(content: bytes, path: str) -> str | Diagnostic:
    """Return UTF-8 as text, or what the file is instead.

    Example:
        >>> decode_text("version: 1".encode("utf-16"), "p.yaml").message
        'text in UTF-16, not in UTF-8'
    """
    encoding = _other_encoding(content)
    if encoding is not None:
        return Diagnostic(
            "file/unreadable",
            f"text in {encoding}, not in UTF-8",
            Where(path),
            "save it as UTF-8 (in Windows editors: UTF-8, not Unicode)",
        )
    kind = next((kind for mark, kind in _MODELS.items() if content.startswith(mark)), None)
    if kind is not None:
        return Diagnostic(
            "file/unreadable",
            f"{kind}, not text",
            Where(path),
            "a model stands before -r, or after --model; here the rule file is meant",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content[: err.start].count(b"\n") + 1
        return Diagnostic(
            "file/unreadable",
            "not text in UTF-8",
            Where(path, line),
            "save it as UTF-8; is this a model?",
        )


def _other_encoding(content: bytes) -> str | None:
    """Return the encoding that a byte order mark, or a zero in every second byte, gives away; None
    for others.
    """
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    head = content[:_HEAD]
    halves = head[::2], head[1::2]
    is_wide = (
        len(head) >= 4
        and any(not any(half) for half in halves)
        and all(half.count(0) in (0, len(half)) for half in halves)
    )
    return marked or ("UTF-16" if is_wide and any(head) else None)
