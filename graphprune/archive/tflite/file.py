"""TensorFlow Lite files as data: constant tensors one by one, and the operators that use them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from os import PathLike, fspath
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.files import open_file, read_whole
from graphprune.archive.operators import FileOperator, FileTensor, Quantization
from graphprune.archive.tflite.numbers import to_numbers
from graphprune.archive.tflite.schema import load_schema, names_of
from graphprune.archive.tflite.sparse import Encoding, Level, to_dense
from graphprune.errors import ArchiveError

SIGNATURE = b"TFL3"
"""Bytes 4 to 8 of every TensorFlow Lite file."""
MAX_BYTES = 1 << 32
"""Of a file, and of a tensor whose zeros are not stored."""
MAX_PARTS = 1_000_000
"""Tensors and operators of one file."""
_NUMBERS = (bool, int, float)
_NOT_NUMBERS = frozenset({"STRING", "RESOURCE", "VARIANT"})


class TfliteFile:
    """A TensorFlow Lite file; nothing in it is run.

    Attributes:
        path: What to call it in errors.
        is_converted: That a converter wrote its operators.
        weights, columns, zeros: Empty: its weights and zeros are constants.
    """

    is_converted = True
    weights: frozenset[int] = frozenset()
    zeros: frozenset[int] = frozenset()
    columns: Mapping[int, int] = MappingProxyType({})

    def __init__(self, content: bytes, path: str = "") -> None:
        self.path = path
        self._content = content
        if content[4:8] != SIGNATURE:
            raise ArchiveError("is not a TensorFlow Lite file", place=path)
        with self._reading():
            self._model: Any = load_schema().Model.GetRootAs(content, 0)

    @cached_property
    def tensors(self) -> tuple[FileTensor, ...]:
        """All tensors, by subgraph and index.

        Raises:
            ArchiveError: the file is damaged.
        """
        with self._reading():
            return tuple(
                self._tensor(place, index, graph.Tensors(index))
                for place, graph in enumerate(self._subgraphs())
                for index in self._within(graph.TensorsLength())
            )

    @cached_property
    def operators(self) -> tuple[FileOperator, ...]:
        """All operators, in the order in which each subgraph runs them.

        Raises:
            ArchiveError: the file is damaged.
        """
        with self._reading():
            kinds = [
                self._kind(self._model.OperatorCodes(index))
                for index in self._within(self._model.OperatorCodesLength())
            ]
            return tuple(
                self._operator(place, graph.Operators(index), kinds)
                for place, graph in enumerate(self._subgraphs())
                for index in self._within(graph.OperatorsLength())
            )

    @cached_property
    def ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The indices of the tensors that enter and leave the main subgraph.

        Raises:
            ArchiveError: the file is damaged.
        """
        return self.ends_of(0)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names that the first signature has for the outputs; empty without a signature.

        Raises:
            ArchiveError: the file is damaged.
        """
        with self._reading():
            if not self._model.SignatureDefsLength():
                return ()
            signature = self._model.SignatureDefs(0)
            named = {
                end.TensorIndex(): (end.Name() or b"").decode("utf-8", "replace")
                for end in map(signature.Outputs, self._within(signature.OutputsLength()))
            }
            return tuple(named.get(index, "") for index in self.ends[1])

    def ends_of(self, subgraph: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the indices of the tensors that enter and leave a subgraph.

        Raises:
            ArchiveError: the file is damaged.
        """
        with self._reading():
            if not 0 <= subgraph < self._model.SubgraphsLength():
                raise ValueError(f"it has no subgraph {subgraph}")
            main = self._model.Subgraphs(subgraph)
            return _ints(main, "Inputs"), _ints(main, "Outputs")

    def tensors_of(self, subgraph: int) -> tuple[FileTensor, ...]:
        """Return the tensors of one subgraph."""
        return self._tensors_by_graph.get(subgraph, ())

    def operators_of(self, subgraph: int) -> tuple[FileOperator, ...]:
        """Return the operators of one subgraph, in the order in which it runs them."""
        return self._operators_by_graph.get(subgraph, ())

    @cached_property
    def _tensors_by_graph(self) -> dict[int, tuple[FileTensor, ...]]:
        return {key: tuple(own) for key, own in groupby(self.tensors, lambda one: one.subgraph)}

    @cached_property
    def _operators_by_graph(self) -> dict[int, tuple[FileOperator, ...]]:
        return {key: tuple(own) for key, own in groupby(self.operators, lambda one: one.subgraph)}

    @property
    def constants(self) -> tuple[FileTensor, ...]:
        """The tensors whose values are in the file, and are numbers."""
        return tuple(tensor for tensor in self.tensors if tensor.stored and tensor.dtype)

    def read(self, tensor: FileTensor) -> NDArray[Any]:
        """Return the values of a constant tensor, dense and as real numbers.

        A quantized value that stands for zero is exactly zero.

        Raises:
            ArchiveError: the file is damaged.
        """
        values = self.read_stored(tensor)
        given = tensor.quantization
        if given is None:
            return values
        with self._reading():
            shape = [1] * len(tensor.shape)
            if len(given.scales) > 1:
                shape[given.axis] = len(given.scales)
            points = given.zero_points.astype(np.float32).reshape(
                shape if len(given.zero_points) > 1 else [1] * len(shape)
            )
            real: NDArray[Any] = (values.astype(np.float32) - points) * given.scales.reshape(shape)
            return real.reshape(tensor.shape)

    def read_stored(self, tensor: FileTensor) -> NDArray[Any]:
        """Return the values of a constant tensor, dense, as integers where it is quantized.

        Zeros that are not stored are those of its quantization.

        Raises:
            ArchiveError: the file is damaged.
        """
        with self._reading():
            raw = self._model.Subgraphs(tensor.subgraph).Tensors(tensor.index)
            kind = names_of("TensorType")[raw.Type()]
            if kind in _NOT_NUMBERS or not tensor.stored:
                raise ValueError(f"the tensor {tensor.name!r} has no numbers")
            if tensor.size > MAX_BYTES:
                raise ValueError(f"the tensor {tensor.name!r} has {tensor.size:,} values")
            encoding = self._encoding(raw.Sparsity()) if tensor.is_sparse else None
            size = tensor.size if encoding is None else None
            values = to_numbers(self._bytes(raw.Buffer()), kind, size)
            if encoding is None:
                return values.reshape(tensor.shape)
            return to_dense(values, encoding, tensor.shape)

    def find_sparsity(self, tensor: FileTensor) -> Encoding | None:
        """Return how the values of a sparse tensor are stored; None for a dense one.

        Raises:
            ArchiveError: the file is damaged.
        """
        with self._reading():
            raw = self._model.Subgraphs(tensor.subgraph).Tensors(tensor.index)
            return self._encoding(raw.Sparsity()) if tensor.is_sparse else None

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what reading a damaged flatbuffer raises into an ArchiveError."""
        try:
            yield
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            struct.error,
        ) as fault:
            raise ArchiveError(
                f"damaged TensorFlow Lite file ({fault}); convert the model again", place=self.path
            ) from fault

    def _within(self, count: int) -> range:
        if count > MAX_PARTS or count * 4 > len(self._content):
            raise ValueError(f"it claims to have {count:,} parts")
        return range(count)

    def _subgraphs(self) -> list[Any]:
        graphs = [
            self._model.Subgraphs(index) for index in self._within(self._model.SubgraphsLength())
        ]
        self._within(sum(graph.TensorsLength() + graph.OperatorsLength() for graph in graphs))
        return graphs

    def _tensor(self, subgraph: int, index: int, raw: Any) -> FileTensor:
        shape = _ints(raw, "Shape")
        if any(length < 0 for length in shape):
            raise ValueError(f"a tensor has an axis of length {min(shape)}")
        return FileTensor(
            subgraph,
            index,
            (raw.Name() or b"").decode("utf-8", "replace"),
            shape,
            _dtype_name(names_of("TensorType").get(raw.Type(), "VARIANT")),
            len(self._bytes(raw.Buffer())),
            raw.Sparsity() is not None,
            _quantization(raw.Quantization(), len(shape)),
            frozenset(at for at, length in enumerate(_ints(raw, "ShapeSignature")) if length < 0),
        )

    def _bytes(self, buffer: int) -> memoryview:
        """Return the bytes of a buffer; those of large files lie behind the flatbuffer."""
        content = memoryview(self._content)
        if buffer >= self._model.BuffersLength():
            raise ValueError(f"it has no buffer {buffer}")
        raw = self._model.Buffers(buffer)
        if raw.Offset() > 1:
            if raw.Offset() + raw.Size() > len(content):
                raise ValueError("a buffer lies beyond its end")
            return content[raw.Offset() : raw.Offset() + raw.Size()]
        return memoryview(raw.DataAsNumpy()) if raw.DataLength() else content[:0]

    def _kind(self, raw: Any) -> str:
        code = max(raw.DeprecatedBuiltinCode(), raw.BuiltinCode())
        name = names_of("BuiltinOperator").get(code, f"operator {code}")
        return (raw.CustomCode() or b"").decode("utf-8", "replace") if name == "CUSTOM" else name

    def _operator(self, subgraph: int, raw: Any, kinds: list[str]) -> FileOperator:
        return FileOperator(
            subgraph,
            kinds[raw.OpcodeIndex()],
            _ints(raw, "Inputs"),
            _ints(raw, "Outputs"),
            _settings(raw),
        )

    def _encoding(self, raw: Any) -> Encoding:
        levels = [
            self._level(raw.DimMetadata(index)) for index in self._within(raw.DimMetadataLength())
        ]
        return Encoding(_ints(raw, "TraversalOrder"), _ints(raw, "BlockMap"), tuple(levels))

    def _level(self, raw: Any) -> Level:
        if names_of("DimensionType")[raw.Format()] == "DENSE":
            return Level(raw.DenseSize())
        segments, indices = (
            self._vector(getattr(raw, f"{part}Type")(), getattr(raw, part)())
            for part in ("ArraySegments", "ArrayIndices")
        )
        return Level(0, segments, indices)

    def _vector(self, kind: int, table: Any) -> NDArray[np.int64]:
        name = names_of("SparseIndexVector")[kind]
        if name == "NONE":
            raise ValueError("a compressed axis has no places")
        vector = getattr(load_schema(), name)()
        vector.Init(table.Bytes, table.Pos)
        return np.array(_ints(vector, "Values"), np.int64)


def read_tflite(path: str | PathLike[str]) -> TfliteFile:
    """Return the TensorFlow Lite file at `path`.

    Raises:
        ArchiveError: there is no such file, or it is not a TensorFlow Lite file.
    """
    place = fspath(path)
    return TfliteFile(read_whole(place, MAX_BYTES), place)


def is_tflite(path: str | PathLike[str]) -> bool:
    """Return whether the file at `path` begins as a TensorFlow Lite file does."""
    if os.path.isdir(path):
        return False
    try:
        with open_file(fspath(path)) as file:
            return file.read(8)[4:] == SIGNATURE
    except ArchiveError:
        return False


def _ints(raw: Any, vector: str) -> tuple[int, ...]:
    """Return a vector of integers; an empty one where it is missing."""
    if not getattr(raw, f"{vector}Length")():
        return ()
    return tuple(getattr(raw, f"{vector}AsNumpy")().tolist())


def _settings(raw: Any) -> dict[str, int | float]:
    """Return the settings of an operator that are numbers and not 0."""
    kind, table = names_of("BuiltinOptions").get(raw.BuiltinOptionsType(), ""), raw.BuiltinOptions()
    if table is None or kind in ("", "NONE"):
        return {}
    options = getattr(load_schema(), kind)()
    options.Init(table.Bytes, table.Pos)
    values = vars(getattr(load_schema(), f"{kind}T").InitFromObj(options))
    return {name: value for name, value in values.items() if type(value) in _NUMBERS and value}


def _dtype_name(kind: str) -> str:
    return "" if kind in _NOT_NUMBERS else kind.lower()


def _quantization(raw: Any, rank: int) -> Quantization | None:
    if raw is None or not raw.ScaleLength():
        return None
    axis, scales = raw.QuantizedDimension(), raw.ScaleAsNumpy()
    if len(scales) > 1 and not 0 <= axis < rank:
        raise ValueError(f"a tensor of {rank} axes is quantized along axis {axis}")
    points = raw.ZeroPointAsNumpy() if raw.ZeroPointLength() else np.zeros(1, np.int64)
    return Quantization(scales, points, axis)
