"""Loading of Keras 3 files, pruned or not: what they name is checked first, and nothing runs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import h5py
import keras
import numpy as np
from keras.src.legacy.saving import legacy_h5_format
from keras.src.legacy.saving import serialization as legacy
from keras.src.saving import saving_lib, serialization_lib
from numpy.typing import NDArray

from graphprune.archive import Archive
from graphprune.archive.allowed import Given, find_refused
from graphprune.archive.allowed.guard import names_guarded
from graphprune.archive.allowed.keras_names import KERAS_3_OPERATIONS, LAYERS, PRUNING_SCHEDULE
from graphprune.archive.allowed.refusals import check_loadable, explain_refusal, refuse_settings
from graphprune.archive.archive import as_written, widen_bfloat16
from graphprune.archive.entries import copy_config
from graphprune.archive.hdf5.file import open_with_texts
from graphprune.archive.hdf5.model import Hdf5Model
from graphprune.archive.keras_zip import KerasZip
from graphprune.archive.pruning_state import (
    SETTINGS,
    frozen_from_bytes,
    is_state_group,
    settings_from_bytes,
)
from graphprune.engine.loading import load_settled
from graphprune.errors import ArchiveError, GraphpruneError
from graphprune.graph.from_config import check_models
from graphprune.graph.read import model_file_of
from graphprune.keras3.bounds import growth_bounded
from graphprune.keras3.given import REGISTRY, given_objects
from graphprune.keras3.layers import is_layered_model
from graphprune.keras3.optimizers import innermost, renew_optimizer
from graphprune.keras3.quick_walks import quick_walks
from graphprune.keras3.scope import prune_scope
from graphprune.nested import mappings_in


def load_archive(
    archive: Archive,
    custom_objects: Mapping[str, Any],
    *,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> Any:
    """Return the model in a `.keras` or `.h5` file of Keras 3; see `graphprune.load_model`.

    Raises:
        ArchiveError: the file is not a model that can be loaded; the text says what to do.
        GraphError: the calls of its layers do not fit together.
    """
    written = as_written(archive)
    own = REGISTRY.named_as_given(custom_objects)
    with prune_scope(), keras.saving.custom_object_scope(own):
        objects = given_objects(own)
        given = REGISTRY.kinds_of(objects)
        _check_operations(written)
        # the config as Keras will read it, not in the form of tf_keras
        check_loadable(written, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops, given=given)
        check_models(archive.config, archive.path)
        _check_state(archive, given)
        refused = refuse_settings(written, given, unsafe_lambda=unsafe_lambda)
        with (
            names_guarded(archive.path, objects, serialization_lib, legacy, foreign="tf_keras"),
            growth_bounded(archive),
            serialization_lib.SafeModeScope(not unsafe_lambda),
        ):
            load = _OWN_LOADERS.get(type(archive.source), _load_tensors)
            version = f"Keras {keras.__version__}"
            return load_settled(archive, refused, partial(load, written), version)


def _check_operations(archive: Archive) -> None:
    """Refuse operations (`keras.ops.tanh`) in an `.h5` file, which do not name their modules."""
    if not isinstance(archive.source, Hdf5Model):
        return
    for entry in mappings_in(archive.config):
        kind, config = entry.get("class_name"), entry.get("config")
        if kind in _OPERATIONS and "module" not in entry and isinstance(config, Mapping):
            raise ArchiveError(
                f"Keras cannot load the operation {kind!r} (layer {config.get('name')!r}) from an"
                " .h5 file; save the model as .keras",
                place=archive.path,
            )


_OPERATIONS = frozenset().union(*KERAS_3_OPERATIONS.values()) - LAYERS


def _check_state(archive: Archive, given: Given) -> None:
    """Check what the file says of pruned layers, and the names of schedules in it.

    Raises:
        ArchiveError: it is damaged, or names something that is not allowed.
    """
    groups = [group for group in archive.stored if is_state_group(group)]
    if groups:
        model_file_of(archive)
    for group in groups:
        stored = next(one for one in archive.stored[group] if one.name == SETTINGS)
        settings = archive.read(stored)
        frozen_from_bytes(settings, archive.path)
        for entry in settings_from_bytes(settings, archive.path).values():
            schedule = entry.get("own_schedule")
            refusal = find_refused(schedule, given, kind=PRUNING_SCHEDULE)
            if refusal is not None:
                raise ArchiveError(explain_refusal(refusal), place=archive.path)


def _load_zip(archive: Archive, compiled: bool) -> Any:
    """Return the model of a `.keras` file, built from the checked config.

    Raises:
        ArchiveError: the zip has unexpected members or wrong checksums, or its weights do not fit.
    """
    with KerasZip(archive.path).opened() as zipped:
        zipped.check_members()
        zipped.check_checksums()
        with zipped.unpacked_assets() as folder:
            assets = folder and saving_lib.DiskIOStore(str(folder), mode="r")
            return _with_state(archive, WeightsStore(zipped.weights), assets, compiled=compiled)


def _with_state(archive: Archive, weights: Any, assets: Any, *, compiled: bool) -> Any:
    """Return the model of a config with the weights and vocabularies of two stores of Keras."""
    config = copy_config(archive.config)
    if not compiled:
        config["compile_config"] = None
    with serialization_lib.ObjectSharingScope():
        model = serialization_lib.deserialize_keras_object(config)
    _name_operations(model, archive.config)  # Keras 3.7 and 3.8 change the one that they are given
    failed: dict[int, tuple[Any, Exception]] = {}
    with warnings.catch_warnings(), quick_walks():
        warnings.filterwarnings("ignore", message=_NEVER_TRAINED)
        try:
            saving_lib._load_state(
                model,
                weights_store=weights,
                assets_store=assets,
                inner_path="",
                visited_saveables=set(),
                failed_saveables=set(),
                error_msgs=failed,
            )
        except ArchiveError as err:
            raise ArchiveError(err.text, place=archive.path) from err
    _raise_failure(failed, archive.path)
    return model


def _name_operations(model: Any, config: Mapping[str, Any]) -> None:
    """Give the operations of a model, and of models in it, the names that its config has.

    Keras before 3.11 gives operations with arguments new ones.
    """
    operations, entries = getattr(model, "operations", ()), config["config"].get("layers")
    if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
        return  # the config of a model of the user's own class
    kinds = [type(operation).__name__ for operation in operations]
    if kinds != [entry.get("class_name") for entry in entries]:
        return
    for operation, entry in zip(operations, entries, strict=True):
        if not isinstance(operation, keras.layers.Layer):
            operation.name = entry["name"]
        elif is_layered_model(operation):
            _name_operations(operation, entry)


_NEVER_TRAINED = ".* because it has .* variables whereas the saved optimizer has [012] variables"
"""Keras warns so of the optimizer of a model that was compiled and not trained."""


def _raise_failure(failed: Mapping[int, tuple[Any, Exception]], place: str) -> None:
    for saveable, err in failed.values():
        if isinstance(err, GraphpruneError):
            raise ArchiveError(err.text, place=place) from err
        lines = str(err).strip().splitlines() or [type(err).__name__]
        raise ArchiveError(
            f"the weights of {getattr(saveable, 'name', type(saveable).__name__)!r} do not fit its"
            f" config ({lines[0]}); save the model again in the program that built it",
            place=place,
        ) from err


def _load_hdf5(archive: Archive, compiled: bool) -> Any:
    """Return the model of an `.h5` file, built from the checked config."""
    _ = archive.stored  # read and cached before a copy of the file holds the lock
    configs = {"model_config": archive.config, "training_config": archive.training_config}
    texts = {name: json.dumps(config) for name, config in configs.items() if config is not None}
    with open_with_texts(archive.path, texts) as file:
        model = legacy_h5_format.load_model_from_hdf5(file, compile=compiled)
        _mend_optimizer(model, file)
    return model


def _mend_optimizer(model: Any, file: h5py.File) -> None:
    """Give the model an optimizer for its variables, with the state in the file.

    Keras builds that of an `.h5` file for the variables of the model itself, without those of its
    layers (`Model._trainable_variables`), so that it can neither be restored nor trained with.
    """
    optimizer: Any = getattr(model, "optimizer", None)
    if optimizer is None or not model.trainable_variables:
        return
    if not any(part.built and not part._trainable_variables for part in innermost(optimizer)):
        return
    mended = renew_optimizer(model)
    is_stored = "optimizer_weights" in file
    read = legacy_h5_format.load_optimizer_weights_from_hdf5_group
    found = [np.asarray(value) for value in read(file)] if is_stored else []
    if [value.shape for value in found] == [tuple(one.shape) for one in mended.variables]:
        for variable, value in zip(mended.variables, found, strict=True):
            variable.assign(value)


def _load_tensors(archive: Archive, compiled: bool) -> Any:
    """Return the model of a format that Keras itself cannot read, from its config and tensors.

    Its tensors lie in the layout of `.keras` files. The optimizer begins anew.

    Raises:
        ArchiveError: its layout is another, or its weights do not fit.
    """
    if archive.layout != "keras":
        raise ArchiveError(
            "Keras 3 has no way to load a model whose weights are named so; save it as .keras",
            place=archive.path,
        )
    with archive.opened():
        return _with_state(archive, TensorStore(archive), None, compiled=compiled)


_OWN_LOADERS: Mapping[type, Callable[[Archive, bool], Any]] = {
    KerasZip: _load_zip,
    Hdf5Model: _load_hdf5,
}
"""How the formats of Keras are loaded."""


class TensorStore(saving_lib.H5IOStore):
    """The tensors of a saved model by place in the model, as Keras reads them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __bool__(self) -> bool:
        return True

    def get(self, path: str) -> Mapping[str, NDArray[Any]]:
        """Return the variables of the object at a path; none if it has no group."""
        tensors = self._archive.stored.get(path, ())
        return {tensor.name: self._archive.read(tensor) for tensor in tensors}

    def has_path(self, path: str) -> bool:
        """Return whether an object at the path, or below it, has variables."""
        return any(f"{group}/".startswith(f"{path}/") for group in self._archive.stored)


class WeightsStore(saving_lib.H5IOStore):
    """The open weights of a file by place in the model, as Keras reads them."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def __bool__(self) -> bool:
        return True

    def get(self, path: str) -> Mapping[str, NDArray[Any]]:
        """Return the variables of the object at a path; none if it has no group."""
        group = self._file.get(path) if path else self._file
        return _Variables(group["vars"]) if group is not None and "vars" in group else {}

    def has_path(self, path: str) -> bool:
        """Return whether the file has a group at a path."""
        return path in self._file


class _Variables(Mapping[str, NDArray[Any]]):
    """The variables in a group, read when they are asked for."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group

    def __getitem__(self, name: str) -> NDArray[Any]:
        stored = self._group[name]
        if stored.attrs.get("dtype") == "bfloat16":
            return widen_bfloat16(np.asarray(stored).view("<u2"))
        return np.asarray(stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def __len__(self) -> int:
        return len(self._group)
