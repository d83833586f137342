"""Inputs for exported models, and the comparison of their outputs with the model's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import OutputError
from graphprune.quiet import quiet_output
from graphprune.serving.convert import SIGNATURE

Arrays = Mapping[str, NDArray[Any]]
"""Inputs or outputs by their names in the signature of the exported model."""

OPEN_LENGTH = 32
"""The length of a sample's axes that a model leaves open, other than the batch."""


def sample_inputs(folder: Path, batch: int = 2) -> dict[str, NDArray[Any]]:
    """Return random inputs for an exported model: numbers, 0 and 1 for integers, short texts.

    Args:
        folder: The exported SavedModel.
        batch: The batch size, where the model leaves it open.
    """
    return sample_specs(_specs_of(folder), batch)


def sample_batches(folder: Path, batch: int, count: int) -> list[dict[str, NDArray[Any]]]:
    """Return `count` batches as `sample_inputs` does, all different."""
    specs = _specs_of(folder)
    return [sample_specs(specs, batch, seed) for seed in range(count)]


def _specs_of(folder: Path) -> Mapping[str, Any]:
    """Return the `tf.TensorSpec` of each input of an exported SavedModel."""
    import tensorflow as tf

    with quiet_output():
        signature = tf.saved_model.load(str(folder)).signatures[SIGNATURE]
    specs: Mapping[str, Any] = signature.structured_input_signature[1]
    return specs


def sample_specs(
    specs: Mapping[str, Any], batch: int = 2, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Return random inputs as `sample_inputs` does, for the `tf.TensorSpec` of each."""
    shapes = {
        name: (spec.shape.as_list(), spec.dtype.as_numpy_dtype) for name, spec in specs.items()
    }
    return sample_shapes(shapes, batch, seed=seed)


def sample_shapes(
    shapes: Mapping[str, tuple[Sequence[int | None], Any]],
    batch: int,
    length: int = OPEN_LENGTH,
    seed: int = 0,
) -> dict[str, NDArray[Any]]:
    """Return random inputs as `sample_inputs` does, for the shape and dtype of each.

    They do not depend on the order of the inputs: a SavedModel lists those of its signature in
    another order each time that it is loaded.

    Args:
        shapes: The shape and dtype of each input; None is an open length.
        batch: The batch size, where it is open.
        length: The length of other open axes.
        seed: The seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    return {
        name: _sample(random, _closed(shape, [batch, *[length] * len(shape)]), dtype)
        for name, (shape, dtype) in sorted(shapes.items())
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
    return open_saved_model(folder)(inputs)


def open_saved_model(folder: Path) -> Callable[[Arrays], dict[str, NDArray[Any]]]:
    """Return a function that gives what an exported SavedModel computes."""
    import tensorflow as tf

    with quiet_output():
        loaded = tf.saved_model.load(str(folder))  # its signatures do not keep its variables alive

    def call(inputs: Arrays) -> dict[str, NDArray[Any]]:
        given = {name: tf.constant(values) for name, values in inputs.items()}
        with quiet_output():
            found = loaded.signatures[SIGNATURE](**given)
        return {name: tensor.numpy() for name, tensor in found.items()}

    return call


def name_outputs(outputs: Any, flat: Sequence[Any], names: Sequence[str] = ()) -> dict[str, Any]:
    """Return a model's outputs by the names that they get when the model is exported.

    Args:
        outputs: What the model returned.
        flat: The tensors in it, in the order of Keras.
        names: Those that `served_names` gives; none for a model whose layers are not known.

    Example:
        >>> name_outputs({"a": None}, [np.zeros(1)]), name_outputs([None], [np.ones(1)])
        ({'a': array([0.])}, {'output_0': array([1.])})
        >>> name_outputs([None], [np.ones(1)], ["digits"])
        {'digits': array([1.])}
    """
    if isinstance(outputs, Mapping):
        names = sorted(outputs)
    elif not names:
        names = [f"output_{place}" for place in range(len(flat))]
    return dict(zip(names, flat, strict=True))


def served_names(layers: Sequence[str], inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the layers that give a model's outputs, if they can name the outputs.

    Args:
        layers: The name of the layer of each output.
        inputs: The names of the inputs; an ONNX file has one tensor of each name.

    Example:
        >>> served_names(["digit", "size"], ["image"])
        ('digit', 'size')
        >>> served_names(["lstm", "lstm"], ["x"]), served_names(["x", "y"], ["x"])
        ((), ())
    """
    is_clear = len(set(layers)) == len(layers) and not set(layers) & set(inputs)
    return tuple(layers) if is_clear else ()


def served_input(name: str) -> str:
    """Return what exported forms call the input of a layer's name: no special characters.

    Example:
        >>> served_input("my-image")
        'my_image'
    """
    return re.sub(r"\W", "_", name)


def find_input(inputs: Arrays, name: str) -> NDArray[Any]:
    """Return the input of a layer's name, which signatures write without special characters.

    Example:
        >>> find_input({"my_image": np.zeros(1)}, "my-image")
        array([0.])
    """
    return inputs[name] if name in inputs else inputs[served_input(name)]


def join_batches(batches: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """Return the arrays of all batches, one after another.

    Example:
        >>> join_batches([{"y": np.zeros(1)}, {"y": np.ones(1)}])
        {'y': array([0., 1.])}
    """
    if len(batches) == 1:
        return dict(batches[0])
    rows = [{name: np.atleast_1d(values) for name, values in one.items()} for one in batches]
    return {name: np.concatenate([one[name] for one in rows]) for name in rows[0]}


@dataclass(frozen=True, slots=True)
class Limit:
    """How far the outputs of a file may differ from the model's.

    Attributes:
        share: The difference, as a share of the largest output, and of 1 if all are smaller; for
            the average, of the root mean square of the outputs.
        is_average: Whether the root mean square of the differences counts, for forms that round
            so much that single values differ; whole numbers are not compared then.
        small: Of outputs that are all smaller than 1, such as the probabilities of many classes,
            how far they may differ on average too: the same, as a share of the outputs.
        is_rounded: Whether the form rounds so much that a large value which all samples have in
            common may hide what they differ in. The outputs must then differ by less than they do
            from one sample to another, in root mean squares; shares and probabilities, which are
            0 to 1, by less than that or 1%.
    """

    share: float
    is_average: bool = False
    small: float = math.inf
    is_rounded: bool = False


EXACT, HALF = Limit(1e-4, small=1e-2), Limit(2e-2, small=1e-1)
"""The limits of computing in 32 and in 16 bits."""
_NOISE = 1e-6
"""Outputs that are smaller may be rounding alone."""
_SHARE = 1e-2
"""How far shares and probabilities may differ, if they vary less from one sample to another."""


def check_outputs(wanted: Arrays, got: Arrays, form: str, place: str, limit: Limit) -> None:
    """Compare what a file computes with what the model computes.

    Args:
        wanted: The outputs of the model.
        got: The outputs of the file.
        form: What the file is, for the error: `ONNX`.
        place: Its path, for the error.
        limit: How far they may differ.

    Raises:
        OutputError: they differ by more than rounding.
    """
    reason = find_deviation(wanted, got, limit)
    if reason is not None:
        raise not_written(form, reason, place)


def not_written(form: str, reason: str, place: str) -> OutputError:
    """Return the error for a file that does not do what the model does."""
    return OutputError(f"not written: in the {form} form, {reason}; save it as .keras", place=place)


def find_deviation(wanted: Arrays, got: Arrays, limit: Limit) -> str | None:
    """Return what a file computes otherwise than the model, in words; None if nothing.

    Example:
        >>> find_deviation({"y": np.ones(2)}, {"y": np.zeros(2)}, EXACT)
        "the output 'y' differs from the model's"
        >>> find_deviation({"y": np.ones(2)}, {"y": np.full(2, 1.05)}, Limit(0.1, is_average=True))
        >>> find_deviation({"y": np.full(1000, 1e-3)}, {"y": np.zeros(1000)}, HALF)
        "the output 'y' differs from the model's"
        >>> given, mean = np.array([[999.0], [1001.0]]), np.full((2, 1), 1000.0)
        >>> find_deviation({"y": given}, {"y": mean}, Limit(0.1, True, is_rounded=True))
        "the output 'y' differs from the model's by as much as it does from one sample to another"
    """
    for name, values in wanted.items():
        if name not in got or got[name].shape != values.shape:
            shape = "missing" if name not in got else f"of shape {list(got[name].shape)}"
            return f"the output {name!r} is {shape}, the model's has shape {list(values.shape)}"
        if not _is_close(values, got[name], limit):
            return f"the output {name!r} differs from the model's"
        if limit.is_rounded and not _follows(values, got[name]):
            return (
                f"the output {name!r} differs from the model's by as much as it does from one"
                " sample to another"
            )
    return None


def _is_real(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" or values.dtype.name == "bfloat16"


def _is_close(wanted: NDArray[Any], got: NDArray[Any], limit: Limit) -> bool:
    if not _is_real(wanted):
        return limit.is_average or bool(np.array_equal(wanted, got))
    values, others = wanted.astype("float64"), got.astype("float64")
    if limit.is_average:
        return _is_close_on_average(values, others, limit.share)
    finite = np.isfinite(values)
    largest = float(np.abs(values[finite]).max(initial=0.0))
    reach = limit.share * max(1.0, largest)
    if not np.allclose(values, others, rtol=0, atol=reach, equal_nan=True):
        return False
    is_small = _NOISE < largest < 1
    return not is_small or _is_close_on_average(values[finite], others[finite], limit.small)


def _follows(wanted: NDArray[Any], got: NDArray[Any]) -> bool:
    """Return whether outputs differ from the model's by less than from one sample to another.

    True also where that cannot be told: of one sample, or of values that are the same for all.

    Example:
        >>> length = np.array([[1000.0], [1001.0], [1003.0]])
        >>> _follows(length, length + 0.5), _follows(length, np.full((3, 1), 1001.3))
        (True, False)
    """
    is_one = not wanted.ndim or len(wanted) < 2
    if is_one or not _is_real(wanted) or not np.isfinite(wanted).all():
        return True
    values, others = wanted.astype("float64"), got.astype("float64")
    varies = _mean_square(values - values.mean(axis=0))
    if varies <= _NOISE**2 * _mean_square(values):
        return True
    is_share = bool(((values >= 0) & (values <= 1)).all())
    return _mean_square(others - values) < max(varies, _SHARE**2 if is_share else 0)


def _is_close_on_average(
    values: NDArray[np.float64], others: NDArray[np.float64], share: float
) -> bool:
    return bool(_mean_square(others - values) <= share**2 * _mean_square(values))


def _mean_square(values: NDArray[np.float64]) -> float:
    return float(np.square(values).mean()) if values.size else 0.0
