"""Runs exported models and files made from them, and compares their outputs with the model's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import OutputError
from graphprune.quiet import quiet_output
from graphprune.serving.convert import SIGNATURE, first_line

Arrays = Mapping[str, NDArray[Any]]
"""Inputs or outputs by their names in the signature of the exported model."""

OPEN_LENGTH = 32
"""The length of a sample's axes that a model leaves open, other than the batch."""
_TOLERANCE = 1e-4
_HALF_TOLERANCE = 2e-2


def sample_inputs(folder: Path, batch: int = 2) -> dict[str, NDArray[Any]]:
    """Return random inputs for an exported model: numbers, 0 and 1 for integers, short texts.

    Args:
        folder: The exported SavedModel.
        batch: The batch size, where the model leaves it open.
    """
    import tensorflow as tf

    with quiet_output():
        specs = tf.saved_model.load(str(folder)).signatures[SIGNATURE].structured_input_signature[1]
    return sample_specs(specs, batch)


def sample_specs(specs: Mapping[str, Any], batch: int = 2) -> dict[str, NDArray[Any]]:
    """Return random inputs as `sample_inputs` does, for the `tf.TensorSpec` of each."""
    shapes = {
        name: (spec.shape.as_list(), spec.dtype.as_numpy_dtype) for name, spec in specs.items()
    }
    return sample_shapes(shapes, batch)


def sample_shapes(
    shapes: Mapping[str, tuple[Sequence[int | None], Any]],
    batch: int,
    length: int = OPEN_LENGTH,
    seed: int = 0,
) -> dict[str, NDArray[Any]]:
    """Return random inputs as `sample_inputs` does, for the shape and dtype of each.

    Args:
        shapes: The shape and dtype of each input; None is an open length.
        batch: The batch size, where it is open.
        length: The length of other open axes.
        seed: The seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    return {
        name: _sample(random, _closed(shape, [batch, *[length] * len(shape)]), dtype)
        for name, (shape, dtype) in shapes.items()
    }


def _closed(shape: Sequence[int | None], opened: Sequence[int]) -> tuple[int, ...]:
    return tuple(opened[axis] if length is None else length for axis, length in enumerate(shape))


def _sample(random: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    kind = np.dtype(dtype).kind
    if kind == "f":
        return random.normal(size=shape).astype(dtype)
    if kind in "biu":
        return random.integers(0, 2, size=shape).astype(dtype)
    return np.full(shape, "a", dtype)


def run_saved_model(folder: Path, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Return what an exported SavedModel computes."""
    import tensorflow as tf

    with quiet_output():
        loaded = tf.saved_model.load(str(folder))  # its signatures do not keep its variables alive
        found = loaded.signatures[SIGNATURE](
            **{name: tf.constant(values) for name, values in inputs.items()}
        )
    return {name: tensor.numpy() for name, tensor in found.items()}


def run_tflite(content: bytes, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Return what a TensorFlow Lite file computes.

    Raises:
        OutputError: it does not run.
    """
    import tensorflow as tf

    with _running("TensorFlow Lite"), quiet_output(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        runner = tf.lite.Interpreter(model_content=content).get_signature_runner(SIGNATURE)
        found = runner(**inputs)
    return {name: np.array(values) for name, values in found.items()}


def run_onnx(content: bytes, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Return what an ONNX file computes.

    Raises:
        OutputError: it does not run.
    """
    import onnxruntime

    with _running("ONNX"), quiet_output():
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        given = {taken.name: inputs[taken.name] for taken in session.get_inputs()}
        return dict(zip(names, session.run(None, given), strict=True))


@contextmanager
def _running(form: str) -> Iterator[None]:
    """Turn the errors of a runtime into an OutputError: not all that is written can be run."""
    try:
        yield
    except Exception as fault:  # runtimes raise errors of their own kinds
        raise OutputError(
            f"the {form} file does not run: {first_line(fault)}; save the model as .keras or as a"
            " SavedModel folder"
        ) from fault


def name_outputs(outputs: Any, flat: Sequence[Any]) -> dict[str, Any]:
    """Return a model's outputs by the names that they get when the model is exported.

    Args:
        outputs: What the model returned.
        flat: The tensors in it, in the order of Keras.

    Example:
        >>> name_outputs({"a": None}, [np.zeros(1)]), name_outputs([None], [np.ones(1)])
        ({'a': array([0.])}, {'output_0': array([1.])})
    """
    names = (
        sorted(outputs)
        if isinstance(outputs, Mapping)
        else [f"output_{place}" for place in range(len(flat))]
    )
    return dict(zip(names, flat, strict=True))


def find_input(inputs: Arrays, name: str) -> NDArray[Any]:
    """Return the input of a layer's name, which signatures write without special characters.

    Example:
        >>> find_input({"my_image": np.zeros(1)}, "my-image")
        array([0.])
    """
    return inputs[name] if name in inputs else inputs[re.sub(r"\W", "_", name)]


def check_outputs(
    wanted: Arrays, got: Arrays, form: str, place: str, *, is_half: bool = False
) -> None:
    """Compare what a file computes with what the model computes.

    Args:
        wanted: The outputs of the model.
        got: The outputs of the file.
        form: What the file is, for the error: `ONNX`.
        place: Its path, for the error.
        is_half: Whether the model computes in 16 bits, which rounds more.

    Raises:
        OutputError: they differ by more than rounding.
    """
    for name, values in wanted.items():
        if name not in got or got[name].shape != values.shape:
            shape = "missing" if name not in got else f"of shape {list(got[name].shape)}"
            raise OutputError(
                f"not written: in the {form} form, the output {name!r} is {shape}, the model's has"
                f" shape {list(values.shape)}; save it as .keras",
                place=place,
            )
        if not _is_close(values, got[name], is_half):
            raise OutputError(
                f"not written: in the {form} form, the output {name!r} differs from the model's;"
                " save it as .keras",
                place=place,
            )


def _is_close(wanted: NDArray[Any], got: NDArray[Any], is_half: bool) -> bool:
    if wanted.dtype.kind != "f" and wanted.dtype.name != "bfloat16":
        return bool(np.array_equal(wanted, got))
    values = wanted.astype("float64")
    finite = values[np.isfinite(values)]
    limit = _HALF_TOLERANCE if is_half else _TOLERANCE
    scale = max(1.0, float(np.abs(finite).max(initial=0.0)))
    return bool(
        np.allclose(values, got.astype("float64"), rtol=0, atol=limit * scale, equal_nan=True)
    )
