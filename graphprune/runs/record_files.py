"""The records of TFRecord files: where they lie, so that they can be taken in any order.

Compressed files (`tf.io.TFRecordOptions`, GZIP or ZLIB) are known by their first bytes, and are
unpacked into a temporary file without a name, which is gone when the process ends.
"""

from __future__ import annotations

import errno
import glob
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO

import numpy as np

from graphprune.errors import DataError
from graphprune.runs.samples import Array

_HEAD, _FOOT = 12, 4
"""Bytes around a record: its length with a checksum, and the checksum of its content."""
_GZIP, _ZLIB = b"\x1f\x8b", 0x78
_EITHER = zlib.MAX_WBITS | 32
"""Lets zlib tell gzip and zlib apart."""
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class RecordFiles:
    """The records of TFRecord files, which are read one by one.

    Attributes:
        paths: The files.
        file, start, length: Of each record: the number of its file, and where its content lies.
        sha256: The hash of the names of the files and the lengths of the records.
        unpacked: What is read in place of a compressed file, by its number.
    """

    paths: tuple[str, ...]
    file: Array
    start: Array
    length: Array
    sha256: str
    unpacked: Mapping[int, IO[bytes]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.file)

    def read(self, index: Sequence[int]) -> list[bytes]:
        """Return the records that an index names.

        Raises:
            DataError: a file has become shorter.
        """
        found = []
        for number in index:
            file, start, length = (int(one[number]) for one in (self.file, self.start, self.length))
            content = self._read(file, start, length)
            if len(content) < length:
                raise DataError(
                    "was truncated while in use; start a new run", place=self.paths[file]
                )
            found.append(content)
        return found

    def _read(self, file: int, start: int, length: int) -> bytes:
        if file in self.unpacked:  # without a position, which several threads would share
            return os.pread(self.unpacked[file].fileno(), length, start)
        with open(self.paths[file], "rb") as stream:
            stream.seek(start)
            return stream.read(length)


def index_records(spec: str) -> RecordFiles:
    """Return where the records of the files lie that a path or a pattern names.

    Only the lengths of records are read; compressed files are unpacked.

    Raises:
        DataError: there is no such file, or one is damaged or empty, or cannot be unpacked.
    """
    paths = find_records(spec)
    files, starts, lengths, digest = list[int](), list[int](), list[int](), sha256()
    unpacked: dict[int, IO[bytes]] = {}
    for number, path in enumerate(paths):
        digest.update(f"{Path(path).name}\n".encode())
        if _is_compressed(path):
            unpacked[number] = _unpack(path)
        for start, length in _records(path, unpacked.get(number)):
            files.append(number)
            starts.append(start)
            lengths.append(length)
            digest.update(f"{length}\n".encode())
    if not files:
        raise DataError("has no records; training needs at least one", place=spec)
    places = [np.array(one, np.int64) for one in (files, starts, lengths)]
    return RecordFiles(paths, places[0], places[1], places[2], digest.hexdigest(), unpacked)


def check_records(spec: str) -> None:
    """Refuse files as `index_records` does; compressed ones are not unpacked.

    Raises:
        DataError: there is no such file, or one is damaged.
    """
    for path in find_records(spec):
        if not _is_compressed(path):
            for _ in _records(path, None):
                pass


def find_records(spec: str) -> tuple[str, ...]:
    """Return the files that a path or a pattern names, sorted.

    Raises:
        DataError: there is none.
    """
    paths = tuple(sorted(glob.glob(spec))) if glob.has_magic(spec) else (spec,)
    if not paths or not all(Path(path).is_file() for path in paths):
        raise DataError(
            "no such file; give TFRecord files, such as 'records/*.tfrecord'", place=spec
        )
    return paths


def _is_compressed(path: str) -> bool:
    """Return whether a file begins as gzip and zlib do, and can be unpacked there.

    The length of a first record may begin with the same bytes.
    """
    with open(path, "rb") as stream:
        head = stream.read(2)
    is_zlib = len(head) == 2 and head[0] == _ZLIB and int.from_bytes(head, "big") % 31 == 0
    if head != _GZIP and not is_zlib:
        return False
    with suppress(zlib.error, EOFError):
        next(_inflated(path), b"")
        return True
    return False


def _inflated(path: str) -> Iterator[bytes]:
    """Yield the content of a compressed file in blocks."""
    with open(path, "rb") as stream:
        inflater = zlib.decompressobj(_EITHER)
        for packed in iter(lambda: stream.read(_BLOCK), b""):
            while packed:
                if inflater.eof:  # of one of several parts
                    inflater = zlib.decompressobj(_EITHER)
                yield inflater.decompress(packed, 16 * _BLOCK)
                packed = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        yield inflater.flush()
        if not inflater.eof:
            raise EOFError("it ends too early")


def _unpack(path: str) -> IO[bytes]:
    """Return a temporary file with the content of a compressed one.

    Raises:
        DataError: the file is damaged, or there is no room for its content.
    """
    unpacked = TemporaryFile(prefix="graphprune-")  # noqa: SIM115 - as long as the records
    try:
        for block in _inflated(path):
            unpacked.write(block)
        unpacked.flush()
    except (zlib.error, EOFError) as fault:
        unpacked.close()
        raise DataError(
            f"damaged, cannot be unpacked ({fault}); write the file again", place=path
        ) from fault
    except OSError as fault:
        unpacked.close()
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"is compressed, and {gettempdir()} has no room for its content; set TMPDIR to a folder"
            " with more room, or write it without compression",
            place=path,
        ) from fault
    return unpacked


def _records(path: str, unpacked: IO[bytes] | None) -> Iterator[tuple[int, int]]:
    """Yield where the content of each record begins, and its length."""
    if unpacked is not None:
        yield from _records_in(path, unpacked)
        return
    with open(path, "rb") as stream:
        yield from _records_in(path, stream)


def _records_in(path: str, stream: IO[bytes]) -> Iterator[tuple[int, int]]:
    size, at = os.fstat(stream.fileno()).st_size, 0
    while at < size:
        stream.seek(at)
        head = stream.read(_HEAD)
        length = struct.unpack("<Q", head[:8])[0] if len(head) == _HEAD else size
        if at + _HEAD + length + _FOOT > size:
            raise DataError(
                f"damaged, not a TFRecord file at byte {at:,}; write the file again", place=path
            )
        yield at + _HEAD, length
        at += _HEAD + length + _FOOT
