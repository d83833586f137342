"""Opening of files that may be anything: nothing here waits for a pipe or reads more than it was
told to.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from graphprune.errors import ArchiveError
from graphprune.suggestions import ask_for_file

SUFFIXES = (".keras", ".h5", ".hdf5", ".json")
READABLE = ".keras, .h5, SavedModel folders and graph JSON"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}


def _ask(path: str) -> str:
    """Return what to do where there is no model at `path`: the model beside it that was meant."""
    return (
        ask_for_file(path, lambda near: near.suffix in SUFFIXES or near.is_dir())
        or f"check the path (graphprune reads {READABLE})"
    )


@contextmanager
def open_file(path: str, missing: str | None = None) -> Iterator[BinaryIO]:
    """Open a regular file for reading, without waiting where `path` is a named pipe; `missing` says
    what to do where there is none, unless it is a model's.

    Raises:
        ArchiveError: there is no such file, it is no regular file, or it cannot be read.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as err:
        raise ArchiveError(f"{path}: no such file; {missing or _ask(path)}") from err
    except (OSError, ValueError) as err:
        raise ArchiveError(
            f"{path}: cannot be read ({getattr(err, 'strerror', None) or err}); check the path and"
            " its permissions"
        ) from err
    with os.fdopen(number, "rb") as file:
        kind = stat.S_IFMT(os.fstat(number).st_mode)
        if kind != stat.S_IFREG:
            raise ArchiveError(
                f"{path}: is {_KINDS.get(kind, 'no regular file')}, not a file; copy the model to a"
                " file first"
            )
        try:
            yield file
        except OSError as err:
            if err.errno != errno.EIO:
                raise
            raise ArchiveError(
                f"{path}: cannot be read ({err.strerror}); copy the model to another place first"
            ) from err


def read_whole(path: str, limit: int, missing: str | None = None) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        ArchiveError: there is no such file, or it is larger.
    """
    with open_file(path, missing) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ArchiveError(
                f"{path}: has {size:,} bytes, more than the {limit:,} that graphprune reads of it;"
                " save the model again"
            )
        return file.read(limit)
