"""Checks before training that data, labels and weights fit a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from graphprune.engine.data_fit import (
    ONE_EACH,
    ONE_IN_A_FILE,
    Output,
    check_array_labels,
    check_batch_labels,
    check_names,
    explain_misfit,
    find_label_rule,
    labels_by_output,
    losses_by_output,
)
from graphprune.engine.faults import explain_fault
from graphprune.errors import DataError, GraphpruneError, TrainingError
from graphprune.keras3.input_fit import check_inputs_fit, parts_of
from graphprune.keras3.optimizers import copy_of
from graphprune.keras3.state import seed_generators
from graphprune.keras3.training.data import ArrayData, Data, arrays_of_tensors, of_model, take_first
from graphprune.keras3.training.recorder import recurrent_variables
from graphprune.runs.labels import LabelRule

_DIGITS = {"float16": 11, "bfloat16": 8}
"""Binary digits of precision by dtype; Keras converts float labels to the dtype of the output."""


def check_data_fits(model: Any, data: Data) -> None:
    """Refuse data that a compiled model cannot take.

    The model's loss is computed on one batch, which also builds its metrics.

    Raises:
        DataError: the shapes do not fit, or the model or its loss fails on the first batch.
    """
    first = data.sample()
    is_arrays = isinstance(data, ArrayData)
    _check_inputs(model, data.spec, first, ONE_IN_A_FILE if is_arrays else ONE_EACH)
    if isinstance(data, ArrayData):
        rules = dict(zip(_outputs(model), find_label_rules(model), strict=True))
        check_array_labels(data.spec, rules, data.labels(), is_weighted=data.is_weighted)
    else:
        _check_labels(model, f"{data.spec}: the first training batch", first)
        if data.test is not None:
            other = take_first(data.spec, "validation", data.test)
            _check_inputs(model, f"{data.spec}: validation", other)
            _check_labels(model, f"{data.spec}: the first validation batch", other)
    _check_loss(model, data.spec, of_model(data, model).sample())


def _check_loss(model: Any, spec: str, batch: Any) -> None:
    kept = [*recurrent_variables(model), *(one.state for one in seed_generators(model))]
    values = [copy_of(variable) for variable in kept]
    if keras.config.backend() != "tensorflow":
        batch = arrays_of_tensors(batch)
    try:
        found = _test(model, batch)
    except GraphpruneError:
        raise
    except Exception as fault:  # each backend has errors of its own
        labels, outputs = parts_of(batch[1]), parts_of(getattr(model, "outputs", None) or ())
        raise DataError(explain_misfit(spec, labels, outputs, explain_fault(fault))) from fault
    finally:
        model.reset_metrics()
        for variable, value in zip(kept, values, strict=True):
            variable.assign(value)
    if not found:
        raise TrainingError(f"{model.name}: has no loss; give one with --loss")


def _test(model: Any, batch: Any) -> dict[str, Any]:
    """Return the loss and the metrics of one batch.

    Keras before 3.7 gives TensorFlow the batch through a generator, and a function that creates
    variables, such as those of metrics, is traced twice: the generator is then empty, and the
    variables are there.
    """
    try:
        found: dict[str, Any] = model.test_on_batch(*batch, return_dict=True)
    except StopIteration:
        found = model.test_on_batch(*batch, return_dict=True)
    return found


def find_label_rules(model: Any) -> list[LabelRule | None]:
    """Return the label rule of each output's loss; None if it is unknown."""
    outputs = [
        Output(
            name,
            tensor.shape[-1] if len(tensor.shape) else None,
            2 ** _DIGITS.get(tensor.dtype, 24),
            has_mask=getattr(tensor, "_keras_mask", None) is not None,
            rank=len(tensor.shape),
        )
        for name, tensor in _outputs(model).items()
    ]
    given = model._compile_config.config.get("loss") if model.compiled else None
    losses = losses_by_output(given, [output.name for output in outputs])
    return [
        find_label_rule(keras.losses, loss, output)
        for loss, output in zip(losses, outputs, strict=True)
    ]


def _outputs(model: Any) -> dict[str, Any]:
    """Return the outputs by name; empty for a subclassed model."""
    tensors = keras.tree.flatten(getattr(model, "outputs", None) or ())
    names = getattr(model, "output_names", None) or [str(index) for index in range(len(tensors))]
    return dict(zip(names, tensors, strict=True)) if len(names) == len(tensors) else {}


def _check_labels(model: Any, place: str, batch: Any) -> None:
    y = arrays_of_tensors(batch[1])
    found = labels_by_output(y, list(_outputs(model)), keras.tree.flatten(y))
    labels = [array if isinstance(array, np.ndarray) else None for array in found]
    check_batch_labels(place, find_label_rules(model), labels, is_weighted=len(batch) == 3)


def _check_inputs(model: Any, place: str, batch: Any, remedy: str = ONE_EACH) -> None:
    """Refuse x of other shapes than the inputs, and labels by names that no output has."""
    x, y, *_ = batch
    check_inputs_fit(model, place, x, remedy)
    if isinstance(y, Mapping) and _outputs(model) and getattr(model, "inputs", None):
        check_names(place, "y", tuple(y), tuple(_outputs(model)))
