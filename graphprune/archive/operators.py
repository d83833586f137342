"""Files of operators instead of layers: TensorFlow Lite files and exported SavedModels.

Operators have the names and settings of TensorFlow Lite's schema in both; what that has no operator
for is named after the operation of TensorFlow (`FlexCos`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FOREIGN = "Flex"
"""The beginning of operators that are named after operations of TensorFlow."""
EITHER = "EITHER"
"""A padding that is both `same` and `valid`: it has no zeros to put anywhere."""


def same_width(length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return how many zeros `same` puts before and behind an axis.

    Example:
        >>> same_width(16, 3, 2, 1)
        (0, 1)
    """
    made = -(-length // stride)
    whole = max((made - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
    return whole // 2, whole - whole // 2


@dataclass(frozen=True, slots=True)
class Quantization:
    """How stored integers stand for real numbers: (stored - zero point) * scale.

    Attributes:
        scales, zero_points: One of each, or one for each place of `axis`.
        axis: The axis that has its own scales.
    """

    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int


@dataclass(frozen=True, slots=True)
class FileTensor:
    """One tensor; `OperatorFile.read` gives its values if they are in the file.

    Attributes:
        subgraph, index: Which tensor it is: operators name it so.
        name: Its name, often that of an operation of TensorFlow; it need not be unique.
        shape: Axis lengths, in the layout of TensorFlow Lite.
        dtype: The type of its stored values as NumPy names it; `int4` and `int2` have no NumPy
            type and are read as `int8`. Empty for texts and other values that are not numbers.
        stored: Bytes of its values in the file; 0 if it is computed or an input.
        is_sparse: Whether its zeros are not stored.
        quantization: Of a quantized tensor.
        open_axes: The axes whose length is known when the file is run; `shape` has 1 for them.
    """

    subgraph: int
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: int
    is_sparse: bool = False
    quantization: Quantization | None = field(default=None, compare=False)
    open_axes: frozenset[int] = field(default=frozenset(), compare=False)

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class FileOperator:
    """One operation.

    Attributes:
        subgraph: The subgraph that it is in.
        kind: Its name in the schema (`FULLY_CONNECTED`); that of a custom operation.
        inputs, outputs: Indices of tensors in the subgraph; -1 is an input that is left out.
        settings: Its settings that are numbers, by their names in the schema's object API
            (`strideW`); those that are 0 are left out.
    """

    subgraph: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    settings: Mapping[str, int | float] = field(default_factory=dict, compare=False)


class OperatorFile(Protocol):
    """A file of operators; nothing in it is run.

    Attributes:
        path: What to call it in errors.
        is_converted: Whether a converter wrote its operators: it folds constants into others, and
            writes operators of its own for what TensorFlow computes in several.
    """

    path: str
    is_converted: bool

    @property
    def ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The indices of the tensors that enter and leave the main subgraph."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names that the signature has for the outputs, in their order; empty without one."""

    @property
    def weights(self) -> Set[int]:
        """The indices of tensors that are weights, or made of them, whose values are not read."""

    @property
    def zeros(self) -> Set[int]:
        """The indices of tensors that are zero everywhere, but have no values in the file."""

    @property
    def columns(self) -> Mapping[int, int]:
        """The first column of tensors that are columns of a weight, by their indices."""

    def ends_of(self, subgraph: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the indices of the tensors that enter and leave a subgraph."""

    def tensors_of(self, subgraph: int) -> tuple[FileTensor, ...]:
        """Return the tensors of one subgraph."""

    def operators_of(self, subgraph: int) -> tuple[FileOperator, ...]:
        """Return the operators of one subgraph, in the order in which it runs them."""

    def read(self, tensor: FileTensor) -> NDArray[Any]:
        """Return the values of a constant tensor as real numbers."""

    def read_stored(self, tensor: FileTensor) -> NDArray[Any]:
        """Return the values of a constant tensor as they are stored."""
