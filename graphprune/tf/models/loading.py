"""Loading of saved models, pruned or not, with errors that say what to do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from os import PathLike
from typing import Any

import tf_keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

from graphprune.archive import Archive, read_archive
from graphprune.archive.allowed import Given, Refusal
from graphprune.arguments import check_mapping, check_path, user_level
from graphprune.errors import ArchiveError, GraphpruneError
from graphprune.graph.from_config import check_models
from graphprune.graph.read import ModelFile, read_graph
from graphprune.tf.layers.building import spectral_layers_buildable
from graphprune.tf.layers.growing_vocabularies import check_config
from graphprune.tf.layers.live_tensors import weight_names
from graphprune.tf.layers.stored_names import keep_names, kept_names, names_in_format
from graphprune.tf.models.bounds import growth_bounded
from graphprune.tf.models.building import build_saved_model, load_hdf5, load_zip
from graphprune.tf.models.given import given_objects, kinds_of, named_as_given
from graphprune.tf.models.guard import names_guarded, stuck_calls_refused
from graphprune.tf.models.refusals import (
    check_loadable,
    explain_lambda,
    explain_refusal,
    refuse_settings,
)
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
            keep_names(layer, names_in_format(layer, archive.format, stored), stored)


# Errors of Keras and Python have no codes; they are recognized by their texts in tf_keras 2.21
# (src/saving) and CPython 3.11 (marshal.c).
_MISSING = re.compile(
    r"(?:Cannot deserialize object of type|Unknown [\w ]+:|Could not (?:locate|deserialize)"
    r" (?:class|function)) [`'](?P<name>[^`']+)[`']"
)
_CAUSE = "Exception encountered: "
_LONGEST_CAUSE = 400
"""Characters of Keras's own error that a message shows."""

_BY_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"bad marshal data|EOF read where object expected|marshal data too short"),
        (
            "a Lambda layer holds bytecode that another version of Python wrote, which this one"
            " cannot read; make it a layer class of your own in the program that built the model,"
            " and save it again"
        ),
    ),
    (
        re.compile(r"Model expected 0 layers, found [1-9]"),
        (
            "the file holds the weights of a Sequential model but not the shape of its input; give"
            " it an Input in the program that built it, and save it again"
        ),
    ),
)


class UncompiledWarning(UserWarning):
    """A model was loaded without the compile settings that its file has.

    Attributes:
        fault: What is wrong, without the path of the file.
    """

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(f"{path}: {fault}")
        self.fault = fault


def load_model(
    path: str | PathLike[str] | ModelFile,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> tf_keras.Model:
    """Return the model in a `.keras` or `.h5` file or in a SavedModel folder.

    If compile settings cannot be restored (an unknown loss), the model is returned uncompiled, with
    a warning. A SavedModel is rebuilt from its config and weights without running its graph,
    with its compile settings and optimizer state. Layers that the TensorFlow toolkit
    (tfmot) pruned get graphprune's wrappers, with masks and step, under the names of the layers
    inside.

    Args:
        path: The file or folder, or what `open_model_file` returned for it.
        custom_objects: The user's own classes and functions, by the names that the file has for
            them; functions are saved again under these names. `<lambda>` is the name of a lambda.
        unsafe_lambda: Run the Python bytecode of Lambda layers in the file; only for files whose
            origin you trust.
        unsafe_ops: Let layers run operations of TensorFlow that may do more than compute, such as
            writing files.

    Raises:
        ArchiveError: the file is not a model that can be loaded; the text says what to do.
        GraphError: the calls of its layers do not fit together.
    """
    if isinstance(path, ModelFile):
        path = path.need_archive().path
    name = check_path("path", path, "the path of a saved model")
    if custom_objects is not None:
        check_mapping("custom_objects", custom_objects, "a dict of classes and functions by name")
    archive = read_archive(path)
    own = named_as_given(custom_objects or {})
    with prune_scope(), tf_keras.utils.custom_object_scope(own):
        objects = given_objects(own)
        given = kinds_of(objects)
        check_loadable(archive, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops, given=given)
        check_models(archive.config, name)
        check_config(archive.config, name)
        with names_guarded(name, objects), growth_bounded(archive):
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
        if refused is not None:
            return _load_uncompiled(archive, refused)
        try:
            return _load(archive, compiled=True)
        except GraphpruneError:
            raise
        except Exception as err:  # Keras raises whatever the classes in the file raise
            return _load_uncompiled(archive, _explain(err, archive))


def _load(archive: Archive, *, compiled: bool) -> tf_keras.Model:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*compiled metrics have yet to be built.*")
        if archive.format == "savedmodel":
            return build_saved_model(archive, compiled=compiled)
        if archive.format == "h5":
            return load_hdf5(archive, compiled=compiled)
        return load_zip(archive, compiled=compiled)


def _load_uncompiled(archive: Archive, reason: str) -> tf_keras.Model:
    """Return the model without compile settings; `reason` says why they were not restored."""
    try:
        model = _load(archive, compiled=False)
    except GraphpruneError:
        raise
    except Exception as err:
        raise ArchiveError(f"{_explain(err, archive)}", place=archive.path) from err
    fault = (
        f"its compile settings could not be restored, so the model is not compiled ({reason});"
        " compile it again, or say how to train it with --loss and --optimizer"
    )
    warnings.warn(UncompiledWarning(archive.path, fault), stacklevel=user_level())
    return model


def _explain(err: Exception, archive: Archive) -> str:
    """Return in one line what went wrong, and what to do."""
    cause = _find_cause(err)
    about_lambda = explain_lambda(cause)
    if about_lambda is not None:
        return about_lambda
    missing = _MISSING.search(str(err))
    if missing is not None:
        return explain_refusal(Refusal(missing["name"].rsplit(">", 1)[-1], "class or function"))
    known = next((text for words, text in _BY_WORDS if words.search(str(err))), None)
    if known is not None:
        return known
    shown = cause if len(cause) <= _LONGEST_CAUSE else f"{cause[:_LONGEST_CAUSE]}..."
    return (
        f"Keras cannot load it ({type(err).__name__}: {shown or 'no message'}); {_advise(archive)}"
    )


def _find_cause(err: Exception) -> str:
    """Return the line that names the cause.

    Keras puts it after the whole config of each layer around it.
    """
    lines = str(err).rpartition(_CAUSE)[2].strip().splitlines()
    return lines[0].rstrip() if lines else ""


def _advise(archive: Archive) -> str:
    saved, own = archive.keras_version, tf_keras.__version__
    if saved and saved != own:
        return (
            f"it was saved by Keras {saved}, and this is tf_keras {own}: load it with the version"
            " that saved it, and save it as .keras"
        )
    return (
        "its config and weights do not fit each other or their layers; save the model again in the"
        " program that built it"
    )
