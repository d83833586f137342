"""A saved model in the Keras that wrote it, or an exported SavedModel, as a runtime of `bench`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive import read_archive
from graphprune.archive.archive import keras_of
from graphprune.cli.inputs import import_custom_objects
from graphprune.cli.planning import import_quietly
from graphprune.dispatch import seam
from graphprune.errors import ArchiveError
from graphprune.interface import load_model
from graphprune.quiet import import_tensorflow
from graphprune.serving.exported_model import ExportedModel
from graphprune.serving.outputs import Arrays, find_input, name_outputs
from graphprune.serving.runtimes import InputSpec, RunnerSpec

EXPORTED = "model/exported"
"""The slug of a SavedModel that holds a graph of operations and no Keras model."""


def find_keras_loader(spec: RunnerSpec, home: str) -> Callable[[], Any]:
    """Return what loads the model, with its Keras imported.

    Args:
        spec: The model.
        home: The folder in which modules of custom objects lie.

    Raises:
        ArchiveError: the file is not a model that can be loaded.
        GraphError: its Keras is not installed.
        TrainingError: a custom object cannot be imported.
    """
    try:
        archive = read_archive(str(spec.path))
    except ArchiveError as fault:
        if fault.slug != EXPORTED:
            raise
        if not spec.unsafe_ops:
            raise ArchiveError(
                "is a graph of operations without layers, as strip and model.export() write it; to"
                " run one that you trust, give --unsafe-ops",
                EXPORTED,
                place=spec.path,
            ) from fault
        import_tensorflow()
        return lambda: ExportedModel(spec.path)
    keras = keras_of(archive)
    import_quietly(keras)
    if spec.custom_objects:
        sys.path.insert(0, home)
    objects = import_custom_objects(spec.custom_objects)

    def load() -> KerasModel:
        loaded = load_model(
            str(spec.path), objects, unsafe_lambda=spec.unsafe_lambda, unsafe_ops=spec.unsafe_ops
        )
        return KerasModel(loaded, keras)

    return load


class KerasModel:
    """A loaded model, which predicts whole batches in a compiled function.

    Attributes:
        inputs: Its inputs; none for a subclassed model, which takes what it is given in order.
        version: Keras and its version, with the backend of Keras 3.
    """

    def __init__(self, model: Any, keras: int) -> None:
        self._predict = _compile(model) if keras == 2 else model.predict_on_batch
        self.version = _version(keras)
        self._output_names = seam(model, "export").output_names(model)
        names = getattr(model, "input_names", None) or [
            tensor.name for tensor in getattr(model, "inputs", None) or ()
        ]
        self.inputs = tuple(
            InputSpec(name, tuple(tensor.shape), np.dtype(_dtype_name(tensor.dtype)).name)
            for name, tensor in zip(names, getattr(model, "inputs", None) or (), strict=True)
        )

    def prepare(self, inputs: Arrays) -> Callable[[], Any]:
        """Return what runs the model once on these inputs, and returns its outputs."""
        given = [find_input(inputs, spec.name) for spec in self.inputs] or list(inputs.values())
        batch = given[0] if len(given) == 1 else given
        return lambda: self._predict(batch)

    def outputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return what the model computes, by the names that its exported form has."""
        found = self.prepare(inputs)()
        return name_outputs(found, list(map(np.asarray, _flatten(found))), self._output_names)


def _compile(model: Any) -> Callable[[Any], Any]:
    """Return the prediction of a model of tf_keras as a function of TensorFlow.

    Its `predict_on_batch` makes a dataset of each batch, which takes 30 ms.
    """
    tensorflow = importlib.import_module("tensorflow")
    predict: Callable[[Any], Any] = tensorflow.function(lambda given: model(given, training=False))
    return lambda batch: predict(tensorflow.nest.map_structure(tensorflow.constant, batch))


def _dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of NumPy for the dtype of a tensor of either Keras."""
    name = str(getattr(dtype, "name", dtype))
    return {"string": "str", "bfloat16": "float32"}.get(name, name)


def _version(keras: int) -> str:
    if keras == 2:
        return f"tf_keras {importlib.import_module('tf_keras').__version__}"
    module = importlib.import_module("keras")
    return f"Keras {module.__version__} ({module.config.backend()})"


def _flatten(outputs: Any) -> list[Any]:
    """Return the arrays of what a model returned, in the order of Keras.

    Example:
        >>> _flatten({"b": 1, "a": [2, 3]}), _flatten(4)
        ([2, 3, 1], [4])
    """
    if isinstance(outputs, Mapping):
        return [leaf for name in sorted(outputs) for leaf in _flatten(outputs[name])]
    if isinstance(outputs, Sequence) and not isinstance(outputs, str):
        return [leaf for part in outputs for leaf in _flatten(part)]
    return [outputs]
