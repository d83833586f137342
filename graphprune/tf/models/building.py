"""Building of models, including those that `tf_keras.models.load_model` refuses or misreads.

These are models with unusual names, SavedModel folders, and old dialects of `.h5`.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.layers.preprocessing.index_lookup import IndexLookup
from tf_keras.src.saving import saving_lib
from tf_keras.src.saving.legacy import model_config, saving_utils
from tf_keras.src.saving.legacy.hdf5_format import _legacy_weights
from tf_keras.src.saving.legacy.saved_model.utils import keras_option_scope
from tf_keras.src.saving.legacy.serialization import SharedObjectLoadingScope
from tf_keras.src.saving.saving_lib import DiskIOStore
from tf_keras.src.saving.serialization_lib import ObjectSharingScope, deserialize_keras_object

from graphprune.archive import Archive
from graphprune.archive.entries import copy_config
from graphprune.archive.hdf5.file import open_with_texts
from graphprune.archive.hdf5.index import LAYERS_UNTIL_2_14
from graphprune.archive.keras_zip import KerasZip, OpenedZip
from graphprune.arguments import user_level
from graphprune.errors import ArchiveError
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.keras_weights import layers_group
from graphprune.graph.weights import ModelWeights, locate_weights
from graphprune.tf.layers.layer_clone import finalize
from graphprune.tf.layers.live_tensors import weight_names
from graphprune.tf.layers.optimizer_state import scale_loss
from graphprune.tf.layers.stored_names import kept_names, names_in_layout
from graphprune.tf.models.hdf5_dialect import readable_as_written, restore_settings
from graphprune.tf.models.keras_file import keras_format
from graphprune.tf.models.saved_optimizer import restore_optimizer
from graphprune.tf.pruning.addresses import addressed_layers, inner_layer, is_layered_model
from graphprune.tf.pruning.wrapper import PruneLowMagnitude
from graphprune.wrapper_names import is_state


def load_zip(archive: Archive, *, compiled: bool) -> tf_keras.Model:
    """Return the model of a `.keras` file, built from the checked config.

    Keras itself would read the config from the file again.

    Raises:
        ArchiveError: the zip has unexpected members or wrong checksums.
    """
    with KerasZip(archive.path).opened() as zipped:
        zipped.check_members()
        zipped.check_checksums()
        return _load_zip(archive, zipped, compiled=compiled)


def _load_zip(archive: Archive, zipped: OpenedZip, *, compiled: bool) -> tf_keras.Model:
    if layers_group(archive) == LAYERS_UNTIL_2_14:
        return _build_until_2_14(archive, compiled=compiled)
    config = copy_config(archive.config)
    if not compiled:
        config["compile_config"] = None
    with keras_format(), ObjectSharingScope():
        model = deserialize_keras_object(config)
        _scale_loss_as_saved(model, zipped)
        with zipped.unpacked_assets() as assets:
            assets_store = None if assets is None else DiskIOStore(str(assets), mode="r")
            saving_lib._load_state(
                model,
                _Weights(zipped.weights),
                assets_store,
                inner_path="",
                visited_trackables=set(),
            )
    finalize(model)
    return model


def _scale_loss_as_saved(model: tf_keras.Model, zipped: OpenedZip) -> None:
    """Scale the loss again if the saved model did.

    Under the policy `mixed_float16`, `compile` wraps the given optimizer in a LossScaleOptimizer,
    but `.keras` files hold only the given optimizer. Only the group of the optimizer's state shows
    that the loss was scaled.
    """
    if "optimizer/inner_optimizer" in zipped.weights:
        scale_loss(model)


class _Weights:
    """The open weights by place in the model, like Keras's `H5IOStore` (saving_lib.py)."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def get(self, path: str) -> Any:
        group = self._file.get(path) if path else self._file
        return group["vars"] if group is not None and "vars" in group else {}


def _build_until_2_14(archive: Archive, *, compiled: bool) -> tf_keras.Model:
    """Return the model of a `.keras` file of TensorFlow 2.12 to 2.14.

    It names modules and groups of weights that later versions of Keras do not have.
    """
    model = build_empty({key: archive.config[key] for key in ("class_name", "config")})
    _check_vocabularies(
        model,
        archive,
        "where only TensorFlow 2.12 to 2.14 read it; set it there by the layer's argument"
        " vocabulary, and save it again",
    )
    _assign_weights(model, archive)
    finalize(model)
    if compiled and archive.config.get("compile_config"):
        model.compile_from_config(copy_config(archive.config["compile_config"]))
        warnings.warn(
            f"{archive.path}: the optimizer's state in a .keras file of TensorFlow 2.12 to 2.14 is"
            " not read, so the optimizer is reset",
            stacklevel=user_level(),
        )
    return model


def load_hdf5(archive: Archive, *, compiled: bool) -> tf_keras.Model:
    """Return the model of an `.h5` file, built from the config as graphprune reads it.

    Keras assigns weights to layers by order, and writes frozen ones last. But no config says that
    one direction of a Bidirectional, or a part of a MultiHeadAttention, was frozen: in the rebuilt
    layer it is not, and its weights would be assigned to other variables. If the names show this,
    weights are loaded in the order of the names.
    """
    _ = archive.stored  # read and cached before a copy of the file holds the lock
    configs = {"model_config": archive.config, "training_config": archive.training_config}
    texts = {name: json.dumps(config) for name, config in configs.items() if config is not None}
    with readable_as_written():
        model = _load_in_order(archive, texts, compiled=compiled)
    restore_settings(model, archive.training_config if compiled else None)
    return model


def _load_in_order(archive: Archive, texts: Mapping[str, str], *, compiled: bool) -> tf_keras.Model:
    with open_with_texts(archive.path, texts) as file:
        try:
            model = tf_keras.models.load_model(file, compile=compiled)
            orders = _other_orders(archive, model)
        except ValueError:  # weights in another order may have other shapes
            orders = _other_orders_when_built(archive)
            if not orders:
                raise
    if not orders:
        return model
    with open_with_texts(archive.path, texts, orders) as file:
        return tf_keras.models.load_model(file, compile=compiled)


def _other_orders_when_built(archive: Archive) -> dict[str, list[str]]:
    """Return `_other_orders` of the model without weights; empty if it cannot be built.

    Keras's own error is then more specific.
    """
    try:
        return _other_orders(archive, build_empty(archive.config))
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def build_empty(config: Mapping[str, Any]) -> tf_keras.Model:
    """Return a new model from its class name and config, as `.h5` files and SavedModels have it."""
    with (
        readable_as_written(),
        SharedObjectLoadingScope(),
        keras_option_scope(save_traces=False, in_tf_saved_model_scope=True),
    ):
        return model_config.model_from_config(copy_config(config))


def _other_orders(archive: Archive, model: tf_keras.Model) -> dict[str, list[str]]:
    """Return the file's names in the layer's order, for layers with another order than the file.

    Only layers of the model that list the same variables count.
    """
    orders = {}
    for layer in model.layers:
        stored = {
            _plain_name(tensor.name): tensor.name for tensor in archive.stored.get(layer.name, ())
        }
        live = [_plain_name(variable.name) for variable in _legacy_weights(layer)]
        if live != list(stored) and len(live) == len(stored) and set(live) == set(stored):
            orders[layer.name] = [stored[name] for name in live]
    return orders


def _plain_name(name: str) -> str:
    """Return a variable's name without the number that Keras gives to a recurrent layer's cell.

    The number differs between processes.
    """
    return re.sub(r"_cell_\d+/", "_cell/", name)


def build_saved_model(archive: Archive, *, compiled: bool) -> tf_keras.Model:
    """Return the model of a SavedModel folder, built from its Keras config.

    The weights come from its checkpoint; its graph is not run.

    Raises:
        ArchiveError: weights are missing, do not fit, or have an unsupported form.
    """
    place = (
        "in the SavedModel's graph, which graphprune does not run; load it with tf_keras and save"
        " it as .keras"
    )
    model, stored = _build_with_weights(archive, place, compiled=compiled)
    if compiled and archive.training_config:
        restore_optimizer(model, archive.path, stored)
        warnings.warn(
            f"{archive.path}: a SavedModel does not hold steps_per_execution, jit_compile and"
            " run_eagerly; save as .keras to keep them",
            stacklevel=user_level(),
        )
    return model


def build_model(archive: Archive, *, compiled: bool) -> tf_keras.Model:
    """Return the model of a file that Keras itself cannot read, from its config and tensors.

    The optimizer begins anew.

    Raises:
        ArchiveError: weights are missing, do not fit, or have an unsupported form.
    """
    place = "not in its config; save the model as .keras"
    return _build_with_weights(archive, place, compiled=compiled)[0]


def _build_with_weights(
    archive: Archive, vocabularies: str, *, compiled: bool
) -> tuple[tf_keras.Model, dict[str, tf.Variable]]:
    """Build a model; return it with its variables by the paths of their tensors.

    `vocabularies` says where learned vocabularies are, and what to do.
    """
    model = build_empty(archive.config)
    _check_vocabularies(model, archive, vocabularies)
    stored = _assign_weights(model, archive)
    finalize(model)
    if compiled and archive.training_config:
        model.compile(
            **saving_utils.compile_args_from_training_config(dict(archive.training_config)),
            from_serialized=True,
        )
    return model, stored


def _check_vocabularies(model: tf_keras.Model, archive: Archive, place: str) -> None:
    """Raise if a lookup layer learned its vocabulary, which is stored where it cannot be read.

    `place` says where and what to do; with the config alone, the vocabulary would be empty.
    """
    lookups = (
        (address, part)
        for address, layer in addressed_layers(model)
        for part in layer._flatten_layers()
        if isinstance(part, IndexLookup)
    )
    learned = [address for address, lookup in lookups if not lookup._has_input_vocabulary]
    if learned:
        raise ArchiveError(f"the vocabulary of layer {learned[0]!r} is {place}", place=archive.path)


def _assign_weights(model: tf_keras.Model, archive: Archive) -> dict[str, tf.Variable]:
    """Set all weights of a model; return its variables by the paths of their tensors."""
    stored: dict[str, tf.Variable] = {}
    weights = locate_weights(archive, graph_from_config(archive.config, place=archive.path))
    done: set[int] = set()
    for address, layer in addressed_layers(model):
        if is_layered_model(layer) or id(layer) in done:
            continue
        done.add(id(layer))
        if isinstance(layer, PruneLowMagnitude):
            state = {
                name: tensor
                for name, tensor in _own_variables(layer).items()
                if name in weights.tensors.get(address, {})
            }
            for name, variable in state.items():
                _assign(variable, weights, address, name)
        for variable, name in _named_in_file(inner_layer(layer), weights, address):
            _assign(variable, weights, address, name)
            stored[weights.find(address, name).path] = variable
    return stored


def _own_variables(layer: PruneLowMagnitude) -> Mapping[str, Any]:
    inside = {id(variable) for variable in layer.layer.weights}
    return {_last(variable): variable for variable in layer.weights if id(variable) not in inside}


def _named_in_file(
    layer: Layer, weights: ModelWeights, address: str
) -> list[tuple[tf.Variable, str]]:
    """Return the weights of a layer with their names in the file.

    They are found by name, or by order and shape if several have one name (Bidirectional).

    Raises:
        ArchiveError: the file has another number of weights for this layer.
    """
    located = weights.tensors.get(address, {})
    names = [name for name in located if not is_state(name)]
    variables = [variable for variable in layer.weights if isinstance(variable, tf.Variable)]
    if len(names) != len(variables):
        raise ArchiveError(
            f"layer {address!r} has {len(variables)} weights, the"
            f" checkpoint {len(names)}; save the model as .keras",
            place=weights.archive.path,
        )
    ordered = _names_in_custom_layer(layer, weights.archive.layout, names)
    if ordered:
        return list(zip(variables, ordered, strict=True))
    by_name = {name.rsplit(".", 1)[-1]: name for name in names}
    unique = len(by_name) == len(names) and {_last(variable) for variable in variables} == set(
        by_name
    )
    found = [by_name[_last(variable)] for variable in variables] if unique else names
    return list(zip(variables, found, strict=True))


def _names_in_custom_layer(layer: Layer, kind: str, stored: Sequence[str]) -> tuple[str, ...]:
    """Return the file's names of a custom layer's weights, in the order of the layer.

    Empty for layers of Keras, or if the names do not fit.
    """
    kept = kept_names(layer)
    if kept is not None and set(kept.names) == set(stored):
        return kept.names
    return names_in_layout(layer, kind, stored) if weight_names(layer) else ()


def _last(variable: Any) -> str:
    return variable.name.rsplit("/", 1)[-1].partition(":")[0]


def _assign(variable: Any, weights: ModelWeights, address: str, name: str) -> None:
    values = weights.read(address, name)
    if not variable.shape.is_compatible_with(values.shape):
        shapes = f"{list(values.shape)} in the checkpoint and {list(variable.shape)} in the model"
        raise ArchiveError(
            f"{name!r} of layer {address!r} is {shapes}; save the model as .keras",
            place=weights.archive.path,
        )
    variable.assign(
        values.astype(variable.dtype.as_numpy_dtype) if variable.dtype == tf.bool else values
    )
