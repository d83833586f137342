"""Object headers of an HDF5 file and the texts in attributes, read without the HDF5 library.

The library (seen in 1.14.6) hangs on some damaged files, in calls that nothing interrupts:

- Where the list of free blocks in a group's local heap leads back to itself, the library follows it
  until memory is full. So that list, and headers that continue elsewhere, are checked here first.
- A text of variable length is stored apart from its attribute, in a global heap. Where the
  reference or the heap is damaged, the library loops, fills gigabytes or ends the process. So such
  texts are read here, with every length checked first.

Layouts: HDF5 File Format Specification 3.0, II (superblock), III.D (local heap), III.E (global
heap), IV.A.1 (object headers), IV.A.2.c (link info), IV.A.2.m (attribute), IV.A.2.q
(continuation), IV.A.2.r (symbol table), VIII.A (references into a heap).
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import BinaryIO

import h5py
import numpy as np
from h5py import h5a, h5o, h5t

from graphprune.archive.files import open_file
from graphprune.errors import ArchiveError

LINK_INFO, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 0x02, 0x0C, 0x10, 0x11
LAST_FREE = 1
MAX_HEADER = 1 << 24
"""Bytes of one object header; HDF5 limits each message to 64 kB, and Keras writes a handful of
them.
"""
BLOCK = 1 << 14
"""Bytes that are read at once from a file on disk."""
_ROOT_AT = {0: 64, 1: 68, 2: 36, 3: 36}
"""Where a superblock of each version holds the address of the root group."""


class Blocks:
    """The bytes of an open file, read a block at a time: most headers lie close together.

    A file in memory is one block.

    Attributes:
        size: The length of the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = 0
        self._block = file.getvalue() if isinstance(file, io.BytesIO) else b""
        self.size = file.seek(0, os.SEEK_END)

    def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes, which must be in the file.

        Raises:
            ValueError: they are not.
        """
        at = start - self._start
        if 0 <= at <= at + length <= len(self._block):
            return self._block[at : at + length]
        if length < 0 or start + length > self.size:
            raise ValueError("an offset beyond the end of the file")
        first = start - start % BLOCK
        self._file.seek(first)
        self._block, self._start = self._file.read(max(BLOCK, start - first + length)), first
        found = self._block[start - first : start - first + length]
        if len(found) < length:
            raise ValueError("an offset beyond the end of the file")
        return found


def check_root(file: Blocks) -> None:
    """Check the header of the root group, which the library reads when it opens the file.

    Raises:
        ValueError: it is damaged, or of a kind that Keras does not write.
    """
    start = file.read(0, 16)
    version = start[8]
    width = start[13] if version < 2 else start[9]
    if version not in _ROOT_AT or width != 8:
        raise ValueError("a superblock version that Keras does not write")
    root = struct.unpack("<Q", file.read(_ROOT_AT[version], 8))[0]
    is_group(file, dict(read_messages(file, root)))


def is_group(file: Blocks, messages: Mapping[int, bytes]) -> bool:
    """Return whether the object with these messages in its header is a group.

    Raises:
        ValueError: it is damaged.
    """
    if SYMBOL_TABLE in messages:
        _check_heap(file, struct.unpack_from("<8xQ", messages[SYMBOL_TABLE])[0])
    return SYMBOL_TABLE in messages or LINK_INFO in messages


def _check_heap(file: Blocks, address: int) -> None:
    """Check that the list of free blocks in the heap with a group's names comes to an end."""
    signature, size, free, data = struct.unpack("<4s4xQQQ", file.read(address, 32))
    if signature != b"HEAP":
        raise ValueError("a group without a local heap")
    seen = set()
    while free != LAST_FREE:
        if free in seen or free + 16 > size:
            raise ValueError("a cyclic free list in a local heap")
        seen.add(free)
        free = struct.unpack("<Q8x", file.read(data + free, 16))[0]


def read_messages(file: Blocks, address: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each message of the object header at `address`, continuations too.

    Raises:
        ValueError: it is damaged.
    """
    head = file.read(address, 16)
    if head.startswith(b"OHDR"):
        flags = head[5]
        width = 1 << (flags & 3)
        start = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        chunks = [(start + width, int.from_bytes(file.read(start, width), "little"))]
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
            raise ValueError("a cyclic or oversized object header")
        starts.add(start)
        chunk = file.read(start, length)
        at = 0
        while at + message_head <= len(chunk):
            kind, size = struct.unpack_from("<BH" if is_new else "<HH", chunk, at)
            message = chunk[at + message_head : at + message_head + size]
            at += message_head + size
            if kind == CONTINUATION:
                where, length = struct.unpack_from("<QQ", message)
                chunks.append((where + 4, length - 8) if is_new else (where, length))
            yield kind, message


MAX_TEXTS = 1_000_000
"""Strings of one attribute (names of layers or weights); far more than Keras can build."""


def read_texts(
    group: h5py.Group, name: str, limit: int, raw: BinaryIO | None = None
) -> list[bytes] | None:
    """Return the texts in an attribute of `group`, one an element; None without such an attribute.

    `raw` are the bytes of the file, if it is not one of its own.

    Raises:
        ArchiveError: it holds no text, or more than `limit` bytes.
        ValueError: its data are damaged; see `damage_named`.
    """
    place = os.fsdecode(group.file.filename)
    key = name.encode()
    if not h5a.exists(group.id, key):
        return None
    attribute = h5a.open(group.id, key)
    kind = attribute.get_type()
    count = math.prod(attribute.shape)
    size = count * kind.get_size()
    if count == 0:
        return []  # Keras writes an empty list as numbers
    if kind.get_class() != h5t.STRING or len(attribute.shape) > 1:
        raise ArchiveError(
            f"{name} is not a string; the file is damaged, save the model again", place=place
        )
    if count > MAX_TEXTS:
        raise ArchiveError(
            f"{name} is a list of {count:,} texts, more than the {MAX_TEXTS:,} that a"
            " model's may have; save the model again",
            place=place,
        )
    if size <= limit and not kind.is_variable_str():
        values = np.empty(attribute.shape, attribute.dtype)
        attribute.read(values)
        return list(map(bytes, values.reshape(-1).tolist()))
    if size <= limit:
        with open_file(place) if raw is None else nullcontext(raw) as opened:
            file = Blocks(opened)
            references = _find_references(file, h5o.get_info(group.id).addr, key, count)
            size = sum(length for length, _, _ in references)
            if size <= limit:
                heaps = _index_heaps(file, {address for length, address, _ in references if length})
                return [file.read(*_place_in_heap(heaps, *reference)) for reference in references]
    raise ArchiveError(
        f"{name} has {size:,} bytes, more than the {limit:,} that a model's config may"
        " have; save the model again",
        place=place,
    )


def _find_references(
    file: Blocks, address: int, name: bytes, count: int
) -> list[tuple[int, int, int]]:
    """Return length, heap address and index of each text of an attribute."""
    for kind, message in read_messages(file, address):
        if kind != ATTRIBUTE:
            continue
        version, flags, name_size, type_size, space_size = struct.unpack_from("<BBHHH", message)
        padded = 8 if version == 1 else 1
        at = 8 if version < 3 else 9
        if version > 3 or flags & 3:
            raise ValueError("an attribute version that Keras does not write")
        if message[at : at + name_size].rstrip(b"\0") != name:
            continue
        for part in (name_size, type_size, space_size):
            at += -(-part // padded) * padded
        return [struct.unpack_from("<IQI", message, at + 16 * number) for number in range(count)]
    raise ValueError(f"no place of {name.decode()}")


def _index_heaps(file: Blocks, addresses: set[int]) -> dict[int, dict[int, tuple[int, int]]]:
    """Return start and length of the objects in each global heap, by index.

    The object with index 0 is free space and ends the heap.
    """
    room = file.size
    heaps: dict[int, dict[int, tuple[int, int]]] = {}
    for address in sorted(addresses):
        signature, size = struct.unpack("<4s4xQ", file.read(address, 16))
        room -= size
        if signature != b"GCOL" or room < 0:
            raise ValueError("a string without a global heap")
        heap = file.read(address, size)
        places = heaps[address] = {}
        at = 16
        while at + 16 <= size:
            index, held = struct.unpack_from("<H6xQ", heap, at)
            if index == 0:
                break
            places[index] = (address + at + 16, held)
            at += 16 + -(-held // 8) * 8
    return heaps


def _place_in_heap(
    heaps: Mapping[int, Mapping[int, tuple[int, int]]], length: int, address: int, index: int
) -> tuple[int, int]:
    """Return the start and length of a text."""
    if length == 0:
        return 0, 0
    start, held = heaps[address].get(index, (0, 0))
    if length > held:
        raise ValueError("a string beyond its global heap")
    return start, length
