"""Opening a saved model: which format it is, whether it is a whole model, and its config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import h5py

from graphprune.archive.archive import Archive
from graphprune.archive.collector import collector_paused
from graphprune.archive.entries import is_model, type_of
from graphprune.archive.hdf5 import SIGNATURE, damage_named, open_hdf5
from graphprune.archive.zipped import MAX_JSON, SIGNATURES, read_member
from graphprune.errors import ArchiveError

WEIGHT_MARKS = ("layer_names", "layer_names0", "model_weights", "top_level_model_weights", "layers", "vars")
"""Attributes and groups at the root of HDF5 files that hold a model's weights without its config."""


MAX_DEPTH = 200
"""Levels of JSON; a nested model takes four of them."""


@collector_paused()
def read_archive(path: str | PathLike[str]) -> Archive:
    """Return the saved model at `path`, a `.keras` or `.h5` file of tf_keras; the format is told by content, not by name.

    Raises:
        ArchiveError: there is no such file, it is damaged, or it is not a whole Functional or Sequential model of tf_keras.
    """
    place = fspath(path)
    signature = _signature(place)
    if signature.startswith(SIGNATURES):
        archive = _read_zip(place)
    elif signature == SIGNATURE:
        archive = _read_hdf5(place)
    else:
        raise ArchiveError(f"{place}: neither a zip nor an HDF5 file; graphprune reads models saved as .keras or .h5")
    _check_keras_version(archive)
    _check_model(archive)
    return archive


def _signature(place: str) -> bytes:
    try:
        with Path(place).open("rb") as file:
            return file.read(8)
    except FileNotFoundError as err:
        raise ArchiveError(f"{place}: no such file; name a model saved as .keras or .h5") from err
    except IsADirectoryError as err:
        raise ArchiveError(f"{place}: is a directory; graphprune reads .keras and .h5 files, load it with tf_keras and save it as .keras") from err
    except (OSError, ValueError) as err:
        raise ArchiveError(f"{place}: cannot be read ({getattr(err, 'strerror', None) or err}); check the path and its permissions") from err


def _read_zip(place: str) -> Archive:
    text = read_member(place, "config.json")
    if text is None:
        raise ArchiveError(f"{place}: no config.json in this zip, so it is not a Keras model; name a file that model.save() wrote")
    metadata_text = read_member(place, "metadata.json")
    metadata = {} if metadata_text is None else _parse_object(metadata_text, place, "metadata.json")
    return Archive(place, "keras", str(metadata.get("keras_version", "")), _parse_object(text, place, "config.json"))


def _read_hdf5(place: str) -> Archive:
    with open_hdf5(place, place) as file, damage_named(place):
        text = _attribute(file, "model_config", place)
        training = _attribute(file, "training_config", place)
        version = _attribute(file, "keras_version", place)
        weights_only = any(mark in file.attrs or mark in file for mark in WEIGHT_MARKS)
    if text is None and weights_only:
        raise ArchiveError(f"{place}: no model_config attribute; this file holds weights only, save the whole model instead")
    if text is None:
        raise ArchiveError(f"{place}: no model_config attribute; this HDF5 file is not a Keras model, name a file that model.save() wrote")
    training_config = None if training is None else _parse_object(training, place, "training_config")
    return Archive(place, "h5", (version or b"").decode("utf-8", "replace"), _parse_object(text, place, "model_config"), training_config)


def _attribute(file: h5py.File, name: str, place: str) -> bytes | None:
    if name not in file.attrs:
        return None
    size = file.attrs.get_id(name).get_storage_size()
    value = file.attrs[name] if size <= MAX_JSON else b""
    if size > MAX_JSON or len(value) > MAX_JSON:
        raise ArchiveError(
            f"{place}: {name} has {max(size, len(value)):,} bytes, more than the {MAX_JSON:,} that a model's config may have; save the model again"
        )
    return value.encode() if isinstance(value, str) else bytes(value)


def _parse_object(text: bytes, place: str, part: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ArchiveError(f"{place}: {part} is not JSON ({err}); the file is damaged, save the model again") from err
    if not isinstance(value, dict):
        raise ArchiveError(f"{place}: {part} is not a JSON object, got {type(value).__name__}; the file is damaged, save the model again")
    return value


def _check_keras_version(archive: Archive) -> None:
    module = str(archive.config.get("module") or "")
    major = archive.keras_version.split(".")[0]
    if (major.isdecimal() and int(major) >= 3) or (not major and module.startswith("keras.src.models")):
        raise ArchiveError(
            f"{archive.path}: written by Keras {archive.keras_version or '3'}; graphprune reads tf_keras models for now: "
            "load it in Keras 3 and rebuild it with tf_keras, or save it with tf_keras"
        )


def _check_model(archive: Archive) -> None:
    config: Mapping[str, Any] = archive.config
    if not isinstance(config.get("class_name"), str) or not isinstance(config.get("config"), dict):
        raise ArchiveError(f"{archive.path}: its config has no class_name and config, so it describes no model; save the model again")
    if _is_deeper(config, MAX_DEPTH):
        raise ArchiveError(f"{archive.path}: its config is nested more than {MAX_DEPTH} deep; the file is damaged, save the model again")
    if not is_model(config):
        raise ArchiveError(
            f"{archive.path}: the model's class is {type_of(config)!r}, whose layers are not in the file; "
            "rebuild it as a Functional or Sequential model and save it again"
        )


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    while level and limit >= 0:
        limit -= 1
        level = [inner for item in level if isinstance(item, dict | list) for inner in (item.values() if isinstance(item, dict) else item)]
    return bool(level)
