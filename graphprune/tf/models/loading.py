"""Loading of saved models, pruned or not, with errors that say what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from typing import Any

import tf_keras
from tf_keras.src.saving import serialization_lib
from tf_keras.src.saving.legacy import serialization as legacy
from tf_keras.src.saving.serialization_lib import SafeModeScope

from graphprune.archive import Archive, read_archive
from graphprune.archive.allowed import Given
from graphprune.archive.allowed.guard import names_guarded
from graphprune.archive.allowed.refusals import check_loadable, refuse_settings
from graphprune.archive.hdf5.model import Hdf5Model
from graphprune.archive.keras_zip import KerasZip
from graphprune.archive.saved_model.folder import SavedModelFolder
from graphprune.arguments import check_mapping, check_path
from graphprune.engine.loading import load_settled
from graphprune.errors import ArchiveError
from graphprune.graph.from_config import check_models
from graphprune.graph.read import ModelFile, read_graph
from graphprune.tf.layers.building import spectral_layers_buildable
from graphprune.tf.layers.growing_vocabularies import check_config
from graphprune.tf.layers.live_tensors import weight_names
from graphprune.tf.layers.stored_names import keep_names, kept_names, names_in_layout
from graphprune.tf.models.bounds import growth_bounded
from graphprune.tf.models.building import build_model, build_saved_model, load_hdf5, load_zip
from graphprune.tf.models.given import given_objects, kinds_of, named_as_given
from graphprune.tf.models.stuck_calls import stuck_calls_refused
from graphprune.tf.pruning.addresses import addressed_layers, inner_layer, is_layered_model
from graphprune.tf.pruning.keras_api import prune_scope
from graphprune.tf.pruning.surgery import adopt_wrappers


def keep_file_names(archive: Archive, model: tf_keras.Model) -> None:
    """Record on custom layers the names that `archive` has for their weights.

    Plans made from the file go by these names.
    """
    custom = {
        address: inner_layer(layer)
        for address, layer in addressed_layers(model)
        if not is_layered_model(layer) and weight_names(inner_layer(layer))
    }
    if not custom:
        return
    graph = read_graph(archive)
    for address, layer in custom.items():
        if kept_names(layer) is None and address in graph.layers:
            stored = [tensor.name for tensor in graph.layers[address].tensors]
            keep_names(layer, names_in_layout(layer, archive.layout, stored), stored)


def load_model(
    path: str | PathLike[str] | ModelFile,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> tf_keras.Model:
    """Return the model in a saved model of tf_keras; see `graphprune.load_model`.

    Args:
        path: The file or folder, or what `open_model_file` returned for it.
        custom_objects, unsafe_lambda, unsafe_ops: As there.

    Raises:
        ArchiveError: the file is not a model that can be loaded; the text says what to do.
        GraphError: the calls of its layers do not fit together.
    """
    if isinstance(path, ModelFile):
        path = path.need_archive().path
    check_path("path", path, "the path of a saved model")
    if custom_objects is not None:
        check_mapping("custom_objects", custom_objects, "a dict of classes and functions by name")
    return load_archive(
        read_archive(path), custom_objects or {}, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops
    )


def load_archive(
    archive: Archive,
    custom_objects: Mapping[str, Any],
    *,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> tf_keras.Model:
    """Return the model in a saved model of tf_keras that is open already; see `load_model`.

    Raises:
        ArchiveError: the file is not a model that can be loaded; the text says what to do.
        GraphError: the calls of its layers do not fit together.
    """
    name, own = archive.path, named_as_given(custom_objects)
    with prune_scope(), tf_keras.utils.custom_object_scope(own):
        objects = given_objects(own)
        given = kinds_of(objects)
        _check_buildable(archive)
        check_loadable(archive, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops, given=given)
        check_models(archive.config, name)
        check_config(archive.config, name)
        with names_guarded(name, objects, serialization_lib, legacy), growth_bounded(archive):
            model = adopt_wrappers(_load_guarded(archive, given, unsafe_lambda=unsafe_lambda))
            keep_file_names(archive, model)
            return model


def _load_guarded(archive: Archive, given: Given, *, unsafe_lambda: bool) -> tf_keras.Model:
    with (
        spectral_layers_buildable(),
        stuck_calls_refused(archive.path),
        SafeModeScope(not unsafe_lambda),
    ):
        refused = refuse_settings(archive, given, unsafe_lambda=unsafe_lambda)
        version = f"tf_keras {tf_keras.__version__}"
        return load_settled(archive, refused, partial(_load, archive), version)


def _load(archive: Archive, compiled: bool) -> tf_keras.Model:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*compiled metrics have yet to be built.*")
        load = _OWN_LOADERS.get(type(archive.source), build_model)
        return load(archive, compiled=compiled)


_OWN_LOADERS: Mapping[type, Callable[..., tf_keras.Model]] = {
    KerasZip: load_zip,
    Hdf5Model: load_hdf5,
    SavedModelFolder: build_saved_model,
}
"""How the formats of Keras are loaded; of any other, Keras gets the config and each tensor."""


def _check_buildable(archive: Archive) -> None:
    """Refuse a file of Keras 3."""
    if archive.dialect == "keras3":
        raise ArchiveError(
            f"written by Keras {archive.keras_version or '3'}, which tf_keras cannot read; load it"
            " with graphprune.load_model, or write it for tf_keras with graphprune convert",
            place=archive.path,
        )
