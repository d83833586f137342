"""Object headers of an HDF5 file, read before the HDF5 library does.

Where damage makes the list of free room in a group's names lead back to itself, the library (seen
in 1.14.6) follows it until memory is full, in a call that nothing interrupts; so that list, and
headers that go on elsewhere, are followed here first.

Layouts: HDF5 File Format Specification 3.0, II (superblock), III.D (local heap), IV.A.1 (object
headers), IV.A.2.c (link info), IV.A.2.q (continuation), IV.A.2.r (symbol table).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

LINK_INFO, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 0x02, 0x0C, 0x10, 0x11
LAST_FREE = 1
MAX_HEADER = 1 << 24
"""Bytes of one object header; HDF5 limits each message to 64 kB, and Keras writes a handful of
them.
"""
_ROOT_AT = {0: 64, 1: 68, 2: 36, 3: 36}
"""Where a superblock of each version holds the address of the root group."""


def check_root(file: BinaryIO) -> None:
    """Check the header of the root group, which the library reads when it opens the file.

    Raises:
        ValueError: it is damaged, or of a kind that Keras does not write.
    """
    start = read_bytes(file, 0, 16)
    version = start[8]
    width = start[13] if version < 2 else start[9]
    if version not in _ROOT_AT or width != 8:
        raise ValueError("a superblock of another kind than Keras writes")
    root = struct.unpack("<Q", read_bytes(file, _ROOT_AT[version], 8))[0]
    is_group(file, dict(read_messages(file, root)))


def is_group(file: BinaryIO, messages: Mapping[int, bytes]) -> bool:
    """Return whether the object with these messages in its header is a group.

    Raises:
        ValueError: it is damaged.
    """
    if SYMBOL_TABLE in messages:
        _check_heap(file, struct.unpack_from("<8xQ", messages[SYMBOL_TABLE])[0])
    return SYMBOL_TABLE in messages or LINK_INFO in messages


def _check_heap(file: BinaryIO, address: int) -> None:
    """Check that the list of free blocks in the heap with a group's names comes to an end."""
    signature, size, free, data = struct.unpack("<4s4xQQQ", read_bytes(file, address, 32))
    if signature != b"HEAP":
        raise ValueError("a group without names")
    seen = set()
    while free != LAST_FREE:
        if free in seen or free + 16 > size:
            raise ValueError("a list of free room without end")
        seen.add(free)
        free = struct.unpack("<Q8x", read_bytes(file, data + free, 16))[0]


def read_messages(file: BinaryIO, address: int) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of each message of the object header at `address`, continuations
    followed.

    Raises:
        ValueError: it is damaged.
    """
    head = read_bytes(file, address, 16)
    if head.startswith(b"OHDR"):
        flags = head[5]
        width = 1 << (flags & 3)
        start = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        chunks = [(start + width, int.from_bytes(read_bytes(file, start, width), "little"))]
        message_head, is_new = 6 if flags & 4 else 4, True
    elif head[0] == 1:
        chunks = [(address + 16, struct.unpack_from("<I", head, 8)[0])]
        message_head, is_new = 8, False
    else:
        raise ValueError("an object header of an unknown version")
    total, starts = 0, set()
    for start, length in chunks:  # grows in the loop
        total += length
        if total > MAX_HEADER or start in starts:
            raise ValueError("an object header without end")
        starts.add(start)
        chunk = read_bytes(file, start, length)
        at = 0
        while at + message_head <= len(chunk):
            kind, size = struct.unpack_from("<BH" if is_new else "<HH", chunk, at)
            message = chunk[at + message_head : at + message_head + size]
            at += message_head + size
            if kind == CONTINUATION:
                where, length = struct.unpack_from("<QQ", message)
                chunks.append((where + 4, length - 8) if is_new else (where, length))
            yield kind, message


def read_bytes(file: BinaryIO, start: int, length: int) -> bytes:
    """Return `length` bytes, which must be in the file.

    Raises:
        ValueError: they are not.
    """
    if length < 0 or (length > MAX_HEADER and start + length > file.seek(0, os.SEEK_END)):
        raise ValueError("a place beyond the end of the file")
    file.seek(start)
    found = file.read(length)
    if len(found) < length:
        raise ValueError("a place beyond the end of the file")
    return found
