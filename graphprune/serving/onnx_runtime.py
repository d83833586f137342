"""An ONNX file in onnxruntime, on the processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from graphprune.serving.outputs import Arrays
from graphprune.serving.runtimes import InputSpec

_DTYPES = {"float": "float32", "double": "float64", "bfloat16": "float32", "string": "str"}
"""NumPy's names of the types that ONNX calls something else."""


class OnnxModel:
    """A file in a session with one provider, `CPUExecutionProvider`.

    Attributes:
        inputs: Its inputs.
        version: The runtime and its version.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.version = f"onnxruntime {onnxruntime.__version__}"
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.inputs = tuple(
            InputSpec(
                given.name,
                tuple(length if isinstance(length, int) else None for length in given.shape),
                _dtype(given.type),
            )
            for given in self._session.get_inputs()
        )

    def prepare(self, inputs: Arrays) -> Callable[[], Any]:
        """Return what runs the model once on these inputs, and returns its outputs."""
        given = {
            spec.name: inputs[spec.name]
            if spec.dtype == "str"
            else inputs[spec.name].astype(spec.dtype)
            for spec in self.inputs
        }
        return lambda: self._session.run(None, given)

    def outputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return what the model computes."""
        return dict(zip(self._outputs, self.prepare(inputs)(), strict=True))


def _dtype(text: str) -> str:
    """Return the NumPy dtype of a type of ONNX.

    Example:
        >>> _dtype("tensor(float)"), _dtype("tensor(int64)")
        ('float32', 'int64')
    """
    name = text.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(name, name)
