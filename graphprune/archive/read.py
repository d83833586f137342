"""Opening a saved model: which format it is, whether it is a whole model, and its config."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from graphprune.archive.archive import Archive, Source
from graphprune.archive.entries import is_model, is_own_model, type_of
from graphprune.archive.files import MAX_JSON, collector_paused, open_file, parse_object, read_whole
from graphprune.archive.formats import READABLE, SIGNATURE_BYTES, format_of, format_of_folder
from graphprune.archive.keras3 import is_keras_3, model_from_keras_3
from graphprune.archive.tflite.file import is_tflite
from graphprune.archive.tfmot import rename_toolkit_wrappers
from graphprune.errors import ArchiveError


@collector_paused()
def read_archive(path: str | PathLike[str]) -> Archive:
    """Return the saved model at `path`, its format told by content and not by name.

    It may be a `.keras` or `.h5` file, or a SavedModel folder with Keras metadata.

    Its config comes in the form that tf_keras writes, whichever Keras wrote it.

    Raises:
        ArchiveError: there is no such file, it is damaged, or it is not a whole Functional or
            Sequential model.
    """
    with opened_archive(path) as archive:
        return archive


@contextmanager
def opened_archive(place: str | PathLike[str] | Source) -> Iterator[Archive]:
    """Read a saved model as `read_archive` does, and keep its file open for what follows.

    Args:
        place: Its path, or what `find_source` returned for it.

    Raises:
        ArchiveError: there is no such file, it is damaged, or it is not a whole model.
    """
    source = _need_source(place) if isinstance(place, str | PathLike) else place
    with source.opened() as file:
        header = file.read_header()
        archive = Archive(
            source, header.keras_version, header.config, header.training_config, _open=[file]
        )
        try:
            yield _checked(archive)
        finally:
            archive._open.clear()


def _need_source(path: str | PathLike[str]) -> Source:
    source = find_source(path)
    if source is None:
        raise no_weights(fspath(path))
    return source


def find_source(path: str | PathLike[str]) -> Source | None:
    """Return the saved model at `path`, its format told by content; None for a JSON document.

    Raises:
        ArchiveError: there is no such file, or it is neither.
    """
    place = fspath(path)
    if Path(place).is_dir():
        return format_of_folder().open_source(place)
    with open_file(place) as file:
        signature = file.read(SIGNATURE_BYTES)
    known = format_of(signature)
    if known is not None:
        return known.open_source(place)
    if is_json_beginning(signature):
        return None
    if not signature:
        raise ArchiveError("is empty (0 bytes); save or copy the model again", place=place)
    raise ArchiveError(
        _served(place) or f"is not a saved model, whatever its name; graphprune reads {READABLE}",
        place=place,
    )


def _served(place: str) -> str:
    """Return what to do with a file for serving; empty for other files."""
    kind, takes = "", ""
    if is_tflite(place):
        kind, takes = "a TensorFlow Lite file", "verify and bench take .tflite"
    elif Path(place).suffix == ".onnx":
        kind, takes = "an ONNX file", "bench takes .onnx"
    if not kind:
        return ""
    return f"is {kind}, which has no layers; give the .keras or .h5 file of the model ({takes})"


def read_document(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a file, whatever its name.

    Raises:
        ArchiveError: there is no such file, or its JSON is damaged or too large.
    """
    place = fspath(path)
    return parse_object(read_whole(place, MAX_JSON), place, "its text", strict=True)


def no_weights(place: str) -> ArchiveError:
    """Return the error for a layer graph as JSON where weights are needed."""
    return ArchiveError(
        "is JSON, which holds no weights; give the saved model that it was exported from",
        place=place,
    )


def is_json_beginning(data: bytes) -> bool:
    """Return whether a file that begins with `data` is meant to be a JSON object."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _checked(archive: Archive) -> Archive:
    """Return the archive with its config in the form of tf_keras, checked to be a whole model."""
    config = archive.config
    if not isinstance(config.get("class_name"), str) or not isinstance(config.get("config"), dict):
        raise ArchiveError(
            "its config has no class_name and config, so it describes no model;"
            " save the model again",
            place=archive.path,
        )
    if is_keras_3(archive.keras_version, config):
        archive = replace(archive, config=model_from_keras_3(config), dialect="keras3")
    is_own = archive.dialect == "keras3" and archive.layout == "keras"
    if not is_model(archive.config) and not (is_own and is_own_model(archive.config)):
        raise ArchiveError(
            f"the model's class is {type_of(config)!r}, whose layers are not in the"
            " file; rebuild it as a Functional or Sequential model and save it again",
            place=archive.path,
        )
    config, names = rename_toolkit_wrappers(archive.config)
    return archive if config is archive.config else replace(archive, config=config, renamed=names)
