"""The JSON files of a run: each carries its own sha256, and is untrusted input when it is read.

    {"format_version": 2, ..., "sha256": "..."}

Format 1 is what graphprune wrote until 0.1.0: the same keys without those that have a default, and
without a hash in `run.json` and `result.json`.

The mark in `run.json` says that this user made the run on this machine. It is an HMAC of the file's
content under a secret key of the user's (`$XDG_STATE_HOME/graphprune/run-key`, or
`~/.local/state/graphprune/run-key`), which nobody else can read. A run that was unpacked or copied
from another machine or user has no valid mark, no matter who owns its files.
"""

from __future__ import annotations

import errno
import hmac
import json
import os
import reprlib
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from graphprune.documents import Expected, FirstOnly, Unexpected, check_json, to_json
from graphprune.errors import CheckpointError, WriteError
from graphprune.files import write_once, write_whole

FORMAT = 2
MAX_BYTES = 64 * 2**20
"""Bytes of one JSON file; `result.json` has about 200 per pruned tensor."""

_T = TypeVar("_T")
Hash = Annotated[str, Expected("64 hexadecimal digits", pattern=r"^[0-9a-f]{64}$")]
HashOrNone = Annotated[str, Expected("64 hexadecimal digits or none", pattern=r"^([0-9a-f]{64})?$")]
RunId = Annotated[str, Expected("32 hexadecimal digits or none", pattern=r"^([0-9a-f]{32})?$")]
Count = Annotated[int, Expected("a whole number from 0", ge=0)]
Length = Annotated[int, Expected("a whole number from 1", ge=1)]
PathText = Annotated[
    str, Expected("a path of 1 to 4,096 characters", pattern=r"^[^\x00]+$", max_length=4096)
]
Many = Annotated[tuple[_T, ...], FirstOnly()]
Named = Annotated[Mapping[str, _T], FirstOnly()]
ModelName = Literal["model.keras", "model.h5"]
BestName = Literal["best.keras", "best.h5"]

_SEAL = ("sha256", "mark")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Damage(Exception):
    """A file of a run is missing or was changed; the text begins with its name.

    Callers add the folder.
    """


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON file of a run whose version and hash were verified.

    Attributes:
        name: The file's name.
        version: Its `format_version`.
        config: Its keys, without hash and mark.
        sha256: Of `config`.
        mark: What `make_mark` returned for it; empty where there is none.
    """

    name: str
    version: int
    config: Mapping[str, Any]
    sha256: str
    mark: str

    def parse(self, kind: type[_T]) -> _T:
        """Return the keys as the dataclass `kind`.

        Unknown keys are ignored, missing ones take their defaults.

        Raises:
            Damage: a key has another type or a value out of range, or one without a default is
                missing.
        """
        try:
            return check_json(kind, json.dumps(self.config))
        except Unexpected as fault:
            wrong = f"a wrong {fault.place or 'text'}: expected {fault.expected}, got {fault.shown}"
            told = wrong if fault.expected else f"no {fault.place}"
            raise Damage(f"{self.name} has {told}") from fault


def write_record(
    path: Path, config: Mapping[str, Any], mark: Callable[[str], str] | None = None
) -> None:
    """Write `config` to `path` with its format version, its sha256 and the `mark` of that hash."""
    whole = {"format_version": FORMAT, **config}
    made = digest(whole)
    sealed = {**whole, "sha256": made} | ({} if mark is None else {"mark": mark(made)})
    write_whole(path, to_json(sealed, allow_nan=True, ascii_only=True).encode())


def read_record(path: Path, *, sealed_since: int = 1) -> Record:
    """Return the JSON file at `path` after verifying its version and hash.

    Args:
        path: The file; links are not followed.
        sealed_since: The first format that has a hash in this file.

    Raises:
        Damage: the file is missing, is not JSON, or has changed since it was written.
        CheckpointError: a newer graphprune wrote it, or reading it is not permitted.
    """
    config = _read_object(path)
    version = config.get("format_version", 1)
    if type(version) is not int or version < 1:
        raise Damage(
            f"{path.name} has the format_version {reprlib.repr(version)}, which is not a whole"
            " number from 1"
        )
    if version > FORMAT:
        raise CheckpointError(
            f"has format {version} of a newer graphprune, this one reads up to {FORMAT};"
            " update graphprune",
            place=path,
        )
    found, mark = config.get("sha256"), config.get("mark", "")
    kept = {name: value for name, value in config.items() if name not in _SEAL}
    made = digest(kept)
    if found != made and (found is not None or version >= sealed_since):
        raise Damage(f"{path.name} has changed since it was written")
    return Record(path.name, version, kept, made, mark if isinstance(mark, str) else "")


def digest(config: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON data, whatever the order of its keys."""
    return sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the sha256 of a file of a run.

    Raises:
        Damage: it is missing or not a regular file.
    """
    with open_regular(path) as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; a link is not followed, and a named pipe is not waited for.

    Raises:
        Damage: it is missing or not a regular file.
        CheckpointError: it may not be read.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Damage(f"{path.name} is missing") from None
    except PermissionError as fault:
        raise CheckpointError(
            f"cannot be read ({fault.strerror}); check its permissions", place=path
        ) from fault
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise Damage(f"{path.name} is a symbolic link") from fault
        raise Damage(f"{path.name} cannot be read ({fault.strerror})") from fault
    kind = stat.S_IFMT(os.fstat(number).st_mode)
    if kind != stat.S_IFREG:
        os.close(number)
        raise Damage(f"{path.name} is {_KINDS.get(kind, 'not a regular file')}")
    with os.fdopen(number, "rb") as stream:
        try:
            yield stream
        except OSError as fault:
            if fault.errno != errno.EIO:
                raise
            raise Damage(f"{path.name} cannot be read ({fault.strerror})") from fault


def _read_object(path: Path) -> dict[str, Any]:
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES:
            raise Damage(f"{path.name} has {size:,} bytes, more than the limit of {MAX_BYTES:,}")
        text = stream.read(MAX_BYTES)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise Damage(f"{path.name} is not JSON") from fault
    if not isinstance(config, dict):
        raise Damage(f"{path.name} is not a JSON object")
    return config


_KEY_BYTES = 32


def make_mark(sha256: str) -> str:
    """Return the mark for a `run.json` with this hash.

    It is empty if no key can be kept, for example without a home folder.
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
    """Return the path of the key.

    A relative XDG_STATE_HOME is ignored, as the XDG Base Directory Specification asks.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    return (
        (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state")
        / "graphprune"
        / "run-key"
    )


def _create_key(path: Path) -> None:
    """Create the key unless there is one.

    If two processes create it at once, both use the first one's.
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
