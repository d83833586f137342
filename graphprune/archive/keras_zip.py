"""The zip of a `.keras` file: members are read by name and never unpacked to disk."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from numpy.typing import NDArray

from graphprune.archive.archive import GroupFacts, Header, Layout, StoredTensor
from graphprune.archive.files import MAX_JSON, open_file, parse_object
from graphprune.archive.hdf5.file import (
    MAX_IMAGE,
    OpenedFile,
    open_hdf5,
    read_dataset,
    read_plain,
    shrinks_too_much,
)
from graphprune.archive.hdf5.index import index_keras_groups, read_group_name
from graphprune.archive.keras2 import upgrade_zip_config
from graphprune.archive.keras3 import without_backend
from graphprune.errors import ArchiveError

WEIGHTS = "model.weights.h5"
ASSETS = "assets"
MAX_DIRECTORY = 4 * 2**20
"""Bytes of a zip's list of members, which Python reads as a whole before members are counted."""
MAX_MEMBERS = 2_000
"""A model has three, and one for each vocabulary. Keras unpacks all of them to disk where there are
vocabularies: 60,000 empty ones take it half a minute.
"""
MAX_UNPACKED = 4 * 2**30
"""Bytes of compressed weights, which are unpacked in memory; Keras stores them uncompressed."""
MAX_OVERHEAD = 1000
"""Bytes that deflate may add to what does not shrink; more would unpack to more than it claims."""
_BLOCK = 2**20
_CUT = {"File is not a zip file": "its list of members is missing, the file was cut off"}
"""The message of zipfile for a zip without its end."""


@dataclass(frozen=True, slots=True)
class KerasZip:
    """A `.keras` file."""

    layout: ClassVar[Layout] = "keras"
    path: str

    @contextmanager
    def opened(self) -> Iterator[OpenedZip]:
        """Open the zip; its list of members is limited, because Python reads all of it first.

        Raises:
            ArchiveError: it is damaged, or not safe to read.
        """
        with open_file(self.path) as file, ExitStack() as opened:
            with _damage_named(self.path):
                members = opened.enter_context(_read_directory(self.path, file))
            yield OpenedZip(self.path, file, members, opened)


class OpenedZip:
    """A `.keras` file while it is open; its weights are opened when they are first asked for."""

    def __init__(
        self, path: str, file: BinaryIO, members: zipfile.ZipFile, weights: ExitStack
    ) -> None:
        self._path = path
        self._file = file
        self._members = members
        self._opened_weights = weights

    def read_header(self) -> Header:
        """Return the config and the version of Keras.

        Raises:
            ArchiveError: there is no config, or it is damaged.
        """
        text = self.member("config.json")
        if text is None:
            raise ArchiveError(
                "no config.json in this zip, so it is not a Keras model; name a file"
                " that model.save() wrote",
                place=self._path,
            )
        metadata_text = self.member("metadata.json")
        metadata = (
            {}
            if metadata_text is None
            else parse_object(metadata_text, self._path, "metadata.json")
        )
        version = str(metadata.get("keras_version", ""))
        config = parse_object(text, self._path, "config.json")
        return Header(version, without_backend(upgrade_zip_config(config, version)))

    def index(self) -> Mapping[str, tuple[StoredTensor, ...]]:
        """Return the tensors of each layer, by group.

        Raises:
            ArchiveError: the weights are missing, damaged or not safe to read.
        """
        return index_keras_groups(self.weights, self._path)

    def describe(self, group: str, /) -> GroupFacts:
        """Return the name of the layer that a group belongs to, as Keras 3 writes it."""
        return GroupFacts(read_group_name(self.weights, group, self._path))

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: they are damaged.
        """
        if tensor.stretch is not None:
            return read_plain(self._weight_bytes, tensor.stretch, self._path)
        return read_dataset(self.weights, tensor, self._path)

    def check_checksums(self) -> None:
        """Check the CRC-32 of every member; uncompressed weights are otherwise read without it.

        Raises:
            ArchiveError: a member's bytes are not those that were written.
        """
        with _damage_named(self._path):
            for info in self._members.infolist():
                _check_ratio(self._path, info)
                with self._members.open(info) as member:
                    while member.read(_BLOCK):  # at the end, zipfile compares the CRC-32
                        pass

    def check_members(self) -> None:
        """Check that no member unpacks to far more than it holds.

        Keras unpacks all members to disk where there are vocabularies among them.

        Raises:
            ArchiveError: one does.
        """
        for info in self._members.infolist():
            _check_ratio(self._path, info)

    def member(self, name: str) -> bytes | None:
        """Return a small member (at most 128 MB), or None if there is none of this name.

        Raises:
            ArchiveError: it is damaged, or too big.
        """
        info = self._members.NameToInfo.get(name)
        if info is None:
            return None
        if info.file_size > MAX_JSON:
            raise ArchiveError(
                f"{name} has {info.file_size:,} bytes, more than the {MAX_JSON:,}"
                " that a model's config may have; save the model again",
                place=self._path,
            )
        with _damage_named(self._path):
            return _read(self._path, self._members, info)

    @cached_property
    def weights(self) -> OpenedFile:
        """The weights.

        Raises:
            ArchiveError: they are missing or damaged.
        """
        return self._opened_weights.enter_context(open_hdf5(self._weight_bytes, self._path))

    @cached_property
    def _weight_bytes(self) -> BinaryIO:
        info = self._members.NameToInfo.get(WEIGHTS)
        if info is None:
            raise ArchiveError(
                f"no {WEIGHTS} in it; the weights are missing, save the model again",
                place=self._path,
            )
        with _damage_named(self._path):
            if info.compress_type != zipfile.ZIP_STORED:
                return _unpack(self._path, self._members, info)
            window = _window(self._path, self._file, info)
            return io.BytesIO(window.read()) if info.file_size <= MAX_IMAGE else window

    @contextmanager
    def unpacked_assets(self) -> Iterator[Path | None]:
        """Unpack the vocabularies of layers to a temporary folder; gives the folder, or None.

        Raises:
            ArchiveError: the zip is damaged, or holds more than it should.
        """
        members = [
            info
            for info in self._members.infolist()
            if info.filename.startswith(f"{ASSETS}/") and not info.is_dir()
        ]
        if sum(info.file_size for info in members) > MAX_UNPACKED:
            raise ArchiveError(
                f"the files of its layers would take more than {MAX_UNPACKED:,}"
                " bytes; keep such tables outside the model",
                place=self._path,
            )
        with tempfile.TemporaryDirectory() as folder:
            with _damage_named(self._path):
                for info in members:
                    target = Path(folder, info.filename)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(_read(self._path, self._members, info))
            yield Path(folder, ASSETS) if members else None


def _read_directory(path: str, file: BinaryIO) -> zipfile.ZipFile:
    size = directory_size(file)
    if size > MAX_DIRECTORY:
        raise ArchiveError(
            f"the zip's list of members has {size:,} bytes, more than the"
            f" {MAX_DIRECTORY:,} that a model's may have; save the model again",
            place=path,
        )
    members = zipfile.ZipFile(file)
    if len(members.infolist()) > MAX_MEMBERS:
        raise ArchiveError(
            f"the zip has {len(members.infolist()):,} members, more than the"
            f" {MAX_MEMBERS:,} that a model's may have; save the model again",
            place=path,
        )
    _check_names(path, members)
    return members


def _check_names(path: str, archive: zipfile.ZipFile) -> None:
    """Refuse members that would be unpacked outside of their folder, and two members of one name.

    Readers differ in which of the two they take.
    """
    for info in archive.infolist():
        parts = info.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise ArchiveError(
                f"the member {info.filename[:60]!r} points outside of the zip; the file is not"
                " safe to read, save the model again",
                place=path,
            )
        if archive.NameToInfo[info.filename] is not info:
            raise ArchiveError(
                f"two members are named {info.filename[:60]!r}; the file is not safe to"
                " read, save the model again",
                place=path,
            )


def directory_size(file: BinaryIO) -> int:
    """Return the bytes of a zip's list of members, by the record at its end; 0 without one.

    See APPNOTE.TXT 4.3.14 to 4.3.16.
    """
    start = max(0, file.seek(0, io.SEEK_END) - (1 << 16) - 42)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return 0
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if size == 0xFFFFFFFF and tail[at - 20 : at].startswith(b"PK\x06\x07"):
        file.seek(int.from_bytes(tail[at - 12 : at - 4], "little") % (1 << 62))
        size = int.from_bytes(file.read(56)[40:48], "little")
    return size


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        struct.error,
        RuntimeError,
    ) as err:
        raise ArchiveError(
            f"damaged zip ({_CUT.get(str(err), str(err)) or type(err).__name__}); save or"
            " copy the model again",
            place=path,
        ) from err


def _read(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return a member's bytes.

    `ZipFile.read` would unpack all that is there, also beyond the size that the member claims.
    """
    _check_ratio(path, info)
    with archive.open(info) as member:
        return member.read(info.file_size)


def _check_ratio(path: str, info: zipfile.ZipInfo) -> None:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError(
            f"{info.filename} is compressed in a way that Keras does not use; the file is"
            " not safe to read, save the model again",
            place=path,
        )
    if (
        shrinks_too_much(info.file_size, info.compress_size)
        or info.compress_size > info.file_size + info.file_size // 100 + MAX_OVERHEAD
    ):
        sizes = (
            f"claims {info.file_size:,} bytes and holds {info.compress_size:,} of compressed data"
        )
        raise ArchiveError(
            f"{info.filename} {sizes}; the file is not safe to read, save the model again",
            place=path,
        )


def _unpack(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    if info.file_size > MAX_UNPACKED:
        raise ArchiveError(
            f"{WEIGHTS} is compressed and would take {info.file_size:,} bytes of memory;"
            " store it uncompressed, as Keras does",
            place=path,
        )
    return io.BytesIO(_read(path, archive, info))


def _window(path: str, file: BinaryIO, info: zipfile.ZipInfo) -> BinaryIO:
    """Return a member's bytes: after its local header of 30 bytes, name and extra field.

    See APPNOTE.TXT 4.3.7.
    """
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
        self._at = (
            offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        )
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: max(0, self._length - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view)  # type: ignore[attr-defined]
        self._at += count
        return int(count)
