"""The serving signature of an exported SavedModel, which holds a graph and no Keras model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.quiet import quiet_output
from graphprune.serving.convert import SIGNATURE
from graphprune.serving.outputs import Arrays
from graphprune.serving.runtimes import InputSpec


class ExportedModel:
    """A SavedModel folder in TensorFlow, which runs any operation that the folder holds.

    Attributes:
        inputs: Its inputs.
        version: TensorFlow and its version.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        with quiet_output():
            self._loaded = tf.saved_model.load(str(folder))  # its signatures do not keep it alive
        self._call = self._loaded.signatures[SIGNATURE]
        self.version = f"TensorFlow {tf.__version__}"
        specs = self._call.structured_input_signature[1]
        self.inputs = tuple(
            InputSpec(name, tuple(spec.shape), _dtype_name(spec.dtype.as_numpy_dtype))
            for name, spec in specs.items()
        )

    def prepare(self, inputs: Arrays) -> Callable[[], Any]:
        """Return what runs the model once on these inputs, and returns its outputs."""
        import tensorflow as tf

        given = {spec.name: tf.constant(inputs[spec.name], spec.dtype) for spec in self.inputs}
        return lambda: self._call(**given)

    def outputs(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return what the model computes, by name."""
        return {name: tensor.numpy() for name, tensor in self.prepare(inputs)().items()}


def _dtype_name(dtype: Any) -> str:
    """Return the name of a dtype, `str` for that of texts.

    Example:
        >>> _dtype_name(np.float32), _dtype_name(object)
        ('float32', 'str')
    """
    name = np.dtype(dtype).name
    return "str" if name == "object" else name
