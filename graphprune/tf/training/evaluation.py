"""Checks that data and labels fit a model, and evaluation of the model on the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from graphprune.engine.faults import explain_fault
from graphprune.errors import DataError, TrainingError
from graphprune.runs.run_options import Compiling
from graphprune.runs.samples import LabelRule, check_labels
from graphprune.tf.models.loading import load_model
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.data import ArrayData, Data, read_data
from graphprune.tf.training.hidden_state import read_recurrent_states, restore_recurrent_states

_CLASSES = (tf_keras.losses.sparse_categorical_crossentropy,)
_DIGITS = {tf.float16: 11, tf.bfloat16: 8}
"""Binary digits of precision by dtype; Keras converts float labels to the dtype of the output."""
_SHARES = (tf_keras.losses.binary_crossentropy, tf_keras.losses.binary_focal_crossentropy)


def check_array_labels(model: tf_keras.Model, data: Data) -> None:
    """Refuse an `.npz` with labels that the model's loss does not take, in its test set too.

    Raises:
        DataError: a label is of the wrong kind or out of range.
    """
    rules = find_label_rules(model)
    if not isinstance(data, ArrayData) or len(rules) != 1 or rules[0] is None:
        return
    for name, labels in (("y_train", data.y_train), ("y_test", data.y_test)):
        if labels is not None:
            check_labels(f"{data.spec}: {name}", labels, rules[0])


def check_batch_labels(model: tf_keras.Model, place: str, batch: Any) -> None:
    """Refuse one batch of a dataset with labels that a loss of the model does not take.

    Raises:
        DataError: a label is of the wrong kind or out of range.
    """
    has_weights = len(batch) == 3
    rules = find_label_rules(model)
    for rule, labels in zip(rules, _labels_of(model, batch[1], len(rules)), strict=True):
        if (
            rule is None
            or not isinstance(labels, tf.Tensor)
            or (has_weights and rule.kind == "share")
        ):
            continue  # a sample weight of 0 may exclude labels out of range
        which = f" of output {rule.output!r}" if len(rules) > 1 else ""
        check_labels(f"{place}: y{which}", np.atleast_1d(labels.numpy()), rule)


def find_label_rules(model: tf_keras.Model) -> list[LabelRule | None]:
    """Return the label rule of each output's loss; None if it is unknown."""
    outputs = tf.nest.flatten(model.outputs)
    losses = _losses_of(model, len(outputs))
    return [
        _rule(loss, name, output)
        for loss, name, output in zip(losses, model.output_names, outputs, strict=True)
    ]


def _losses_of(model: tf_keras.Model, count: int) -> list[Any]:
    given = getattr(getattr(model, "compiled_loss", None), "_user_losses", None)
    if isinstance(given, Mapping) and "class_name" not in given:
        return [given.get(name) for name in model.output_names]
    if isinstance(given, list | tuple):
        return list(given) if len(given) == count else [None] * count
    return [given] * count


def _labels_of(model: tf_keras.Model, y: Any, count: int) -> list[Any]:
    if isinstance(y, Mapping):
        return [y.get(name) for name in model.output_names]
    flat = tf.nest.flatten(y)
    return flat if len(flat) == count else [None] * count


def _rule(loss: Any, output: str, tensor: Any) -> LabelRule | None:
    try:
        known = tf_keras.losses.get(loss)
    except (ValueError, TypeError):
        return None
    function, settings = known, {}
    if isinstance(known, tf_keras.losses.Loss):
        # `call` of all losses that wrap a function
        base = tf_keras.losses.SparseCategoricalCrossentropy
        if type(known).call is not base.call:
            return None
        function, settings = known.fn, known._fn_kwargs
    name = getattr(function, "__name__", "")
    # masked labels may be anything
    if function in _SHARES and getattr(tensor, "_keras_mask", None) is None:
        return LabelRule("share", name, output)
    if function in _CLASSES:
        classes = tensor.shape[-1] if tensor.shape.rank else None
        digits = _DIGITS.get(tensor.dtype, 24)
        return LabelRule("class", name, output, classes, settings.get("ignore_class"), 2**digits)
    return None


_EMPTY = {
    "training": "training needs at least one",
    "validation": "return None where there is none",
}


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


def measure_accuracies(models: Sequence[tf_keras.Model], spec: str) -> list[float | None]:
    """Return the accuracy of each model on the data that `spec` names.

    Raises:
        DataError: the data is missing or damaged, or does not fit a model.
    """
    data = read_data(spec)
    return [measure_accuracy(model, data) for model in models]


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
        _ONE_IN_A_FILE if isinstance(data, ArrayData) else "give one for each",
    )
    check_array_labels(model, data)
    samples = _first_batch(model, data)
    states = read_recurrent_states(model)
    try:
        found = model.evaluate(samples, verbose=0, return_dict=True)
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as fault:
        raise DataError(_misfit(model, data, explain_fault(fault))) from fault
    finally:
        model.reset_metrics()
        restore_recurrent_states(model, states)
    if not found:
        raise TrainingError(f"{model.name}: has no loss; give one with --loss")


def _first_batch(model: tf_keras.Model, data: Data) -> tf.data.Dataset:
    """Return the first batch as a dataset.

    The user's own first training and validation batches are checked.
    """
    if isinstance(data, ArrayData):
        return data.sample()
    first = _take_first(data.spec, "training", data.sample())
    check_batch_labels(model, f"{data.spec}: the first training batch", first)
    if data.test is not None:
        _check_inputs(model, f"{data.spec}: validation", data.test.element_spec)
        check_batch_labels(
            model,
            f"{data.spec}: the first validation batch",
            _take_first(data.spec, "validation", data.test),
        )
    # the element_spec of `train`, so that Keras traces only once
    return tf.data.Dataset.from_generator(lambda: [first], output_signature=data.element_spec)


def _take_first(spec: str, part: str, dataset: tf.data.Dataset) -> Any:
    try:
        first = next(iter(dataset.take(1)), None)
    except tf.errors.OpError as fault:
        raise DataError(
            f"the first {part} batch failed: {explain_fault(fault)}", place=spec
        ) from fault
    if first is None:
        raise DataError(f"the {part} dataset has no batches; {_EMPTY[part]}", place=spec)
    return first


_ONE_IN_A_FILE = (
    "an .npz holds one: write a function that returns (train, validation) as tf.data.Dataset, with"
    " batches of ((x1, x2, ...), y), and give it as --data MODULE:FUNCTION"
)


def _check_inputs(
    model: tf_keras.Model, place: str, element_spec: Any, remedy: str = "give one for each"
) -> None:
    given = tf.nest.flatten(element_spec[0])
    wanted = tf.nest.flatten(model.inputs)
    if len(given) != len(wanted):
        raise DataError(
            f"x has {_count(given)}, the model takes {_count(wanted)}"
            f" ({', '.join(model.input_names)}); {remedy}",
            place=place,
        )
    if isinstance(element_spec[0], Mapping):
        return  # matched by name, by Keras
    for name, x, tensor in zip(model.input_names, given, wanted, strict=True):
        if (x.dtype == tf.string) != (tensor.dtype == tf.string):
            got, takes = (
                ("text", tensor.dtype.name) if x.dtype == tf.string else (x.dtype.name, "text")
            )
            raise DataError(
                f"x is {got}, the model's input {name} takes {takes}; convert the data to fit",
                place=place,
            )
        if (
            x.shape.rank is not None
            and not _shapes_fit(x.shape, tensor.shape)
            and tensor.shape[1:].is_compatible_with(x.shape)
        ):
            raise DataError(
                f"its elements are single samples of shape {tuple(x.shape.as_list())};"
                " call .batch(n) on the dataset",
                place=place,
            )
        if not _shapes_fit(x.shape, tensor.shape):
            raise DataError(
                f"x has shape {_text(x.shape)}, the model's input {name} takes"
                f" {_text(tensor.shape)}; reshape the data to fit",
                place=place,
            )


def _shapes_fit(given: tf.TensorShape, wanted: tf.TensorShape) -> bool:
    """Return whether Keras takes `given` for `wanted`.

    Keras itself adds or drops a last axis of length 1.
    """
    if given.rank is None or wanted.rank is None:
        return True
    candidates = [given]
    if wanted.rank == given.rank + 1 and wanted[-1] == 1:
        candidates.append(given.concatenate(1))
    if wanted.rank == given.rank - 1 and given[-1] == 1:
        candidates.append(given[:-1])
    return any(shape[1:].is_compatible_with(wanted[1:]) for shape in candidates)


def _misfit(model: tf_keras.Model, data: Data, why: str) -> str:
    y = ", ".join(_text(spec.shape) for spec in tf.nest.flatten(data.element_spec[1]))
    outputs = ", ".join(_text(tensor.shape) for tensor in tf.nest.flatten(model.outputs))
    return (
        f"{data.spec}: y has shape {y}, the model's output is {outputs}, and its loss fails on"
        f" them: {why}"
    )


def _count(tensors: list[Any]) -> str:
    return "one tensor" if len(tensors) == 1 else f"{len(tensors)} tensors"


def _text(shape: tf.TensorShape) -> str:
    return str(tuple(shape.as_list()[1:])) if shape.rank is not None else "(unknown)"
