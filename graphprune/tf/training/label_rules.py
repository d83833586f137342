"""Which labels the losses of a compiled model take, as far as they are Keras's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from graphprune.runs.samples import LabelRule, check_labels
from graphprune.tf.training.data import ArrayData, Data

_CLASSES = (tf_keras.losses.sparse_categorical_crossentropy,)
_DIGITS = {tf.float16: 11, tf.bfloat16: 8}
"""Binary digits that a type holds of a number; Keras turns labels that are floats into the output's
type.
"""
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
            continue  # a weight of 0 may leave out what is no share
        which = f" of output {rule.output!r}" if len(rules) > 1 else ""
        check_labels(f"{place}: y{which}", np.atleast_1d(labels.numpy()), rule)


def find_label_rules(model: tf_keras.Model) -> list[LabelRule | None]:
    """Return what the loss of each output takes; None where that is not known."""
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
