"""Samples and labels for training, checked before TensorFlow is imported.

They are arrays of an `.npz` file, or arrays given in Python, named by what they are:

    x_train, y_train    samples and labels; several inputs or outputs are `x_train.NAME` each
    x_val, y_val        what is evaluated after each epoch; x_test, y_test where there is none
    w_train, w_val      a weight for each sample, optional; `w_train.NAME` for one output
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Protocol

import numpy as np

from graphprune.errors import DataError
from graphprune.runs.labels import find_first
from graphprune.runs.npy_header import check_kind
from graphprune.runs.npz import FileState, find_value, read_headers, read_npz
from graphprune.runs.sample_names import PARTS, check_names, group_arrays, is_known, side_and_part

Array = np.ndarray[Any, Any]
Tree = Array | dict[str, Array]
"""An array, or several by the names of the model's inputs or outputs."""
Shapes = Mapping[str, tuple[int, ...]]
HeldOut = Literal["val", "test"]

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Rows(Protocol):
    """Samples that can be taken in any order, which is what makes a resumed run exact."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    @property
    def part(self) -> str:
        """Which samples they are: `train`, `val` or `test`."""
        ...

    @property
    def labels(self) -> Tree | None:
        """All labels; None if they are known only when samples are taken."""
        ...

    def take(self, index: Array | slice) -> tuple[Any, ...]:
        """Return the samples that an index names as (x, y), or (x, y, weights)."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayRows:
    """Samples in arrays; large ones of an `.npz` are maps of the file.

    Attributes:
        part: Which samples they are: `train`, `val` or `test`.
        x, y: Arrays with one row per sample.
        w: A weight for each sample, or such by output; None without weights.
        mapped: The file as it is now, where arrays are maps of it.
    """

    part: str
    x: Tree
    y: Tree
    w: Tree | None = None
    mapped: FileState | None = None

    def __len__(self) -> int:
        return len(next(iter(arrays_in(self.x))))

    @property
    def labels(self) -> Tree:
        """All labels."""
        return self.y

    @property
    def parts(self) -> tuple[Any, ...]:
        """(x, y), or (x, y, weights)."""
        return (self.x, self.y) if self.w is None else (self.x, self.y, self.w)

    @property
    def largest(self) -> int:
        """Bytes of the largest array."""
        return max(array.nbytes for part in self.parts for array in arrays_in(part))

    def take(self, index: Array | slice) -> tuple[Any, ...]:
        """Return the samples that an index names; an `.npz` that changed meanwhile is refused."""
        if self.mapped is not None:
            self.mapped.check()
        return tuple(map_arrays(lambda array: native(array[index]), part) for part in self.parts)


def arrays_in(tree: Tree) -> Iterable[Array]:
    """Return the arrays of a tree."""
    return tree.values() if isinstance(tree, dict) else (tree,)


def map_arrays(function: Callable[[Array], Any], tree: Tree) -> Any:
    """Return the tree with what the function makes of each array."""
    if isinstance(tree, dict):
        return {name: function(array) for name, array in tree.items()}
    return function(tree)


def native(array: Array) -> Array:
    """Return the values as backends take them.

    They are contiguous and in native byte order, with text as UTF-8.
    """
    if array.dtype.kind == "U":
        return np.char.encode(array, "utf-8")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples to train on.

    Attributes:
        train: The training samples.
        test: The validation samples; None without any.
        sha256: The hash of the files' bytes, or of the arrays that were given.
    """

    train: Rows
    test: Rows | None
    sha256: str


def is_data_function(spec: str) -> bool:
    """Return whether `spec` names a function rather than a file.

    Example:
        >>> is_data_function("my_package.data:load"), is_data_function("digits.npz")
        (True, False)
    """
    return not spec.endswith(".npz") and _FUNCTION.fullmatch(spec) is not None


def check_samples(spec: str) -> tuple[Shapes, Mapping[str, np.dtype[Any]]]:
    """Check an `.npz` by the headers of its arrays alone, which is fast.

    Returns:
        The shapes and the dtypes of the arrays by name.

    Raises:
        DataError: arrays are missing or unknown, are of a kind that no model is trained on, do not
            belong together, or do not fit into memory.
    """
    headers, names = read_headers(spec, is_known)
    check_names(spec, names)
    shapes = {name: header.shape for name, header in headers.items()}
    _check_shapes(spec, shapes)
    return shapes, {name: header.dtype for name, header in headers.items()}


def read_samples(spec: str, held_out: HeldOut = "val") -> Samples:
    """Return the samples that the `.npz` at `spec` holds.

    Args:
        spec: Its path.
        held_out: Which samples are taken for validation if the file has both x_val and x_test.

    Raises:
        DataError: what `check_samples` refuses, a damaged file, or values that are NaN or infinite.
    """
    check_samples(spec)
    file = read_npz(spec, is_known)
    for name, array in file.arrays.items():
        _check_finite(spec, name, array)
    return _samples(file.arrays, file.sha256, held_out, file.mapped)


def samples_of(place: str, arrays: Mapping[str, Array]) -> Samples:
    """Return arrays given by their names in an `.npz`, after the same checks as for a file.

    Args:
        place: What messages call the data.
        arrays: The arrays.

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
    return _samples(arrays, digest.hexdigest(), "val")


def _samples(
    arrays: Mapping[str, Array], sha256: str, held_out: HeldOut, mapped: FileState | None = None
) -> Samples:
    order = ("val", "test") if held_out == "val" else ("test", "val")
    test = next((part for part in order if group_arrays(arrays, "x", part)), None)
    return Samples(
        _rows(arrays, "train", mapped),
        None if test is None else _rows(arrays, test, mapped),
        sha256,
    )


def _rows(arrays: Mapping[str, Array], part: str, mapped: FileState | None) -> ArrayRows:
    x, y = (_tree(group_arrays(arrays, side, part)) for side in "xy")
    return ArrayRows(part, x, y, _weights(group_arrays(arrays, "w", part), y), mapped)


def _weights(named: dict[str, Array], y: Tree) -> Tree | None:
    """Return the weights; outputs without some have ones beside others that have."""
    if not named or not isinstance(y, dict) or "" in named:
        return _tree(named) if named else None
    return {
        name: named[name] if name in named else np.ones(len(labels), np.float32)
        for name, labels in y.items()
    }


def _tree(named: dict[str, Array]) -> Tree:
    whole: Array | None = named.get("")
    return named if whole is None else whole


def _check_shapes(spec: str, shapes: Shapes) -> None:
    for part in PARTS:
        if group_arrays(shapes, "x", part):
            _check_samples_of(spec, part, shapes)
            _check_weight_names(spec, part, shapes)
    for side in "xy":
        for part in PARTS[1:]:
            _check_same_samples(spec, side, part, shapes)


def _check_samples_of(spec: str, part: str, shapes: Shapes) -> None:
    """Refuse arrays of a part that do not have one row for each sample."""
    first, *others = [
        name for side in "xyw" for name in shapes if side_and_part(name) == (side, part)
    ]
    for name in (first, *others):
        if not shapes[name]:
            raise DataError(f"{name} is a single value; it needs one row per sample", place=spec)
    count = shapes[first][0]
    for name in others:
        if shapes[name][0] != count:
            raise DataError(
                f"{first} has {count} samples and {name} has {shapes[name][0]}; each sample needs"
                f" one {_ROW[name[0]]}",
                place=spec,
            )
    if count == 0:
        raise DataError(f"{first} has no samples; {_none(part)}", place=spec)


def _check_weight_names(spec: str, part: str, shapes: Shapes) -> None:
    """Refuse weights of outputs that have no labels."""
    outputs = group_arrays(shapes, "y", part)
    for name in group_arrays(shapes, "w", part):
        if name and name not in outputs:
            has = f"the outputs {', '.join(outputs)}" if "" not in outputs else "no names"
            raise DataError(
                f"w_{part}.{name} weighs an output, and y_{part} has {has}; name weights as labels"
                " are named",
                place=spec,
            )


_ROW = {"x": "row", "y": "label", "w": "weight"}


def _none(part: str) -> str:
    if part == "train":
        return "training needs at least one"
    return f"leave out x_{part} and y_{part} if there are none"


def _check_same_samples(spec: str, side: str, part: str, shapes: Shapes) -> None:
    """Refuse validation samples of other names or shapes than training samples."""
    train, test = group_arrays(shapes, side, "train"), group_arrays(shapes, side, part)
    if not test:
        return
    if set(train) != set(test):
        names = [", ".join(sorted(group)) or "no name" for group in (train, test)]
        raise DataError(
            f"{side}_train has {names[0] or 'no name'}, {side}_{part} has {names[1] or 'no name'};"
            " give both the same names",
            place=spec,
        )
    for name, shape in test.items():
        if shape[1:] != train[name][1:]:
            dot = f".{name}" if name else ""
            raise DataError(
                f"samples of {side}_{part}{dot} have shape {shape[1:]}, those of"
                f" {side}_train{dot} {train[name][1:]}; give both the same",
                place=spec,
            )


def check_values(spec: str) -> None:
    """Refuse an `.npz` with values that are NaN or infinite, which are read in blocks.

    Raises:
        DataError: there is one, in samples, labels or weights, or the file is damaged.
    """
    found = find_value(spec, is_known, _is_not_finite)
    if found is not None:
        raise _not_finite(spec, found.name, found.at, found.value)


def _check_finite(spec: str, name: str, array: Array) -> None:
    if array.dtype.kind != "f":
        return
    place = find_first(array, _is_not_finite)
    if place is not None:
        raise _not_finite(spec, name, place, array[place])


def _is_not_finite(values: Array) -> Any:
    return ~np.isfinite(values)


def _not_finite(spec: str, name: str, at: tuple[int, ...], value: Any) -> DataError:
    return DataError(
        f"{name} holds {value} at {at}; training needs finite numbers, clean the data first",
        place=spec,
    )
