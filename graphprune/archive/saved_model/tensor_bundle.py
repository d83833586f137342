"""TensorFlow's checkpoint files: which tensors they hold, whose they are, and their values.

The index is a table from keys to `BundleEntryProto` (tensorflow/core/protobuf/tensor_bundle.proto),
the values stand in shards as plain little-endian bytes, and one text tensor holds the objects that
own them (tensorflow/core/protobuf/trackable_object_graph.proto). Each tensor has a checksum of its
bytes; that of a text is taken over its length as a 32-bit number, the stored checksum of that, and
its bytes (`WriteStringTensor`, tensorflow/core/util/tensor_bundle/tensor_bundle.cc).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.bfloat16 import widen_bfloat16
from graphprune.archive.files import open_file, read_whole
from graphprune.archive.saved_model.crc32c import crc32c, mask_crc
from graphprune.archive.saved_model.protobuf import (
    WireError,
    messages_in,
    numbers_of,
    read_fields,
    read_varint,
    take_bytes,
)
from graphprune.archive.saved_model.sstable import read_table
from graphprune.errors import ArchiveError

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
    """One object of the program that saved the checkpoint: its attributes by name, and the key of
    its own value if it is a variable.
    """

    children: Mapping[str, int]
    variable: str | None


@contextmanager
def message_damage_named(place: str) -> Iterator[None]:
    """Turn what damaged messages and tables raise into an ArchiveError that begins with `place`."""
    try:
        yield
    except (WireError, OverflowError, OSError) as err:
        raise ArchiveError(f"{place}: damaged ({err}); save or copy the model again") from err


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
                    f"{path}: a tensor should end at byte {entry.offset + entry.size:,}, the file"
                    f" has {there:,}; save or copy the model again"
                )
            file.seek(entry.offset)
            return file.read(entry.size)

    def _check(self, key: str, entry: BundleEntry, crc: int) -> None:
        if mask_crc(crc) != entry.crc:
            raise ArchiveError(
                f"{self._shard(entry)}: the checksum of {key!r} is wrong; the file is damaged, save"
                " or copy the model again"
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
                f"{place}: says not whose the tensors are; this is no checkpoint of a Keras model,"
                " save the model again"
            )
        if entry.size > MAX_OBJECTS:
            raise ArchiveError(
                f"{place}: {OBJECT_GRAPH} has {entry.size:,} bytes, more than the {MAX_OBJECTS:,}"
                " that it may have; save the model again"
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
    variable = None
    for number, value in read_fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            children[_text(value, 2)] = numbers_of(value).get(1, 0)
        elif number == 2 and _text(value, 1) == VARIABLE:
            variable = _text(value, 3)
    return TrackedObject(children, variable)


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
                f"{place}: {name!r} claims {claimed:,} bytes and holds {entry.size:,}; the file is"
                " damaged, save the model again"
            )
    return entry
