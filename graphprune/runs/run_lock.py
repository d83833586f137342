"""The lock of a run's folder: one process at a time makes, trains or repairs the run in it."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphprune.errors import CheckpointError, OutputError

LOCK = ".lock"


@contextmanager
def run_locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which exists; the operating system lets go when the process ends,
    however it ends.

    Raises:
        CheckpointError: another process holds it.
        OutputError: nothing can be written there, or the file system has no locks.
    """
    number = _acquire(folder)
    try:
        yield
    finally:
        os.close(number)


def is_locked(folder: Path) -> bool:
    """Return whether a process holds the lock of `folder`."""
    try:
        with run_locked(folder):
            return False
    except CheckpointError:
        return True


def _acquire(folder: Path) -> int:
    path = folder / LOCK
    while True:
        try:
            number = _open(path)
        except OSError as fault:
            raise OutputError(
                f"{path}: cannot be opened ({fault.strerror}); the folder of a run must be writable"
            ) from fault
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(number)
            raise CheckpointError(
                f"{folder}: another process is training in this folder; wait for it, or stop it"
            ) from None
        except OSError as fault:
            os.close(number)
            raise OutputError(
                f"{path}: cannot be locked ({fault.strerror}); put the run on a file system that"
                " has locks"
            ) from fault
        if _is_at(path, number):
            return number
        os.close(number)  # somebody removed the folder meanwhile, and another is there now


def _open(path: Path) -> int:
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except OSError as fault:
        if fault.errno not in (errno.EACCES, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | flags)


def _is_at(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(number))
    except FileNotFoundError:
        return False
