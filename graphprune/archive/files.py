"""Untrusted files: opening them, their sizes, and the JSON in them; the suffixes of model files.

Nothing here waits for a pipe, or reads more than the caller allows.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO

from graphprune.archive.formats import READABLE, READABLE_SUFFIXES
from graphprune.errors import ArchiveError, OutputError
from graphprune.nested import values_in
from graphprune.suggestions import ask_for_file

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
        ask_for_file(path, lambda near: near.suffix in READABLE_SUFFIXES or near.is_dir())
        or f"check the path (graphprune reads {READABLE})"
    )


@contextmanager
def open_file(path: str, missing: str | None = None) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a named pipe is refused and not waited for.

    `missing` is the advice where there is no such file; that for a model's file unless given.

    Raises:
        ArchiveError: there is no such file, it is not a regular file, or it cannot be read.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as err:
        raise ArchiveError(f"no such file; {missing or _ask(path)}", place=path) from err
    except (OSError, ValueError) as err:
        raise ArchiveError(
            f"cannot be read ({getattr(err, 'strerror', None) or err}); check the path and"
            " its permissions",
            place=path,
        ) from err
    with os.fdopen(number, "rb") as file:
        kind = stat.S_IFMT(os.fstat(number).st_mode)
        if kind != stat.S_IFREG:
            raise ArchiveError(
                f"is {_KINDS.get(kind, 'no regular file')}, not a file; copy the model to a"
                " file first",
                place=path,
            )
        try:
            yield file
        except OSError as err:
            if err.errno != errno.EIO:
                raise
            raise ArchiveError(
                f"cannot be read ({err.strerror}); copy the model to another place first",
                place=path,
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
                f"has {size:,} bytes, more than the {limit:,} that graphprune reads of it;"
                " save the model again",
                place=path,
            )
        return file.read(limit)


MAX_JSON = 128 * 2**20
"""Bytes of one JSON text."""
MAX_DEPTH = 200
"""Levels of JSON; a nested model takes four of them."""
MAX_VALUES = 8_000_000
"""Values of one JSON text; Python takes some 60 bytes for the smallest object."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed")
"""The first bytes of half a surrogate pair, escaped or in UTF-8; other characters share them."""
_LONG = re.compile(r"value has (\d+) digits")
"""Python's message for integers with too many digits."""


def parse_object(text: bytes, place: str, part: str, *, strict: bool = False) -> dict[str, Any]:
    """Return the JSON object in `text`, which is the `part` of the file `place`.

    `strict` refuses NaN and Infinity, which Keras writes and JSON does not have.

    Raises:
        ArchiveError: this is not a JSON object, or it would take too much memory.
    """
    values = text.count(b",") + text.count(b"{") + text.count(b"[")
    if values > MAX_VALUES:
        raise ArchiveError(
            f"{part} holds {values:,} values, more than the {MAX_VALUES:,} that a model's"
            " config may have; save the model again",
            place=place,
        )
    too_deep = (
        f"{part} is nested more than {MAX_DEPTH} deep; the file is damaged, save the model again"
    )
    try:
        value = json.loads(text, parse_constant=_refuse if strict else None)
    except RecursionError as err:
        raise ArchiveError(too_deep, place=place) from err
    except ValueError as err:
        long = _LONG.search(str(err))
        if long is not None:
            raise ArchiveError(
                f"{part} holds a number of {int(long[1]):,} digits, which no model needs;"
                " the file is damaged, save the model again",
                place=place,
            ) from err
        raise ArchiveError(
            f"{part} is not JSON ({err}); the file is damaged, save the model again", place=place
        ) from err
    if not isinstance(value, dict):
        raise ArchiveError(
            f"{part} is not a JSON object, got {type(value).__name__}; the file is"
            " damaged, save the model again",
            place=place,
        )
    if _is_deeper(value, MAX_DEPTH):
        raise ArchiveError(too_deep, place=place)
    if _HALF.search(text) and _has_half(value):
        raise ArchiveError(
            f"{part} holds half a surrogate pair, which is not valid text; the file is damaged,"
            " save the model again",
            place=place,
        )
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which JSON does not have")


def _has_half(value: Any) -> bool:
    """Return whether a text in `value` has half of a surrogate pair, which no file can hold."""
    return any(
        any("\ud800" <= char <= "\udfff" for char in text)
        for item in values_in(value)
        for text in (item if isinstance(item, dict) else [item])
        if isinstance(text, str) and not text.isascii()
    )


def _is_deeper(value: dict[str, Any], limit: int) -> bool:
    """Return whether `value` is nested more than `limit` deep."""
    level: list[Any] = [value]
    while level and limit > 0:
        limit -= 1
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
    return any(level)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector; also a decorator.

    What is read from a file are trees without cycles, so it would find nothing: at 100,000 layers
    it takes a quarter of the time.

    Example:
        >>> with collector_paused():
        ...     gc.isenabled()
        False
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


MODEL_SUFFIXES = (".keras", ".h5")
"""The suffixes of files that hold a whole Keras model."""


def check_model_suffix(path: str | PathLike[str]) -> None:
    """Raise unless the file name says in which format to save a model.

    Raises:
        OutputError: it ends neither in `.keras` nor in `.h5`.
    """
    suffix = Path(path).suffix
    if suffix not in MODEL_SUFFIXES:
        raise OutputError(
            f"a model is saved as {' or '.join(MODEL_SUFFIXES)}, got"
            f" {suffix or 'no suffix'}; change the end of the name",
            place=fspath(path),
        )


def check_holds_masks(path: str | PathLike[str]) -> None:
    """Refuse an `.h5` file for a pruned model of Keras 3.

    Raises:
        OutputError: the file could not hold the masks.
    """
    if str(path).endswith((".h5", ".hdf5")):
        raise h5_refused(str(path))


def h5_refused(place: str) -> OutputError:
    """Return the error for a pruned Keras 3 model that was to go into the `.h5` file `place`."""
    return OutputError(
        "an .h5 file cannot hold the masks of a pruned Keras 3 model; save it as .keras, or save"
        " what strip_pruning returns",
        place=place,
    )


def check_converted_formats(paths: Iterable[str]) -> None:
    """Refuse formats that a model converted to the other Keras is not written in.

    Raises:
        OutputError: a path is neither `.keras` nor `.h5`.
    """
    for path in paths:
        if Path(path).suffix not in MODEL_SUFFIXES:
            raise OutputError(
                "only .keras and .h5 files are written for the other Keras; leave out --keras, and"
                " the model's own Keras writes it",
                place=path,
            )


def check_export_suffix(path: str | PathLike[str]) -> None:
    """Raise unless the end of the name says in which format to write a model.

    Raises:
        OutputError: the suffix names no format, or stands alone, as of `"$NAME.keras"` where the
            variable is empty.
    """
    suffix, name = Path(path).suffix, Path(path).name
    known = (".tflite", ".onnx", *MODEL_SUFFIXES)
    if name in known or name.endswith("."):
        raise OutputError(
            f"a model needs a name before its suffix, got {name!r}; give one, such as model.keras",
            place=fspath(path),
        )
    if suffix not in ("", *known):
        raise OutputError(
            f"no model format has the suffix {suffix}; use .keras, .h5, .tflite, .onnx, or"
            " no suffix for a SavedModel folder",
            place=fspath(path),
        )
