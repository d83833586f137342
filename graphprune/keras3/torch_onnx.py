"""ONNX files of Keras 3 models on PyTorch, written by `torch.onnx`.

Its older exporter traces one call; it is fast and needs no other package. What it cannot write,
such as attention, the newer one may write, if onnxscript is installed. A model is exported with one
batch and checked with another, so a file that is right only for the lengths of the first is found.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import keras

from graphprune.errors import OutputError
from graphprune.keras3.named_outputs import output_names
from graphprune.quiet import quiet_output
from graphprune.serving.convert import first_line
from graphprune.serving.outputs import Arrays, Shapes, name_outputs, sample_shapes, taken_length

_BATCH, _CHECKED_BATCH = 3, 2
_ELSEWHERE = "save it as .keras, and export that file with KERAS_BACKEND=tensorflow"


def torch_to_onnx(model: Any) -> tuple[bytes, Arrays]:
    """Return `model` as an ONNX file's bytes, and inputs to check it with.

    Raises:
        OutputError: ONNX has no operation for a layer, or Keras is older than 3.8.
    """
    structure = _signature(model)
    shapes: Shapes = {
        spec.name or f"input_{place}": (spec.shape, spec.dtype)
        for place, spec in enumerate(keras.tree.flatten(structure))
    }

    def call(*tensors: Any) -> Any:
        return model(*keras.tree.pack_sequence_as(structure, tensors), training=False)

    def tensors_in(samples: Arrays) -> list[Any]:  # in another order than the model's
        return [keras.ops.convert_to_tensor(samples[name]) for name in shapes]

    length = taken_length(shapes, _BATCH, lambda batches: call(*tensors_in(batches[0])))
    tensors = tensors_in(sample_shapes(shapes, _BATCH, max(1, length - 1)))

    outputs = call(*tensors)
    names = list(name_outputs(outputs, keras.tree.flatten(outputs), output_names(model)))
    exported = _Exported(_module_of(model, call), tuple(tensors), shapes, names)
    try:
        content = exported.trace()
    except Exception as fault:  # PyTorch raises errors of all kinds
        content = _export_again(model.name, exported, fault)
    return content, sample_shapes(shapes, _CHECKED_BATCH, length)


def _signature(model: Any) -> Any:
    """Return the positional arguments of a call, as specs."""
    try:
        from keras.src.export.export_utils import get_input_signature
    except ImportError as err:
        raise OutputError(
            "an ONNX file of the backend torch needs Keras 3.8 or newer, got"
            f" {keras.__version__}; {_ELSEWHERE}"
        ) from err
    return get_input_signature(model)


def _module_of(model: Any, call: Callable[..., Any]) -> Any:
    """Return a module that takes and returns tensors one by one."""
    torch = sys.modules["torch"]

    class Flat(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            return tuple(keras.tree.flatten(call(*tensors)))

    return Flat().eval()


@dataclass(frozen=True, slots=True)
class _Exported:
    """What is exported: a module, its inputs and their open lengths, the names of its outputs."""

    module: Any
    tensors: tuple[Any, ...]
    shapes: Shapes
    outputs: list[str]

    def trace(self) -> bytes:
        """Return what the older exporter writes."""
        file = BytesIO()
        axes = {
            name: {axis: f"{name}_{axis}" if axis else "batch" for axis in _open_axes(shape)}
            for name, (shape, _) in self.shapes.items()
        }
        self._export(file, dynamic_axes=axes, dynamo=False)
        return file.getvalue()

    def translate(self) -> bytes:
        """Return what the newer exporter writes."""
        file, opened = BytesIO(), sys.modules["torch"].export.Dim.DYNAMIC
        axes = [dict.fromkeys(_open_axes(shape), opened) for shape, _ in self.shapes.values()]
        program = self._export(None, dynamic_shapes=(tuple(axes),), dynamo=True, verbose=False)
        program.save(file)
        return file.getvalue()

    def _export(self, file: BytesIO | None, **options: Any) -> Any:
        names = {"input_names": list(self.shapes), "output_names": self.outputs}
        with quiet_output(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is written is checked
            return sys.modules["torch"].onnx.export(
                self.module, self.tensors, file, **names, **options
            )


def _export_again(name: str, exported: _Exported, first: Exception) -> bytes:
    """Return what the newer exporter writes, after the older one has failed with `first`."""
    if find_spec("onnxscript") is None:
        raise OutputError(
            f"{name}: cannot be written as ONNX: {first_line(first)}; install the package"
            f" onnxscript, with which PyTorch can write more, or {_ELSEWHERE}"
        ) from first
    try:
        return exported.translate()
    except Exception as fault:
        raise OutputError(
            f"{name}: cannot be written as ONNX: {first_line(fault)}; {_ELSEWHERE}"
        ) from fault


def _open_axes(shape: Sequence[int | None]) -> list[int]:
    return [axis for axis, length in enumerate(shape) if length is None]
