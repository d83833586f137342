"""Models for serving: TensorFlow Lite and ONNX files, and SavedModel folders.

A SavedModel is exported with its graph and weights alone. The one that Keras loads again also
holds the functions that each layer needs for training; it is three times as large, and is written
where the optimizer is kept, to go on with training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from graphprune.archive.files import check_export_suffix
from graphprune.archive.small_files import save_small
from graphprune.errors import OutputError
from graphprune.files import temporary_folder, whole_folder, write_whole
from graphprune.quiet import quiet_output
from graphprune.serving.convert import SIGNATURE, first_line, function_to_onnx
from graphprune.serving.exported import Exported
from graphprune.serving.outputs import (
    EXACT,
    HALF,
    Arrays,
    Limit,
    check_outputs,
    find_input,
    join_batches,
    name_outputs,
    run_saved_model,
    sample_inputs,
    sample_shapes,
    served_input,
    served_names,
    shapes_of,
    taken_length,
)
from graphprune.serving.proving import check_onnx_file
from graphprune.serving.tflite_forms import TfliteRequest
from graphprune.serving.tflite_writing import MadeTflite, make_tflite
from graphprune.tf.models.keras_file import estimate_bytes
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.precision import in_float32
from graphprune.write_faults import find_reason

PLAIN = TfliteRequest()


def write_model(
    model: tf_keras.Model,
    path: str | Path,
    request: TfliteRequest = PLAIN,
    *,
    for_training: bool = False,
) -> MadeTflite | None:
    """Write `model` in the format that the suffix of the path names.

    `.keras`, `.h5`, `.tflite`, `.onnx`, or a SavedModel folder without a suffix. Files for serving
    are run and compared with the model first.

    Args:
        model: The model.
        path: The file or folder; one that is there is replaced.
        request: Precision, batch size and samples of a `.tflite` file.
        for_training: Write a SavedModel that Keras loads again, rather than a small one.

    Returns:
        How a `.tflite` file is stored; None for other formats.

    Raises:
        OutputError: the suffix names no format, or the model cannot be written.
    """
    check_export_suffix(path)
    target = Path(path)
    if target.suffix == ".tflite":
        made = to_tflite(model, request, str(path))
        write_whole(target, made.content)
        return made
    if target.suffix == ".onnx":
        write_whole(target, to_onnx(model, str(path)))
    elif target.suffix:
        save_small(partial(save_model, model), target)
    elif for_training:
        write_saved_model(model, target)
    else:
        write_served_folder(model, target)
    return None


def to_tflite(model: tf_keras.Model, request: TfliteRequest = PLAIN, place: str = "") -> MadeTflite:
    """Return `model` as a TensorFlow Lite file that was run and computed what the model does.

    The batch size stays open, except for models with recurrent layers or group normalization, for
    which TensorFlow Lite needs a fixed one. Each call of an interpreter starts a new sequence, as
    in Keras; only layers with `stateful=True` keep their state. A model in another precision than
    float32 is written as its copy in float32, and compared with the model.

    Args:
        model: The model.
        request: Precision, batch size and samples.
        place: The path of the file, for errors.

    Raises:
        OutputError: TensorFlow Lite has no operation for a layer, or the file computes something
            else.
    """
    is_fixed = any(isinstance(layer, _IN_FIXED_BATCHES) for layer in model._flatten_layers())
    request = request.with_batch(_batch_of(model), 1 if is_fixed else None, place or model.name)
    served = in_float32(model, place)
    with temporary_folder() as parent, _lstm_as_loop(served):
        folder = parent / "exported"
        export_folder(served, folder, request.batch, "be written for TensorFlow Lite")
        exported = replace(_exported(model, folder), weights=_weights(served))
        return make_tflite(exported, request, place or model.name)


def to_onnx(model: tf_keras.Model, place: str = "") -> bytes:
    """Return `model` as an ONNX file's bytes, which were run and computed what the model does.

    Args:
        model: The model.
        place: The path of the file, for errors.

    Raises:
        OutputError: the extra `onnx` is not installed, ONNX has no operation for a layer, or the
            file computes something else.
    """
    specs = {spec.name: spec for spec in _specs(model, None)}

    names = served_names(model.output_names, model.input_names)

    def call(**inputs: Any) -> Any:
        outputs = _call(model, inputs)
        return name_outputs(outputs, tf.nest.flatten(outputs), names)

    content = function_to_onnx(call, specs, model.name)
    shapes = shapes_of(specs)
    length = taken_length(shapes, _SAMPLES, lambda batches: call(**batches[0]))
    inputs = sample_shapes(shapes, _SAMPLES, length)
    wanted = {name: tensor.numpy() for name, tensor in call(**inputs).items()}
    check_onnx_file(content, inputs, wanted, _limit(model), place or model.name)
    return content


def write_served_folder(model: tf_keras.Model, target: Path) -> None:
    """Write `model` as a SavedModel folder for serving, whole or not at all.

    A SavedModel at `target` is replaced.

    Raises:
        OutputError: something else stands at `target`, the folder cannot be written, or computes
            something else.
    """
    _check_replaceable(target)
    with whole_folder(target, needed=estimate_bytes(model)) as folder:
        export_folder(model, folder, None, "be written as a SavedModel")
        exported = _exported(model, folder)
        inputs = sample_inputs(folder, exported.compute)
        found = run_saved_model(folder, inputs)
        check_outputs(exported.compute([inputs]), found, "SavedModel", str(target), _limit(model))


def write_saved_model(model: tf_keras.Model, path: str | Path) -> None:
    """Write `model` as a SavedModel folder that Keras loads again, whole or not at all.

    A SavedModel at `path` is replaced.

    Raises:
        OutputError: something else stands at `path`, or the folder cannot be written.
    """
    target = Path(path)
    _check_replaceable(target)
    with whole_folder(target, needed=estimate_bytes(model)) as folder:
        try:
            with quiet_output():
                model.save(folder, save_format="tf")
        except tf.errors.OpError as fault:
            raise find_reason(fault) or OutputError(
                f"cannot be written: {first_line(fault)}; save it as .keras", place=target
            ) from fault


def export_folder(model: tf_keras.Model, folder: Path, batch: int | None, what: str) -> None:
    """Write a SavedModel with the signature `serving_default` alone.

    Its inputs have the names of the model's, without special characters, and its outputs too.

    Args:
        model: The model.
        folder: Where to write it.
        batch: The batch size, where the model leaves it open; None leaves it open.
        what: What cannot be done if it fails, for the error.

    Raises:
        OutputError: TensorFlow cannot export the model.
    """
    specs = _specs(model, batch)

    def serve(*tensors: Any) -> dict[str, Any]:
        names = (spec.name for spec in specs)
        return _name_served(model, _call(model, dict(zip(names, tensors, strict=True))))

    archive = tf_keras.export.ExportArchive()
    try:
        with quiet_output(), redirect_stdout(StringIO()):
            archive.track(model)
            archive.add_endpoint(SIGNATURE, serve, input_signature=specs)
            archive.write_out(str(folder))
    except Exception as fault:  # layers raise errors of all kinds when they are traced
        raise find_reason(fault) or OutputError(
            f"{model.name}: cannot {what}: {first_line(fault)}; save it as .keras"
        ) from fault


def _check_replaceable(target: Path) -> None:
    if (
        target.exists()
        and not (target / "saved_model.pb").is_file()
        and not (target.is_dir() and not any(target.iterdir()))
    ):
        raise OutputError("exists and is not a SavedModel; give another path", place=target)


def _specs(model: tf_keras.Model, batch: int | None) -> list[Any]:
    """Return the `tf.TensorSpec` of each input, by its name without special characters."""
    named = zip(model.input_names, model.inputs, strict=True)
    return [
        tf.TensorSpec(
            [tensor.shape[0] or batch, *tensor.shape[1:]] if tensor.shape.rank else tensor.shape,
            tensor.dtype,
            name=served_input(name),
        )
        for name, tensor in named
    ]


_SAMPLES = 2
"""The batch size of samples, where a model leaves it open."""
_IN_FIXED_BATCHES = (tf_keras.layers.RNN, tf_keras.layers.GroupNormalization)
"""Layers that TensorFlow Lite does not run with an open batch size: the weights of a group
normalization's mean, of ones, are then made when it runs, in operators that LiteRT refuses.
"""


def _batch_of(model: tf_keras.Model) -> int | None:
    """Return the batch size that the model itself fixes."""
    sizes = (tensor.shape[0] for tensor in model.inputs if tensor.shape.rank)
    return next((size for size in sizes if size is not None), None)


def _call(model: tf_keras.Model, inputs: Arrays) -> Any:
    given = [find_input(inputs, name) for name in model.input_names]
    return model(given[0] if len(given) == 1 else given, training=False)


def _name_served(model: tf_keras.Model, outputs: Any) -> dict[str, Any]:
    """Return a model's outputs by the names that the served forms have for them."""
    return name_outputs(outputs, tf.nest.flatten(outputs), output_names(model))


def output_names(model: tf_keras.Model) -> tuple[str, ...]:
    """Return what the served forms call the outputs of a model that returns no dict."""
    return tuple(model.output_names or ())


def _exported(model: tf_keras.Model, folder: Path) -> Exported:
    def compute(batches: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        with _states_kept(model):
            outputs = [_name_served(model, _call(model, inputs)) for inputs in batches]
        return join_batches(
            [{name: tensor.numpy() for name, tensor in named.items()} for named in outputs]
        )

    return Exported(folder, model.name, compute, _weights(model), _limit(model) is HALF)


def _weights(model: tf_keras.Model) -> tuple[NDArray[Any], ...]:
    return tuple(weight.numpy() for weight in model.weights if weight.dtype.is_floating)


def _limit(model: tf_keras.Model) -> Limit:
    is_half = any(
        layer.compute_dtype in ("float16", "bfloat16") for layer in model._flatten_layers()
    )
    return HALF if is_half else EXACT


@contextmanager
def _states_kept(model: tf_keras.Model) -> Iterator[None]:
    """Restore the states of stateful recurrent layers at the end of the block."""
    layers = (layer for layer in model._flatten_layers() if isinstance(layer, tf_keras.layers.RNN))
    states = [
        state for layer in layers if layer.stateful for state in tf.nest.flatten(layer.states)
    ]
    values = [(state, state.numpy()) for state in states if isinstance(state, tf.Variable)]
    try:
        yield
    finally:
        for state, value in values:
            state.assign(value)


@contextmanager
def _lstm_as_loop(model: tf_keras.Model) -> Iterator[None]:
    """Let LSTM layers be traced as a loop over their cell.

    Keras marks its own kernel of an LSTM (`api_implements`,
    tf_keras/src/layers/rnn/gru_lstm_utils.py), and TensorFlow Lite replaces marked kernels
    with UNIDIRECTIONAL_SEQUENCE_LSTM. That operation keeps its state in variable tensors, from
    which the next call of an interpreter would continue.
    """
    marked = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, tf_keras.layers.LSTM) and layer._could_use_gpu_kernel
    ]
    for layer in marked:
        layer._could_use_gpu_kernel = False
    try:
        yield
    finally:
        for layer in marked:
            layer._could_use_gpu_kernel = True
