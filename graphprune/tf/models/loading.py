"""Loading of saved models, pruned or not, with errors that say what to do."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import Any

import tf_keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

from graphprune.archive import Archive, read_archive
from graphprune.archive.entries import holds_lambda_bytecode
from graphprune.errors import ArchiveError, GraphpruneError
from graphprune.graph.from_config import check_models
from graphprune.tf.layers.growing_vocabularies import check_config
from graphprune.tf.layers.spectral_build import spectral_layers_buildable
from graphprune.tf.models.building import build_saved_model, load_hdf5, load_zip
from graphprune.tf.models.foreign import find_foreign
from graphprune.tf.models.refusals import check_loadable
from graphprune.tf.models.stuck_calls import stuck_calls_refused
from graphprune.tf.pruning.scope import prune_scope
from graphprune.tf.pruning.surgery import adopt_wrappers

_MISSING = re.compile(r"(?:Cannot deserialize object of type|Unknown [\w ]+:|Could not (?:locate|deserialize) (?:class|function)) [`'](?P<name>[^`']+)[`']")

_OTHER_PYTHON = re.compile(r"bad marshal data|EOF read where object expected|marshal data too short")
_NO_INPUT_SHAPE = re.compile(r"Model expected 0 layers, found [1-9]")


def load_model(path: str | PathLike[str], custom_objects: Mapping[str, Any] | None = None, *, unsafe_lambda: bool = False) -> tf_keras.Model:
    """Return the model in a `.keras` or `.h5` file or in a SavedModel folder.

    Where compile settings cannot be restored (a loss of another program), the model still comes, uncompiled, with a warning. A SavedModel is built anew from
    its config and weights, nothing of its graph is run; its compile settings come with it, the optimizer's state does not. Layers that the TensorFlow toolkit
    (tfmot) pruned come in graphprune's wrappers, with masks and step, under the names of the layers inside.

    Args:
        path: The file or folder.
        custom_objects: The user's own classes and functions by name.
        unsafe_lambda: Run the Python bytecode of Lambda layers in the file; only for files whose origin you trust.

    Raises:
        ArchiveError: the file is not a model that can be loaded; the text says what to do.
        GraphError: the calls of its layers do not fit together.
    """
    name = fspath(path)
    archive = read_archive(path)
    check_loadable(archive, unsafe_lambda=unsafe_lambda)
    given = dict(custom_objects or {})
    foreign = find_foreign(archive.config["config"], given)
    if foreign is not None:
        raise ArchiveError(f"{name}: {_unknown(foreign)}")
    check_models(archive.config, name)
    check_config(archive.config, name)
    return adopt_wrappers(_load_in_scope(archive, given, unsafe_lambda=unsafe_lambda))


def _load_in_scope(archive: Archive, given: Mapping[str, Any], *, unsafe_lambda: bool) -> tf_keras.Model:
    settings, name = (archive.training_config, archive.config.get("compile_config")), archive.path
    with (
        prune_scope(),
        spectral_layers_buildable(),
        stuck_calls_refused(name),
        tf_keras.utils.custom_object_scope(given),
        SafeModeScope(not unsafe_lambda),
    ):
        if holds_lambda_bytecode(settings) and not unsafe_lambda:
            return _load_uncompiled(archive, "a lambda function in them holds Python bytecode")
        foreign = find_foreign(settings, given)
        if foreign is not None:
            return _load_uncompiled(archive, _unknown(foreign))
        try:
            return _load(archive, compiled=True)
        except GraphpruneError:
            raise
        except Exception as err:  # Keras raises whatever the classes in the file raise
            return _load_uncompiled(archive, _explain(err, settings))


def _load(archive: Archive, *, compiled: bool) -> tf_keras.Model:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*compiled metrics have yet to be built.*")
        if archive.format == "savedmodel":
            return build_saved_model(archive, compiled=compiled)
        if archive.format == "h5":
            return load_hdf5(archive, compiled=compiled)
        return load_zip(archive, compiled=compiled)


def _load_uncompiled(archive: Archive, reason: str) -> tf_keras.Model:
    """Return the model without compile settings, which could not be restored for `reason`."""
    try:
        model = _load(archive, compiled=False)
    except GraphpruneError:
        raise
    except Exception as err:
        raise ArchiveError(f"{archive.path}: {_explain(err, archive.config)}") from err
    warnings.warn(
        f"{archive.path}: its compile settings could not be restored, so the model is not compiled ({reason}); "
        "compile it again, or say how to train it with --loss and --optimizer",
        stacklevel=4,
    )
    return model


def _explain(err: Exception, config: Any) -> str:
    """Return what went wrong in one line, with a way out."""
    missing = _MISSING.search(str(err))
    name = missing["name"].rsplit(">", 1)[-1] if missing is not None else next(_homeless(config), None)
    if name is not None:
        return _unknown(name)
    if _OTHER_PYTHON.search(str(err)):
        return (
            "a Lambda layer holds bytecode that another version of Python wrote, which this one cannot read; "
            "make it a layer class of your own in the program that built the model, and save it again"
        )
    if _NO_INPUT_SHAPE.search(str(err)):
        return (
            "the file holds the weights of a Sequential model but not the shape of its input; give it an Input in the program that built it, and save it again"
        )
    lines = str(err).strip().splitlines()
    return f"Keras cannot load it ({type(err).__name__}: {lines[0][:200] if lines else 'no message'}); load it with the version of tf_keras that saved it"


def _unknown(name: str) -> str:
    return f"the class or function {name!r} is not part of Keras; give it with --custom-objects (custom_objects={{{name!r}: ...}} in Python)"


def _homeless(config: Any) -> Iterator[str]:
    """Yield the names of classes and functions that a config takes from modules which are not here; Keras fails on them with all kinds of errors."""
    if isinstance(config, Mapping):
        module, registered = config.get("module"), config.get("registered_name")
        if isinstance(module, str) and isinstance(registered, str) and tf_keras.utils.get_registered_object(registered) is None and not _is_here(module):
            yield str(config["config"] if config.get("class_name") == "function" else config.get("class_name"))
    if isinstance(config, Mapping | list | tuple):
        for value in config.values() if isinstance(config, Mapping) else config:
            yield from _homeless(value)


def _is_here(module: str) -> bool:
    package = module.partition(".")[0]
    return package in ("keras", "builtins") or importlib.util.find_spec(package) is not None
