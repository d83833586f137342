"""Whether the zeros of a model's weights are zeros in a TensorFlow Lite file, tensor by tensor.

The converter transposes kernels, fuses layers and renames constants, so a weight is found by its
size and the places of its zeros. Weights that it cuts into pieces or merges are compared as a
whole: sorted by their zeros, the constants of each size have at least as many as those of the
dense float32 file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.tflite.file import TfliteFile

Flags = NDArray[np.bool_]
Constants = dict[int, list[Flags]]
"""Where the constants of a file are zero, by their number of values, in the file's order."""


def zeros_of(file: TfliteFile) -> Constants:
    """Return where the real-valued constants of a file are zero."""
    found: Constants = defaultdict(list)
    for tensor in file.constants:
        if is_weight(file, tensor):
            found[tensor.size].append((file.read(tensor) == 0).reshape(-1))
    return dict(found)


def is_weight(file: TfliteFile, tensor: Any) -> bool:
    """Return whether a constant holds real numbers: floats, or integers with a scale."""
    return tensor.dtype.startswith(("float", "bfloat")) or tensor.quantization is not None


def find_lost_zeros(
    weights: Sequence[NDArray[Any]], dense: Constants, written: Constants
) -> str | None:
    """Return which zeros are none in a written file, in words; None if all are kept.

    Args:
        weights: The weights of the Keras model.
        dense: The zeros of the same model as a dense float32 file.
        written: The zeros of the file.
    """
    for values in weights:
        lost = _lost_of_weight(values == 0, dense, written)
        if lost:
            return f"{lost:,} zeros of a weight of shape {list(values.shape)} are not zero in it"
    for size, flags in dense.items():
        before = sorted(int(each.sum()) for each in flags)
        after = sorted(int(each.sum()) for each in written.get(size, ()))
        if len(after) == len(before):
            lost = sum(max(0, one - other) for one, other in zip(before, after, strict=True))
            if lost:
                return f"{lost:,} zeros of constants with {size:,} values are not zero in it"
    return None


def _lost_of_weight(zeros: Flags, dense: Constants, written: Constants) -> int:
    """Return how many zeros of a weight are lost; 0 where the dense file does not hold it whole.

    All are lost where no constant of the written file has its size: the converter leaves the values
    of some sparse int8 tensors out, and LiteRT computes with an empty buffer.
    """
    if zeros.ndim < 2 or not zeros.any():
        return 0
    for layout in _layouts(zeros):
        if any(not (layout & ~each).any() for each in dense.get(zeros.size, ())):
            found = written.get(zeros.size, ())
            lost = (int((layout & ~each).sum()) for each in found)
            return min(lost, default=int(layout.sum()))
    return 0


def _layouts(zeros: Flags) -> Iterator[Flags]:
    """Yield the orders in which TensorFlow Lite stores a kernel: output axis first, or as it is."""
    yield np.moveaxis(zeros, -1, 0).reshape(-1)
    yield zeros.reshape(-1)
    if zeros.ndim > 2:
        yield np.moveaxis(zeros, -2, 0).reshape(-1)  # transposed convolutions
