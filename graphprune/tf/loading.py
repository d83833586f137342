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

from graphprune.archive import read_archive
from graphprune.archive.entries import holds_lambda_bytecode
from graphprune.errors import ArchiveError
from graphprune.tf.scope import prune_scope

_MISSING = re.compile(r"(?:Cannot deserialize object of type|Unknown [\w ]+:|Could not (?:locate|deserialize) (?:class|function)) [`'](?P<name>[^`']+)[`']")


def load_model(path: str | PathLike[str], custom_objects: Mapping[str, Any] | None = None, *, unsafe_lambda: bool = False) -> tf_keras.Model:
    """Return the model in a `.keras` or `.h5` file.

    Where compile settings cannot be restored (a loss of another program), the model still comes, uncompiled, with a warning.

    Args:
        path: The file.
        custom_objects: The user's own classes and functions by name.
        unsafe_lambda: Run the Python bytecode of Lambda layers in the file; only for files whose origin you trust.

    Raises:
        ArchiveError: the file is not a model that can be loaded; the text says what to do.
    """
    name = fspath(path)
    archive = read_archive(path)
    settings = (archive.training_config, archive.config.get("compile_config"))
    if holds_lambda_bytecode(archive.config["config"]) and not unsafe_lambda:
        raise ArchiveError(
            f"{name}: a Lambda layer holds Python bytecode, which loading would run; "
            "if you trust where the file comes from, pass --unsafe-lambda (unsafe_lambda=True in Python)"
        )
    objects = tf_keras.utils.custom_object_scope(dict(custom_objects or {}))
    with prune_scope(), objects, SafeModeScope(not unsafe_lambda):
        if holds_lambda_bytecode(settings) and not unsafe_lambda:
            return _load_uncompiled(name, "a lambda function in them holds Python bytecode", archive.config)
        try:
            return _load(name, compiled=True)
        except Exception as err:  # Keras raises whatever the classes in the file raise
            return _load_uncompiled(name, _explain(err, settings), archive.config)


def _load(name: str, *, compiled: bool) -> tf_keras.Model:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*compiled metrics have yet to be built.*")
        return tf_keras.models.load_model(name, compile=compiled)


def _load_uncompiled(name: str, reason: str, config: Mapping[str, Any]) -> tf_keras.Model:
    """Return the model without compile settings, which could not be restored for `reason`."""
    try:
        model = _load(name, compiled=False)
    except Exception as err:
        raise ArchiveError(f"{name}: {_explain(err, config)}") from err
    warnings.warn(
        f"{name}: its compile settings could not be restored, so the model is not compiled ({reason}); "
        "compile it again, or say how to train it with --loss and --optimizer",
        stacklevel=3,
    )
    return model


def _explain(err: Exception, config: Any) -> str:
    """Return what went wrong in one line, with a way out."""
    missing = _MISSING.search(str(err))
    name = missing["name"].rsplit(">", 1)[-1] if missing is not None else next(_homeless(config), None)
    if name is not None:
        return f"the class or function {name!r} is not part of Keras; give it with --custom-objects (custom_objects={{{name!r}: ...}} in Python)"
    lines = str(err).strip().splitlines()
    return f"Keras cannot load it ({type(err).__name__}: {lines[0][:200] if lines else 'no message'}); load it with the version of tf_keras that saved it"


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
