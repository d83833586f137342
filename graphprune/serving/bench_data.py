"""Samples with labels for `bench`: of one input or several, by the names of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.engine.data_fit import shapes_fit
from graphprune.engine.data_function import call_data_function
from graphprune.engine.data_kinds import arrays_of, one_pass
from graphprune.engine.file_data import FileData
from graphprune.errors import DataError
from graphprune.runs.samples import is_data_function, read_samples
from graphprune.serving.accuracy import count_right
from graphprune.serving.outputs import Arrays
from graphprune.serving.runtimes import InputSpec

ALONE = ""
"""The name of an array that has none: the samples of a model with one input."""


@dataclass(frozen=True, slots=True)
class BenchData:
    """Samples with their labels.

    Attributes:
        spec: What the user called them, for messages.
        x, y: One row a sample; by the names of inputs and outputs, or `ALONE`.
    """

    spec: str
    x: Arrays
    y: Arrays

    def __len__(self) -> int:
        return len(next(iter(self.x.values())))

    def rows(self, names: Sequence[str], start: int, batch: int, place: str) -> Arrays:
        """Return a batch for a model's inputs; the first samples fill up the last batch.

        Raises:
            DataError: the model has other inputs.
        """
        arrays = _by_name(self.x, names)
        if arrays is None:
            have = ", ".join(map(repr, names))
            given = ", ".join(map(repr, self.x)) if ALONE not in self.x else "one array"
            raise DataError(
                f"{place} takes {have}, and the data holds {given}; name the arrays x_test.NAME",
                place=self.spec,
            )
        index = np.arange(start, start + batch) % len(self)
        return {name: values[index] for name, values in arrays.items()}

    def check_shapes(self, rows: Arrays, inputs: Sequence[InputSpec], place: str) -> None:
        """Check that a batch has the shapes that a model's inputs take; open lengths take any.

        Raises:
            DataError: it has other shapes.
        """
        for taken in inputs:
            given = rows[taken.name].shape
            if not shapes_fit(given, taken.shape or None):
                takes = _shape_text(taken.shape)
                raise DataError(
                    f"its samples have shape {_shape_text(given)}, the input {taken.name!r} of"
                    f" {place} takes {takes}; give data of that shape",
                    place=self.spec,
                )

    def count_right(self, outputs: Arrays, start: int) -> Mapping[str, int]:
        """Return for how many samples of a batch each output that has labels is right.

        Raises:
            DataError: no output has labels, or one is not that of a classifier.
        """
        labels = _by_name(self.y, list(outputs))
        if labels is None:
            labels = {
                name: values for name, values in self.y.items() if name != ALONE and name in outputs
            }
        if not labels:
            raise DataError(f"the model has {len(outputs)} outputs, and the labels name none")
        right = {}
        for name, values in labels.items():
            wanted = values[start : start + len(outputs[name])]
            right[name] = count_right(outputs[name][: len(wanted)], wanted)
        return right


def _shape_text(shape: Sequence[int | None]) -> str:
    """Return the shape of one row of an array.

    Example:
        >>> _shape_text((32, 8, None)), _shape_text((None, 3))
        ('(8, None)', '(3,)')
    """
    return str(tuple(shape[1:]))


def _by_name(arrays: Arrays, names: Sequence[str]) -> Arrays | None:
    """Return arrays by the names of a model, which formats write without special characters.

    Example:
        >>> list(_by_name({"": np.ones(1)}, ["image"])), _by_name({"a": np.ones(1)}, ["b", "c"])
        (['image'], None)
        >>> list(_by_name({"my-a": np.ones(1), "b": np.ones(1)}, ["my_a", "b"]))
        ['my_a', 'b']
    """
    if len(names) == len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    written = {re.sub(r"\W", "_", name): values for name, values in arrays.items()}
    found = {name: written.get(re.sub(r"\W", "_", name)) for name in names}
    if any(values is None for values in found.values()):
        return None
    return {name: values for name, values in found.items() if values is not None}


def read_bench_data(given: str | FileData) -> BenchData:
    """Return the test or validation samples of data; those to train on without any.

    Args:
        given: The path of an `.npz`, `package.module:function`, which returns (train, validation),
            or files.

    Raises:
        DataError: there are none, or they are damaged.
    """
    if isinstance(given, str) and is_data_function(given):
        return _from_function(given)
    samples = given.read() if isinstance(given, FileData) else read_samples(given, "test")
    spec = given.spec if isinstance(given, FileData) else given
    rows = samples.train if samples.test is None else samples.test
    x, y, *_ = rows.take(slice(None))
    return BenchData(spec, _named(x), _named(y))


def _from_function(spec: str) -> BenchData:
    made = call_data_function(spec)
    if not isinstance(made, tuple) or len(made) != 2:
        raise DataError("must return (train, validation)", place=spec)
    given = made[0] if made[1] is None else made[1]
    try:
        is_sequence = hasattr(given, "__getitem__")
        batches = [*one_pass(given)] if is_sequence else [arrays_of(batch) for batch in given]
    except Exception as fault:  # that of the user's code
        raise DataError(
            f"reading its batches failed with {type(fault).__name__}: {fault}", place=spec
        ) from fault
    if not batches or not all(isinstance(batch, tuple) and len(batch) > 1 for batch in batches):
        raise DataError("must return batches of (x, y)", place=spec)
    parts = [[_named(batch[side]) for batch in batches] for side in (0, 1)]
    x, y = (
        {name: np.concatenate([each[name] for each in part]) for name in part[0]} for part in parts
    )
    return BenchData(spec, x, y)


def _named(tree: Any) -> dict[str, NDArray[Any]]:
    """Return arrays by name; those of a tuple are named by their places."""
    if isinstance(tree, Mapping):
        return dict(tree)
    if isinstance(tree, tuple):
        return {str(place): values for place, values in enumerate(tree)}
    return {ALONE: tree}
