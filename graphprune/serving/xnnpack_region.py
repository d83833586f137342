"""The region of a TensorFlow Lite file that XNNPACK turns to channels first, to run it sparse.

It begins at 3x3 convolutions of images and ends at averages over height and width
(`xnn_subgraph_rewrite_for_nchw` and `xnn_check_nchw_compatibility` in XNNPACK's subgraph.c). Where
another operator takes a tensor of the region, LiteRT 2.3.0 computes something else or does not load
the file, or runs it dense; tests/serving/xnnpack_nets.py has nets of each kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from graphprune.archive.operators import FileOperator
from graphprune.archive.tflite.file import TfliteFile

CARRIED = ("DENSIFY", "DEQUANTIZE")
"""Operators between a constant and the one that computes with it."""
_SAME = 0
"""The number of the padding `SAME` in the schema; VALID is 1."""
_ANYWHERE = frozenset(
    {
        *("ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "RELU"),
        *("RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RESIZE_BILINEAR", "SQRT", "SQUARE", "TANH"),
    }
)
"""Operators that the region may hold, whatever their settings."""
_JOINING = frozenset({"ADD", "MUL"})
_IMAGE = 4
"""Axes of a tensor of the region."""


@dataclass(frozen=True, slots=True)
class Region:
    """What XNNPACK may turn to channels first.

    Attributes:
        operators: Its operators; none where no convolution begins it.
        misfit: The operator that takes a tensor of the region and does not fit, None without one.
    """

    operators: tuple[FileOperator, ...]
    misfit: str | None = None

    def has(self, operator: FileOperator) -> bool:
        """Return whether an operator is in the region."""
        return any(operator is one for one in self.operators)


def find_region(file: TfliteFile) -> Region:
    """Return the region of a file."""
    return _Walk(file).find()


class _Walk:
    """Follows tensors from the beginnings of the region."""

    def __init__(self, file: TfliteFile) -> None:
        self._file = file
        self._tensors = {each.index: each for each in file.tensors if each.subgraph == 0}
        self._takers: dict[int, list[FileOperator]] = defaultdict(list)
        self._maker: dict[int, FileOperator] = {}
        carried = [each for each in file.operators if each.kind in CARRIED]
        self._constants = {index for each in carried for index in each.outputs}
        self._operators = [
            each for each in file.operators if each.subgraph == 0 and each.kind not in CARRIED
        ]
        for operator in self._operators:
            self._maker.update(dict.fromkeys(operator.outputs, operator))
            for index in dict.fromkeys(operator.inputs):
                self._takers[index].append(operator)

    def find(self) -> Region:
        found = [operator for operator in self._operators if self._is_stem(operator)]
        waiting = [index for operator in found for index in operator.outputs]
        reached, taken = set(waiting), {id(operator) for operator in found}
        while waiting:
            index = waiting.pop()
            if not self._takers[index]:
                return Region(tuple(found), "an output of the file")
            for operator in self._takers[index]:
                if id(operator) in taken:
                    continue
                if not self._fits(operator):
                    return Region(tuple(found), operator.kind)
                taken.add(id(operator))
                found.append(operator)
                if not self._ends(operator):
                    waiting += operator.outputs
                    reached.update(operator.outputs)
        stems = {id(operator) for operator in found if self._is_stem(operator)}
        inner = [operator for operator in found if id(operator) not in stems]
        foreign = (each.kind for each in inner if not reached.issuperset(self._given(each)))
        return Region(tuple(found), next(foreign, None))

    def _given(self, operator: FileOperator) -> Iterator[int]:
        """Yield the inputs of an operator that are computed."""
        for index in operator.inputs:
            tensor = self._tensors.get(index)
            if tensor is not None and not tensor.stored and index not in self._constants:
                yield index

    def _fits(self, operator: FileOperator) -> bool:
        given = [self._tensors[index] for index in self._given(operator)]
        if any(len(tensor.shape) != _IMAGE for tensor in given):
            return False
        match operator.kind:
            case "CONV_2D":
                return self._is_pointwise(operator)
            case "DEPTHWISE_CONV_2D":
                return self._is_known_depthwise(operator)
            case "PAD":
                return all(map(self._is_known_depthwise, self._takers_of(operator)))
            case "MEAN":
                return self._is_known_mean(operator)
            case "MINIMUM":  # of a tensor and a number, which LiteRT makes a clamp of
                return len(given) == 1
            case kind:
                return kind in _ANYWHERE or (kind in _JOINING and len(given) == 2)

    def _is_stem(self, operator: FileOperator) -> bool:
        if operator.kind != "CONV_2D":
            return False
        return (
            self._kernel(operator)[1:] == (3, 3, 3)
            and _strides(operator) == (2, 2)
            and _is_not_dilated(operator)
            and self._is_padded_by(operator, 1)
        )

    def _is_pointwise(self, operator: FileOperator) -> bool:
        return (
            self._kernel(operator)[1:] == (1, 1, self._channels(operator))
            and _strides(operator) == (1, 1)
            and _is_not_dilated(operator)
        )

    def _is_known_depthwise(self, operator: FileOperator) -> bool:
        if operator.kind != "DEPTHWISE_CONV_2D" or not _is_not_dilated(operator):
            return False
        kernel, strides = self._kernel(operator), _strides(operator)
        return (
            kernel in {(1, size, size, self._channels(operator)) for size in (3, 5)}
            and strides in {(1, 1), (2, 2)}
            and (
                self._is_padded_by(operator, kernel[1] // 2)
                or (strides == (1, 1) and operator.settings.get("padding", _SAME) == _SAME)
            )
        )

    def _is_known_mean(self, operator: FileOperator) -> bool:
        if self._values(operator) not in ([1, 2], [2, 1]):
            return False
        takers = self._takers_of(operator)
        if not operator.settings.get("keepDims"):
            return True
        return bool(takers) and (
            self._ends(operator)
            or all(
                taker.kind == "MEAN" or (taker.kind == "CONV_2D" and self._is_pointwise(taker))
                for taker in takers
            )
        )

    def _ends(self, operator: FileOperator) -> bool:
        """Return whether nothing behind an operator is of the region."""
        return operator.kind == "MEAN" and (
            not operator.settings.get("keepDims")
            or all(map(self._reshapes, self._takers_of(operator)))
        )

    def _reshapes(self, operator: FileOperator) -> bool:
        """Return whether an operator reshapes, or reads a part of the shape, such as the batch."""
        if operator.kind == "SHAPE":
            return all(taker.kind == "STRIDED_SLICE" for taker in self._takers_of(operator))
        return operator.kind == "RESHAPE"

    def _is_padded_by(self, operator: FileOperator, count: int) -> bool:
        """Return whether a PAD before an operator adds as many zeros at each side."""
        before = self._maker.get(operator.inputs[0])
        if before is None or before.kind != "PAD" or operator.settings.get("padding") == _SAME:
            return False
        return self._values(before) == [0, 0, count, count, count, count, 0, 0]

    def _values(self, operator: FileOperator) -> list[float]:
        """Return the constant that an operator takes beside its first input; empty without one."""
        found = [self._tensors.get(index) for index in operator.inputs[1:2]]
        constants = [tensor for tensor in found if tensor is not None and tensor.stored]
        return [one for each in constants for one in self._file.read(each).ravel().tolist()]

    def _takers_of(self, operator: FileOperator) -> list[FileOperator]:
        return list(chain.from_iterable(self._takers[index] for index in operator.outputs))

    def _kernel(self, operator: FileOperator) -> tuple[int, ...]:
        """Return the shape of the weights of an operator; empty without any."""
        found = [self._tensors.get(index) for index in operator.inputs[1:2]]
        return next((tensor.shape for tensor in found if tensor is not None), ())

    def _channels(self, operator: FileOperator) -> int:
        """Return the last length of an operator's first input; 0 where a damaged file has none."""
        tensor = self._tensors.get(operator.inputs[0])
        return tensor.shape[-1] if tensor is not None and tensor.shape else 0


def _strides(operator: FileOperator) -> tuple[float, float]:
    return operator.settings.get("strideH", 1), operator.settings.get("strideW", 1)


def _is_not_dilated(operator: FileOperator) -> bool:
    factors = (operator.settings.get(f"dilation{axis}Factor", 1) for axis in "HW")
    return all(factor == 1 for factor in factors)
