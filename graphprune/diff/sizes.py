"""The size of a model in bytes, as it is and after gzip."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from graphprune.diff.weights import Weights
from graphprune.errors import ArchiveError
from graphprune.graph.layer_graph import LayerGraph

T = TypeVar("T")
R = TypeVar("R")
_CHUNK = 1 << 20
_LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes as they are, and after gzip at level 6."""

    raw: int
    gzip: int


def measure_sizes(path: str | Path) -> Sizes:
    """Return the sizes of a file, or of all files in a folder one after another.

    Files are read in pieces; the result is the same on every machine.

    Raises:
        ArchiveError: there is no such file, or it cannot be read.
    """
    try:
        return _measure(_file_chunks(Path(path)))
    except OSError as err:
        raise ArchiveError(f"cannot be read ({err.strerror}); check the path", place=path) from err


def measure_weights_gzip(graph: LayerGraph, weights: Weights) -> int:
    """Return the bytes of all weights of a model after gzip, in the order of the graph.

    The state of wrappers does not count.
    """
    stored = (
        weights.read(layer.address, tensor.name)
        for layer in graph.layers.values()
        for tensor in layer.tensors
    )
    return _measure(chunk for values in stored for chunk in _array_chunks(values)).gzip


def side_by_side(measure: Callable[[T], R], *things: T) -> tuple[R, ...]:
    """Return the results of `measure`, one thread each.

    Nearly all of the time goes into compression, which releases the interpreter lock.

    Example:
        >>> side_by_side(len, "ab", "c")
        (2, 1)
    """
    with ThreadPoolExecutor(max(1, len(things))) as pool:
        return tuple(pool.map(measure, things))


def _array_chunks(values: NDArray[Any]) -> Iterator[memoryview]:
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    return (data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK))


def _measure(chunks: Iterable[bytes | memoryview]) -> Sizes:
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    raw = packed = 0
    for chunk in chunks:
        raw += len(chunk)
        packed += len(squeeze.compress(chunk))
    return Sizes(raw, packed + len(squeeze.flush()))


def _file_chunks(path: Path) -> Iterator[bytes]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
