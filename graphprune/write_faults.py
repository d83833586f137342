"""The error for everything that cannot be written: file, reason, free space, and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphprune.errors import WriteError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "remove files, or have the disk quota raised",
    errno.EROFS: "mount the file system for writing",
    errno.EACCES: "change the permissions of the folder",
    errno.EPERM: "change the permissions of the folder",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EIO: "check the disk",
}
_RENAMES = {
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOTDIR: "a part of the path is a file, not a folder; give another name",
    errno.EISDIR: "give another name",
    errno.ENOTEMPTY: "give another name",
    errno.EEXIST: "give another name",
}


@contextmanager
def writing(
    path: str | Path, *, needed: int | None = None, kept: str = "", then: str = ""
) -> Iterator[None]:
    """Turn every failure to write `path` into the one error, also one from a part of it.

    Args:
        path: The file or folder as the user knows it.
        needed: Its size in bytes, where that is known.
        kept: What is whole all the same.
        then: What to do once the cause is removed, such as `graphprune resume runs/a`; empty where
            another place does as well.

    Raises:
        WriteError: the operating system refuses.
    """
    try:
        yield
    except WriteError as fault:
        raise cannot_write(
            path, fault.fault, needed=needed or fault.needed, kept=kept, then=then
        ) from fault
    except OSError as fault:
        raise cannot_write(
            path, find_reason(fault) or fault, needed=needed, kept=kept, then=then
        ) from fault


def cannot_write(
    path: str | Path, fault: OSError, *, needed: int | None = None, kept: str = "", then: str = ""
) -> WriteError:
    """Return the error that says why `path` cannot be written; arguments as for `writing`.

    Example:
        >>> full = OSError(errno.ENOSPC, "No space left on device")
        >>> print(cannot_write("o.keras", full, needed=2048))  # doctest: +ELLIPSIS
        o.keras: cannot be written: No space left on device (... bytes are free); make room ...
        >>> read_only = OSError(errno.EROFS, "Read-only file system")
        >>> fault = cannot_write(
        ...     "run", read_only, kept="checkpoints are whole", then="graphprune a"
        ... )
        >>> for part in str(fault).split("; "):
        ...     print(part)
        run: cannot be written: Read-only file system
        checkpoints are whole
        mount the file system for writing, then go on with: graphprune a
    """
    room = _describe_room(Path(path), needed) if fault.errno in _NO_ROOM else ""
    parts = [
        f"cannot be written: {fault.strerror or fault}{room}",
        kept,
        _advise(fault.errno, then),
    ]
    return WriteError("; ".join(part for part in parts if part), str(path), fault, needed)


def find_reason(fault: BaseException) -> OSError | None:
    """Return the operating system's error within one of TensorFlow or HDF5; None for other errors.

    Example:
        >>> find_reason(
        ...     RuntimeError("/data/o/variables: No space left on device [Op:SaveV2]")
        ... ).errno == errno.ENOSPC
        True
        >>> find_reason(ValueError("layer fc has no weights")) is None
        True
    """
    text = str(fault)
    # HDF5 writes the number within a text of many parts, TensorFlow only the system's words for it
    numbered = re.search(r"errno = (\d+)", text)
    if isinstance(fault, OSError) and fault.errno and numbered is None:
        return fault
    number = (
        int(numbered[1])
        if numbered
        else next((code for code in (*_REMEDIES, *_RENAMES) if os.strerror(code) in text), None)
    )
    return None if number is None else OSError(number, os.strerror(number))


def _advise(number: int | None, then: str) -> str:
    if number in _RENAMES:
        return _RENAMES[number]
    remedy = _REMEDIES.get(number or 0, "")
    if then:
        return f"{remedy or 'remove the cause'}, then go on with: {then}"
    return f"{remedy}, or give another place" if remedy else "give another place"


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk that `path` is on, or will be."""
    place = path.absolute()
    disk = os.statvfs(next(each for each in (place, *place.parents) if each.is_dir()))
    return disk.f_bavail * disk.f_frsize


def _describe_room(path: Path, needed: int | None) -> str:
    room = free_bytes(path)
    parts = [] if needed is None or needed <= room else [f"needs more than {needed:,} bytes"]
    free = f"{room:,}"
    return f" ({', '.join([*parts, f'{free} are free' if parts else f'{free} bytes are free'])})"
