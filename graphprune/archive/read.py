"""Opening a saved model: which format it is, whether it is a whole model, and its config."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import h5py

from graphprune.archive.archive import Archive
from graphprune.archive.collector import collector_paused
from graphprune.archive.entries import is_model, type_of
from graphprune.archive.files import READABLE, open_file, read_whole
from graphprune.archive.hdf5 import SIGNATURE, damage_named, open_hdf5
from graphprune.archive.hdf5_index import read_names
from graphprune.archive.hdf5_texts import read_texts
from graphprune.archive.json_text import MAX_JSON, parse_object
from graphprune.archive.keras2 import upgrade_config, upgrade_zip_config
from graphprune.archive.keras3 import config_from_keras_3, is_keras_3
from graphprune.archive.saved_model import is_saved_model, read_metadata
from graphprune.archive.toolkit import rename_toolkit_wrappers
from graphprune.archive.zipped import SIGNATURES, read_member
from graphprune.errors import ArchiveError

WEIGHT_MARKS = (
    "layer_names",
    "layer_names0",
    "model_weights",
    "top_level_model_weights",
    "layers",
    "vars",
)
"""Attributes and groups at the root of HDF5 files that hold a model's weights without its config.
"""


@collector_paused()
def read_archive(path: str | PathLike[str]) -> Archive:
    """Return the saved model at `path`: a `.keras` or `.h5` file, or a SavedModel folder with Keras
    metadata; the format is told by content, not by name.

    Its config comes in the form that tf_keras writes, whichever Keras wrote it.

    Raises:
        ArchiveError: there is no such file, it is damaged, or it is not a whole Functional or
            Sequential model.
    """
    place = fspath(path)
    if Path(place).is_dir():
        return _checked(_read_folder(place))
    signature = _signature(place)
    if signature.startswith(SIGNATURES):
        return _checked(_read_zip(place))
    if signature == SIGNATURE:
        return _checked(_read_hdf5(place))
    if is_json_beginning(signature):
        raise no_weights(place)
    if not signature:
        raise ArchiveError(f"{place}: is empty (0 bytes); save or copy the model again")
    raise ArchiveError(
        f"{place}: is no saved model, neither a zip nor an HDF5 file; graphprune reads {READABLE}"
    )


def read_document(path: str | PathLike[str]) -> dict[str, Any] | None:
    """Return the JSON object in the file at `path`, whatever its name; None where the file begins
    as no JSON object does, or is a folder.

    Raises:
        ArchiveError: there is no such file, or its JSON is damaged or too large.
    """
    place = fspath(path)
    if Path(place).is_dir() or not is_json_beginning(_signature(place)):
        return None
    return parse_object(read_whole(place, MAX_JSON), place, "its text", strict=True)


def no_weights(place: str) -> ArchiveError:
    """Return the error for a layer graph as JSON where weights are needed."""
    return ArchiveError(
        f"{place}: is JSON, which holds no weights; give the saved model that it was exported from"
    )


def is_json_beginning(data: bytes) -> bool:
    """Return whether a file that begins with `data` is meant to be a JSON object."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _signature(place: str) -> bytes:
    with open_file(place) as file:
        return file.read(8)


def _read_folder(place: str) -> Archive:
    if not is_saved_model(place):
        raise ArchiveError(
            f"{place}: is a directory without saved_model.pb, so no SavedModel; graphprune reads"
            f" {READABLE}"
        )
    metadata = read_metadata(place)
    version = str(metadata.get("keras_version") or "")
    entry: dict[str, Any] = {
        key: metadata[key] for key in ("class_name", "config") if key in metadata
    }
    training = metadata.get("training_config")
    return Archive(
        place,
        "savedmodel",
        version,
        upgrade_config(entry, place, version),
        training if isinstance(training, dict) else None,
    )


def _read_zip(place: str) -> Archive:
    text = read_member(place, "config.json")
    if text is None:
        raise ArchiveError(
            f"{place}: no config.json in this zip, so it is not a Keras model; name a file that"
            " model.save() wrote"
        )
    metadata_text = read_member(place, "metadata.json")
    metadata = {} if metadata_text is None else parse_object(metadata_text, place, "metadata.json")
    version = str(metadata.get("keras_version", ""))
    return Archive(
        place,
        "keras",
        version,
        upgrade_zip_config(parse_object(text, place, "config.json"), version),
    )


def _read_hdf5(place: str) -> Archive:
    with open_hdf5(place, place) as file, damage_named(place):
        text = _attribute(file, "model_config", place)
        training = _attribute(file, "training_config", place)
        version = (_attribute(file, "keras_version", place) or b"").decode("utf-8", "replace")
        weights_only = any(mark in file.attrs or mark in file for mark in WEIGHT_MARKS)
        weights = (
            file.get("model_weights")
            if "model_weights" in file
            and file.get("model_weights", getlink=True).__class__ is h5py.HardLink
            else None
        )
        names = (
            (read_names(weights, "layer_names") or []) if isinstance(weights, h5py.Group) else []
        )
    if text is None and weights_only:
        raise ArchiveError(
            f"{place}: no model_config attribute; this file holds weights only, save the whole"
            " model instead"
        )
    if text is None:
        raise ArchiveError(
            f"{place}: no model_config attribute; this HDF5 file is not a Keras model, name a file"
            " that model.save() wrote"
        )
    training_config = None if training is None else parse_object(training, place, "training_config")
    config = parse_object(text, place, "model_config")
    return Archive(
        place,
        "h5",
        version,
        config if is_keras_3(version, config) else upgrade_config(config, place, version, names),
        training_config,
    )


def _attribute(file: h5py.File, name: str, place: str) -> bytes | None:
    texts = read_texts(file, name, MAX_JSON)
    if texts is not None and len(texts) != 1:
        raise ArchiveError(
            f"{place}: {name} is not a text; the file is damaged, save the model again"
        )
    return None if texts is None else texts[0]


def _checked(archive: Archive) -> Archive:
    """Return the archive with a config in the form of tf_keras, after checking that it describes a
    whole model.
    """
    config = archive.config
    if not isinstance(config.get("class_name"), str) or not isinstance(config.get("config"), dict):
        raise ArchiveError(
            f"{archive.path}: its config has no class_name and config, so it describes no model;"
            " save the model again"
        )
    if is_keras_3(archive.keras_version, config):
        archive = replace(archive, config=config_from_keras_3(config), dialect="keras3")
    if not is_model(archive.config):
        raise ArchiveError(
            f"{archive.path}: the model's class is {type_of(config)!r}, whose layers are not in the"
            " file; rebuild it as a Functional or Sequential model and save it again"
        )
    config, names = rename_toolkit_wrappers(archive.config)
    return archive if config is archive.config else replace(archive, config=config, renamed=names)
