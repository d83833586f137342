"""How many bytes a model takes, as it is and after gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphprune.diff.weights import Weights
from graphprune.errors import ArchiveError
from graphprune.graph.layer_graph import LayerGraph

_CHUNK = 1 << 20
_LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes as they are, and after gzip at level 6."""

    raw: int
    gzip: int


def measure_sizes(path: str | Path) -> Sizes:
    """Return the sizes of a file, or of all files in a folder one after another; read in pieces, and the same on every machine.

    Raises:
        ArchiveError: there is no such file, or it cannot be read.
    """
    try:
        return _measure(_file_chunks(Path(path)))
    except OSError as err:
        raise ArchiveError(f"{path}: cannot be read ({err.strerror}); check the path") from err


def measure_weights_gzip(graph: LayerGraph, weights: Weights) -> int:
    """Return the bytes of all weights of a model after gzip, layer by layer in the order of the graph; the state of wrappers does not count."""
    stored = (weights.read(layer.address, tensor.name) for layer in graph.layers.values() for tensor in layer.tensors)
    return _measure(np.ascontiguousarray(values).tobytes() for values in stored).gzip


def _measure(chunks: Iterable[bytes]) -> Sizes:
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
