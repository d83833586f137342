"""What each built-in layer makes of the shapes of its tensors, as one table; what the table does
not know is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphprune.archive.entries import Entry, is_builtin, is_model, type_of
from graphprune.graph.shapes import sequence_shapes, spatial_shapes
from graphprune.graph.shapes.axis_lengths import MAX_RANK, Shape, broadcast, concatenate, size_of
from graphprune.graph.shapes.graph_operation_shapes import graph_operation_shapes
from graphprune.graph.shapes.operation_calls import OperationCall
from graphprune.graph.shapes.operation_shapes import operation_shapes

Config = Mapping[str, Any]

_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What the rules raise for settings that Keras would not have written, and for what they do not
know.
"""


def find_output_shapes(
    entry: Entry, taken: Sequence[Shape | None], call: OperationCall | None = None
) -> tuple[Shape | None, ...]:
    """Return the shapes of the tensors that a layer gives, in order, as far as they are known.

    Args:
        entry: The layer.
        taken: The shapes of the tensors that it takes, positional ones first; None where they are
            not known.
        call: The call with all its arguments, for operations; `taken` are all of them unless it is
            given.

    Example:
        >>> (
        ...     find_output_shapes({"class_name": "Dense", "config": {"units": 3}}, [(None, 7)]),
        ...     find_output_shapes({"class_name": "X", "config": {}}, [(None, 7)]),
        ... )
        (((None, 3),), ())
    """
    if not taken or not is_builtin(entry) or is_model(entry):
        return ()
    try:
        found = _output_shapes(type_of(entry), entry["config"], taken, call)
    except _DAMAGED:
        return ()
    return tuple(shape if shape is not None and _is_shape(shape) else None for shape in found)


def _is_shape(shape: Sequence[Any]) -> bool:
    return len(shape) <= MAX_RANK and all(
        length is None or (type(length) is int and length >= 0) for length in shape
    )


def _output_shapes(
    kind: str, config: Config, taken: Sequence[Shape | None], call: OperationCall | None
) -> Sequence[Shape | None]:
    known = [shape for shape in taken if shape is not None]
    if len(known) == len(taken) and kind in ("TFOpLambda", "SlicingOpLambda"):
        return operation_shapes(config["function"], call or OperationCall(tuple(known)))
    if len(known) == len(taken) and kind == "TensorFlowOpLayer":
        return graph_operation_shapes(config, known)
    if len(known) == len(taken) and kind in _MERGES:
        return [_MERGES[kind](kind, config, known)]
    first = taken[0]
    if first is None or kind in _MERGES:
        return ()
    if kind in _WRAPPERS:
        return _WRAPPERS[kind](config, first)
    if kind in _SEVERAL:
        return _SEVERAL[kind](kind, config, first)
    rule = next((rule for pattern, rule in _ONE if pattern.fullmatch(kind)), None)
    return () if rule is None else [rule(kind, config, first)]


def _same(_kind: str, _config: Config, shape: Shape) -> Shape:
    return shape


def _looked_up(_kind: str, config: Config, shape: Shape) -> Shape:
    if config.get("output_mode", "int") != "int":
        raise ValueError("only numbers keep the shape of what was looked up")
    return shape


def _encoded(_kind: str, config: Config, shape: Shape) -> Shape:
    """Return what CategoryEncoding gives; one-hot codes get an axis of their own unless there is
    one of length 1.
    """
    if len(shape) > 2:
        raise ValueError("categories of more than two axes")
    given = shape if config["output_mode"] == "one_hot" and shape[-1] != 1 else shape[:-1]
    return (*given, config["num_tokens"])


def _vectorized(_kind: str, config: Config, shape: Shape) -> Shape:
    """Return what TextVectorization gives for one text an example: as many words as it was told, or
    as the longest text has.
    """
    if (
        config["output_mode"] != "int"
        or config["split"] is None
        or config.get("ragged")
        or shape[1:] not in ((), (1,))
    ):
        raise ValueError("only numbers of words have a length that the config tells")
    return shape[0], config["output_sequence_length"]


def _random_size(kind: str, _config: Config, shape: Shape) -> Shape:
    axis = range(len(shape))[-3 if kind == "RandomHeight" else -2]
    return (*shape[:axis], None, *shape[axis + 1 :])


def _fourier(_kind: str, config: Config, shape: Shape) -> Shape:
    return shape[0], config["output_dim"]


def _dotted(_kind: str, config: Config, shapes: Sequence[Shape]) -> Shape:
    """Return the batch-wise product of two tensors without the axes that are summed; two vectors
    give one number (`Dot.compute_output_shape`).
    """
    left, right = shapes
    axes = (
        config["axes"]
        if isinstance(config["axes"], list | tuple)
        else (config["axes"], config["axes"])
    )
    first, second = (range(len(shape))[axis] for axis, shape in zip(axes, shapes, strict=True))
    made = (*left[:first], *left[first + 1 :], *right[1:second], *right[second + 1 :])
    return made if len(made) > 1 else (*made, 1)


def _dense(_kind: str, config: Config, shape: Shape) -> Shape:
    return (*shape[:-1], config["units"])


def _embedding(_kind: str, config: Config, shape: Shape) -> Shape:
    return (*shape, config["output_dim"])


def _flattened(_kind: str, _config: Config, shape: Shape) -> Shape:
    return shape[0], size_of(shape[1:])


def _reshaped(_kind: str, config: Config, shape: Shape) -> Shape:
    target, size = config["target_shape"], size_of(shape[1:])
    rest = size_of([length for length in target if length != -1])
    left = None if size is None or rest is None else size // rest
    return shape[0], *(left if length == -1 else length for length in target)


def _permuted(_kind: str, config: Config, shape: Shape) -> Shape:
    if sorted(config["dims"]) != list(range(1, len(shape))):
        raise ValueError(f"axes {config['dims']} are not those of {shape}")
    return (shape[0], *(shape[axis] for axis in config["dims"]))


def _repeated(_kind: str, config: Config, shape: Shape) -> Shape:
    batch, length = shape
    return batch, config["n"], length


def _merged(_kind: str, _config: Config, shapes: Sequence[Shape]) -> Shape:
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError("layers that merge tensors of several ranks move their axes")
    return broadcast(shapes)


def _concatenated(_kind: str, config: Config, shapes: Sequence[Shape]) -> Shape:
    return concatenate(shapes, config.get("axis", -1))


def _time_distributed(config: Config, shape: Shape) -> Sequence[Shape | None]:
    inner = find_output_shapes(config["layer"], [(shape[0], *shape[2:])])
    return [(made[0], shape[1], *made[1:]) for made in inner[:1] if made is not None]


def _bidirectional(config: Config, shape: Shape) -> Sequence[Shape | None]:
    forward = find_output_shapes(config["layer"], [shape])
    backward = find_output_shapes(config.get("backward_layer") or config["layer"], [shape])
    return sequence_shapes.two_way_shapes(
        config,
        [made for made in forward if made is not None],
        [made for made in backward if made is not None],
    )


def _inner(config: Config, shape: Shape) -> Sequence[Shape | None]:
    return find_output_shapes(config["layer"], [shape])


_WRAPPERS: Mapping[str, Callable[[Config, Shape], Sequence[Shape | None]]] = {
    "TimeDistributed": _time_distributed,
    "Bidirectional": _bidirectional,
    "SpectralNormalization": _inner,
}
_SEVERAL: Mapping[str, Callable[[str, Config, Shape], Sequence[Shape | None]]] = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), sequence_shapes.recurrent_shapes),
    **dict.fromkeys(("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), sequence_shapes.conv_lstm_shapes),
    "RNN": sequence_shapes.rnn_shapes,
}
"""Layers that may give several tensors."""

_MERGES: Mapping[str, Callable[[str, Config, Sequence[Shape]], Shape]] = {
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _merged),
    **dict.fromkeys(("Attention", "AdditiveAttention"), sequence_shapes.attention_shape),
    "Concatenate": _concatenated,
    "Dot": _dotted,
    "MultiHeadAttention": sequence_shapes.multi_head_shape,
}
"""Layers that take several tensors, all of which must be known."""

_ONE: Sequence[tuple[re.Pattern[str], Callable[[str, Config, Shape], Shape]]] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"Dense", _dense),
        (r"EinsumDense", sequence_shapes.einsum_shape),
        (r"Embedding", _embedding),
        (
            r"(Separable|Depthwise)?Conv[12]D|Conv3D|Conv[123]DTranspose|LocallyConnected[12]D",
            spatial_shapes.convolution_shape,
        ),
        (r"(Max|Average)Pooling[123]D", spatial_shapes.pooling_shape),
        (r"Global(Max|Average)Pooling[123]D", spatial_shapes.global_pooling_shape),
        (r"(ZeroPadding|Cropping)[123]D", spatial_shapes.border_shape),
        (r"UpSampling[123]D", spatial_shapes.up_sampling_shape),
        (r"Resizing|CenterCrop|RandomCrop", spatial_shapes.resized_shape),
        (r"Flatten", _flattened),
        (r"Reshape", _reshaped),
        (r"Permute", _permuted),
        (r"RepeatVector", _repeated),
        (r"(Batch|SyncBatch|Layer|Group|Unit)?Normalization", _same),
        (r"Activation|(Leaky|P|Thresholded)?ReLU|ELU|Softmax|Masking|Rescaling|Identity", _same),
        (r"ActivityRegularization|Gaussian(Noise|Dropout)|(Alpha|Spatial)?Dropout([123]D)?", _same),
        (r"Random(Brightness|Contrast|Flip|Rotation|Translation|Zoom)", _same),
        (r"StringLookup|IntegerLookup|Discretization|Hashing", _looked_up),
        (r"CategoryEncoding", _encoded),
        (r"TextVectorization", _vectorized),
        (r"RandomHeight|RandomWidth", _random_size),
        (r"RandomFourierFeatures", _fourier),
    )
)
"""Layers that take one tensor and give one."""
