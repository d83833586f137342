"""Checks that data and labels fit a model, and evaluation of the model on the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.engine.data_fit import (
    NOTHING_THERE,
    ONE_EACH,
    ONE_IN_A_FILE,
    BatchPart,
    Output,
    check_array_labels,
    check_batch_labels,
    check_inputs,
    check_names,
    explain_misfit,
    find_label_rule,
    labels_by_output,
    losses_by_output,
)
from graphprune.engine.faults import explain_fault
from graphprune.errors import DataError, TrainingError
from graphprune.runs.labels import LabelRule
from graphprune.runs.run_options import Compiling
from graphprune.tf.models.loading import load_model
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.data import ArrayData, Data
from graphprune.tf.training.hidden_state import read_recurrent_states, restore_recurrent_states
from graphprune.tf.training.shares import check_size, distribute_batches

_DIGITS = {tf.float16: 11, tf.bfloat16: 8}
"""Binary digits of precision by dtype; Keras converts float labels to the dtype of the output."""


def find_label_rules(model: tf_keras.Model) -> list[LabelRule | None]:
    """Return the label rule of each output's loss; None if it is unknown."""
    outputs = [
        Output(
            name,
            tensor.shape[-1] if tensor.shape.rank else None,
            2 ** _DIGITS.get(tensor.dtype, 24),
            has_mask=getattr(tensor, "_keras_mask", None) is not None,
            rank=tensor.shape.rank,
        )
        for name, tensor in zip(model.output_names, tf.nest.flatten(model.outputs), strict=True)
    ]
    given = getattr(getattr(model, "compiled_loss", None), "_user_losses", None)
    return [
        find_label_rule(tf_keras.losses, loss, output)
        for loss, output in zip(losses_by_output(given, model.output_names), outputs, strict=True)
    ]


def _check_labels(model: tf_keras.Model, place: str, batch: Any) -> None:
    names = model.output_names
    labels = [
        found.numpy() if isinstance(found, tf.Tensor) else None
        for found in labels_by_output(batch[1], names, tf.nest.flatten(batch[1]))
    ]
    check_batch_labels(place, find_label_rules(model), labels, is_weighted=len(batch) == 3)


def evaluate(
    model: tf_keras.Model | str | Path,
    data: Data,
    *,
    compiling: Compiling | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> dict[str, float]:
    """Return the loss and metrics of `model` by name.

    They are measured on the test set, or on the training set if there is no test set.

    Args:
        model: A compiled model, or the path of a saved one.
        data: What `read_data` returned.
        compiling: Loss and metrics, for a model saved without them.
        custom_objects: Classes and functions by name, to load a saved model with.
        unsafe_lambda, unsafe_ops: As for `load_model`.

    Raises:
        TrainingError: the model was saved without compile settings and none are given.
        DataError: the data does not fit the model.
    """
    loaded = (
        load_model(model, custom_objects, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops)
        if isinstance(model, str | Path)
        else model
    )
    place = str(model) if isinstance(model, str | Path) else loaded.name
    if not loaded._is_compiled or compiling is not None:
        compile_model(loaded, compiling or Compiling(), place)
    check_data_fits(loaded, data)
    samples, steps = (
        (data.batches(), data.steps_per_epoch) if data.test is None else (data.test, None)
    )
    return {
        name: float(value)
        for name, value in loaded.evaluate(
            samples, steps=steps, verbose=0, return_dict=True
        ).items()
    }


def measure_accuracy(model: tf_keras.Model, data: Data) -> float | None:
    """Return the accuracy, 0 to 1.

    None for a model that is not compiled, or has no accuracy among its metrics.

    Raises:
        DataError: the data does not fit the model.
    """
    if not model._is_compiled:
        return None
    return next((value for name, value in evaluate(model, data).items() if "acc" in name), None)


def check_data_fits(model: tf_keras.Model, data: Data) -> None:
    """Refuse data that a compiled model cannot take.

    The model's loss is computed on one batch, which also builds its metrics.

    Raises:
        DataError: the shapes do not fit, or the model or its loss fails on the first batch.
    """
    _check_inputs(
        model,
        data.spec,
        data.element_spec,
        ONE_IN_A_FILE if isinstance(data, ArrayData) else ONE_EACH,
    )
    if isinstance(data, ArrayData):
        rules = dict(zip(model.output_names, find_label_rules(model), strict=True))
        check_array_labels(data.spec, rules, data.labels(), is_weighted=data.is_weighted)
    samples = _first_batch(model, data)
    states = read_recurrent_states(model)
    try:
        steps = None if data.share.is_whole else 1
        found = model.evaluate(samples, steps=steps, verbose=0, return_dict=True)
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as fault:
        raise DataError(_misfit(model, data, explain_fault(fault))) from fault
    finally:
        model.reset_metrics()
        restore_recurrent_states(model, states)
    if not found:
        raise TrainingError(f"{model.name}: has no loss; give one with --loss")


def _first_batch(model: tf_keras.Model, data: Data) -> Any:
    """Return the first batch as what `evaluate` takes.

    The user's own first training and validation batches are checked.
    """
    if isinstance(data, ArrayData):
        return distribute_batches(data.sample(), data.share, is_even=False)
    first = _take_first(data.spec, "training", data.sample())
    samples = tf.nest.flatten(first)[0].shape[0]
    check_size(data.spec, samples, getattr(data, "train", data.sample()), data.share)
    _check_labels(model, f"{data.spec}: the first training batch", first)
    if data.test is not None:
        _check_inputs(model, f"{data.spec}: validation", data.test.element_spec)
        _check_labels(
            model,
            f"{data.spec}: the first validation batch",
            _take_first(data.spec, "validation", data.test),
        )
    # the element_spec of `train`, so that Keras traces only once
    again = tf.data.Dataset.from_generator(lambda: [first], output_signature=data.element_spec)
    return distribute_batches(again, data.share, is_even=False)


def _take_first(spec: str, part: str, dataset: tf.data.Dataset) -> Any:
    try:
        first = next(iter(dataset.take(1)), None)
    except tf.errors.OpError as fault:
        raise DataError(
            f"the first {part} batch failed: {explain_fault(fault)}", place=spec
        ) from fault
    if first is None:
        raise DataError(f"the {part} dataset has no batches; {NOTHING_THERE[part]}", place=spec)
    return first


def _check_inputs(
    model: tf_keras.Model, place: str, element_spec: Any, remedy: str = ONE_EACH
) -> None:
    wanted = zip(model.input_names, _parts(model.inputs), strict=True)
    x, y, *_ = element_spec
    given: Any = _parts(x)
    if isinstance(x, Mapping):
        given = {name: _parts(tensor)[0] for name, tensor in x.items()}
    check_inputs(place, given, dict(wanted), remedy=remedy)
    if isinstance(y, Mapping):
        check_names(place, "y", tuple(y), model.output_names)


def _misfit(model: tf_keras.Model, data: Data, why: str) -> str:
    return explain_misfit(data.spec, _parts(data.element_spec[1]), _parts(model.outputs), why)


def _parts(tensors: Any) -> list[BatchPart]:
    """Return shape and dtype of each tensor, or each spec of one, of a structure."""
    return [
        BatchPart(
            None if tensor.shape.rank is None else tuple(tensor.shape.as_list()), tensor.dtype.name
        )
        for tensor in tf.nest.flatten(tensors)
    ]
