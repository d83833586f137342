"""Python code in a config, as a hash that can be compared; the code is never run.

Keras stores a lambda as base64 of what `marshal.dumps` makes of its code object. Python writes one
code object in different bytes: a flag says which parts are shared in memory, and file name and line
numbers say where the source was. `marshal.loads` trusts its input, so the bytes are read here, as
Python/marshal.c of CPython 3.7 to 3.14 writes them, into a hash of what the code does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

CODE = "python_code"
"""The key that the hash of the code has in a setting that `comparable_function` made."""
MAX_DEPTH = 40
_SHARED = 0x80
_SIZES = {"i": 4, "g": 8, "y": 16}
_COUNTED = {"s": "<I", "t": "<I", "u": "<I", "a": "<I", "A": "<I", "z": "<B", "Z": "<B"}
_GROUPS = {"(": "<I", ")": "<B", "[": "<I", "<": "<I", ">": "<I"}
_CONSTANTS = "NTF.S"
_WHERE = frozenset({"filename", "qualname", "lines"})
_OLD = ("code", "consts", "names", "varnames", "freevars", "cellvars", "filename", "name")
_NEW = ("code", "consts", "names", "locals", "kinds", "filename", "name", "qualname")
_LAYOUTS = ((5, _NEW, ("lines", "exceptions")), (6, _OLD, ("lines",)), (5, _OLD, ("lines",)))
"""Of a code object in Python 3.11 and later, 3.8 to 3.10, and 3.7: how many numbers come first, the
objects that follow, and those behind the first line number.
"""


def comparable_function(value: Any) -> Any:
    """Return a stored lambda with its code as a hash; anything else as it is.

    A lambda is stored as code, default arguments and values of its closure.

    Example:
        >>> comparable_function(["bm8gY29kZQ==", None, [2.0]])["closure"]
        [2.0]
    """
    if isinstance(value, Mapping) and "code" in value:
        value = [value["code"], value.get("defaults"), value.get("closure")]
    if not isinstance(value, list | tuple) or not value or not isinstance(value[0], str):
        return value
    rest = dict(zip(("defaults", "closure"), value[1:], strict=False))
    return {CODE: hash_code(value[0]), **rest}


def hash_code(text: str) -> str:
    """Return a hash (hex) of stored code.

    It is the same for all ways to write one code object, wherever its source was. Code that cannot
    be read has the hash of its bytes.
    """
    try:
        stored = base64.b64decode(text)
    except (binascii.Error, ValueError):
        stored = text.encode(errors="surrogatepass")
    for layout in _LAYOUTS:
        try:
            return _Reader(stored, layout).read_all()
        except (_Unreadable, struct.error, IndexError, RecursionError):
            continue
    return hashlib.sha256(stored).hexdigest()


class _Unreadable(Exception):
    """The bytes are not a code object of this layout."""


class _Reader:
    """Reads one object after another, each as its hash; a shared object is hashed once."""

    def __init__(self, stored: bytes, layout: tuple[int, tuple[str, ...], tuple[str, ...]]) -> None:
        self._stored, self._layout = stored, layout
        self._at = 0
        self._shared: list[str | None] = []

    def read_all(self) -> str:
        """Return the hash of the only object, which is code."""
        if self._stored[:1] not in (b"c", b"\xe3"):
            raise _Unreadable
        found = self._object(0)
        if self._at != len(self._stored):
            raise _Unreadable
        return found

    def _object(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise _Unreadable
        byte = self._take(1)[0]
        kind = chr(byte & ~_SHARED)
        place = len(self._shared)
        if byte & _SHARED:
            self._shared.append(None)
        found = self._content(kind, depth)
        if byte & _SHARED:
            self._shared[place] = found
        return found

    def _content(self, kind: str, depth: int) -> str:
        if kind in _CONSTANTS:
            return _hash(kind)
        if kind in _SIZES:
            return _hash(kind, self._take(_SIZES[kind]))
        if kind in _COUNTED:
            return _hash("s" if kind == "s" else "u", self._take(self._number(_COUNTED[kind])))
        if kind == "l":
            count = self._number("<i")
            return _hash(kind, struct.pack("<i", count), self._take(2 * abs(count)))
        if kind in _GROUPS:
            parts = [self._object(depth + 1) for _ in range(self._number(_GROUPS[kind]))]
            kept = sorted(parts) if kind in "<>" else parts
            return _hash("(" if kind == ")" else kind, *(part.encode() for part in kept))
        if kind == "c":
            return self._code(depth)
        if kind == "r":
            found = self._shared[self._number("<I")]
            if found is not None:
                return found
        raise _Unreadable

    def _code(self, depth: int) -> str:
        """Return the hash of a code object without what says where its source was."""
        numbers, before, behind = self._layout
        parts = [self._take(4 * numbers)]
        for name in before:
            found = self._object(depth + 1)
            if name not in _WHERE:
                parts.append(found.encode())
        self._take(4)
        for name in behind:
            found = self._object(depth + 1)
            if name not in _WHERE:
                parts.append(found.encode())
        return _hash("c", *parts)

    def _number(self, form: str) -> int:
        found: int = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return found

    def _take(self, size: int) -> bytes:
        found = self._stored[self._at : self._at + size]
        if len(found) < size:
            raise _Unreadable
        self._at += size
        return found


def _hash(kind: str, *parts: bytes) -> str:
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        digest.update(struct.pack("<Q", len(part)) + part)
    return digest.hexdigest()
