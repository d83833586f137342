"""A TensorFlow Lite file in LiteRT: `ai_edge_litert` where it is installed, else TensorFlow's."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.serving.outputs import Arrays
from graphprune.serving.runtimes import InputSpec

_LITERT = ("ai_edge_litert", "ai_edge_litert.interpreter", "LiteRT", "ai-edge-litert")
_TENSORFLOW = ("tensorflow", "tensorflow.lite.python.interpreter", "TensorFlow Lite", "tensorflow")
_PACKAGES = (_LITERT, _TENSORFLOW)
"""Package, module, the runtime's name, and the name of its distribution, best first."""


def has_litert() -> bool:
    """Return whether a package with an interpreter is installed."""
    return any(find_spec(package) is not None for package, *_ in _PACKAGES)


@cache
def load_interpreter() -> tuple[Any, str]:
    """Return the class of interpreters, and the runtime's name and version.

    Of TensorFlow, only the module of its interpreter is loaded: all of it takes 12 s. The process
    has no TensorFlow afterwards.
    """
    found = next(entry for entry in _PACKAGES if find_spec(entry[0]) is not None)
    package, module, name, distribution = found
    if found is _TENSORFLOW and package not in sys.modules:
        spec = find_spec(package)
        assert spec is not None
        sys.modules[package] = module_from_spec(spec)  # its code is not run
    return importlib.import_module(module).Interpreter, f"{name} {version(distribution)}"


class LiteRtModel:
    """A file with the default delegates, which are those that applications use too.

    Attributes:
        inputs: Its inputs.
        version: The runtime and its version.
    """

    def __init__(self, path: Path, threads: int) -> None:
        interpreter, self.version = load_interpreter()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
            self._interpreter: Any = interpreter(model_path=str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        given, made = self._name_tensors()
        self._given, self._made = given, made
        self.inputs = tuple(_to_spec(name, detail) for name, detail in given.items())

    def _name_tensors(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the details of inputs and outputs by their names in the one signature, if any."""
        signatures = list(self._interpreter.get_signature_list())
        if len(signatures) == 1:
            runner = self._interpreter.get_signature_runner(signatures[0])
            return runner.get_input_details(), runner.get_output_details()
        inputs, outputs = (
            {detail["name"]: detail for detail in details}
            for details in (
                self._interpreter.get_input_details(),
                self._interpreter.get_output_details(),
            )
        )
        return inputs, outputs

    def prepare(self, inputs: Arrays) -> Callable[[], None]:
        """Return what runs the model once on these inputs."""
        shapes = {name: tuple(inputs[name].shape) for name in self._given}
        changed = {
            name: shape
            for name, shape in shapes.items()
            if shape != tuple(self._interpreter.get_tensor(self._given[name]["index"]).shape)
        }
        for name, shape in changed.items():
            self._interpreter.resize_tensor_input(self._given[name]["index"], shape, strict=True)
        if changed:
            self._interpreter.allocate_tensors()
        for name, detail in self._given.items():
            self._interpreter.set_tensor(detail["index"], _quantized(inputs[name], detail))
        run: Callable[[], None] = self._interpreter.invoke
        return run

    def outputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return what the model computes."""
        self.prepare(inputs)()
        return {
            name: _real(self._interpreter.get_tensor(detail["index"]), detail)
            for name, detail in self._made.items()
        }


def _to_spec(name: str, detail: Mapping[str, Any]) -> InputSpec:
    shape = detail.get("shape_signature")
    lengths = detail["shape"] if shape is None or len(shape) == 0 else shape
    dtype = np.dtype(detail["dtype"])
    return InputSpec(
        name,
        tuple(None if length < 0 else int(length) for length in lengths),
        "float32" if _is_quantized(detail) else dtype.name,
    )


def _is_quantized(detail: Mapping[str, Any]) -> bool:
    return bool(detail["quantization"][0]) and np.dtype(detail["dtype"]).kind in "iu"


def _quantized(values: NDArray[Any], detail: Mapping[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(detail["dtype"])
    if dtype.kind not in "biuf":
        return values
    if not _is_quantized(detail):
        return values.astype(dtype)
    scale, zero = detail["quantization"]
    limits = np.iinfo(dtype)
    stored = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
    return np.asarray(stored, dtype)


def _real(values: NDArray[Any], detail: Mapping[str, Any]) -> NDArray[Any]:
    if not _is_quantized(detail):
        return np.array(values)
    scale, zero = detail["quantization"]
    return np.asarray((values.astype(np.float32) - zero) * scale, np.float32)
