"""The mark in `run.json` that says: this user made the run on this machine.

It is an HMAC of the file's content under a secret key of the user's
(`$XDG_STATE_HOME/graphprune/run-key`, or `~/.local/state/graphprune/run-key`), which nobody
else can read. A run that was unpacked or copied from another machine or user has no valid mark,
whoever owns its files.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from graphprune.errors import WriteError
from graphprune.files import write_once
from graphprune.runs.records import Record

_KEY_BYTES = 32


def make_mark(sha256: str) -> str:
    """Return the mark for a `run.json` of this hash; empty where no key can be kept, as without a
    home folder.
    """
    with suppress(OSError, RuntimeError, WriteError):
        _create_key(_key_file())
    key = _read_key()
    return "" if key is None else _sign(key, sha256)


def is_own(record: Record) -> bool:
    """Return whether this user made the run that `record`, its `run.json`, describes."""
    key = _read_key()
    return key is not None and hmac.compare_digest(
        _sign(key, record.sha256).encode(), record.mark.encode()
    )


def _sign(key: bytes, sha256: str) -> str:
    return hmac.digest(key, sha256.encode(), "sha256").hex()


def _key_file() -> Path:
    """Return where the key is; a relative XDG_STATE_HOME is ignored, as the XDG Base Directory
    Specification asks.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    return (
        (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state")
        / "graphprune"
        / "run-key"
    )


def _create_key(path: Path) -> None:
    """Make the key unless there is one; of two processes that make it at once, both use the first
    one's.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_once(path, secrets.token_bytes(_KEY_BYTES), 0o600)


def _read_key() -> bytes | None:
    """Return the key; None where there is none, or others could have read it."""
    try:
        number = os.open(_key_file(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, RuntimeError):
        return None
    with os.fdopen(number, "rb") as stream:
        found = os.fstat(number)
        is_secret = (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == os.geteuid()
            and not found.st_mode & 0o077
        )
        key = stream.read(_KEY_BYTES + 1) if is_secret else b""
    return key if len(key) == _KEY_BYTES else None
