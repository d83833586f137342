"""The weights and zeros that a written file holds, counted in the file itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.saved_model.tensor_bundle import DTYPES, read_checkpoint
from graphprune.archive.tflite.file import read_tflite
from graphprune.graph.read import open_model_file
from graphprune.serving.kept_zeros import is_weight


@dataclass(frozen=True, slots=True)
class Counted:
    """Weights of a file, and how many of them are zero."""

    zeros: int
    parameters: int


def count_written(path: Path) -> Counted | None:
    """Return the weights and zeros of a written file; None where they cannot be read.

    Of exported SavedModels and of ONNX and TensorFlow Lite files, real-valued tensors count: the
    converters merge some weights, so there may be fewer than in the Keras model.

    Raises:
        ArchiveError: the file is damaged.
    """
    if path.is_dir() and not (path / "keras_metadata.pb").is_file():
        return _count(_of_folder(path))
    if path.suffix == ".tflite":
        return _count(_of_tflite(path))
    if path.suffix == ".onnx":
        return _count(_of_onnx(path)) if find_spec("onnx") is not None else None
    model = open_model_file(path)
    return Counted(sum((model.zeros or {}).values()), model.graph.parameters)


def _count(tensors: Iterator[NDArray[Any]]) -> Counted | None:
    """Return the sums; None where the tensors are not in the file, as of a graph of constants."""
    zeros = parameters = 0
    for values in tensors:
        zeros += int(values.size - np.count_nonzero(values))
        parameters += values.size
    return Counted(zeros, parameters) if parameters else None


def _of_folder(path: Path) -> Iterator[NDArray[Any]]:
    checkpoint = read_checkpoint(str(path / "variables" / "variables"))
    for key, entry in checkpoint.entries.items():
        if DTYPES.get(entry.dtype, "").startswith(("float", "bfloat")):
            yield checkpoint.read(key)


def _of_tflite(path: Path) -> Iterator[NDArray[Any]]:
    file = read_tflite(path)
    for tensor in file.constants:
        if is_weight(file, tensor):
            yield file.read(tensor)


def _of_onnx(path: Path) -> Iterator[NDArray[Any]]:
    import onnx

    for tensor in onnx.load(str(path)).graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype.kind == "f":
            yield values
