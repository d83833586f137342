"""TensorFlow's checkpoint files: the tensors in them, the objects that own these, and their values.

The index is a sorted table (LevelDB's doc/table_format.md, tensorflow/core/lib/io/table_format.txt)
from keys to `BundleEntryProto` (tensorflow/core/protobuf/tensor_bundle.proto). The values stand in
shards as plain little-endian bytes, and one text tensor holds the objects that own them
(tensorflow/core/protobuf/trackable_object_graph.proto).

Each block of the table and each tensor has a Castagnoli checksum (CRC-32C) of its bytes. That of a
text is taken over its length as a 32-bit number, the stored checksum of that, and its bytes
(`WriteStringTensor`, tensorflow/core/util/tensor_bundle/tensor_bundle.cc).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from graphprune.archive.archive import widen_bfloat16
from graphprune.archive.files import open_file, read_whole
from graphprune.archive.saved_model.protobuf import (
    WireError,
    messages_in,
    numbers_of,
    read_fields,
    read_varint,
    take_bytes,
)
from graphprune.errors import ArchiveError

_ONES = 0xFFFFFFFF


def crc32c(data: bytes | memoryview) -> int:
    """Return the checksum of `data` (RFC 3720, appendix B.4).

    Example:
        >>> hex(crc32c(bytes(32))), hex(crc32c(b"123456789")), hex(crc32c(b""))
        ('0x8a9136aa', '0xe3069283', '0x0')
    """
    found: int = google_crc32c.value(bytes(data))  # its C code takes no memoryview
    return found


def unmask_crc(masked: int) -> int:
    """Return the checksum that LevelDB and TensorFlow wrote as `masked` (leveldb/util/crc32c.h).

    Example:
        >>> hex(unmask_crc(mask_crc(0x8A9136AA)))
        '0x8a9136aa'
    """
    turned = (masked - 0xA282EAD8) & _ONES
    return ((turned >> 17) | (turned << 15)) & _ONES


def mask_crc(crc: int) -> int:
    """Return `crc` as it is stored: masked, because the CRC of data that holds its CRC is weak."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & _ONES


MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5
"""After each block: one byte for the compression, four for the checksum."""


def read_table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the keys and values of a table in their order.

    Raises:
        WireError: this is not such a table, it is damaged, or it is compressed, which
            `TableBuilderOptions` of tensorflow/core/util/tensor_bundle/tensor_bundle.cc rules out.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise WireError("no table of tensors")
    _, _, at = _read_handle(data[-FOOTER:], 0)
    offset, size, _ = _read_handle(data[-FOOTER:], at)
    for _, handle in _entries(_read_block(data, offset, size)):
        offset, size, _ = _read_handle(handle, 0)
        yield from _entries(_read_block(data, offset, size))


def _read_handle(data: memoryview, at: int) -> tuple[int, int, int]:
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return offset, size, at


def _read_block(data: memoryview, offset: int, size: int) -> memoryview:
    block = take_bytes(data, offset, size + TRAILER)
    if unmask_crc(int.from_bytes(block[size + 1 :], "little")) != crc32c(block[: size + 1]):
        raise WireError("the checksum of a block is wrong")
    if block[size] != 0:
        kind = {1: "with snappy"}.get(block[size], f"in the unknown way {block[size]}")
        raise WireError(f"a block is compressed {kind}, which TensorFlow never does")
    return block[:size]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys, each of which shares a beginning with the one before it, and values."""
    restarts = int.from_bytes(take_bytes(block, len(block) - 4, 4), "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise WireError(f"{restarts} restart points do not fit into a block")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key):
            raise WireError("a key shares more than the key before it has")
        key = key[:shared] + bytes(take_bytes(block, at, own))
        yield key, take_bytes(block, at + own, length)
        at += own + length


OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VARIABLE = "VARIABLE_VALUE"
MAX_INDEX = 64 * 2**20
MAX_OBJECTS = 64 * 2**20
STRING = 7
INCOMPLETE = "the SavedModel is not complete, save or copy it again"
DTYPES: Mapping[int, str] = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16",
    22: "uint32", 23: "uint64",
}  # fmt: skip
"""tensorflow/core/framework/types.proto, by number."""


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """Where one tensor stands: which shard, from which byte on."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    """Masked, as it is stored."""


@dataclass(frozen=True, slots=True)
class TrackedObject:
    """One object of the program that saved the checkpoint.

    Attributes:
        children: Its attributes by name, as numbers of objects.
        variable: The key of its value, if it is a variable.
        full_name: The name of the variable, which begins with those of layers and optimizers.
        slots: Of a legacy optimizer: weight, name of the slot and slot, the objects by number.
    """

    children: Mapping[str, int]
    variable: str | None
    full_name: str = ""
    slots: tuple[tuple[int, str, int], ...] = ()


@contextmanager
def message_damage_named(place: str) -> Iterator[None]:
    """Turn what damaged messages and tables raise into an ArchiveError that begins with `place`."""
    try:
        yield
    except (WireError, OverflowError, OSError) as err:
        raise ArchiveError(f"damaged ({err}); save or copy the model again", place=place) from err


@dataclass(frozen=True)
class Checkpoint:
    """An index that was read; values are read when they are asked for.

    Attributes:
        prefix: The common beginning of the files' paths.
        shards: Their number.
        entries: By key.
    """

    prefix: str
    shards: int
    entries: Mapping[str, BundleEntry]

    def read(self, key: str) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: the shard is missing or damaged, as its checksum tells.
        """
        entry = self.entries[key]
        name = DTYPES.get(entry.dtype, "")
        stored = np.dtype("uint16" if name == "bfloat16" else name).newbyteorder("<")
        data = self._read_bytes(entry)
        self._check(key, entry, crc32c(data))
        values = np.frombuffer(data, stored).reshape(entry.shape)
        if name == "bfloat16":
            return widen_bfloat16(values)
        return values.astype(values.dtype.newbyteorder("="))

    def _read_bytes(self, entry: BundleEntry) -> bytes:
        path = self._shard(entry)
        with open_file(path, INCOMPLETE) as file:
            file.seek(0, 2)
            there = file.tell()
            if entry.offset + entry.size > there:
                raise ArchiveError(
                    f"a tensor should end at byte {entry.offset + entry.size:,}, the file"
                    f" has {there:,}; save or copy the model again",
                    place=path,
                )
            file.seek(entry.offset)
            return file.read(entry.size)

    def _check(self, key: str, entry: BundleEntry, crc: int) -> None:
        if mask_crc(crc) != entry.crc:
            raise ArchiveError(
                f"the checksum of {key!r} is wrong; the file is damaged, save"
                " or copy the model again",
                place=self._shard(entry),
            )

    def _shard(self, entry: BundleEntry) -> str:
        return f"{self.prefix}.data-{entry.shard:05d}-of-{self.shards:05d}"

    def read_objects(self) -> tuple[TrackedObject, ...]:
        """Return the objects that own the tensors; the first is the model.

        Raises:
            ArchiveError: they are not there, or damaged.
        """
        place = f"{self.prefix}.index"
        entry = self.entries.get(OBJECT_GRAPH)
        if entry is None or entry.dtype != STRING:
            raise ArchiveError(
                "has no object graph, so its tensors cannot be matched to layers; not a Keras"
                " checkpoint, save the model again",
                place=place,
            )
        if entry.size > MAX_OBJECTS:
            raise ArchiveError(
                f"{OBJECT_GRAPH} has {entry.size:,} bytes, more than the {MAX_OBJECTS:,}"
                " that it may have; save the model again",
                place=place,
            )
        with message_damage_named(place):
            data = memoryview(self._read_bytes(entry))
            size, at = read_varint(data, 0)
            text = take_bytes(data, at + 4, size)
            self._check(
                OBJECT_GRAPH,
                entry,
                crc32c(
                    size.to_bytes(4 if size < 2**32 else 8, "little") + data[at : at + 4] + text
                ),
            )
            return tuple(_object(node) for node in messages_in(text, 1))


def _object(node: memoryview) -> TrackedObject:
    children: dict[str, int] = {}
    variable, full_name = None, ""
    slots: list[tuple[int, str, int]] = []
    for number, value in read_fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            children[_text(value, 2)] = numbers_of(value).get(1, 0)
        elif number == 2 and _text(value, 1) == VARIABLE:
            full_name, variable = _text(value, 2), _text(value, 3)
        elif number == 3:
            numbers = numbers_of(value)
            slots.append((numbers.get(1, 0), _text(value, 2), numbers.get(3, 0)))
    return TrackedObject(children, variable, full_name, tuple(slots))


def _text(message: memoryview, number: int) -> str:
    return next(
        (bytes(value).decode("utf-8", "replace") for value in messages_in(message, number)), ""
    )


def read_checkpoint(prefix: str) -> Checkpoint:
    """Return the index of the checkpoint whose files begin with `prefix`.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    place = f"{prefix}.index"
    shards, entries = 0, {}
    with message_damage_named(place):
        for key, value in read_table(memoryview(read_whole(place, MAX_INDEX, INCOMPLETE))):
            if not key:
                header = numbers_of(value)
                shards = header.get(1, 0)
                if header.get(2, 0) != 0 or sys.byteorder != "little":
                    raise WireError("its numbers are big-endian")
            else:
                name = key.decode("utf-8", "replace")
                entries[name] = _checked(name, _entry(value), place)
    return Checkpoint(prefix, shards, entries)


def _entry(value: memoryview) -> BundleEntry:
    numbers = numbers_of(value)
    sizes = [
        numbers_of(dim).get(1, 0)
        for shape in messages_in(value, 2)
        for dim in messages_in(shape, 2)
    ]
    return BundleEntry(
        numbers.get(1, 0),
        tuple(sizes),
        numbers.get(3, 0),
        numbers.get(4, 0),
        numbers.get(5, 0),
        numbers.get(6, 0),
    )


def _checked(name: str, entry: BundleEntry, place: str) -> BundleEntry:
    """Return `entry` if its shape, type and size agree."""
    dtype = DTYPES.get(entry.dtype)
    if dtype is not None:
        width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        claimed = math.prod(entry.shape) * width
        if claimed != entry.size:
            raise ArchiveError(
                f"{name!r} claims {claimed:,} bytes and holds {entry.size:,}; the file is"
                " damaged, save the model again",
                place=place,
            )
    return entry
