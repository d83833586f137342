"""Accuracy of a tf_keras model, and of the files written of it, on the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.engine.file_accuracy import (
    CALIBRATION,
    Arrays,
    Compute,
    find_accuracy,
    name_inputs,
    order_outputs,
)
from graphprune.engine.file_data import FileData
from graphprune.tf.training.data import read_data
from graphprune.tf.training.evaluation import check_data_fits, measure_accuracy


class Evaluation:
    """The metrics of a compiled model, on the test set, or on the training set if there is none.

    Args:
        model: The model; not compiled, or without accuracy among its metrics, it measures nothing.
        given: The data: a name, or files.

    Raises:
        DataError: the data is missing or damaged, or does not fit the model.
    """

    def __init__(self, model: tf_keras.Model, given: str | FileData) -> None:
        self._model, self._data = model, read_data(given, held_out="test")
        if model._is_compiled:
            check_data_fits(model, self._data)

    def of_original(self, original: tf_keras.Model) -> float | None:
        """Return the accuracy of another compiled model, by its own metrics.

        Raises:
            DataError: the data does not fit it.
        """
        return measure_accuracy(original, self._data)

    def of_model(self, loaded: Any) -> float | None:
        """Return the accuracy of a model that was loaded from a file, of either Keras."""
        return self._measure(loaded.predict_on_batch)

    def of_outputs(self, compute: Compute) -> float | None:
        """Return the accuracy of a file that computes outputs from inputs, both by name."""
        outputs = getattr(self._model, "_nested_outputs", self._model.outputs)
        names = sorted(outputs) if isinstance(outputs, dict) else self._model.output_names

        def predict(x: Any) -> Any:
            flat = order_outputs(compute(self._name(x)), names)
            return flat[0] if len(flat) == 1 else tf.nest.pack_sequence_as(outputs, flat)

        return self._measure(predict)

    def samples(self) -> Arrays:
        """Return training samples by the names of the inputs, for quantization."""
        parts: list[Arrays] = []
        for batch in islice(self._data.batches(), self._data.steps_per_epoch):
            parts.append(self._name(tf_keras.utils.unpack_x_y_sample_weight(batch)[0]))
            if sum(len(next(iter(part.values()))) for part in parts) >= CALIBRATION:
                break
        return {name: tf.concat([part[name] for part in parts], 0).numpy() for name in parts[0]}

    def _name(self, x: Any) -> Arrays:
        named = zip(self._model.input_names, self._model.inputs, strict=True)
        types = {name: tensor.dtype.name for name, tensor in named}
        return name_inputs(x, tf.nest.flatten(x), types)

    def _measure(self, predict: Callable[[Any], Any]) -> float | None:
        if not self._model._is_compiled:
            return None
        found: dict[str, Any] = {}
        self._model.reset_metrics()
        for batch in self._batches():
            x, y, weights = tf_keras.utils.unpack_x_y_sample_weight(batch)
            predicted = tf.nest.map_structure(tf.convert_to_tensor, predict(x))
            found = self._model.compute_metrics(x, y, predicted, weights)
        self._model.reset_metrics()
        return find_accuracy(found)

    def _batches(self) -> Iterator[Any]:
        if self._data.test is not None:
            return iter(self._data.test)
        return islice(iter(self._data.batches()), self._data.steps_per_epoch)
