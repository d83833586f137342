"""The model that a run begins with: a saved one, or a live one.

A live model is saved first, so that both are loaded in the same way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.arguments import check_path
from graphprune.errors import GraphpruneError, TrainingError
from graphprune.graph.read import ModelFile
from graphprune.runs.run_options import ORIGINAL
from graphprune.tf.models.given import KINDS
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import check_reads_back, save_model
from graphprune.tf.pruning.addresses import check_model

_KINDS = "the path of a saved model, or a Keras model"
_LIBRARIES = frozenset({"tf_keras", "keras", "graphprune", "tensorflow", "builtins", "numpy"})


Load = Callable[[str | Path], tf_keras.Model]
"""Loads a saved model with the user's own classes."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that a run begins with.

    Attributes:
        place: Its name in messages.
        file: The saved model; a temporary file for a live model.
        is_live: Whether the model was live, so that the run keeps its file.
        has_own_objects: Whether it has, or may have, the user's own classes or functions.
        load: Loads a file of the model, this one or a checkpoint.
    """

    place: str
    file: Path
    is_live: bool
    has_own_objects: bool
    load: Load

    def load_first(self) -> tf_keras.Model:
        """Return the model.

        Raises:
            GraphpruneError: it cannot be loaded; for a live model, the text begins with its name.
        """
        try:
            return self.load(self.file)
        except GraphpruneError as fault:
            if not self.is_live:
                raise
            raise TrainingError(fault.text, place=self.place) from fault

    def discard(self) -> None:
        """Remove the temporary file of a live model: a run that has begun has its own."""
        if self.is_live:
            self.file.unlink()

    @property
    def recorded(self) -> str:
        """What the run records as its model."""
        return ORIGINAL if self.is_live else str(self.file.absolute())


def check_origin(model: Any) -> None:
    """Raise unless a run can begin with `model`.

    Raises:
        GraphError: it is a model that cannot be pruned, such as a subclassed one.
        TypeError: it is neither a path nor a model.
    """
    if isinstance(model, tf_keras.Model):
        check_model(model)
    elif not isinstance(model, ModelFile):
        check_path("model", model, _KINDS)


@contextmanager
def open_origin(
    model: str | PathLike[str] | ModelFile | tf_keras.Model,
    custom_objects: Mapping[str, Any] | None,
    *,
    unsafe_lambda: bool,
    unsafe_ops: bool,
) -> Iterator[Origin]:
    """Yield the model as a saved model.

    A live model is saved to a temporary file, which is removed when the block ends, or earlier by
    `discard`.

    The user's own classes and functions in a live model are known for loading its files, as if they
    were `custom_objects`.

    Raises:
        OutputError: the live model cannot be saved, or loading it does not return the same model.
        TrainingError: two of its own functions or classes have the same name.
    """
    loading = partial(load_model, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops)
    if isinstance(model, ModelFile):
        model = model.need_archive().path
    if not isinstance(model, tf_keras.Model):
        load: Load = partial(loading, custom_objects=custom_objects)
        yield Origin(str(model), Path(model), False, bool(custom_objects), load)
        return
    objects = {**live_objects(model), **(custom_objects or {})}
    load = partial(loading, custom_objects=objects)
    check_reads_back(model, Path(ORIGINAL).suffix, "model", load)
    with TemporaryDirectory(prefix="graphprune-") as folder:
        file = Path(folder) / ORIGINAL
        save_model(model, file)
        yield Origin(str(model.name), file, True, bool(objects), load)


def live_objects(model: tf_keras.Model) -> dict[str, Any]:
    """Return the user's own classes and functions in a model's layers and compile settings.

    They are returned by the names that its files use for them.

    Raises:
        TrainingError: two have the same name, so a file cannot distinguish them.
    """
    found: dict[str, Any] = {}
    for value in _values(model):
        named = value if inspect.isfunction(value) or inspect.isclass(value) else type(value)
        if not _is_own(named):
            continue
        for name in (named.__name__, tf_keras.utils.get_registered_name(named)):
            if found.setdefault(name, named) is not named:
                raise TrainingError(
                    f"{model.name}: two of its functions or classes are called {name!r}, and a"
                    " saved model tells them apart by name alone; rename one"
                )
    return found


def _values(model: tf_keras.Model) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield layer
        yield from vars(layer).values()
    if getattr(model, "_is_compiled", False):
        yield from tf.nest.flatten(model._compile_config.config)
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        yield from (optimizer, getattr(optimizer, "_learning_rate", None))


def _is_own(named: Any) -> bool:
    if (named.__module__ or "").partition(".")[0] in _LIBRARIES:
        return False
    return inspect.isfunction(named) or any(issubclass(named, kind) for kind, _ in KINDS)
