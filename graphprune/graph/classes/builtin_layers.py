"""The layers of Keras as one table: their weights in storage order, which may be pruned, what the
axes mean, and the base classes.

The order of weights is that of `add_weight` calls in `build` (tf_keras/src/layers), trainable ones
first, which is how both file formats store them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from graphprune.archive.entries import Entry, is_builtin, to_snake_case, type_of
from graphprune.graph.classes import config_weights
from graphprune.graph.classes.config_weights import SPATIAL
from graphprune.graph.classes.layer_class import Axes, LayerClass, Weight

Part = tuple[str, str, Any, str]
"""Of a layer inside another: the prefix of its weights' names, its path in `.keras` files, its
entry, and what stands before its name in paths of variables.
"""
MAX_INSIDE = 1000
"""Layers in a layer."""
ANY_NAME = "*"
"""For a layer whose name tells nothing apart."""

OUT_BIAS = Weight("bias", ("out",), needs="use_bias")
BIAS = Weight("bias", needs="use_bias")
SCALE_AND_CENTER = (Weight("gamma", needs="scale"), Weight("beta", needs="center"))
TABLE = tuple(
    Weight(name, trainable=False)
    for name in ("vocabulary_table_keys", "vocabulary_table_values", "vocabulary")
)
FOURIER = (
    Weight("kernel_scale"),
    Weight("unscaled_kernel", ("in", "out"), trainable=False),
    Weight("bias", ("out",), trainable=False),
)


def _conv(rank: int) -> tuple[Weight, ...]:
    return Weight("kernel", (*SPATIAL[rank], "in", "out"), prunable=True), OUT_BIAS


def _conv_transpose(rank: int) -> tuple[Weight, ...]:
    return Weight("kernel", (*SPATIAL[rank], "out", "in"), prunable=True), OUT_BIAS


def _depthwise(rank: int) -> Weight:
    return Weight("depthwise_kernel", (*SPATIAL[rank], "in", "multiplier"), prunable=True)


def _separable(rank: int) -> tuple[Weight, ...]:
    return (
        _depthwise(rank),
        Weight("pointwise_kernel", (*SPATIAL[rank], "in", "out"), prunable=True),
        OUT_BIAS,
    )


def _recurrent(axes: Axes = ("in", "out"), path: str = "cell") -> tuple[Weight, ...]:
    return (
        Weight("kernel", axes, prunable=True, path=path),
        Weight("recurrent_kernel", axes, prunable=True, path=path),
        replace(BIAS, path=path),
    )


def _conv_lstm(rank: int) -> LayerClass:
    return LayerClass(("ConvLSTM", "ConvRNN", "RNN"), _recurrent((*SPATIAL[rank], "in", "out")))


def _dynamic_embedding() -> tuple[Weight, ...]:
    table = (
        replace(weight, name=f"dynamic_lookup_layer.{weight.name}", path="dynamic_lookup_layer")
        for weight in TABLE
    )
    return Weight("embedding_layer.embeddings", ("in", "out"), path="embedding_layer"), *table


def has_too_many_inside(entry: Entry) -> bool:
    """Return whether a built-in layer holds more than `MAX_INSIDE` layers, one in the other or side
    by side; a Bidirectional holds its layer twice.

    Example:
        >>> cells = [{"class_name": "LSTMCell", "config": {}}] * 2000
        >>> has_too_many_inside({"class_name": "StackedRNNCells", "config": {"cells": cells}})
        True
    """
    waiting = [entry]
    for count, inner in enumerate(waiting):  # grows while it is walked
        if count > MAX_INSIDE:
            return True
        config = inner["config"]
        cells = config.get("cells")
        backward = config.get("backward_layer") or (
            config.get("layer") if type_of(inner) == "Bidirectional" else None
        )
        parts = [
            config.get("layer"),
            backward,
            config.get("cell"),
            *(cells[: MAX_INSIDE + 1] if isinstance(cells, list | tuple) else ()),
        ]
        waiting += [part for part in parts if _is_layer(part) and known_class(part) is not None]
    return False


def _is_layer(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("class_name"), str)
        and isinstance(value.get("config"), Mapping)
    )


def _inside(parts: Iterable[Part]) -> tuple[Weight, ...] | None:
    """Return the weights of layers inside another; None where one of them is unknown."""
    weights: list[Weight] = []
    for name, path, entry, before in parts:
        found = weights_of(entry) if _is_layer(entry) else None
        if found is None:
            return None
        scope = () if before == ANY_NAME else (f"{before}{entry['config'].get('name', '')}",)
        weights += [
            replace(
                weight,
                name=f"{name}{weight.name}",
                path=f"{path}/{weight.path}".rstrip("/"),
                scopes=scope + weight.scopes,
            )
            for weight in found
        ]
    return tuple(weights)


def _wrapper(config: Mapping[str, Any]) -> tuple[Weight, ...] | None:
    return _inside([("layer.", "layer", config.get("layer"), ANY_NAME)])


def _bidirectional(config: Mapping[str, Any]) -> tuple[Weight, ...] | None:
    forward = config.get("layer")
    backward = config.get("backward_layer") or forward
    return _inside(
        [
            ("forward_layer.", "forward_layer", forward, "forward_"),
            ("backward_layer.", "backward_layer", backward, "backward_"),
        ]
    )


def _rnn(config: Mapping[str, Any]) -> tuple[Weight, ...] | None:
    return _inside([("", "cell", config.get("cell"), ANY_NAME)])


def _stacked_cells(config: Mapping[str, Any]) -> tuple[Weight, ...] | None:
    cells = config.get("cells")
    if not isinstance(cells, list | tuple) or not all(
        isinstance(cell, Mapping) and "class_name" in cell for cell in cells
    ):
        return None
    seen: Counter[str] = Counter()
    parts: list[Part] = []
    for index, cell in enumerate(cells):
        kind = to_snake_case(str(cell["class_name"]).rsplit(">", 1)[-1])
        parts.append(
            (
                f"cells.{index}.",
                f"cells/{kind}_{seen[kind]}" if seen[kind] else f"cells/{kind}",
                cell,
                "",
            )
        )
        seen[kind] += 1
    return _inside(parts)


def _spectral(config: Mapping[str, Any]) -> tuple[Weight, ...] | None:
    """Return the weights of a SpectralNormalization, which tracks its layer's kernel as its own as
    well.
    """
    inner = _wrapper(config)
    if not inner:
        return inner
    return replace(inner[0], path="", is_copy=True), *inner, Weight("vector_u", trainable=False)


def _unknown(config: Mapping[str, Any]) -> None:
    """Return that nothing is known: the weights of a DenseFeatures are those of its feature
    columns.
    """


def _plain(bases: Axes, *names: str) -> dict[str, LayerClass]:
    return dict.fromkeys(names, LayerClass(bases))


def _ranked(base: str, *names: str) -> dict[str, LayerClass]:
    return {f"{name}{rank}D": LayerClass((f"{base}{rank}D",)) for name in names for rank in SPATIAL}


RANDOM = ("BaseRandomLayer",)
RECURRENT = ("RNN", *RANDOM)
DENSE_ATTENTION = ("BaseDenseAttention", *RANDOM)
PREPROCESSING = ("PreprocessingLayer",)
BATCH = ("BatchNormalizationBase",)

WEIGHTY: Mapping[str, LayerClass] = {
    "Dense": LayerClass((), (Weight("kernel", ("in", "out"), prunable=True), OUT_BIAS)),
    "EinsumDense": LayerClass((), config_weights.einsum_dense),
    "Embedding": LayerClass((), (Weight("embeddings", ("in", "out"), prunable=True),)),
    "Conv1D": LayerClass(("Conv",), _conv(1)),
    "Conv2D": LayerClass(("Conv",), _conv(2)),
    "Conv3D": LayerClass(("Conv",), _conv(3)),
    "Conv1DTranspose": LayerClass(("Conv1D", "Conv"), _conv_transpose(1)),
    "Conv2DTranspose": LayerClass(("Conv2D", "Conv"), _conv_transpose(2)),
    "Conv3DTranspose": LayerClass(("Conv3D", "Conv"), _conv_transpose(3)),
    "DepthwiseConv1D": LayerClass(("DepthwiseConv", "Conv"), (_depthwise(1), BIAS)),
    "DepthwiseConv2D": LayerClass(("DepthwiseConv", "Conv"), (_depthwise(2), BIAS)),
    "SeparableConv1D": LayerClass(("SeparableConv", "Conv"), _separable(1)),
    "SeparableConv2D": LayerClass(("SeparableConv", "Conv"), _separable(2)),
    "LocallyConnected1D": LayerClass((), partial(config_weights.locally_connected, 1)),
    "LocallyConnected2D": LayerClass((), partial(config_weights.locally_connected, 2)),
    "SimpleRNN": LayerClass(("RNN",), _recurrent()),
    "LSTM": LayerClass(RECURRENT, _recurrent()),
    "GRU": LayerClass(RECURRENT, _recurrent()),
    "SimpleRNNCell": LayerClass(RANDOM, _recurrent(path="")),
    "LSTMCell": LayerClass(RANDOM, _recurrent(path="")),
    "GRUCell": LayerClass(RANDOM, _recurrent(path="")),
    "ConvLSTM1D": _conv_lstm(1),
    "ConvLSTM2D": _conv_lstm(2),
    "ConvLSTM3D": _conv_lstm(3),
    "RNN": LayerClass((), _rnn),
    "StackedRNNCells": LayerClass((), _stacked_cells),
    "Wrapper": LayerClass((), _wrapper),
    "TimeDistributed": LayerClass(("Wrapper",), _wrapper),
    "Bidirectional": LayerClass(("Wrapper",), _bidirectional),
    "SpectralNormalization": LayerClass(("Wrapper",), _spectral),
    "MultiHeadAttention": LayerClass((), config_weights.multi_head_attention),
    "Attention": LayerClass(DENSE_ATTENTION, config_weights.attention),
    "AdditiveAttention": LayerClass(DENSE_ATTENTION, (Weight("scale", needs="use_scale"),)),
    "BatchNormalization": LayerClass(BATCH, config_weights.batch_normalization),
    "SyncBatchNormalization": LayerClass(BATCH, config_weights.batch_normalization),
    "LayerNormalization": LayerClass((), SCALE_AND_CENTER),
    "GroupNormalization": LayerClass((), SCALE_AND_CENTER),
    "PReLU": LayerClass((), (Weight("alpha"),)),
    "RandomFourierFeatures": LayerClass((), FOURIER),
    "DynamicLookup": LayerClass((), TABLE),
    "DynamicEmbedding": LayerClass((), _dynamic_embedding()),
    "Normalization": LayerClass(PREPROCESSING, config_weights.normalization),
    "Discretization": LayerClass(PREPROCESSING, config_weights.discretization),
    "IntegerLookup": LayerClass(("IndexLookup", *PREPROCESSING), config_weights.lookup),
    "StringLookup": LayerClass(("IndexLookup", *PREPROCESSING), config_weights.lookup),
    "TextVectorization": LayerClass(PREPROCESSING, config_weights.text_vectorization),
    "DenseFeatures": LayerClass(("DenseFeatures", "_BaseFeaturesLayer"), _unknown),
}
"""Classes with weights."""

BUILTIN_LAYERS: Mapping[str, LayerClass] = {
    **WEIGHTY,
    **_plain(
        (),
        "Layer",
        "AbstractRNNCell",
        "PreprocessingLayer",
        "InputLayer",
        "Activation",
        "ActivityRegularization",
        "Flatten",
        "Identity",
        "Lambda",
    ),
    **_plain(
        (),
        "Masking",
        "Permute",
        "RepeatVector",
        "Reshape",
        "UnitNormalization",
        "ELU",
        "LeakyReLU",
        "ReLU",
        "Softmax",
        "ThresholdedReLU",
    ),
    **_plain(
        (), "CategoryEncoding", "CenterCrop", "HashedCrossing", "Hashing", "Rescaling", "Resizing"
    ),
    **_plain(
        (),
        *(
            f"{name}{rank}D"
            for name in ("Cropping", "UpSampling", "ZeroPadding")
            for rank in SPATIAL
        ),
    ),
    **_plain(
        ("_Merge",),
        "Add",
        "Average",
        "Concatenate",
        "Dot",
        "Maximum",
        "Minimum",
        "Multiply",
        "Subtract",
    ),
    **_plain(
        RANDOM,
        "AlphaDropout",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "RandomBrightness",
        "RandomContrast",
        "RandomCrop",
        "RandomFlip",
    ),
    **_plain(
        RANDOM, "RandomHeight", "RandomRotation", "RandomTranslation", "RandomWidth", "RandomZoom"
    ),
    **_plain(("Dropout", *RANDOM), *(f"SpatialDropout{rank}D" for rank in SPATIAL)),
    **_ranked("Pooling", "AveragePooling", "MaxPooling"),
    **_ranked("GlobalPooling", "GlobalAveragePooling", "GlobalMaxPooling"),
}
"""Every class that `tf_keras.layers` exports, experimental and preprocessing ones included."""


OPERATION_LAYERS = frozenset(
    {
        "TFOpLambda",
        "SlicingOpLambda",
        "ClassMethod",
        "InstanceMethod",
        "InstanceProperty",
        "TensorFlowOpLayer",
    }
)
"""Classes without weights that Keras makes of calls of TensorFlow, as in `x + y`."""


def known_class(entry: Entry) -> LayerClass | None:
    """Return what the table says of the entry's class, None for classes that it does not hold."""
    return BUILTIN_LAYERS.get(type_of(entry)) if is_builtin(entry) else None


def is_custom(entry: Entry) -> bool:
    """Return whether the class is a user's own: files that name modules say so, in others it is one
    that the table does not know.

    Example:
        >>> [is_custom({"class_name": name, "config": {}}) for name in ("Own", "TFOpLambda")]
        [True, False]
        >>> is_custom({"module": "own", "class_name": "Dense", "config": {}})
        True
    """
    if "module" in entry:
        return not is_builtin(entry)
    return type_of(entry) not in BUILTIN_LAYERS and type_of(entry) not in OPERATION_LAYERS


def weights_of(entry: Entry) -> tuple[Weight, ...] | None:
    """Return the weights that a layer with this entry makes, in storage order, copies included;
    None where the table does not know.

    Example:
        >>> lstm = {"class_name": "LSTM", "config": {"use_bias": False}}
        >>> [weight.name for weight in weights_of(lstm)]
        ['kernel', 'recurrent_kernel']
    """
    found = known_class(entry)
    return None if found is None else found.weights_in(entry["config"])
