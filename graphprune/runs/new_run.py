"""Create the folder of a run atomically, and lock it.

One process at a time makes, trains or repairs the run in a folder.

A folder that does not exist yet is built under a temporary name beside its place and renamed; the
rename fails where another process was faster. In a folder that exists, an empty one or one with a
run that is replaced, the new run's files are first written to `.new-run`. Its `run.json` comes
last: once it is there, the new run is complete, and the next holder of the lock moves it into
place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graphprune.errors import OUTPUT_EXISTS, CheckpointError, OutputError
from graphprune.files import sync
from graphprune.runs.records import Damage, read_record
from graphprune.runs.run_files import (
    FIXED,
    LOCK,
    RUN,
    STAGED,
    find_first_files,
    has_only_leftovers,
    is_folder,
    move_in,
    remove_run,
)
from graphprune.runs.run_options import RunOptions
from graphprune.write_faults import writing

Write = Callable[[Path], None]
_LOOKS, _PAUSE = 100, 0.02
"""How often the lock is tried while others share it, and the seconds between."""
_UNLOCKED = 60
"""Seconds after which an empty folder without a lock is a left-over: its process locks it at once.
"""


def check_free(folder: Path, *, force: bool) -> str:
    """Refuse a folder that is not empty; with `force`, an earlier run there may be replaced.

    Returns:
        The hash of the run that is there, or "" if there is none. `new_run` refuses to
        replace anything else.

    Raises:
        OutputError: the folder is taken.
        CheckpointError: a newer graphprune made the run that is there.
    """
    if not os.path.lexists(folder):
        return ""
    if not folder.is_dir():
        raise OutputError("is a file; give the run a folder of its own", place=folder)
    if not has_run(folder):
        if not has_only_leftovers(folder):
            raise OutputError("holds other files; give the run a folder of its own", place=folder)
        return ""
    if not force:
        raise OutputError(
            f"already holds a run; resume it with graphprune resume {folder}, or pass"
            " --force to start over",
            OUTPUT_EXISTS,
            place=folder,
        )
    if (folder / RUN).is_dir() or (folder / RUN).is_symlink():
        raise OutputError(
            "is not a file, so the run there cannot be replaced; give the run a folder of its own",
            place=folder / RUN,
        )
    try:
        return read_record(folder / RUN, sealed_since=2).sha256
    except Damage:
        return "damaged"


def has_run(folder: Path) -> bool:
    """Return whether `folder` holds a training run, one that is being moved into place included."""
    return os.path.lexists(folder / RUN) or is_replaced(folder)


@contextmanager
def new_run(
    folder: Path, write: Write, names: Collection[str], *, found: str, force: bool
) -> Iterator[None]:
    """Make a run in `folder` and hold its lock.

    Args:
        folder: Its place.
        write: Writes the run's first files into the folder that it is given, `run.json` last.
        names: The files that it writes, now or when it ends.
        found: What `check_free` found there when the command began.
        force: Replace an earlier run.

    Raises:
        OutputError: the folder is taken, or cannot be written.
        CheckpointError: another process is training there.
    """
    with writing(folder):
        clear_siblings(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(folder):
        with _fresh(folder, write):
            yield
        return
    _check_found(folder, found, force=force)
    with run_locked(folder):
        with writing(folder):
            finish_replacement(folder)
            _check_found(folder, found, force=force)
            _check_names(folder, names)
            _write_staged(folder / STAGED, write)
            finish_replacement(folder)
        yield


def _write_staged(staged: Path, write: Write) -> None:
    staged.mkdir()
    try:
        write(staged)
        sync(staged)
    except BaseException:
        if not is_replaced(staged.parent):
            shutil.rmtree(staged, ignore_errors=True)
        raise


def finish_replacement(folder: Path) -> None:
    """Move a complete replacement run into place, or remove an incomplete one.

    The caller holds the lock.
    """
    staged = folder / STAGED
    if not is_folder(staged):
        return
    if is_replaced(folder):
        if os.path.lexists(folder / RUN):  # until it is gone, nothing of the new run was moved
            remove_run(folder, _read_options(folder))
            (folder / RUN).unlink()
            sync(folder)
        move_in(staged, folder)
        sync(folder)
    else:
        shutil.rmtree(staged)


def clear_siblings(folder: Path) -> None:
    """Remove folders beside `folder` in which a process that was killed began this run."""
    if not folder.parent.is_dir():
        return
    for path in list(folder.parent.iterdir()):
        if _sibling(folder.name).fullmatch(path.name) and is_folder(path):
            _remove_sibling(path)


def _sibling(name: str) -> re.Pattern[str]:
    return re.compile(rf"\.{re.escape(name)}\.new-run-[0-9a-f]{{16}}")


def _remove_sibling(path: Path) -> None:
    # another process may remove it too; if it cannot be removed, it does no harm
    with suppress(OSError, OutputError):
        if not (path / LOCK).is_file():
            if time.time() - path.stat().st_mtime > _UNLOCKED:
                path.rmdir()
        elif not is_locked(path):
            for entry in path.iterdir():
                if entry.name != LOCK:
                    shutil.rmtree(entry) if is_folder(entry) else entry.unlink()
            (path / LOCK).unlink()
            path.rmdir()


@contextmanager
def _fresh(folder: Path, write: Write) -> Iterator[None]:
    with writing(folder):
        temporary = _make_sibling(folder)
    with run_locked(temporary):
        try:
            with writing(folder):
                write(temporary)
                sync(temporary)
                _rename(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync(folder.parent)
        yield


def _make_sibling(folder: Path) -> Path:
    path = folder.with_name(f".{folder.name}.new-run-{secrets.token_hex(8)}")
    path.mkdir()
    return path


def _rename(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise _taken(folder) from fault


def _check_found(folder: Path, found: str, *, force: bool) -> None:
    try:
        now = check_free(folder, force=force)
    except OutputError as fault:
        raise _taken(folder) from fault
    if now != found:
        raise _taken(folder)


def _check_names(folder: Path, names: Collection[str]) -> None:
    """Refuse to replace a file that the earlier run in `folder` did not write.

    Raises:
        OutputError: there is one.
    """
    options = _read_options(folder)
    known = (
        set(FIXED)
        if options is None
        else {*FIXED, *options.written_models, *find_first_files(folder, options)}
    )
    for name in names:
        if name not in known and os.path.lexists(folder / name):
            raise OutputError(
                "was not written by the earlier run, but this run needs the name; move it away",
                place=folder / name,
            )


def _taken(folder: Path) -> CheckpointError:
    return CheckpointError(
        "another process created a run there; give this run another folder", place=folder
    )


def is_replaced(folder: Path) -> bool:
    """Return whether a complete new run in `folder` has still to be moved into place."""
    return is_folder(folder / STAGED) and (folder / STAGED / RUN).is_file()


def _read_options(folder: Path) -> RunOptions | None:
    try:
        return read_record(folder / RUN, sealed_since=2).parse(RunOptions)
    except Damage:
        return None


@contextmanager
def run_locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which exists.

    The operating system releases it when the process ends, for any reason.

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
                f"cannot be opened ({fault.strerror}); the folder of a run must be writable",
                place=path,
            ) from fault
        try:
            is_ours = _lock(number)
        except OSError as fault:
            os.close(number)
            raise OutputError(
                f"cannot be locked ({fault.strerror}); use a file system that supports locks",
                place=path,
            ) from fault
        if is_ours and _is_at(path, number):
            return number
        os.close(number)
        if not is_ours:
            raise CheckpointError(
                "another process is training in this folder; wait for it, or stop it", place=folder
            )
        # the folder was removed and created again meanwhile


def _lock(number: int) -> bool:
    """Lock the open file of a lock for this process alone; return whether it could.

    A process that only looks whether somebody trains (`graphprune runs`) shares the lock for a
    moment, and is waited for.
    """
    for _ in range(_LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody has it alone
            return False
        fcntl.flock(number, fcntl.LOCK_UN)
        time.sleep(_PAUSE)
    return False


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
