"""Layers that run a function or an operation of TensorFlow, inputs, and the base classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.archive.allowed.keras_names import OPERATION_LAYERS
from graphprune.graph.classes.layer_class import Expected, LayerCall, LayerClass
from graphprune.graph.classes.lengths import MAX_AXES, Config, SettingError, is_length
from graphprune.graph.classes.operation_channels import operation_channels
from graphprune.graph.classes.python_code import comparable_function
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.shapes.graph_operation_shapes import graph_operation_shapes
from graphprune.graph.shapes.operation_calls import OperationCall
from graphprune.graph.shapes.operation_shapes import operation_shapes

FUNCTIONS = ("function", "output_shape", "mask")
"""Of a Lambda: what may be Python code."""
MODULES = ("module", "output_shape_module", "mask_module")
"""Of a Lambda: where its Python code was, which is another place once it is loaded from a file."""


def _input_shapes(config: Config) -> Expected:
    """Check the shape of an input, which has no weights."""
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    is_list = isinstance(shape, list | tuple) and len(shape) <= MAX_AXES
    if shape is not None and not (
        is_list and all(length is None or is_length(length) for length in shape)
    ):
        raise SettingError(
            f"its shape must be a list of at most {MAX_AXES} lengths, got {str(shape)[:40]}"
        )
    return {}


def _comparable_lambda(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a Lambda with its Python code as hashes, without where it was."""
    return {
        key: (
            comparable_function(value)
            if key in FUNCTIONS and config.get(f"{key}_type") == "lambda"
            else value
        )
        for key, value in config.items()
        if key not in MODULES
    }


def _operation_output(call: LayerCall) -> Sequence[Shape | None]:
    known = call.all_known()
    if known is None:
        return ()
    return operation_shapes(call.config["function"], call.operation or OperationCall(tuple(known)))


def _graph_operation_output(call: LayerCall) -> Sequence[Shape | None]:
    known = call.all_known()
    return () if known is None else graph_operation_shapes(call.config, known)


CLASSES: Mapping[str, LayerClass] = {
    "Layer": LayerClass(),
    "PreprocessingLayer": LayerClass(versions=(2,)),
    "InputLayer": LayerClass(weight_shapes=_input_shapes),
    "Lambda": LayerClass(normalize=_comparable_lambda),
}

OPERATIONS: Mapping[str, LayerClass] = {
    **dict.fromkeys(OPERATION_LAYERS, LayerClass()),
    **dict.fromkeys(
        ("TFOpLambda", "SlicingOpLambda"),
        LayerClass(output_shapes=_operation_output, channels=operation_channels),
    ),
    "TensorFlowOpLayer": LayerClass(output_shapes=_graph_operation_output),
}
"""Classes without weights that Keras makes of calls of TensorFlow, as in `x + y`."""
