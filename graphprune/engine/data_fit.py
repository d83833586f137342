"""Checks that data fits the inputs of a model, and which labels its losses take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphprune.errors import DataError, TrainingError
from graphprune.runs.labels import LabelRule, check_labels
from graphprune.runs.samples import Tree
from graphprune.suggestions import closest

TEXT = "string"
"""The name of the dtype of text."""

Shape = tuple[int | None, ...] | None
"""The shape of a batch, samples first; None for a length, or for the whole, that is unknown."""

NOTHING_THERE = {
    "training": "training needs at least one",
    "validation": "return None where there is none",
}
"""What to do about a part of the data without batches."""

ONE_EACH = "give one for each"
ONE_IN_A_FILE = (
    "name the arrays of an .npz by the inputs, such as x_train.image, or give a function that"
    " returns datasets with batches of ((x1, x2, ...), y), as --data MODULE:FUNCTION"
)


@dataclass(frozen=True, slots=True)
class BatchPart:
    """The shape and the dtype of one array of a batch, or of one input of a model."""

    shape: Shape
    dtype: str

    @property
    def text(self) -> str:
        """The shape of one sample, for messages."""
        return "(unknown)" if self.shape is None else str(self.shape[1:])


def check_inputs(
    place: str,
    given: Sequence[BatchPart] | Mapping[str, BatchPart],
    wanted: Mapping[str, BatchPart],
    *,
    remedy: str = ONE_EACH,
) -> None:
    """Refuse batches whose x a model does not take.

    Args:
        place: The start of the error's text.
        given: The arrays of x, by name if x is a dict, which Keras matches to the inputs by name.
        wanted: The model's inputs by name.
        remedy: What to do about a wrong number of inputs.

    Raises:
        DataError: the number, a shape or a dtype does not fit.
    """
    if isinstance(given, Mapping):
        _check_named(place, given, wanted)
        return
    if len(given) != len(wanted):
        raise DataError(
            f"x has {_count(len(given))}, the model takes {_count(len(wanted))}"
            f" ({', '.join(wanted)}); {remedy}",
            place=place,
        )
    for x, (name, tensor) in zip(given, wanted.items(), strict=True):
        _check_input(place, x, name, tensor)


def _check_named(
    place: str, given: Mapping[str, BatchPart], wanted: Mapping[str, BatchPart]
) -> None:
    check_names(place, "x", tuple(given), tuple(wanted))
    for name, x in given.items():
        _check_input(place, x, name, wanted[name], f"x.{name}")


def check_names(place: str, side: str, given: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse names of arrays that are not those of a model's inputs (x) or outputs (y).

    Raises:
        DataError: one is unknown or missing; the text has the closest names.
    """
    noun = "input" if side == "x" else "output"
    for name in given:
        if name not in wanted:
            near = closest(name, wanted) or f"the model's {noun}s are {', '.join(wanted)}"
            raise DataError(
                f"{side} has {name!r}, the model has no such {noun}; {near}", place=place
            )
    missing = [name for name in wanted if name not in given]
    if missing and side == "x":
        raise DataError(
            f"x lacks {', '.join(map(repr, missing))}; the model's inputs are {', '.join(wanted)}",
            place=place,
        )


def _check_input(place: str, x: BatchPart, name: str, tensor: BatchPart, called: str = "x") -> None:
    if (x.dtype == TEXT) != (tensor.dtype == TEXT):
        got, takes = ("text", tensor.dtype) if x.dtype == TEXT else (x.dtype, "text")
        raise DataError(
            f"{called} is {got}, the model's input {name} takes {takes}; convert the data to fit",
            place=place,
        )
    fits = shapes_fit(x.shape, tensor.shape)
    if x.shape is not None and tensor.shape is not None and not fits:
        if _compatible(x.shape, tensor.shape[1:]):
            raise DataError(
                f"its elements are single samples of shape {x.shape}; call .batch(n) on the"
                " dataset",
                place=place,
            )
        raise DataError(
            f"{called} has shape {x.text}, the model's input {name} takes {tensor.text}; reshape"
            " the data to fit",
            place=place,
        )


def shapes_fit(given: Shape, wanted: Shape) -> bool:
    """Return whether Keras takes `given` for `wanted`.

    Keras itself adds or drops a last axis of length 1.
    """
    if given is None or wanted is None:
        return True
    candidates = [given]
    if len(wanted) == len(given) + 1 and wanted[-1] == 1:
        candidates.append((*given, 1))
    if len(wanted) == len(given) - 1 and given[-1] == 1:
        candidates.append(given[:-1])
    return any(_compatible(shape[1:], wanted[1:]) for shape in candidates)


def _compatible(some: tuple[int | None, ...], others: tuple[int | None, ...]) -> bool:
    return len(some) == len(others) and all(
        one is None or other is None or one == other
        for one, other in zip(some, others, strict=True)
    )


def _count(number: int) -> str:
    return "one tensor" if number == 1 else f"{number} tensors"


def explain_misfit(
    spec: str, labels: Sequence[BatchPart], outputs: Sequence[BatchPart], why: str
) -> str:
    """Return the message for a loss that fails on the first batch."""
    return (
        f"{spec}: y has shape {', '.join(part.text for part in labels)}, the model's output is"
        f" {', '.join(part.text for part in outputs)}, and its loss fails on them: {why}"
    )


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a model, as far as the label rules of its loss depend on it.

    Attributes:
        name: Its name.
        classes: The length of its last axis; None if it is unknown.
        exact: The largest whole number up to which its dtype holds all.
        has_mask: Whether it has a mask, so that labels may be anything where it masks.
        rank: The number of its axes, samples included; None if it is unknown.
    """

    name: str
    classes: int | None
    exact: int = 2**24
    has_mask: bool = False
    rank: int | None = None


def find_label_rule(losses: Any, loss: Any, output: Output) -> LabelRule | None:
    """Return the label rule of a loss; None if it is unknown.

    Args:
        losses: The module of losses of the model's Keras.
        loss: The loss as it was compiled.
        output: The output that it compares with the labels.
    """
    try:
        known = losses.get(loss)
    except (ValueError, TypeError):
        return None
    function, settings = known, {}
    if isinstance(known, losses.Loss):
        # `call` of all losses that wrap a function
        if type(known).call is not losses.SparseCategoricalCrossentropy.call:
            return None
        function, settings = known.fn, known._fn_kwargs
    name = getattr(function, "__name__", "")
    if getattr(losses, name, None) is not function:
        return None
    return label_rule(name, output, settings.get("ignore_class"))


def label_rule(name: str, output: Output, ignored: int | None = None) -> LabelRule | None:
    """Return the label rule of a loss function of Keras by its name; None if it is unknown.

    Example:
        >>> label_rule("sparse_categorical_crossentropy", Output("digits", 10)).kind
        'class'
    """
    if name in ("binary_crossentropy", "binary_focal_crossentropy") and not output.has_mask:
        return LabelRule("share", name, output.name)
    facts = (output.name, output.classes, ignored, output.exact, output.rank)
    if name == "sparse_categorical_crossentropy":
        return LabelRule("class", name, *facts)
    if name in ("categorical_crossentropy", "categorical_focal_crossentropy"):
        return LabelRule("one-hot", name, *facts)
    return None


def losses_by_output(given: Any, names: Sequence[str]) -> list[Any]:
    """Return the loss of each output of a model; None for one that has no loss of its own."""
    if isinstance(given, Mapping) and "class_name" not in given:
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        return list(given) if len(given) == len(names) else [None] * len(names)
    return [given] * len(names)


def check_array_labels(
    spec: str,
    rules: Mapping[str, LabelRule | None],
    labels: Mapping[str, Tree],
    *,
    is_weighted: bool = False,
) -> None:
    """Refuse arrays of labels that the model's losses do not take.

    Args:
        spec: The name of the data in messages.
        rules: The label rule of each output by its name.
        labels: The labels of each part of the data, by what messages call it.
        is_weighted: Whether there are sample weights.

    Raises:
        DataError: a label is of the wrong kind or out of range.
    """
    for part, tree in labels.items():
        for output, rule in rules.items():
            found = tree.get(output) if isinstance(tree, dict) else tree
            if rule is None or found is None or (len(rules) > 1 and not isinstance(tree, dict)):
                continue
            if is_weighted and rule.kind == "share":
                continue  # a sample weight of 0 may exclude labels out of range
            dot = f".{output}" if isinstance(tree, dict) else ""
            check_labels(f"{spec}: {part}{dot}", np.asarray(found), rule)


def check_class_weights(
    weights: Mapping[Any, float] | None, rules: Sequence[LabelRule | None], place: str
) -> None:
    """Refuse weights of classes that the model's output does not have.

    Args:
        weights: The weight of each class, by number; None for equal weights.
        rules: The label rule of each output.
        place: The start of the error's text.

    Raises:
        TrainingError: a class is beyond the last, or there are several outputs.
    """
    if weights and len(rules) > 1:
        raise TrainingError(
            f"class weight: Keras takes class weights for one output, and this model has"
            f" {len(rules)}; give sample weights by output, such as w_train.NAME in an .npz",
            place=place,
        )
    rule = rules[0] if len(rules) == 1 else None
    if rule is None:
        return
    count = 2 if rule.kind == "share" else rule.classes
    beyond = [int(name) for name in weights or () if count is not None and int(name) >= count]
    if count is not None and beyond:
        raise TrainingError(
            f"class weight: got class {min(beyond)}, but output {rule.output!r} has {count}"
            f" classes; classes are numbers from 0 to {count - 1}",
            place=place,
        )


def check_one_weighting(weights: Mapping[Any, float] | None, place: str, is_weighted: bool) -> None:
    """Refuse class weights for data that has sample weights, which Keras does not combine.

    Raises:
        DataError: there are both.
    """
    if weights and is_weighted:
        raise DataError(
            "samples and classes both have weights; leave out --class-weight (class_weight in"
            " Python), or the weights of the samples",
            place=place,
        )


def check_batch_labels(
    place: str, rules: Sequence[LabelRule | None], labels: Sequence[Any], *, is_weighted: bool
) -> None:
    """Refuse one batch with labels that a loss of the model does not take.

    Args:
        place: The start of the error's text.
        rules: The label rule of each output.
        labels: The array of labels of each output; None for one that is unknown.
        is_weighted: Whether the batch has sample weights.

    Raises:
        DataError: a label is of the wrong kind or out of range.
    """
    for rule, array in zip(rules, labels, strict=True):
        if rule is None or array is None or (is_weighted and rule.kind == "share"):
            continue  # a sample weight of 0 may exclude labels out of range
        which = f" of output {rule.output!r}" if len(rules) > 1 else ""
        check_labels(f"{place}: y{which}", np.atleast_1d(array), rule)


def labels_by_output(y: Any, names: Sequence[str], flat: Sequence[Any]) -> list[Any]:
    """Return the labels of each output; None where it is unknown.

    Args:
        y: The labels of a batch.
        names: The names of the outputs.
        flat: The arrays in `y`.
    """
    if isinstance(y, Mapping):
        return [y.get(name) for name in names]
    return list(flat) if len(flat) == len(names) else [None] * len(names)
