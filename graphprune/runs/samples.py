"""Samples and labels for training, checked before TensorFlow is imported.

They are arrays of an `.npz` file, or arrays given in Python.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np

from graphprune.errors import DataError
from graphprune.runs.npy_header import check_kind
from graphprune.runs.npz import FileState, read_npz, read_shapes
from graphprune.suggestions import find_close

NAMES = ("x_train", "y_train", "x_test", "y_test")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NEEDED = "x_train and y_train are required, x_test and y_test are optional"
_VALIDATION = ("val", "valid", "validation", "dev")
_BLOCK = 2**20
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Samples:
    """Arrays of samples; large ones of an `.npz` are maps of the file.

    Attributes:
        x_train, y_train, x_test, y_test: Arrays with one row per sample; None without a test set.
        sha256: The hash of the file's bytes, or of the arrays that were given.
        mapped: The file as it is now, where arrays are maps of it.
        unused: One line for each array of the file that training does not use.
    """

    x_train: np.ndarray[Any, Any]
    y_train: np.ndarray[Any, Any]
    x_test: np.ndarray[Any, Any] | None
    y_test: np.ndarray[Any, Any] | None
    sha256: str
    mapped: FileState | None = None
    unused: tuple[str, ...] = ()


def is_data_function(spec: str) -> bool:
    """Return whether `spec` names a function rather than a file.

    Example:
        >>> is_data_function("my_package.data:load"), is_data_function("digits.npz")
        (True, False)
    """
    return not spec.endswith(".npz") and _FUNCTION.fullmatch(spec) is not None


def check_samples(spec: str) -> None:
    """Check an `.npz` by the headers of its arrays alone, which is fast.

    Raises:
        DataError: arrays are missing, are of a kind that no model is trained on, do not belong
            together, or do not fit into memory.
    """
    shapes, names = read_shapes(spec, NAMES)
    _check_names(spec, names)
    _check_shapes(spec, shapes)


def _check_shapes(spec: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for part in ("train", "test") if "x_test" in shapes else ("train",):
        _check_pair(spec, part, shapes[f"x_{part}"], shapes[f"y_{part}"])
    for side in "xy" if "x_test" in shapes else "":
        _check_same_samples(spec, side, shapes[f"{side}_train"], shapes[f"{side}_test"])


def read_samples(spec: str) -> Samples:
    """Return the samples that the `.npz` at `spec` holds.

    Warns of arrays that training does not use.

    Raises:
        DataError: what `check_samples` refuses, a damaged file, or values that are NaN or infinite.
    """
    check_samples(spec)
    file = read_npz(spec, NAMES)
    for name, array in file.arrays.items():
        _check_finite(spec, name, array)
    unused = tuple(f"{spec}: {_explain_unused(name)}" for name in file.names if name not in NAMES)
    for line in unused[:_SHOWN]:
        warnings.warn(line, stacklevel=2)
    x_train, y_train, x_test, y_test = (file.arrays.get(name) for name in NAMES)
    if x_train is None or y_train is None:  # the file was replaced after the check
        raise DataError("has changed while it was read; start again", place=spec)
    return Samples(x_train, y_train, x_test, y_test, file.sha256, file.mapped, unused)


def samples_of(place: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Samples:
    """Return arrays given by their names in an `.npz`, after the same checks as for a file.

    Args:
        place: What messages call the data.
        arrays: x_train and y_train, and x_test and y_test where there is a test set.

    Raises:
        DataError: they are of a kind that no model is trained on, do not belong together, or hold
            values that are NaN or infinite.
    """
    for name, array in arrays.items():
        check_kind(place, name, array.dtype)
    _check_shapes(place, {name: array.shape for name, array in arrays.items()})
    digest = sha256()
    for name, array in arrays.items():
        if 0 in array.shape[1:]:
            raise DataError(
                f"{name} has shape {array.shape}, so its samples hold no values; give"
                " samples that do",
                place=place,
            )
        _check_finite(place, name, array)
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    tests = arrays.get("x_test"), arrays.get("y_test")
    return Samples(arrays["x_train"], arrays["y_train"], *tests, digest.hexdigest())


def find_first(array: np.ndarray[Any, Any], is_wrong: Any) -> tuple[int, ...] | None:
    """Return the index of the first value for which `is_wrong` is true, in file order, or None.

    The array is read in blocks, so that a memory-mapped file is never loaded as a whole.

    Example:
        >>> find_first(np.array([[1.0, 2.0], [np.nan, 4.0]]), np.isnan)
        (1, 0)
    """
    order: Literal["C", "F"] = (
        "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    )
    flat = array.reshape(-1, order=order)
    for start in range(0, flat.size, _BLOCK):
        found = np.flatnonzero(is_wrong(flat[start : start + _BLOCK]))
        if found.size:
            place = np.unravel_index(start + int(found[0]), array.shape, order=order)
            return tuple(int(index) for index in place)
    return None


def _check_names(spec: str, names: tuple[str, ...]) -> None:
    for name in ("x_train", "y_train"):
        if name not in names:
            raise DataError(f"has no {name}, it holds {_list(names)}; {_NEEDED}", place=spec)
    if ("x_test" in names) != ("y_test" in names):
        here, missing = ("x_test", "y_test") if "x_test" in names else ("y_test", "x_test")
        raise DataError(f"has {here} but no {missing}; give both or neither", place=spec)


def _list(names: tuple[str, ...]) -> str:
    shown = [name[:40] for name in sorted(names)[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(shown) or 'nothing'}{more}"


def _explain_unused(name: str) -> str:
    """Return why an array is not used, and what to do if it should be.

    Example:
        >>> _explain_unused("x_val")
        'x_val is not used; for evaluation after each epoch, name it x_test'
        >>> _explain_unused("sample_weight")
        'sample_weight is not used; for weights, give a data function that returns (x, y, weight)'
    """
    side, _, part = name.lower().partition("_")
    if side in ("x", "y") and part in _VALIDATION:
        return f"{name[:40]} is not used; for evaluation after each epoch, name it {side}_test"
    if "weight" in name.lower():
        return (
            f"{name[:40]} is not used; for weights, give a data function that returns (x, y,"
            " weight)"
        )
    close = find_close(name.lower(), NAMES, count=1)
    return f"{name[:40]} is not used; {f'did you mean {close[0]}?' if close else _NEEDED}"


_NONE = {
    "train": "training needs at least one",
    "test": "leave out x_test and y_test if there are none",
}


def _check_pair(spec: str, part: str, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    for name, shape in ((f"x_{part}", x), (f"y_{part}", y)):
        if not shape:
            raise DataError(f"{name} is a single value; it needs one row per sample", place=spec)
    if x[0] != y[0]:
        raise DataError(
            f"x_{part} has {x[0]} samples and y_{part} has {y[0]}; each sample needs one label",
            place=spec,
        )
    if x[0] == 0:
        raise DataError(f"x_{part} has no samples; {_NONE[part]}", place=spec)


def _check_same_samples(
    spec: str, side: str, train: tuple[int, ...], test: tuple[int, ...]
) -> None:
    """Refuse test samples of another shape than training samples, before training begins."""
    if train[1:] != test[1:]:
        raise DataError(
            f"samples of {side}_test have shape {test[1:]}, those of {side}_train"
            f" {train[1:]}; give both the same",
            place=spec,
        )


def _check_finite(spec: str, name: str, array: np.ndarray[Any, Any]) -> None:
    if array.dtype.kind != "f":
        return
    place = find_first(array, lambda block: ~np.isfinite(block))
    if place is not None:
        raise DataError(
            f"{name} holds {array[place]} at {place}; training needs finite numbers,"
            " clean the data first",
            place=spec,
        )


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What a loss takes as labels.

    Attributes:
        kind: `class` for whole numbers from 0 to below `classes`, `share` for numbers from 0 to 1.
        loss, output: Names, for messages.
        classes: The number of classes; None where it is not known.
        ignored: A label that the loss leaves out, whatever its value.
        exact: The largest whole number up to which the output's type holds all, for labels that are
            floats.
    """

    kind: Literal["class", "share"]
    loss: str
    output: str
    classes: int | None = None
    ignored: int | None = None
    exact: int = 2**24


def check_labels(place: str, labels: np.ndarray[Any, Any], rule: LabelRule) -> None:
    """Refuse labels that the loss does not take; `place` names them.

    Floats are taken as class numbers where they are whole: Keras turns them into the same integers.

    Raises:
        DataError: one is of the wrong kind, or out of range.

    Example:
        >>> try:
        ...     check_labels("y", np.array([0, 3]), LabelRule("class", "ce", "f", 3))
        ... except DataError as fault:
        ...     print(fault)
        y holds 3 at (1,), but output 'f' has 3 classes; labels for ce are integers from 0 to 2
    """
    if labels.dtype.kind not in "biuf":
        return  # text, which the model itself cannot take
    if rule.kind == "share":
        _refuse_first(
            place,
            labels,
            labels_outside(labels, 1),
            f"labels for {rule.loss} are numbers from 0 to 1",
        )
        return
    if labels.dtype.kind == "f":
        whole = find_first(labels, lambda block: block != np.floor(block))
        _refuse_first(
            place,
            labels,
            whole,
            f"labels for {rule.loss} are class numbers; store them as integers",
        )
        if rule.classes is not None and rule.classes > rule.exact + 1:
            raise DataError(
                f"{place} is {labels.dtype}, but output {rule.output!r} is exact only up to"
                f" {rule.exact}; store labels as integers"
            )
    last = None if rule.classes is None else rule.classes - 1
    wanted = f"labels for {rule.loss} are integers from 0" + ("" if last is None else f" to {last}")
    has = ""
    if last is not None:
        noun = "class" if rule.classes == 1 else "classes"
        has = f", but output {rule.output!r} has {rule.classes} {noun}"
    _refuse_first(place, labels, labels_outside(labels, last, rule.ignored), wanted, has)


def labels_outside(
    labels: np.ndarray[Any, Any], last: int | None, ignored: int | None = None
) -> tuple[int, ...] | None:
    """Return the index of the first label below 0 or above `last`, except `ignored`, or None."""

    def is_outside(block: np.ndarray[Any, Any]) -> Any:
        outside = block < 0
        if last is not None:
            outside |= block > last
        return outside if ignored is None else outside & (block != ignored)

    return find_first(labels, is_outside)


def _refuse_first(
    place: str, labels: np.ndarray[Any, Any], at: tuple[int, ...] | None, wanted: str, has: str = ""
) -> None:
    if at is not None:
        raise DataError(f"{place} holds {labels[at]} at {at}{has}; {wanted}")
