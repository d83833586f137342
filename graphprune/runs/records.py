"""The JSON files of a run: each carries its own sha256, and is untrusted input when it is read.

    {"format_version": 2, ..., "sha256": "..."}

Format 1 is what graphprune wrote until 0.1.0: the same keys without those that have a default, and
without a hash in `run.json` and `result.json`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import reprlib
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from graphprune.errors import CheckpointError
from graphprune.files import write_whole

FORMAT = 2
MAX_BYTES = 64 * 2**20
"""Bytes of one JSON file; `result.json` has some 200 a pruned tensor."""

HASH, RUN_ID = r"^[0-9a-f]{64}$", r"^([0-9a-f]{32})?$"
PATH, STRATEGY = r"^[^\x00]+$", r"^(none|mirrored:[1-9][0-9]{0,2})$"
Hash = Annotated[str, Field(pattern=HASH)]
NoHash = Literal[""]
RunId = Annotated[str, Field(pattern=RUN_ID)]
Count = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=1)]
PathText = Annotated[str, Field(min_length=1, max_length=4096, pattern=PATH)]
StrategyName = Annotated[str, Field(pattern=STRATEGY)]
ModelName = Literal["model.keras", "model.h5"]

_SEAL = ("sha256", "mark")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_CHOICES = re.compile(r"(constrained-str|literal\[|function-|str$)")
_NEEDS = {
    "bool_type": "must be true or false",
    "dataclass_type": "must be an object",
    "dict_type": "must be an object",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "literal_error": "must be {expected}",
    "mapping_type": "must be an object",
    "missing_argument": "must have all values",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} character",
    "string_type": "must be a string",
    "too_long": "must have {max_length} values",
    "tuple_type": "must be a list",
}
"""What pydantic's errors mean, for all types of fields that the files have."""
OTHER = "does not fit"
"""Of an error that `_NEEDS` does not have."""
_PATTERNS = {
    HASH: "must be a sha256 of 64 hexadecimal digits",
    RUN_ID: "must be 32 hexadecimal digits",
    PATH: "must be a path without a null character",
    STRATEGY: "must be none or mirrored:N",
}
_T = TypeVar("_T")
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


class Damage(Exception):
    """A file of a run is missing, or is not what the run wrote; the text begins with its name, and
    callers add the folder's.
    """


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON file of a run whose version and hash fit.

    Attributes:
        name: The file's name.
        version: Its `format_version`.
        config: Its keys, without hash and mark.
        sha256: Of `config`.
        mark: See `graphprune.runs.user_mark`; empty where there is none.
    """

    name: str
    version: int
    config: Mapping[str, Any]
    sha256: str
    mark: str

    def parse(self, kind: type[_T]) -> _T:
        """Return the keys as the dataclass `kind`; keys that it does not have are ignored, missing
        ones take their defaults.

        Raises:
            Damage: a key has another type or a value out of range, or one without a default is
                missing.
        """
        try:
            value: _T = _adapter(kind).validate_json(json.dumps(self.config), strict=True)
        except ValidationError as fault:
            raise Damage(f"{self.name} {_explain(fault)}") from fault
        return value


def write_record(
    path: Path, config: Mapping[str, Any], mark: Callable[[str], str] | None = None
) -> None:
    """Write `config` to `path` with its format version, its sha256, and the mark that `mark` makes
    of that.
    """
    whole = {"format_version": FORMAT, **config}
    made = digest(whole)
    sealed = {**whole, "sha256": made} | ({} if mark is None else {"mark": mark(made)})
    write_whole(path, (json.dumps(sealed, indent=2) + "\n").encode())


def read_record(path: Path, *, sealed_since: int = 1) -> Record:
    """Return the JSON file at `path`, once its version and its hash fit.

    Args:
        path: The file; links are not followed.
        sealed_since: The first format that has a hash in this file.

    Raises:
        Damage: the file is missing, is no JSON, or is not what was written.
        CheckpointError: a newer graphprune wrote it, or the file may not be read.
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
            f"{path}: has format {version} of a newer graphprune, this one reads up to {FORMAT};"
            " update graphprune"
        )
    found, mark = config.get("sha256"), config.get("mark", "")
    kept = {name: value for name, value in config.items() if name not in _SEAL}
    made = digest(kept)
    if found != made and (found is not None or version >= sealed_since):
        raise Damage(f"{path.name} is not what was written")
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
            f"{path}: cannot be read ({fault.strerror}); check its permissions"
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
            raise Damage(
                f"{path.name} has {size:,} bytes, more than the {MAX_BYTES:,} that graphprune reads"
            )
        text = stream.read(MAX_BYTES)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise Damage(f"{path.name} is not JSON") from fault
    if not isinstance(config, dict):
        raise Damage(f"{path.name} is not a JSON object")
    return config


def _adapter(kind: type) -> TypeAdapter[Any]:
    """Return the checker of a dataclass; making one takes some 10 ms."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _explain(fault: ValidationError) -> str:
    """Return which key is wrong first, what it must be, and what it is."""
    first = fault.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if not _is_choice(part))
    if first["type"] == "missing":
        return f"has no {where}"
    return f"has a wrong {where}: {_need(first)}, got {reprlib.repr(first['input'])}"


def _is_choice(part: int | str) -> bool:
    """Return whether a part of a place is no key, but which of several forms was tried."""
    return isinstance(part, str) and (part == "[key]" or bool(_CHOICES.match(part)))


def _need(first: ErrorDetails) -> str:
    """Return what the value must be, in plain words."""
    kind, facts = first["type"], first.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _PATTERNS[facts["pattern"]]
    if kind == "value_error":
        return first["msg"].removeprefix("Value error, ")
    return _NEEDS.get(kind, OTHER).format(**facts)
