"""Models for serving: TensorFlow Lite and ONNX files, and SavedModel folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.archive.files import check_export_suffix
from graphprune.errors import OutputError
from graphprune.files import whole_folder, write_whole
from graphprune.quiet import quiet_output
from graphprune.serving.convert import first_line, function_to_onnx
from graphprune.serving.outputs import check_outputs, name_outputs, run_onnx, sample_specs
from graphprune.tf.models.saving import estimate_bytes, save_model
from graphprune.write_faults import find_reason


def to_tflite(model: tf_keras.Model) -> bytes:
    """Return `model` as a TensorFlow Lite file's bytes, with float32 weights.

    The batch size stays open, except for models with recurrent layers, for which TensorFlow Lite
    needs a fixed one: it is 1. Each call of an interpreter starts a new sequence, as in Keras; only
    layers with `stateful=True` keep their state.

    Raises:
        OutputError: TensorFlow Lite has no operation for a layer.
    """
    try:
        with quiet_output():
            content = _converter(model).convert()
    except Exception as fault:  # the converter raises its own, MLIR's and TensorFlow's errors
        raise OutputError(
            f"{model.name}: cannot be written for TensorFlow Lite: {first_line(fault)}; save it as"
            " .keras or as a SavedModel folder"
        ) from fault
    return bytes(content)


def to_onnx(model: tf_keras.Model, place: str = "") -> bytes:
    """Return `model` as an ONNX file's bytes, which were run and computed what the model does.

    Args:
        model: The model.
        place: The path of the file, for errors.

    Raises:
        OutputError: the extra `onnx` is not installed, ONNX has no operation for a layer, or the
            file computes something else.
    """
    specs = {
        re.sub(r"\W", "_", name): tf.TensorSpec(tensor.shape, tensor.dtype)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }

    def call(**inputs: Any) -> Any:
        given = list(inputs.values())
        outputs = model(given[0] if len(given) == 1 else given, training=False)
        return name_outputs(outputs, tf.nest.flatten(outputs))

    content = function_to_onnx(call, specs, model.name)
    inputs = sample_specs(specs)
    wanted = {name: tensor.numpy() for name, tensor in call(**inputs).items()}
    is_half = any(
        layer.compute_dtype in ("float16", "bfloat16") for layer in model._flatten_layers()
    )
    check_outputs(wanted, run_onnx(content, inputs), "ONNX", place or model.name, is_half=is_half)
    return content


def write_model(model: tf_keras.Model, path: str | Path) -> None:
    """Write `model` in the format that the suffix of the path names.

    `.keras`, `.h5`, `.tflite`, `.onnx`, or a SavedModel folder without a suffix.

    Raises:
        OutputError: the suffix names no format, or the model cannot be written.
    """
    check_export_suffix(path)
    suffix = Path(path).suffix
    if suffix == ".tflite":
        save_tflite(model, path)
    elif suffix == ".onnx":
        write_whole(Path(path), to_onnx(model, str(path)))
    else:
        (save_model if suffix else write_saved_model)(model, path)


def save_tflite(model: tf_keras.Model, path: str | Path) -> None:
    """Write `model` as a TensorFlow Lite file, whole or not at all.

    Raises:
        OutputError: the model cannot be converted, or the file cannot be written.
    """
    write_whole(Path(path), to_tflite(model))


def write_saved_model(model: tf_keras.Model, path: str | Path) -> None:
    """Write `model` as a SavedModel folder that Keras loads again, whole or not at all.

    A SavedModel at `path` is replaced.

    Raises:
        OutputError: something else stands at `path`, or the folder cannot be written.
    """
    target = Path(path)
    if (
        target.exists()
        and not (target / "saved_model.pb").is_file()
        and not (target.is_dir() and not any(target.iterdir()))
    ):
        raise OutputError("exists and is not a SavedModel; give another path", place=target)
    with whole_folder(target, needed=estimate_bytes(model)) as folder:
        try:
            with quiet_output():
                model.save(folder, save_format="tf")
        except tf.errors.OpError as fault:
            reason = find_reason(fault)
            raise reason or OutputError(
                f"cannot be written: {first_line(fault)}; save it as .keras", place=target
            ) from fault


def _converter(model: tf_keras.Model) -> tf.lite.TFLiteConverter:
    if not any(isinstance(layer, tf_keras.layers.RNN) for layer in model._flatten_layers()):
        return tf.lite.TFLiteConverter.from_keras_model(model)
    named = zip(model.input_names, model.inputs, strict=True)
    specs = [
        tf.TensorSpec([tensor.shape[0] or 1, *tensor.shape[1:]], tensor.dtype, name=name)
        for name, tensor in named
    ]
    call = tf.function(
        lambda *inputs: model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
    )
    with _lstm_as_loop(model):
        traced = call.get_concrete_function(*specs)
    return tf.lite.TFLiteConverter.from_concrete_functions([traced], model)


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
