"""Saving of Keras 3 models, whole or not at all: the same bytes for the same model.

Keras itself puts the time into the zip and its metadata, and memory addresses into the config as
`shared_object_id`.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import keras
from keras.src.saving import saving_lib, serialization_lib

from graphprune.archive.allowed import find_refused
from graphprune.archive.file_copy import DATE_SAVED, FileCopy, HDF5Bytes, read_assets
from graphprune.archive.files import check_model_suffix
from graphprune.archive.hdf5_datasets import write_dataset
from graphprune.archive.keras3 import without_backend
from graphprune.arguments import check_path
from graphprune.engine.read_back import check_saved
from graphprune.errors import OutputError
from graphprune.files import temporary_folder
from graphprune.keras3.backend import read_in_place
from graphprune.keras3.layers import check_built
from graphprune.keras3.model import check_masks_fit
from graphprune.keras3.quick_walks import quick_walks
from graphprune.nested import rebuild
from graphprune.write_faults import cannot_write, find_reason


def save_model(model: Any, path: str | PathLike[str]) -> None:
    """Write `model`, with its optimizer and masks, to a `.keras` or `.h5` file.

    Raises:
        GraphError: `model` is not a model with weights.
        OutputError: the suffix names no format, the format cannot hold the model, or the file
            cannot be written.
    """
    check_built(model)
    check_model_suffix(check_path("path", path, "the path of a .keras or .h5 file"))
    copy_model(model, Path(path), HDF5Bytes()).write(Path(path))


def copy_model(model: Any, path: Path, made: HDF5Bytes) -> FileCopy:
    """Return the file that `save_model` writes to `path`.

    Args:
        model: The model.
        path: Its suffix says the format.
        made: Where its tensors are written; the copy keeps it until it is written itself.

    Raises:
        OutputError: the format of `path` cannot hold the model.
    """
    check_masks_fit(model, path)
    with _keras_faults(model, path):
        return _copy_keras(model, made) if path.suffix == ".keras" else _copy_hdf5(model)


def check_reads_back(model: Any, suffix: str, place: str, load: Callable[[Path], Any]) -> None:
    """Save `model` to a temporary file and load it, if the model has custom classes.

    Raises:
        OutputError: the file cannot be written, or loading it does not return the same model.
    """
    if has_custom_objects(model):
        check_saved(
            model, suffix, place, save=save_model, load=load, is_compiled=lambda one: one.compiled
        )


def has_custom_objects(model: Any, *, compiled: bool = True) -> bool:
    """Return whether loading the model needs classes or functions that Keras does not have.

    If not `compiled`, the model is to be loaded without its optimizer, loss and metrics.
    """
    config = without_backend(serialization_lib.serialize_keras_object(model))
    compiling = config.pop("compile_config", None)
    return find_refused(config, {}, unsafe_ops=True) is not None or (
        compiled and find_refused(compiling, {}, kind=None) is not None
    )


@contextmanager
def _keras_faults(model: Any, path: Path) -> Iterator[None]:
    """Turn errors of Keras into one line that says what cannot be saved and what to do instead."""
    logger = logging.getLogger("absl")  # warns of every .h5 file
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as err:
        reason = find_reason(err)
        if reason is not None:
            raise cannot_write(path, reason) from err
        lines = str(err).strip().splitlines() or [type(err).__name__]
        way_out = (
            "save it as .keras"
            if path.suffix == ".h5"
            else "every layer needs a get_config that returns plain values"
        )
        raise OutputError(
            f"{path.name}: Keras cannot save {model.name} ({lines[0]}); {way_out}"
        ) from err
    finally:
        logger.setLevel(level)


def _copy_keras(model: Any, made: HDF5Bytes) -> FileCopy:
    """Return a `.keras` file without times, memory addresses and classes of one backend."""
    with serialization_lib.ObjectSharingScope():
        config = serialization_lib.serialize_keras_object(model)
    made.clear(0 if made else _count_bytes(model))
    with temporary_folder() as folder:
        weights = _Weights(made, mode="w")
        try:
            with quick_walks():
                saving_lib._save_state(model, weights, _Assets(Path(folder)), "", set())
        finally:
            weights.close()
        assets = read_assets(Path(folder))
    metadata = {"keras_version": keras.__version__, "date_saved": DATE_SAVED}
    return FileCopy(
        (
            (saving_lib._CONFIG_FILENAME, _json_bytes(_portable(config))),
            (saving_lib._METADATA_FILENAME, _json_bytes(metadata)),
            (f"{saving_lib._VARS_FNAME}.h5", made),
            *assets,
        )
    )


def _count_bytes(model: Any) -> int:
    """Return the bytes of the weights of a model and of its optimizer's state."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.weights, *([] if optimizer is None else optimizer.variables)]
    return sum(math.prod(one.shape) * _item_bytes(str(one.dtype)) for one in variables)


def _item_bytes(dtype: str) -> int:
    """Return the bytes of one value of a dtype by its name, those that NumPy lacks included.

    Example:
        >>> [_item_bytes(name) for name in ("float32", "bfloat16", "float8_e4m3fn", "bool")]
        [4, 2, 1, 1]
    """
    bits = re.search(r"\d+", dtype)
    return max(1, int(bits[0]) // 8) if bits else 1


def _portable(config: Any) -> Any:
    """Return a config without memory addresses and without classes of one backend."""
    return _with_numbered_objects(without_backend(json.loads(json.dumps(config))))


def _copy_hdf5(model: Any) -> FileCopy:
    """Return a file in the old format, whose writer wants a path."""
    with temporary_folder() as folder:
        written = Path(folder, "model.h5")
        model.save(written)
        return FileCopy((("", written.read_bytes()),))


class _Weights(saving_lib.H5IOStore):
    """The store that Keras writes variables to."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Write a variable; unlike Keras, without a copy on its way.

        Before Keras 3.6 a store is not written to itself.
        """
        array = read_in_place(value) if isinstance(value, keras.Variable) else None
        if array is None or array.dtype.kind not in "biuf":
            super().__setitem__(key, value)
            return
        if not self._h5_entry_initialized:
            self._create_h5_group(self._h5_entry_path)
        write_dataset(self._h5_entry_group, key, array)


class _Assets(saving_lib.DiskIOStore):
    """The store that Keras writes the files of layers to, in a folder."""

    def __init__(self, root: Path) -> None:
        self.working_dir = str(root / saving_lib._ASSETS_DIRNAME)
        Path(self.working_dir).mkdir()


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def _with_numbered_objects(config: Any) -> Any:
    """Return a config whose shared objects are numbered in the order of their places."""
    numbers: dict[int, int] = {}

    def number(entry: dict[str, Any]) -> dict[str, Any]:
        shared = entry.get("shared_object_id")
        if "class_name" in entry and isinstance(shared, int):
            entry["shared_object_id"] = numbers.setdefault(shared, len(numbers) + 1)
        return entry

    return rebuild(config, number)
