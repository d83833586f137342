"""The zip of a `.keras` file: members are read by name and never unpacked to disk."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from graphprune.archive.hdf5 import MAX_RATIO, MAX_UNCHECKED, OpenedFile, open_hdf5
from graphprune.archive.json_text import MAX_JSON
from graphprune.errors import ArchiveError

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
WEIGHTS = "model.weights.h5"
MAX_UNPACKED = 4 * 2**30
"""Weights that somebody compressed afterwards are unpacked in memory; Keras itself stores them uncompressed."""

_CUT = {"File is not a zip file": "its list of members is missing, the file was cut off"}
"""What zipfile says of a file that begins as a zip and does not end as one."""


def read_member(path: str, name: str) -> bytes | None:
    """Return a small member of the zip (at most 128 MB), or None if there is none of this name.

    Raises:
        ArchiveError: the zip is damaged, or the member is too big.
    """
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        info = archive.NameToInfo.get(name)
        if info is None:
            return None
        if info.file_size > MAX_JSON:
            raise ArchiveError(f"{path}: {name} has {info.file_size:,} bytes, more than the {MAX_JSON:,} that a model's config may have; save the model again")
        return archive.read(info)


def check_members(path: str) -> None:
    """Check that no member unpacks to far more than it holds: Keras unpacks all of them to disk where there are vocabularies among them.

    Raises:
        ArchiveError: one does, or the zip is damaged.
    """
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _check_ratio(path, info)


@contextmanager
def open_weights(path: str) -> Iterator[OpenedFile]:
    """Open the weights inside the zip.

    Raises:
        ArchiveError: they are missing or damaged.
    """
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        info = archive.NameToInfo.get(WEIGHTS)
        if info is None:
            raise ArchiveError(f"{path}: no {WEIGHTS} in it; the weights are missing, save the model again")
        unpacked = None if info.compress_type == zipfile.ZIP_STORED else _unpack(path, archive, info)
    if unpacked is not None:
        with open_hdf5(unpacked, path) as file:
            yield file
    else:
        with Path(path).open("rb") as whole, open_hdf5(_window(path, whole, info), path) as file:
            yield file


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, struct.error, RuntimeError) as err:
        raise ArchiveError(f"{path}: damaged zip ({_CUT.get(str(err), str(err)) or type(err).__name__}); save or copy the model again") from err


def _check_ratio(path: str, info: zipfile.ZipInfo) -> None:
    if info.file_size > MAX_UNCHECKED and info.file_size > MAX_RATIO * info.compress_size:
        sizes = f"claims {info.file_size:,} bytes and holds {info.compress_size:,} of compressed data"
        raise ArchiveError(f"{path}: {info.filename} {sizes}; the file is not safe to read, save the model again")


def _unpack(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    _check_ratio(path, info)
    if info.file_size > MAX_UNPACKED:
        raise ArchiveError(f"{path}: {WEIGHTS} is compressed and would take {info.file_size:,} bytes of memory; store it uncompressed, as Keras does")
    return io.BytesIO(archive.read(info))


def _window(path: str, file: BinaryIO, info: zipfile.ZipInfo) -> BinaryIO:
    """Return a member's bytes, which begin after its local header of 30 bytes, name and extra field (APPNOTE.TXT 4.3.7)."""
    with _damage_named(path):
        file.seek(info.header_offset)
        name, extra = struct.unpack("<26xHH", file.read(30))
    return cast("BinaryIO", _Window(file, info.header_offset + 30 + name + extra, info.file_size))


class _Window(io.RawIOBase):
    """A part of an open file as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: max(0, self._length - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view)  # type: ignore[attr-defined]
        self._at += count
        return int(count)
