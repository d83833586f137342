"""What each built-in layer makes of the shapes of its tensors, as one table; what the table does not know is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphprune.graph import sequence_shapes, spatial_shapes
from graphprune.graph.entries import Entry, is_builtin, is_model, type_of
from graphprune.graph.operation_shapes import operation_shape
from graphprune.graph.shapes import MAX_RANK, Shape, broadcast, concatenate, size_of

Config = Mapping[str, Any]

_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What the rules raise for settings that Keras would not have written, and for what they do not know."""


def find_output_shapes(entry: Entry, taken: Sequence[Shape | None], keywords: Config | None = None) -> tuple[Shape | None, ...]:
    """Return the shapes of the tensors that a layer gives, in order, as far as they are known.

    Args:
        entry: The layer.
        taken: The shapes of the tensors that it takes, positional ones first; None where they are not known.
        keywords: What else the call takes, for operations.

    Example:
        >>> find_output_shapes({"class_name": "Dense", "config": {"units": 3}}, [(None, 7)]), find_output_shapes({"class_name": "X", "config": {}}, [(None, 7)])
        (((None, 3),), ())
    """
    if not taken or taken[0] is None or not is_builtin(entry) or is_model(entry):
        return ()
    try:
        found = _output_shapes(type_of(entry), entry["config"], taken, keywords or {})
    except _DAMAGED:
        return ()
    return tuple(shape if shape is not None and _is_shape(shape) else None for shape in found)


def _is_shape(shape: Sequence[Any]) -> bool:
    return len(shape) <= MAX_RANK and all(length is None or (type(length) is int and length >= 0) for length in shape)


def _output_shapes(kind: str, config: Config, taken: Sequence[Shape | None], keywords: Config) -> Sequence[Shape | None]:
    first = taken[0]
    assert first is not None
    if kind in _WRAPPERS:
        return _WRAPPERS[kind](config, first)
    if kind in _SEVERAL:
        return _SEVERAL[kind](kind, config, first)
    if kind == "TFOpLambda" or kind in _MERGES:
        known = [shape for shape in taken if shape is not None]
        if len(known) < len(taken):
            return ()
        return [operation_shape(config["function"], known, keywords) if kind == "TFOpLambda" else _MERGES[kind](kind, config, known)]
    rule = next((rule for pattern, rule in _ONE if pattern.fullmatch(kind)), None)
    return () if rule is None else [rule(kind, config, first)]


def _same(_kind: str, _config: Config, shape: Shape) -> Shape:
    return shape


def _looked_up(_kind: str, config: Config, shape: Shape) -> Shape:
    if config.get("output_mode", "int") != "int":
        raise ValueError("only numbers keep the shape of what was looked up")
    return shape


def _dense(_kind: str, config: Config, shape: Shape) -> Shape:
    return (*shape[:-1], config["units"])


def _embedding(_kind: str, config: Config, shape: Shape) -> Shape:
    return (*shape, config["output_dim"])


def _flattened(_kind: str, _config: Config, shape: Shape) -> Shape:
    return shape[0], size_of(shape[1:])


def _reshaped(_kind: str, config: Config, shape: Shape) -> Shape:
    target, size = config["target_shape"], size_of(shape[1:])
    rest = size_of([length for length in target if length != -1])
    return (shape[0], *((None if size is None or rest is None else size // rest) if length == -1 else length for length in target))


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
    return sequence_shapes.two_way_shapes(config, [made for made in forward if made is not None], [made for made in backward if made is not None])


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
    "MultiHeadAttention": sequence_shapes.multi_head_shape,
}
"""Layers that take several tensors, all of which must be known."""

_ONE: Sequence[tuple[re.Pattern[str], Callable[[str, Config, Shape], Shape]]] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"Dense", _dense),
        (r"EinsumDense", sequence_shapes.einsum_shape),
        (r"Embedding", _embedding),
        (r"(Separable|Depthwise)?Conv[12]D|Conv3D|Conv[123]DTranspose|LocallyConnected[12]D", spatial_shapes.convolution_shape),
        (r"(Max|Average)Pooling[123]D", spatial_shapes.pooling_shape),
        (r"Global(Max|Average)Pooling[123]D", spatial_shapes.global_pooling_shape),
        (r"(ZeroPadding|Cropping)[123]D", spatial_shapes.border_shape),
        (r"UpSampling[123]D", spatial_shapes.up_sampling_shape),
        (r"Resizing|CenterCrop|RandomCrop", spatial_shapes.resized_shape),
        (r"Flatten", _flattened),
        (r"Reshape", _reshaped),
        (r"Permute", _permuted),
        (r"RepeatVector", _repeated),
        (r"(Batch|SyncBatch|Layer|Group|Unit)?Normalization|Activation|(Leaky|P|Thresholded)?ReLU|ELU|Softmax|Masking|Rescaling|Identity", _same),
        (r"ActivityRegularization|Gaussian(Noise|Dropout)|(Alpha|Spatial)?Dropout([123]D)?|Random(Brightness|Contrast|Flip|Rotation|Translation|Zoom)", _same),
        (r"StringLookup|IntegerLookup|Discretization", _looked_up),
    )
)
"""Layers that take one tensor and give one."""
