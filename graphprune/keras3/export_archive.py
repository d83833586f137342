"""Exports by Keras before 3.8, whose `Model.export` takes no signature."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
from keras.src.utils.module_utils import tensorflow


def takes_signature(model: Any) -> bool:
    """Return whether `model.export` takes a signature and the options of JAX; since Keras 3.8."""
    return "input_signature" in inspect.signature(model.export).parameters


def export_with_archive(model: Any, folder: Path, signature: list[Any] | None) -> None:
    """Export as `model.export` does, with the shapes and names of a signature.

    Args:
        model: The model.
        folder: Where to write.
        signature: An `InputSpec` for each input, in the structure in which the model is called;
            None for a model without symbolic inputs, which takes what it was called with.
    """
    if signature is None:
        model.export(str(folder))
        return
    archive = keras.export.ExportArchive()
    archive.track(model)
    specs = keras.tree.map_structure(_tensor_spec, signature)
    archive.add_endpoint("serve", model.__call__, specs)
    archive.write_out(str(folder))


def _tensor_spec(spec: Any) -> Any:
    return tensorflow.TensorSpec(spec.shape, spec.dtype, spec.name)
