"""Keras 3 models for serving: SavedModel folders, TensorFlow Lite and ONNX files.

Each is exported by Keras (`model.export`), ONNX on PyTorch by `torch.onnx`; it is run, and compared
with the model, before it takes its place. What a backend has no export for is written in a process
with TensorFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from graphprune.archive.files import MODEL_SUFFIXES, check_export_suffix
from graphprune.archive.small_files import save_small
from graphprune.errors import GraphError, OutputError
from graphprune.files import temporary_folder, whole_folder, write_whole
from graphprune.keras3.export_archive import export_with_archive, takes_signature
from graphprune.keras3.export_process import export_in_process
from graphprune.keras3.model import held_layers
from graphprune.keras3.named_outputs import inputs_of, output_names, with_named_outputs
from graphprune.keras3.precision import in_float32
from graphprune.keras3.saving import has_custom_objects, save_model
from graphprune.keras3.torch_onnx import torch_to_onnx
from graphprune.quiet import quiet_output
from graphprune.serving.convert import (
    check_onnx,
    first_line,
    saved_model_to_onnx,
    variables_stored_once,
)
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
    served_input,
)
from graphprune.serving.proving import check_onnx_file
from graphprune.serving.tflite_forms import TfliteRequest
from graphprune.serving.tflite_writing import MadeTflite, make_tflite
from graphprune.write_faults import find_reason

PLAIN = TfliteRequest()


def write_model(
    model: Any, path: str | Path, request: TfliteRequest = PLAIN, *, for_training: bool = False
) -> MadeTflite | None:
    """Write `model` in the format that the suffix of the path names, whole or not at all.

    `.keras`, `.h5`, `.tflite`, `.onnx`, or an exported SavedModel folder without a suffix, which
    replaces a SavedModel that stands there. The batch size of exported forms stays open, except in
    TensorFlow Lite files of models with recurrent layers.

    Args:
        model: The model.
        path: The file or folder.
        request: Precision, batch size and samples of a `.tflite` file.
        for_training: Whether training is to go on; Keras 3 exports SavedModels for serving alone.

    Returns:
        How a `.tflite` file is stored; None for other formats.

    Raises:
        GraphError: the model is pruned, or not built.
        OutputError: the model has no such form, the form computes something else, or it cannot be
            written.
    """
    check_export_suffix(path)
    target = Path(path)
    if target.suffix in MODEL_SUFFIXES:
        save_small(partial(save_model, model), target)
        return None
    _check_exportable(model, target)
    if not target.suffix and for_training:
        raise OutputError(
            "Keras 3 exports SavedModels for serving, without an optimizer; save it as .keras, or"
            " leave out --keep-optimizer",
            place=target,
        )
    if target.suffix == ".tflite":
        made = to_tflite(model, request, str(target))
        write_whole(target, made.content)
        return made
    if target.suffix == ".onnx":
        write_whole(target, to_onnx(model, str(target)))
    else:
        write_saved_model(model, target)
    return None


def write_saved_model(model: Any, target: Path) -> None:
    """Write `model` as an exported SavedModel folder; see `write_model`."""
    if (
        target.exists()
        and not (target / "saved_model.pb").is_file()
        and not (target.is_dir() and not any(target.iterdir()))
    ):
        raise OutputError("exists and is not a SavedModel; give another path", place=target)
    with whole_folder(target) as folder:
        export_folder(model, folder)
        inputs = sample_inputs(folder, partial(_compute, model))
        wanted, found = _compute(model, [inputs]), run_saved_model(folder, inputs)
        check_outputs(wanted, found, "SavedModel", str(target), _limit(model))


def to_tflite(model: Any, request: TfliteRequest = PLAIN, place: str = "") -> MadeTflite:
    """Return `model` as a TensorFlow Lite file that was run and computed what the model does.

    What JAX exports computes shapes at run time, lacks the names of layers, and has operations that
    cannot be converted, so TensorFlow exports the model, unless it has its own classes. A model in
    another precision than float32 is written as its copy in float32, and compared with the model.

    Raises:
        OutputError: TensorFlow Lite has no operation for a layer, or the file computes something
            else.
    """
    if keras.config.backend() != "jax" or has_custom_objects(model, compiled=False):
        return _to_tflite(model, request, place, needs_tensorflow=False)
    try:
        return _to_tflite(model, request, place, needs_tensorflow=True)
    except OutputError as fault:
        with suppress(OutputError):
            return _to_tflite(model, request, place, needs_tensorflow=False)
        raise fault


def _to_tflite(
    model: Any, request: TfliteRequest, place: str, *, needs_tensorflow: bool
) -> MadeTflite:
    recurrent = any(isinstance(layer, keras.layers.RNN) for layer in model._flatten_layers())
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or ())
    fixed = next((tensor.shape[0] for tensor in inputs if tensor.shape and tensor.shape[0]), None)
    request = request.with_batch(fixed, 1 if recurrent else None, place or model.name)
    served = in_float32(model, place)
    with temporary_folder() as parent:
        folder = parent / "exported"
        export_folder(
            served, folder, request.batch, needs_tensorflow=needs_tensorflow, is_fixed=True
        )
        return make_tflite(_exported(model, served, folder), request, place or model.name)


def _exported(model: Any, served: Any, folder: Path) -> Exported:
    """Return what was exported: `served`, which is compared with `model`."""
    weights = (keras.ops.convert_to_numpy(weight) for weight in served.weights)
    floats = tuple(values for values in weights if values.dtype.kind == "f")
    return Exported(folder, model.name, partial(_compute, model), floats, _limit(model) is HALF)


def to_onnx(model: Any, place: str = "") -> bytes:
    """Return `model` as an ONNX file's bytes.

    Raises:
        OutputError: a package is missing, ONNX has no operation for a layer, or the file computes
            something else.
    """
    if keras.config.backend() == "torch":
        check_onnx(("onnxruntime",))
        content, inputs = torch_to_onnx(model)
    else:
        check_onnx()
        content, inputs = _tensorflow_to_onnx(model)
    wanted = _compute(model, [inputs])
    check_onnx_file(content, inputs, wanted, _limit(model), place or model.name)
    return content


def _tensorflow_to_onnx(model: Any) -> tuple[bytes, Arrays]:
    """Return `model` as an ONNX file's bytes, and inputs for it."""
    with temporary_folder() as parent:
        folder = parent / "exported"
        export_folder(model, folder, needs_tensorflow=True)
        inputs = sample_inputs(folder, partial(_compute, model))
        return saved_model_to_onnx(folder, model.name), inputs


def _check_exportable(model: Any, target: Path) -> None:
    if held_layers(model):
        raise GraphError(
            f"{model.name} is pruned, and an exported file has no masks; export what"
            " strip_pruning(model) returns",
            place=target,
        )
    if not model.built:
        raise GraphError(
            f"{model.name} is not built, so its inputs are not known; call it on a batch first",
            place=target,
        )
    if not getattr(model, "inputs", None) and not model._called:
        _call_once(model)


def _call_once(model: Any) -> None:
    """Call a subclassed model that was only built: Keras exports models that were called."""
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    model(*(_zeros(shape, model.input_dtype) for shape in shapes.values()), training=False)


def _zeros(shape: Any, dtype: str) -> Any:
    """Return a tensor of a shape, or tensors in the structure of several shapes."""
    if isinstance(shape, Mapping):
        return {name: _zeros(part, dtype) for name, part in shape.items()}
    if all(length is None or isinstance(length, int) for length in shape):
        return keras.ops.zeros([length or 1 for length in shape], dtype)
    return [_zeros(part, dtype) for part in shape]


def export_folder(
    model: Any,
    folder: Path,
    batch: int | None = None,
    *,
    names: Sequence[str] = (),
    needs_tensorflow: bool = False,
    is_fixed: bool = False,
) -> None:
    """Export `model` to a SavedModel folder.

    Args:
        model: The model.
        folder: Where to write.
        batch: The batch size; None leaves it open.
        names: What to call the inputs, in their order; their own names unless given.
        needs_tensorflow: Whether the graph must consist of operations of TensorFlow, which what JAX
            exports does not.
        is_fixed: Whether the folder may have weights as constants, and need not keep states: on JAX
            it has no operations then that TensorFlow Lite lacks.

    Raises:
        OutputError: Keras cannot export it.
    """
    backend = keras.config.backend()
    if backend == "torch" or (needs_tensorflow and backend != "tensorflow"):
        _export_in_process(model, folder, batch)
    else:
        _export_here(model, folder, batch, names, is_fixed=is_fixed)


def _export_in_process(model: Any, folder: Path, batch: int | None) -> None:
    if has_custom_objects(model, compiled=False):
        raise OutputError(
            f"{model.name} has its own classes or functions, so it cannot be exported this way with"
            f" the backend {keras.config.backend()}; save it as .keras, and export that file with"
            " KERAS_BACKEND=tensorflow"
        )
    with temporary_folder() as parent:
        file = parent / "model.keras"
        save_model(model, file)
        inputs = [tensor.name for tensor in keras.tree.flatten(inputs_of(model))]
        export_in_process(file, folder, model.name, batch, inputs)


def _export_here(
    model: Any, folder: Path, batch: int | None, names: Sequence[str], *, is_fixed: bool
) -> None:
    """Export with the backend of this process."""
    try:
        with quiet_output(), redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with variables_stored_once():
                named = with_named_outputs(model)
                _export_with_keras(named, folder, batch, names, is_fixed=is_fixed)
    except Exception as fault:  # Keras, TensorFlow and JAX raise errors of all kinds
        raise find_reason(fault) or OutputError(
            f"{model.name}: Keras cannot export it: {first_line(fault)}; save it as"
            f" .keras{_elsewhere()}"
        ) from fault


def _elsewhere() -> str:
    """Return the advice to export with the backend that exports most."""
    is_other = keras.config.backend() != "tensorflow"
    return ", and export that file with KERAS_BACKEND=tensorflow" if is_other else ""


def _export_with_keras(
    model: Any, folder: Path, batch: int | None, names: Sequence[str], *, is_fixed: bool
) -> None:
    """Export by Keras; `is_fixed` on JAX as an inference function that writes nothing back.

    TensorFlow Lite has no operation for the state of random generators. Such a function has the
    weights as constants, beside the variables of the folder.
    """
    if not takes_signature(model):
        has_inputs = bool(getattr(model, "inputs", None))
        export_with_archive(model, folder, _signature(model, batch, names) if has_inputs else None)
        return
    options: dict[str, Any] = {}
    if is_fixed and keras.config.backend() == "jax":
        options["is_static"] = True
    if batch is not None or names or _has_special_names(model):
        options["input_signature"] = _signature(model, batch, names)
    model.export(str(folder), format="tf_saved_model", **options)


def _signature(model: Any, batch: int | None, names: Sequence[str]) -> list[Any]:
    def fixed(tensor: Any, name: str) -> Any:
        shape = (tensor.shape[0] or batch, *tensor.shape[1:])
        return keras.InputSpec(shape=shape, dtype=tensor.dtype, name=name)

    inputs = inputs_of(model)
    flat = keras.tree.flatten(inputs)
    called = map(served_input, names or [tensor.name for tensor in flat])
    return [keras.tree.pack_sequence_as(inputs, list(map(fixed, flat, called)))]


def _has_special_names(model: Any) -> bool:
    """Return whether an input has a name that TensorFlow Lite has and a SavedModel changes."""
    names = [tensor.name for tensor in keras.tree.flatten(getattr(model, "inputs", None) or ())]
    return any(name != served_input(name) for name in names)


def _limit(model: Any) -> Limit:
    is_half = any(
        layer.compute_dtype in ("float16", "bfloat16") for layer in model._flatten_layers()
    )
    return HALF if is_half else EXACT


def _compute(model: Any, batches: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """Return what the model computes from batches, by the names that its exported form has.

    Stateful layers keep their state from one batch to the next, and have it back at the end.
    """
    layers = (layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN))
    states = [
        state for layer in layers if layer.stateful for state in keras.tree.flatten(layer.states)
    ]
    values = [np.array(keras.ops.convert_to_numpy(state)) for state in states]
    outputs = [_outputs(model, inputs) for inputs in batches]
    for state, value in zip(states, values, strict=True):
        state.assign(value)
    return join_batches(outputs)


def _outputs(model: Any, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Return what the model computes from one batch."""
    if getattr(model, "inputs", None):
        called = keras.tree.map_structure(
            lambda tensor: find_input(inputs, tensor.name), inputs_of(model)
        )
        single = isinstance(called, list | tuple) and len(called) == 1
        outputs = model(called[0] if single else called, training=False)
    else:
        outputs = model(*inputs.values(), training=False)
    flat = keras.tree.flatten(outputs)
    arrays = [np.array(keras.ops.convert_to_numpy(value)) for value in flat]
    return name_outputs(outputs, arrays, output_names(model))
