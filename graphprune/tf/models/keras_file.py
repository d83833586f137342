"""Reproducible writing of `.keras` and `.h5` files: the same bytes for the same model.

Keras itself puts the time into the zip and its metadata, and memory addresses into the config: if
an object is used in several places, their configs get its `id()` as `shared_object_id`. Two objects
that exist one after the other can have the same address, and then load as one.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import tf_keras
from tf_keras.src.saving import saving_lib, serialization_lib

from graphprune.tf.models.hdf5_dialect import complete_texts

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_DATE_SAVED = "1980-01-01@00:00:00"


def write_keras(model: tf_keras.Model, stream: BinaryIO) -> None:
    """Write `model`, with its optimizer, as a `.keras` file, as `model.save` does."""
    with keras_format(), _numbered_objects(), serialization_lib.ObjectSharingScope():
        config = serialization_lib.serialize_keras_object(model)
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(
                _timeless(saving_lib._METADATA_FILENAME),
                json.dumps({"keras_version": tf_keras.__version__, "date_saved": _DATE_SAVED}),
            )
            archive.writestr(_timeless(saving_lib._CONFIG_FILENAME), json.dumps(config))
            name = f"{saving_lib._VARS_FNAME}.h5"
            weights = saving_lib.H5IOStore(name, archive=archive, mode="w")
            assets = saving_lib.DiskIOStore(saving_lib._ASSETS_DIRNAME, archive=archive, mode="w")
            try:
                saving_lib._save_state(
                    model,
                    weights_store=weights,
                    assets_store=assets,
                    inner_path="",
                    visited_trackables=set(),
                )
                weights.h5_file.close()
                archive.writestr(_timeless(name), weights.io_file.getbuffer())
                _add_assets(archive, Path(assets.tmp_dir))
            finally:
                shutil.rmtree(assets.tmp_dir, ignore_errors=True)


def to_hdf5(model: tf_keras.Model) -> bytes:
    """Return the bytes of an `.h5` file, made in memory.

    On a full disk HDF5 would end the process instead of raising an error.
    """
    with (
        _numbered_objects(),
        h5py.File(f"{model.name}.h5", "w", driver="core", backing_store=False) as file,
    ):
        model.save(file, save_format="h5")
        complete_texts(model, file)
        file.flush()
        return bytes(file.id.get_file_image())


def _add_assets(archive: zipfile.ZipFile, root: Path) -> None:
    """Add the files of layers in `root`, such as vocabularies, in the order of their names."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            archive.writestr(_timeless(path.relative_to(root).as_posix()), path.read_bytes())


def _timeless(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.external_attr = 0o600 << 16  # the default of zipfile
    return info


@contextmanager
def keras_format() -> Iterator[None]:
    """Let Keras write and read objects in the `.keras` format (saving_lib.py of tf_keras)."""
    before = getattr(saving_lib._SAVING_V3_ENABLED, "value", False)
    saving_lib._SAVING_V3_ENABLED.value = True
    try:
        yield
    finally:
        saving_lib._SAVING_V3_ENABLED.value = before


@contextmanager
def _numbered_objects() -> Iterator[None]:
    """Let Keras number the objects that several configs share, in the order of their reuse.

    They are kept alive meanwhile.
    """
    seen: dict[int, tuple[Any, dict[str, Any]]] = {}
    numbers: dict[int, int] = {}
    theirs = serialization_lib.record_object_after_serialization

    def record(found: Any, config: dict[str, Any]) -> None:
        if config["module"] == "__main__":
            config["module"] = None
        if not getattr(serialization_lib.SHARED_OBJECTS, "enabled", False):
            return
        if id(found) in seen:
            number = numbers.setdefault(id(found), len(numbers) + 1)
            config["shared_object_id"] = seen[id(found)][1]["shared_object_id"] = number
        else:
            seen[id(found)] = found, config

    serialization_lib.record_object_after_serialization = record
    try:
        yield
    finally:
        serialization_lib.record_object_after_serialization = theirs
