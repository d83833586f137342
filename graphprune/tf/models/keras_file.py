"""Reproducible writing of `.keras` and `.h5` files: the same bytes for the same model.

Keras itself puts the time into the zip and its metadata, and memory addresses into the config: if
an object is used in several places, their configs get its `id()` as `shared_object_id`. Two objects
that exist one after the other can have the same address, and then load as one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf
import tf_keras
from tf_keras.src.saving import saving_lib, serialization_lib

from graphprune.archive.file_copy import DATE_SAVED, FileCopy, HDF5Bytes, read_assets
from graphprune.archive.hdf5_datasets import ArrayGroup, MaskGroup
from graphprune.files import temporary_folder
from graphprune.replaced import replaced
from graphprune.tf.models.hdf5_dialect import complete_texts
from graphprune.tf.models.quick_saving import quick_saving


def copy_keras(model: tf_keras.Model, made: HDF5Bytes) -> FileCopy:
    """Return the `.keras` file of `model`, with its optimizer, as `model.save` writes it.

    Args:
        model: The model.
        made: Where its tensors are written.
    """
    made.clear(0 if made else estimate_bytes(model))
    with (
        keras_format(),
        quick_saving(),
        _numbered_objects(),
        serialization_lib.ObjectSharingScope(),
        temporary_folder() as folder,
    ):
        config = serialization_lib.serialize_keras_object(model)
        with h5py.File(made, "w") as file:
            saving_lib._save_state(
                model,
                weights_store=_Weights(file),
                assets_store=_Assets(Path(folder)),
                inner_path="",
                visited_trackables=set(),
            )
        assets = read_assets(Path(folder))
    metadata = {"keras_version": tf_keras.__version__, "date_saved": DATE_SAVED}
    return FileCopy(
        (
            (saving_lib._METADATA_FILENAME, json.dumps(metadata).encode()),
            (saving_lib._CONFIG_FILENAME, json.dumps(config).encode()),
            (f"{saving_lib._VARS_FNAME}.h5", made),
            *assets,
        )
    )


def copy_hdf5(model: tf_keras.Model, made: HDF5Bytes) -> FileCopy:
    """Return the `.h5` file of `model`, with its optimizer, written into `made`.

    On a full disk HDF5 would end the process instead of raising an error.
    """
    made.clear(0 if made else estimate_bytes(model))
    with _numbered_objects(), quick_saving(), _HDF5(made, "w") as file:
        model.save(file, save_format="h5")
        complete_texts(model, file)
    return FileCopy((("", made),))


class _Weights(saving_lib.H5IOStore):
    """The store that Keras writes variables to, in an open HDF5 file."""

    def __init__(self, file: h5py.File) -> None:
        self.h5_file = file

    def make(self, path: str) -> ArrayGroup:
        """Return the group for the variables of what is at `path` in the model."""
        return ArrayGroup(super().make(path).id)


class _HDF5(MaskGroup, h5py.File):  # type: ignore[misc] # h5py ships no types
    """The open file that Keras writes a model to, masks as bits."""


class _Assets(saving_lib.DiskIOStore):
    """The store that Keras writes the files of layers to, in a folder."""

    def __init__(self, root: Path) -> None:
        self.working_dir = str(root / saving_lib._ASSETS_DIRNAME)
        Path(self.working_dir).mkdir()


def estimate_bytes(model: tf_keras.Model) -> int:
    """Return the bytes of the variables of a model and of its optimizer.

    Variables that grow are left out. A file of the model is a little larger.
    """
    optimizer: Any = getattr(model, "optimizer", None)
    slots = getattr(optimizer, "variables", [])
    variables = [*model.weights, *(slots() if callable(slots) else slots)]
    return sum(
        (variable.shape.num_elements() or 0) * variable.dtype.size
        for variable in variables
        if isinstance(variable, tf.Variable)
    )


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

    with replaced((serialization_lib, "record_object_after_serialization", record)):
        yield
