"""Copies of a live model in memory: the bytes of its file, made at once and written later.

HDF5 touches a model's variables while it writes, so a file cannot be written while training goes
on. Here HDF5 writes into memory, which takes as long as copying the weights does; the copy is
written to disk without the model, by any thread. It holds the weights once.
"""

from __future__ import annotations

import io
import mmap
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from graphprune.files import whole_file

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
DATE_SAVED = "1980-01-01@00:00:00"
"""The date in the metadata of `.keras` files: the same model makes the same bytes."""
_BLOCK = 1 << 20
_HEADERS = 4 << 20
"""Room for what HDF5 writes beside the tensors."""


class HDF5Bytes(io.BytesIO):
    r"""The bytes of an HDF5 file in memory, in huge pages where the system has them.

    A plain `BytesIO` moves all weights each time it grows, and once more when its bytes are taken.
    The first touch of a page of memory takes longer than the copy of its bytes, so the pages are
    large, and one object serves all copies of a run. It is derived from `BytesIO` because Keras 3
    accepts nothing else in memory.

    Example:
        >>> made = HDF5Bytes()
        >>> _ = made.write(b"weights"), made.seek(2), made.write(b"--"), made.seek(9)
        >>> _ = made.write(b"end")
        >>> bytes(made.view())
        b'we--hts\x00\x00end'
    """

    def __init__(self) -> None:
        super().__init__()
        self._memory = _new_memory(_HEADERS)
        self._at = self._size = 0

    def clear(self, expected: int) -> None:
        """Begin another file.

        Args:
            expected: The bytes of its tensors; a file that gets larger takes longer. With 0 it is
                about as large as the file before.
        """
        needed = expected + expected // 16 + _HEADERS
        if needed > len(self._memory):
            self._memory = _new_memory(needed)
        self._at = self._size = 0

    def write(self, data: Any, /) -> int:
        """Write `data` over what is at the current position."""
        end = self._at + len(data)
        self._reach(self._at)
        if end > len(self._memory):
            self._memory.resize(_whole_pages(end + end // 4))
        self._memory[self._at : end] = data
        self._at, self._size = end, max(self._size, end)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Set the position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer from the current position; HDF5 reads what it wrote before."""
        content = self._memory[self._at : min(self._at + len(buffer), self._size)]
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size."""
        size = self._at if size is None else size
        self._reach(size)
        self._size = size
        return size

    def _reach(self, size: int) -> None:
        """Let the file have at least `size` bytes: new ones are zero."""
        if size > len(self._memory):
            self._memory.resize(_whole_pages(size))
        if size > self._size:
            self._memory[self._size : size] = bytes(size - self._size)
            self._size = size

    def __len__(self) -> int:
        """Return the size of the file."""
        return self._size

    def view(self) -> memoryview:
        """Return the bytes of the file, without a copy; which it keeps until `clear`."""
        return memoryview(self._memory)[: self._size]


def _new_memory(size: int) -> mmap.mmap:
    """Return memory that is used only as it is written."""
    memory = mmap.mmap(-1, _whole_pages(size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(AttributeError, OSError):  # a system without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class FileCopy:
    """The bytes of a `.keras` or `.h5` file, to be written without the model.

    Attributes:
        members: Names and contents of the members of a `.keras` file, in order; of an `.h5` file,
            its bytes under the empty name.
    """

    members: tuple[tuple[str, bytes | HDF5Bytes], ...]

    @property
    def size(self) -> int:
        """The bytes of the file, without the headers of a zip."""
        return sum(len(content) for _, content in self.members)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            WriteError: the operating system refuses.
        """
        with whole_file(path, needed=self.size) as stream:
            if path.suffix == ".keras":
                self._write_zip(stream)
            else:
                for _, content in self.members:
                    _write(content, stream.write)

    def _write_zip(self, stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in self.members:
                info = zipfile.ZipInfo(name, _ZIP_TIME)
                info.external_attr = 0o600 << 16  # the default of zipfile
                info.file_size = len(content)  # decides whether the member needs zip64
                with archive.open(info, "w") as member:
                    _write(content, member.write)


def _write(content: bytes | HDF5Bytes, write: Callable[[memoryview], object]) -> None:
    """Write in blocks that stay in the processor's cache between checksum and disk."""
    view = content.view() if isinstance(content, HDF5Bytes) else memoryview(content)
    for start in range(0, len(view), _BLOCK):
        write(view[start : start + _BLOCK])


def read_assets(root: Path) -> tuple[tuple[str, bytes], ...]:
    """Return names and bytes of the files of layers in `root`, such as vocabularies, by name."""
    return tuple(
        (path.relative_to(root).as_posix(), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    )
