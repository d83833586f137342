"""Accuracy of a Keras 3 model, and of the files written of it, on samples in files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from graphprune.engine.data_fit import ONE_IN_A_FILE
from graphprune.engine.faults import explain_fault
from graphprune.engine.file_accuracy import (
    CALIBRATION,
    Arrays,
    Compute,
    find_accuracy,
    name_inputs,
    order_outputs,
)
from graphprune.engine.file_data import FileData
from graphprune.errors import DataError, GraphpruneError
from graphprune.keras3.input_fit import check_inputs_fit
from graphprune.keras3.named_outputs import output_names
from graphprune.keras3.named_weights import arrange, listed_outputs
from graphprune.runs.samples import is_data_function, read_samples
from graphprune.serving.outputs import name_outputs

_BATCH = 32


class Evaluation:
    """The metrics of a compiled model, on the test set, or on the training set if there is none.

    Args:
        model: The model; not compiled, or without accuracy among its metrics, it measures nothing.
        given: The path of an `.npz` file, or other files.

    Raises:
        DataError: the data is missing or damaged, or does not fit the model.
    """

    def __init__(self, model: Any, given: str | FileData) -> None:
        if isinstance(given, str) and is_data_function(given):
            raise DataError(
                "the accuracy of Keras 3 models is measured on files: an .npz, a .csv, images or"
                " TFRecord files; give these",
                place=given,
            )
        read = given.read() if isinstance(given, FileData) else read_samples(given, "test")
        self._spec = given.spec if isinstance(given, FileData) else given
        self._model, self._training = model, read.train
        self._rows = read.train if read.test is None else read.test
        for rows in {id(rows): rows for rows in (read.train, self._rows)}.values():
            check_inputs_fit(model, self._spec, rows.take(slice(0, 1))[0], ONE_IN_A_FILE)

    def of_original(self, original: Any) -> float | None:
        """Return the accuracy of another compiled model, by its own metrics.

        Raises:
            DataError: the data does not fit it.
        """
        if not original.compiled:
            return None
        try:
            return self._measure(original.predict_on_batch, original)
        except GraphpruneError:
            raise
        except Exception as fault:  # backends raise their own errors
            raise DataError(
                f"the data does not fit {original.name}: {explain_fault(fault)}", place=self._spec
            ) from fault

    def of_model(self, loaded: Any) -> float | None:
        """Return the accuracy of a model that was loaded from a file, of either Keras."""
        return self._measure(loaded.predict_on_batch, self._model)

    def of_outputs(self, compute: Compute) -> float | None:
        """Return the accuracy of a file that computes outputs from inputs, both by name."""
        outputs = getattr(self._model, "_outputs_struct", None)
        flat = keras.tree.flatten(outputs if outputs is not None else [None])
        names = list(name_outputs(outputs, flat, output_names(self._model)))

        def predict(x: Any) -> Any:
            found = order_outputs(compute(self._name(x)), names)
            return found[0] if len(found) == 1 else keras.tree.pack_sequence_as(outputs, found)

        return self._measure(predict, self._model)

    def samples(self) -> Arrays:
        """Return training samples by the names of the inputs, for quantization."""
        return self._name(self._training.take(slice(0, CALIBRATION))[0])

    def _name(self, x: Any) -> Arrays:
        inputs = keras.tree.flatten(getattr(self._model, "inputs", None) or ())
        types = {str(tensor.name): str(tensor.dtype) for tensor in inputs}
        flat = keras.tree.flatten(x)
        return name_inputs(x, flat, types or {"input": self._model.input_dtype})

    def _measure(self, predict: Callable[[Any], Any], judge: Any) -> float | None:
        """Return the accuracy of what `predict` gives, by the metrics of `judge`."""
        if not judge.compiled:
            return None
        found: dict[str, Any] = {}
        judge.reset_metrics()
        for start in range(0, len(self._rows), _BATCH):
            batch = self._rows.take(slice(start, start + _BATCH))
            x, y, *weights = arrange(batch, listed_outputs(judge))
            predicted, labels = (
                keras.tree.map_structure(keras.ops.convert_to_tensor, one)
                for one in (predict(x), y)
            )
            found = judge.compute_metrics(None, labels, predicted, *weights)
        judge.reset_metrics()
        return find_accuracy(found)
