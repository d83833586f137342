"""Files and folders that are written as a whole or not at all.

They are written under a temporary name beside their place, flushed to disk, then renamed.

A temporary name ends in `.graphprune-part` and is locked for as long as its writer lives, so that
the next write to the same place can remove what a killed process left, and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import Lock
from typing import BinaryIO

from graphprune.errors import WriteError
from graphprune.write_faults import cannot_write, find_reason, writing

PART = ".graphprune-part"
_TOKEN = re.compile(r"[0-9a-f]{16}")
_LONGEST_NAME = 255
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a file that had been opened, which do not name it."""
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""

_unfinished: set[Path] = set()
_changing = Lock()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_sha256(path: Path) -> str:
    """Return the sha256 of a saved model: of a file's bytes, or of a folder's names and bytes."""
    if not path.is_dir():
        return file_sha256(path)
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return hashlib.sha256(
        "".join(f"{file_sha256(path / name)} {name}\n" for name in names).encode()
    ).hexdigest()


def sync(path: Path) -> None:
    """Flush a file, or the list of names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, so that a crash leaves the old file or the new one.

    Raises:
        WriteError: the operating system refuses.
    """
    with whole_file(path, needed=len(content)) as stream:
        stream.write(content)


def write_once(path: Path, content: bytes, mode: int) -> None:
    """Write `content` to `path` with the permissions `mode`, unless something is there.

    If several processes do so at once, the content of the first one stays.

    Raises:
        WriteError: the operating system refuses.
    """
    with writing(path), _part_beside(path, is_folder=False, mode=mode) as (part, descriptor):
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            stream.write(content)
        os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(part, path)
        sync(path.parent)


@contextmanager
def whole_file(path: Path, *, needed: int | None = None) -> Iterator[BinaryIO]:
    """Yield a file to write, which replaces `path` if the block ends well; makes missing folders.

    Raises:
        WriteError: the operating system refuses.
    """
    with writing(path, needed=needed), _part_beside(path, is_folder=False) as (part, descriptor):
        with os.fdopen(descriptor, "w+b", closefd=False) as stream:
            yield stream
        os.fsync(descriptor)
        with _changing:
            part.replace(path)
            _unfinished.discard(part)
        sync(path.parent)


@contextmanager
def whole_folder(path: Path, *, needed: int | None = None) -> Iterator[Path]:
    """Yield a folder to fill, which replaces `path` if the block ends well; makes missing folders.

    Raises:
        WriteError: the operating system refuses.
    """
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    with writing(path, needed=needed), _part_beside(place, is_folder=True) as (part, _):
        yield part
        _obey_umask(part)
        for found in [*part.rglob("*"), part]:
            sync(found)
        with _changing:
            _take_place(part, place)
            _unfinished.discard(part)
        sync(place.parent)
        _remove(part)  # the folder that was there before


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for what is read again before the block ends; it is removed then.

    It is also removed where a signal ends the process.

    Raises:
        WriteError: the operating system refuses to write there.
    """
    place, told = gettempdir(), "temporary files go there, or where TMPDIR says"
    own = os.path.join(place, "graphprune-")
    try:
        with TemporaryDirectory(prefix="graphprune-") as name, _removed_at_the_end(Path(name)):
            yield Path(name)
    except WriteError as fault:
        if not fault.path.startswith(own):
            raise  # of a file that the user knows
        raise cannot_write(place, fault.fault, needed=fault.needed, kept=told) from fault
    except OSError as fault:
        reason = find_reason(fault) or fault
        is_full = fault.filename is None and reason.errno in _NO_ROOM
        if not is_full and not str(fault.filename).startswith(own):
            raise
        raise cannot_write(place, reason, kept=told) from fault


@contextmanager
def _removed_at_the_end(folder: Path) -> Iterator[None]:
    with _changing:
        _unfinished.add(folder)
    try:
        yield
    finally:
        with _changing:
            _unfinished.discard(folder)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left while they wrote `path`; what a living one writes stays."""
    prefix = _part_prefix(path)
    with suppress(OSError):  # the write that follows says what is wrong with the folder
        for found in list(path.parent.iterdir()):
            token = found.name.removeprefix(prefix).removesuffix(PART)
            if found.name == f"{prefix}{token}{PART}" and _TOKEN.fullmatch(token):
                _remove_if_abandoned(found)


def remove_unfinished() -> None:
    """Remove the temporary files of this process; no write begins or ends after it."""
    _changing.acquire()
    for part in _unfinished:
        _remove(part)


@contextmanager
def _part_beside(path: Path, *, is_folder: bool, mode: int = 0o666) -> Iterator[tuple[Path, int]]:
    with suppress(FileNotFoundError):
        # a name that is too long, or a file among the folders, is an error before anything is
        # written
        path.lstat()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    part, descriptor = _make_part(path, is_folder=is_folder, mode=mode)
    try:
        yield part, descriptor
    finally:
        os.close(descriptor)
        with _changing:
            if part in _unfinished:
                _remove(part)
                _unfinished.discard(part)


def _make_part(path: Path, *, is_folder: bool, mode: int) -> tuple[Path, int]:
    """Return a new temporary file or folder with its open descriptor, locked.

    A process that can lock it knows that its writer is gone.
    """
    while True:
        part = path.with_name(f"{_part_prefix(path)}{secrets.token_hex(8)}{PART}")
        with _changing:
            if is_folder:
                part.mkdir()
            flags = (
                os.O_RDONLY | os.O_DIRECTORY if is_folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
            )
            descriptor = os.open(part, flags | os.O_NOFOLLOW, mode)
            _unfinished.add(part)
        with suppress(OSError):  # some network file systems have no locks; there, leftovers stay
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if part.exists():
            return part, descriptor
        os.close(descriptor)  # removed as a leftover in the moment before it was locked
        with _changing:
            _unfinished.discard(part)


def _part_prefix(path: Path) -> str:
    """Return the prefix of the temporary names of `path`: its name, cut to the file system's limit.

    Example:
        >>> _part_prefix(Path("out/net.keras")), len(_part_prefix(Path("n" * 255)))
        ('.net.keras.', 223)
    """
    name, room = path.name, _LONGEST_NAME - len(PART) - 16 - 2
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return f".{name}."


def _remove_if_abandoned(part: Path) -> None:
    with suppress(OSError):  # it is locked, or gone, or not ours to remove
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(part)
        finally:
            os.close(descriptor)


def _obey_umask(folder: Path) -> None:
    """Set the permissions of all files in `folder` as the umask says, like those of `folder`."""
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o777
    for found in folder.rglob("*"):
        found.chmod(mode if found.is_dir() else mode & 0o666)


def _take_place(part: Path, path: Path) -> None:
    """Rename `part` to `path`; an existing folder moves to `part`, at once if possible."""
    if not path.is_dir():
        os.rename(part, path)
    elif not _exchange(part, path):
        aside = part.with_name(f"{part.name}.old")
        os.rename(path, aside)
        os.rename(part, path)
        os.rename(aside, part)


def _exchange(one: Path, other: Path) -> bool:
    import ctypes  # only here: light commands start without it

    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc 2.28, musl 1.2.4
    here = -100  # AT_FDCWD: relative paths are those of the working directory
    return (
        renameat2 is not None
        and renameat2(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file; `target` appears whole or not at all."""
    with source.open("rb") as stream, whole_file(target, needed=source.stat().st_size) as copied:
        shutil.copyfileobj(stream, copied)
