"""Whether one prunable tensor passes the tests of a `weight` matcher."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from graphprune.graph import Tensor
from graphprune.rules.values.matchers import HasWeight
from graphprune.rules.values.number_test import NumberTest
from graphprune.rules.values.weight_names import is_named

SPATIAL_AXES = frozenset({"d", "h", "w"})


def accepts_tensor(test: HasWeight, tensor: Tensor, zeros: int | None) -> bool:
    """Return whether a tensor passes; one whose zeros were not measured (None) passes no test of
    its sparsity.
    """
    return all(passes for _, passes in _outcomes(test, tensor, zeros))


def failing_tests(test: HasWeight, tensor: Tensor, zeros: int | None) -> tuple[str, ...]:
    """Return the keys of the tests that a tensor fails."""
    return tuple(key for key, passes in _outcomes(test, tensor, zeros) if not passes)


def count_tests(test: HasWeight) -> int:
    """Return how many tests there are."""
    return sum(
        part is not None
        for part in (
            test.names,
            test.rank,
            test.inputs,
            test.outputs,
            test.kernel,
            test.dtypes,
            test.sparsity,
        )
    )


def _outcomes(test: HasWeight, tensor: Tensor, zeros: int | None) -> Iterator[tuple[str, bool]]:
    """Yield each test that is asked for, by its key in rule files, and whether the tensor passes."""
    if test.names is not None:
        yield "name", is_named(tensor.name, test.names)
    if test.dtypes is not None:
        yield "dtype", tensor.dtype in test.dtypes
    if test.rank is not None:
        yield "rank", test.rank.accepts(len(tensor.shape))
    if test.inputs is not None:
        yield "in", _accepts_length(test.inputs, axis_length(tensor, "in"))
    if test.outputs is not None:
        yield "out", _accepts_length(test.outputs, axis_length(tensor, "out"))
    if test.kernel is not None:
        yield "kernel", _accepts_kernel(test.kernel, spatial_lengths(tensor))
    if test.sparsity is not None:
        yield (
            "sparsity",
            zeros is not None and tensor.size > 0 and test.sparsity.accepts(zeros / tensor.size),
        )


def axis_length(tensor: Tensor, meaning: str) -> int | None:
    """Return the length along an axis by meaning: the product over numbered ones (`out_1`,
    `out_2`), None where the tensor has none.

    Example:
        >>> axis_length(Tensor("kernel", (8, 2, 4), axes=("in", "out_1", "out_2")), "out")
        8
        >>> axis_length(Tensor("kernel", (3, 3, 16, 4), axes=("h", "w", "out", "in")), "in")
        4
    """
    lengths = [
        length
        for axis, length in zip(tensor.axes, tensor.shape, strict=False)
        if re.fullmatch(rf"{meaning}(_\d+)?", axis)
    ]
    return math.prod(lengths) if lengths else None


def spatial_lengths(tensor: Tensor) -> tuple[int, ...]:
    """Return the lengths of the spatial axes in order; empty for a tensor without such axes."""
    return tuple(
        length
        for axis, length in zip(tensor.axes, tensor.shape, strict=False)
        if axis in SPATIAL_AXES
    )


def _accepts_length(test: NumberTest, length: int | None) -> bool:
    return length is not None and test.accepts(length)


def _accepts_kernel(test: tuple[int, ...] | NumberTest, lengths: tuple[int, ...]) -> bool:
    if isinstance(test, NumberTest):
        return bool(lengths) and all(map(test.accepts, lengths))
    return lengths == test
