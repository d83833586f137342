"""Arrays of an `.npz` file, read within the available memory and without running anything.

An `.npz` is a zip whose members are `.npy` files (numpy.lib.format). Sizes are checked by the
headers before anything is allocated: what a header declares is what the member holds, and what is
read into memory fits there. Large uncompressed members are mapped, not read.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

import numpy as np

from graphprune.archive.hdf5.file import MAX_DEFLATE, MAX_RATIO, shrinks_too_much
from graphprune.archive.keras_zip import MAX_DIRECTORY, directory_size
from graphprune.errors import DataError
from graphprune.runs.memory import available_memory
from graphprune.runs.npy_header import Header, clip, read_header
from graphprune.suggestions import ask_for_file

MAPPED_FROM = 64 * 2**20
"""Bytes from which on an uncompressed member is mapped; smaller ones are read."""
_BLOCK = 2**20
_USABLE = 0.8
"""The share of the available memory that arrays may fill; training needs some as well."""
_ENCRYPTED = 0x1


Wanted = Callable[[str], bool]
"""Whether an array is to be read, by its name."""


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was mapped.

    A write to it would change the samples, and truncating it would end the process.
    """

    path: str
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: str, file: int | str) -> FileState:
        """Return the state that the file of this descriptor or path has now."""
        now = os.stat(file)
        return cls(path, now.st_ino, now.st_size, now.st_mtime_ns)

    def check(self) -> None:
        """Refuse a file that was modified since.

        A file that was moved or replaced is still the one that is mapped.

        Raises:
            DataError: the file has changed.
        """
        try:
            now = FileState.of(self.path, self.path)
        except OSError:
            return
        if now.inode == self.inode and now != self:
            raise DataError(
                "was modified while in use; restore the old file and go on"
                " with resume, or start a new run",
                place=self.path,
            )


@dataclass(frozen=True, slots=True)
class NpzFile:
    """The arrays of an `.npz`.

    Attributes:
        arrays: The arrays that were asked for and are there, by name.
        names: The names of all members.
        sha256: The hash of the file's bytes.
        mapped: The file as it is now, where arrays are maps of it.
    """

    arrays: dict[str, np.ndarray[Any, Any]]
    names: tuple[str, ...]
    sha256: str
    mapped: FileState | None


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    info: zipfile.ZipInfo
    header: Header

    @property
    def is_mapped(self) -> bool:
        is_stored = self.info.compress_type == zipfile.ZIP_STORED
        return is_stored and self.header.size >= MAPPED_FROM


def read_headers(path: str, wanted: Wanted) -> tuple[dict[str, Header], tuple[str, ...]]:
    """Return the headers of the `wanted` arrays in the file, and the names of all members.

    Only headers are read.

    Raises:
        DataError: as `read_npz`, as far as headers show it.
    """
    with _open(path) as file, _damage_named(path):
        infos = _members(path, file)
        with zipfile.ZipFile(file) as archive:
            members = _read_headers(path, archive, infos, wanted)
    return {member.name: member.header for member in members}, tuple(infos)


def read_npz(path: str, wanted: Wanted) -> NpzFile:
    """Return the arrays of the file whose names are `wanted`; others are not read.

    Raises:
        DataError: the file cannot be read or is damaged, an array is of a kind that no model is
            trained on, or the arrays do not fit into memory.
    """
    with _open(path) as file, _damage_named(path):
        state = FileState.of(path, file.fileno())
        infos = _members(path, file)
        with zipfile.ZipFile(file) as archive:
            members = _read_headers(path, archive, infos, wanted)
            arrays = {member.name: _load(path, file, archive, member) for member in members}
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    is_mapped = any(member.is_mapped for member in members)
    return NpzFile(arrays, tuple(infos), digest, state if is_mapped else None)


@dataclass(frozen=True, slots=True)
class FoundValue:
    """A value in an array of an `.npz`: the array's name, the index and the value."""

    name: str
    at: tuple[int, ...]
    value: Any


def find_value(path: str, wanted: Wanted, is_wrong: Callable[[Any], Any]) -> FoundValue | None:
    """Return the first wrong value of the `wanted` arrays of floats, in file order, or None.

    They are read in blocks, so that a large array needs little memory.

    Args:
        path: The file.
        wanted: Whether an array is to be looked at, by its name.
        is_wrong: Returns for an array of values which of them are wrong.

    Raises:
        DataError: as `read_npz`.
    """
    with _open(path) as file, _damage_named(path):
        infos = _members(path, file)
        with zipfile.ZipFile(file) as archive:
            for member in _read_headers(path, archive, infos, wanted):
                if member.header.dtype.kind != "f":
                    continue
                with archive.open(member.info) as stream:
                    stream.read(member.header.length)
                    found = _find_in(member, stream, is_wrong)
                if found is not None:
                    return found
    return None


def _find_in(
    member: _Member, stream: IO[bytes], is_wrong: Callable[[Any], Any]
) -> FoundValue | None:
    header, start = member.header, 0
    while block := stream.read(_BLOCK):
        values = np.frombuffer(block, header.dtype)
        places = np.flatnonzero(is_wrong(values))
        if places.size:
            order: Literal["C", "F"] = "F" if header.is_fortran else "C"
            at = np.unravel_index(start + int(places[0]), header.shape, order=order)
            return FoundValue(member.name, tuple(map(int, at)), values[places[0]])
        start += values.size
    return None


def _read_headers(
    path: str, archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], wanted: Wanted
) -> list[_Member]:
    """Return the wanted members, which fit into memory."""
    members = [
        _Member(name, info, _read_header(path, archive, name, info))
        for name, info in infos.items()
        if wanted(name)
    ]
    _check_memory(path, members)
    return members


_KINDS = "data is an .npz, .csv or TFRecord file, a folder of images, or package.module:function"


@contextmanager
def _open(path: str) -> Iterator[BufferedReader]:
    place = Path(path)
    if not place.exists():
        near = ask_for_file(path, lambda found: found.suffix == ".npz")
        raise DataError(f"no such file; {near or _KINDS}", place=path)
    if not place.is_file():
        _refuse_format(path)
    try:
        file = place.open("rb")
    except OSError as fault:
        raise DataError(
            f"cannot be read ({fault.strerror}); check its permissions", place=path
        ) from fault
    with file:
        yield file


def _refuse_format(path: str) -> NoReturn:
    raise DataError(
        "not an .npz file; write one with numpy.savez(path, x_train=..., y_train=...)", place=path
    )


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    try:
        yield
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        NotImplementedError,
        UnicodeError,
    ) as fault:
        raise DataError(
            f"damaged, {clip(str(fault)) or type(fault).__name__}; write the file again", place=path
        ) from fault


def _members(path: str, file: BufferedReader) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, without the suffix `.npy`.

    Two members of one name are refused, since readers differ in which one they take.
    """
    if not zipfile.is_zipfile(file):
        _refuse_format(path)
    size = directory_size(file)
    if size > MAX_DIRECTORY:
        raise DataError(
            f"its list of members has {size:,} bytes, more than the limit of {MAX_DIRECTORY:,};"
            " write a file with fewer arrays",
            place=path,
        )
    found: dict[str, zipfile.ZipInfo] = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in found:
                raise DataError(
                    f"two arrays are named {name[:60]!r}; write the file again with unique names",
                    place=path,
                )
            found[name] = info
    return found


def _read_header(path: str, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Header:
    _check_member(path, archive, name, info)
    with archive.open(info) as member:
        header = read_header(path, name, member)
    holds = info.file_size - header.length
    if header.size != holds:
        size, shape = clip(f"{header.size:,}"), clip(str(header.shape))
        raise DataError(
            f"damaged, {name} declares {size} bytes (shape {shape}, {header.dtype}) and"
            f" holds {holds:,}; write the file again",
            place=path,
        )
    if 0 in header.shape[1:]:
        raise DataError(
            f"{name} has shape {clip(str(header.shape))}, so its samples hold no values;"
            " write it again with data",
            place=path,
        )
    return header


def _check_member(path: str, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"{name} is encrypted; write the file with numpy.savez", place=path)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{name} is compressed by a method that NumPy does not use; write the file with"
            " numpy.savez",
            place=path,
        )
    claimed, held = info.file_size, info.compress_size
    is_stored = info.compress_type == zipfile.ZIP_STORED
    if (
        (is_stored and claimed != held)
        or claimed > held * MAX_DEFLATE
        or info.header_offset + held > archive.start_dir
    ):
        raise DataError(
            f"damaged, {name} claims {claimed:,} bytes and holds {held:,}; write the file again",
            place=path,
        )
    if shrinks_too_much(claimed, held):
        raise DataError(
            f"{name} would unpack from {held:,} to {claimed:,} bytes, more than {MAX_RATIO}"
            " times as many; write it uncompressed, with numpy.savez",
            place=path,
        )


def _check_memory(path: str, members: Sequence[_Member]) -> None:
    """Refuse arrays that do not fit into memory.

    Counted are the arrays that are read, and two copies of the order of the samples in an epoch
    (8 bytes each).
    """
    read = sum(member.header.size for member in members if not member.is_mapped)
    orders = 16 * max(
        (member.header.shape[0] for member in members if member.header.shape), default=0
    )
    free = available_memory()
    if free is None or read + orders <= _USABLE * free:
        return
    packed = any(member.info.compress_type != zipfile.ZIP_STORED for member in members)
    way_out = (
        "write it uncompressed, with numpy.savez, so that it need not be read whole"
        if packed
        else "use fewer samples, or a data function"
    )
    raise DataError(
        f"needs {read + orders:,} bytes of memory, but only {int(_USABLE * free):,} can be"
        f" used; {way_out}",
        place=path,
    )


def _load(
    path: str, file: BufferedReader, archive: zipfile.ZipFile, member: _Member
) -> np.ndarray[Any, Any]:
    """Return the array, with its checksum verified.

    zipfile compares the checksum when the last byte is read.
    """
    with archive.open(member.info) as stream:
        stream.read(member.header.length)
        if not member.is_mapped:
            return member.header.shaped(_read_bytes(path, member, stream))
        while stream.read(_BLOCK):
            pass
    return member.header.shaped(_map(file, member))


def _read_bytes(path: str, member: _Member, stream: IO[bytes]) -> np.ndarray[Any, Any]:
    try:
        values = np.empty(member.header.size, np.uint8)
    except MemoryError as fault:
        raise DataError(
            f"{member.name} needs {member.header.size:,} bytes of memory, more than is"
            " available; use fewer samples",
            place=path,
        ) from fault
    at = 0
    while at < len(values):
        block = stream.read(min(_BLOCK, len(values) - at))
        if not block:
            raise EOFError(f"{member.name} ends after {at:,} of {len(values):,} bytes")
        values[at : at + len(block)] = np.frombuffer(block, np.uint8)
        at += len(block)
    return values


def _map(file: BufferedReader, member: _Member) -> np.ndarray[Any, Any]:
    """Return the member's bytes as a map of the file.

    They follow the local header of 30 bytes, the name and the extra field (APPNOTE.TXT 4.3.7).
    """
    file.seek(member.info.header_offset)
    name, extra = struct.unpack("<26xHH", file.read(30))
    start = member.info.header_offset + 30 + name + extra + member.header.length
    if start + member.header.size > os.fstat(file.fileno()).st_size:
        raise EOFError(f"{member.name} extends past the end of the file")
    return np.memmap(file, np.uint8, "r", start, (member.header.size,))
