"""Layers that both Kerases have, with each argument that changes what they compute.

A layer is made by a function of the `layers` of either Keras, so one table serves both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Make = Callable[[Any], Any]
"""From `tf_keras.layers` or `keras.layers` to a layer."""

FLAT, STEPS, IMAGE, VOLUME = (6,), (8, 6), (8, 8, 6), (4, 6, 6, 2)
INTEGERS, WORDS = "int32", "string"


@dataclass(frozen=True)
class Variant:
    """One layer: what makes it, and what it takes.

    Attributes:
        make: Makes the layer.
        shape: The shape of its input.
        dtype: The dtype of its input.
        inputs: How many inputs it takes, each of that shape.
        by_name: Whether it takes several inputs as several arguments, and not as a list.
    """

    make: Make
    shape: tuple[int, ...] = FLAT
    dtype: str = "float32"
    inputs: int = 1
    by_name: bool = False


def _with(name: str, shape: tuple[int, ...], *arguments: Any, **settings: Any) -> Variant:
    """Return a variant of the layer class `name`."""
    dtype, inputs = settings.pop("given", "float32"), settings.pop("inputs", 1)
    by_name = settings.pop("by_name", False)
    return Variant(
        lambda layers: getattr(layers, name)(*arguments, **settings), shape, dtype, inputs, by_name
    )


ACTIVATIONS = (
    *("linear", "relu", "relu6", "elu", "selu", "softplus", "softsign", "swish", "silu", "gelu"),
    *("tanh", "sigmoid", "exponential", "mish", "softmax", "leaky_relu"),
)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area", "lanczos3", "lanczos5")
INITIALIZERS = (
    *("Zeros", "Ones", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"),
    *("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"),
    *("Orthogonal", "Identity"),
)
CONSTRAINTS = ("MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm")
REGULARIZERS = ("L1", "L2", "L1L2", "OrthogonalRegularizer")

ACTIVATED: Mapping[str, Variant] = {
    **{f"dense {name}": _with("Dense", FLAT, 5, activation=name) for name in ACTIVATIONS},
    **{f"activation {name}": _with("Activation", FLAT, name) for name in ACTIVATIONS},
    "relu of all arguments": _with("ReLU", FLAT, 1.5, 0.1, 0.3),
    "elu alpha": _with("ELU", FLAT, 0.5),
    "leaky relu": _with("LeakyReLU", FLAT),
    "leaky relu slope": _with("LeakyReLU", FLAT, 0.15),
    "softmax axis": _with("Softmax", STEPS, 1),
    "softmax axes": _with("Softmax", STEPS, (1, 2)),
    "prelu": _with("PReLU", IMAGE, alpha_initializer="random_uniform"),
    "prelu shared": _with("PReLU", IMAGE, "random_uniform", shared_axes=[1, 2]),
}
PARAMETERS: Mapping[str, Variant] = {
    **{
        f"initializer {name}": _with("Dense", FLAT, 6, kernel_initializer=name)
        for name in INITIALIZERS
    },
    **{
        f"constraint {name}": _with("Dense", FLAT, 6, kernel_constraint=name)
        for name in CONSTRAINTS
    },
    **{
        f"regularizer {name}": _with("Dense", FLAT, 6, kernel_regularizer=name)
        for name in REGULARIZERS
    },
    "no bias": _with("Dense", FLAT, 5, use_bias=False),
    "float64": _with("Dense", FLAT, 5, dtype="float64"),
    "float16": _with("Dense", FLAT, 5, dtype="float16"),
    "mixed": _with("Dense", FLAT, 5, dtype="mixed_float16"),
    "mixed bfloat": _with("Dense", FLAT, 5, dtype="mixed_bfloat16"),
    "einsum": _with("EinsumDense", STEPS, "abc,cd->abd", (None, 7), bias_axes="d"),
    "embedding": _with("Embedding", FLAT, 9, 4, given=INTEGERS),
    "embedding mask": _with("Embedding", FLAT, 9, 4, mask_zero=True, given=INTEGERS),
}
CONVOLUTIONS: Mapping[str, Variant] = {
    "conv1 causal": _with("Conv1D", STEPS, 4, 3, padding="causal", dilation_rate=2),
    "conv1 same strides": _with("Conv1D", STEPS, 4, 3, 2, padding="same"),
    "conv2 same strides": _with("Conv2D", IMAGE, 4, 3, 2, padding="same"),
    "conv2 dilation": _with("Conv2D", IMAGE, 4, (3, 2), dilation_rate=(2, 1)),
    "conv2 groups": _with("Conv2D", IMAGE, 4, 3, groups=2),
    "conv3 same": _with("Conv3D", VOLUME, 3, 3, 2, padding="same"),
    "conv1 up": _with("Conv1DTranspose", STEPS, 4, 3, 2, padding="same"),
    "conv1 up more": _with("Conv1DTranspose", STEPS, 4, 3, 2, output_padding=1),
    "conv2 up": _with("Conv2DTranspose", IMAGE, 4, 3, 2, padding="same"),
    "conv2 up valid": _with("Conv2DTranspose", IMAGE, 4, (3, 2), (2, 3)),
    "conv2 up more": _with("Conv2DTranspose", IMAGE, 4, 3, 2, output_padding=1),
    "conv2 up small": _with("Conv2DTranspose", IMAGE, 4, 2, 3),
    "conv3 up": _with("Conv3DTranspose", VOLUME, 3, 3, 2, padding="same"),
    "depthwise1": _with("DepthwiseConv1D", STEPS, 3, 2, "same", 2),
    "depthwise2": _with("DepthwiseConv2D", IMAGE, 3, 2, "same", 2),
    "depthwise2 dilation": _with("DepthwiseConv2D", IMAGE, 3, dilation_rate=2),
    "separable1": _with("SeparableConv1D", STEPS, 4, 3, 2, "same", depth_multiplier=2),
    "separable2": _with("SeparableConv2D", IMAGE, 4, 3, 2, "same", depth_multiplier=2),
    "separable2 dilation": _with("SeparableConv2D", IMAGE, 4, 3, dilation_rate=2),
}
_POOLS = ("MaxPooling", "AveragePooling")
_SHAPES = {1: STEPS, 2: IMAGE, 3: VOLUME}
_LAST_FIRST = ("channels_last", "channels_first")
POOLS: Mapping[str, Variant] = {
    **{
        f"{name}{rank} {padding} {strides}": _with(
            f"{name}{rank}D", _SHAPES[rank], 3, strides, padding
        )
        for name in _POOLS
        for rank in (1, 2, 3)
        for padding in ("valid", "same")
        for strides in (None, 2)
    },
    **{
        f"Global{name}{rank} {order} {keep}": _with(
            f"Global{name}{rank}D", _SHAPES[rank], data_format=order, keepdims=keep
        )
        for name in _POOLS
        for rank in (1, 2, 3)
        for order in _LAST_FIRST
        for keep in (False, True)
    },
}
IMAGES: Mapping[str, Variant] = {
    **{
        f"up {name}": _with("UpSampling2D", IMAGE, (2, 3), interpolation=name)
        for name in INTERPOLATIONS
    },
    **{f"resize {name}": _with("Resizing", IMAGE, 5, 11, name) for name in INTERPOLATIONS},
    **{
        f"resize crop {name}": _with("Resizing", IMAGE, 5, 3, name, crop_to_aspect_ratio=True)
        for name in INTERPOLATIONS
    },
    "up first": _with("UpSampling2D", IMAGE, 2, "channels_first"),
    "up1": _with("UpSampling1D", STEPS, 3),
    "up3": _with("UpSampling3D", VOLUME, (1, 2, 3)),
    "pad1": _with("ZeroPadding1D", STEPS, (1, 2)),
    "pad2": _with("ZeroPadding2D", IMAGE, ((1, 2), (3, 0))),
    "pad2 first": _with("ZeroPadding2D", IMAGE, (1, 2), data_format="channels_first"),
    "pad3": _with("ZeroPadding3D", VOLUME, ((1, 2), (0, 1), (2, 0))),
    "crop1": _with("Cropping1D", STEPS, (1, 2)),
    "crop2": _with("Cropping2D", IMAGE, ((1, 2), (3, 0))),
    "crop2 first": _with("Cropping2D", IMAGE, (1, 2), data_format="channels_first"),
    "crop3": _with("Cropping3D", VOLUME, ((1, 1), (0, 1), (2, 0))),
    "center": _with("CenterCrop", IMAGE, 5, 4),
    "center more": _with("CenterCrop", IMAGE, 10, 12),
    "rescale": _with("Rescaling", IMAGE, 0.1, 0.5),
    "rescale each": _with("Rescaling", FLAT, [0.1, 0.2, 0.3, 1.0, 2.0, 3.0], [0.0] * 6),
    "flatten first": _with("Flatten", IMAGE, "channels_first"),
    "random flip": _with("RandomFlip", IMAGE),
    "random rotation": _with("RandomRotation", IMAGE, 0.1, "constant", "nearest"),
    "random zoom": _with("RandomZoom", IMAGE, 0.1),
    "random translation": _with("RandomTranslation", IMAGE, 0.1, 0.1),
    "random contrast": _with("RandomContrast", IMAGE, 0.1),
    "random brightness": _with("RandomBrightness", IMAGE, 0.1),
}
NORMS: Mapping[str, Variant] = {
    "batch": _with("BatchNormalization", IMAGE),
    "batch axis": _with("BatchNormalization", IMAGE, 1, 0.9, 0.01),
    "batch plain": _with("BatchNormalization", IMAGE, center=False, scale=False),
    "layer": _with("LayerNormalization", IMAGE),
    "layer axes": _with("LayerNormalization", IMAGE, (1, 2), 0.01),
    "layer plain": _with("LayerNormalization", IMAGE, center=False, scale=False),
    "group": _with("GroupNormalization", IMAGE, 2),
    "group axis": _with("GroupNormalization", IMAGE, 4, 1, 0.01),
    "group each": _with("GroupNormalization", IMAGE, -1, scale=False, center=False),
    "unit": _with("UnitNormalization", IMAGE),
    "spectral": Variant(lambda layers: layers.SpectralNormalization(layers.Conv2D(4, 3)), IMAGE),
    "unit axes": _with("UnitNormalization", IMAGE, (1, 2)),
    "given": _with("Normalization", FLAT, mean=1.5, variance=2.0),
    "given each": _with("Normalization", FLAT, mean=[1.0, 2, 3, 4, 5, 6], variance=[1.0] * 6),
    "given inverse": _with("Normalization", FLAT, mean=1.5, variance=2.0, invert=True),
    "given no axis": _with("Normalization", STEPS, None, mean=1.5, variance=2.0),
}
_GATES = {"activation": "relu", "recurrent_activation": "tanh"}
RECURRENT: Mapping[str, Variant] = {
    **{
        f"{name} {key} {value}": _with(name, STEPS, 4, **{key: value})
        for name in ("LSTM", "GRU", "SimpleRNN")
        for key, value in (
            *(("go_backwards", True), ("return_sequences", True), ("unroll", True)),
            *(("use_bias", False), ("activation", "relu"), ("dropout", 0.2)),
            *(("recurrent_dropout", 0.2), ("stateful", False), ("return_state", True)),
        )
    },
    "lstm gates": _with("LSTM", STEPS, 4, **_GATES),
    "lstm forgets": _with("LSTM", STEPS, 4, unit_forget_bias=False),
    "gru gates": _with("GRU", STEPS, 4, **_GATES),
    "gru before": _with("GRU", STEPS, 4, reset_after=False),
    "gru before unbiased": _with("GRU", STEPS, 4, reset_after=False, use_bias=False),
    **{
        f"both {mode}": Variant(
            lambda layers, mode=mode: layers.Bidirectional(
                layers.LSTM(3, return_sequences=True), merge_mode=mode
            ),
            STEPS,
        )
        for mode in ("concat", "sum", "mul", "ave", None)
    },
    "both other": Variant(
        lambda layers: layers.Bidirectional(
            layers.LSTM(3), backward_layer=layers.GRU(3, go_backwards=True)
        ),
        STEPS,
    ),
    "cells": Variant(
        lambda layers: layers.RNN([layers.LSTMCell(3), layers.GRUCell(4, reset_after=False)]), STEPS
    ),
    "stacked": Variant(
        lambda layers: layers.RNN(
            layers.StackedRNNCells([layers.SimpleRNNCell(3), layers.SimpleRNNCell(2)]),
            return_sequences=True,
        ),
        STEPS,
    ),
    **{
        f"conv lstm {rank}": _with(
            f"ConvLSTM{rank}D", (3, *shape), 3, 2, recurrent_activation="sigmoid", padding="same"
        )
        for rank, shape in ((1, STEPS), (2, (4, 4, 2)), (3, (3, 4, 4, 2)))
    },
    "each step": Variant(lambda layers: layers.TimeDistributed(layers.Dense(3)), STEPS),
    "each image": Variant(
        lambda layers: layers.TimeDistributed(layers.Conv2D(3, 2, activation="gelu")), (3, 6, 6, 2)
    ),
}
MERGES: Mapping[str, Variant] = {
    **{
        name.lower(): _with(name, STEPS, inputs=3)
        for name in ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    },
    "subtract": _with("Subtract", STEPS, inputs=2),
    "concatenate axis": _with("Concatenate", STEPS, 1, inputs=2),
    "dot": _with("Dot", STEPS, 2, inputs=2),
    "dot normalized": _with("Dot", STEPS, (1, 1), normalize=True, inputs=2),
    "attention": _with("Attention", STEPS, inputs=2),
    "attention scale": _with("Attention", STEPS, True, "concat", inputs=2),
    "attention key": _with("Attention", STEPS, True, dropout=0.1, inputs=3),
    "additive": _with("AdditiveAttention", STEPS, inputs=2),
    "additive plain": _with("AdditiveAttention", STEPS, False, inputs=2),
    "heads": _with("MultiHeadAttention", STEPS, 2, 3, inputs=2, by_name=True),
    "heads more": _with(
        "MultiHeadAttention", STEPS, 2, 3, 4, 0.1, False, output_shape=5, inputs=3, by_name=True
    ),
    "heads axes": _with(
        "MultiHeadAttention", (3, 4, 6), 2, 3, attention_axes=(1, 2), inputs=2, by_name=True
    ),
    "reshape": _with("Reshape", IMAGE, (-1, 3)),
    "permute": _with("Permute", IMAGE, (3, 1, 2)),
    "repeat": _with("RepeatVector", FLAT, 3),
    "masking": _with("Masking", STEPS, 0.5),
    "activity": _with("ActivityRegularization", FLAT, 0.1, 0.2),
    "dropout": _with("Dropout", STEPS, 0.2, (None, 1, 6), 3),
    "alpha dropout": _with("AlphaDropout", FLAT, 0.2),
    "gaussian dropout": _with("GaussianDropout", FLAT, 0.2),
    "noise": _with("GaussianNoise", FLAT, 0.2),
    "identity": _with("Identity", FLAT),
    "spatial1": _with("SpatialDropout1D", STEPS, 0.2),
    "spatial3": _with("SpatialDropout3D", VOLUME, 0.2),
    "spatial": _with("SpatialDropout2D", IMAGE, 0.2, "channels_first"),
}
_TEXTS = ["a", "b", "c", "d"]
PREPROCESSING: Mapping[str, Variant] = {
    **{
        f"encode {mode}": _with("CategoryEncoding", FLAT, 9, mode, given=INTEGERS)
        for mode in ("multi_hot", "count")
    },
    "encode one hot": _with("CategoryEncoding", (1,), 9, "one_hot", given=INTEGERS),
    "hash": _with("Hashing", FLAT, 7, given=INTEGERS),
    "hash salt": _with("Hashing", FLAT, 7, salt=[13, 37], given=INTEGERS),
    "hash mask": _with("Hashing", FLAT, 7, mask_value=3, output_mode="multi_hot", given=INTEGERS),
    "hash words": _with("Hashing", FLAT, 7, given=WORDS),
    "crossing": _with("HashedCrossing", (1,), 5, inputs=2, given=INTEGERS),
    "crossing one hot": _with("HashedCrossing", (1,), 5, "one_hot", inputs=2, given=INTEGERS),
    "bins": _with("Discretization", FLAT, [-1.0, 0.25, 0.5]),
    "bins one hot": _with("Discretization", (1,), [-1.0, 0.5], output_mode="one_hot"),
    "words": _with("StringLookup", FLAT, vocabulary=_TEXTS, given=WORDS),
    "words mask": _with(*("StringLookup", FLAT, None, 2, "a"), vocabulary=["b", "c"], given=WORDS),
    "words none out": _with("StringLookup", FLAT, None, 1, vocabulary=_TEXTS, given=WORDS),
    "words counts": _with(
        "StringLookup", FLAT, vocabulary=_TEXTS, output_mode="count", given=WORDS
    ),
    "words weighted": _with(
        "StringLookup",
        FLAT,
        vocabulary=_TEXTS,
        idf_weights=[0.5, 1.0, 2.0, 3.0],
        output_mode="tf_idf",
        given=WORDS,
    ),
    "words back": _with("StringLookup", FLAT, vocabulary=_TEXTS, invert=True, given=INTEGERS),
    "numbers": _with("IntegerLookup", FLAT, vocabulary=[2, 3, 5], given="int64"),
    "numbers mask": _with(
        *("IntegerLookup", FLAT, None, 2, 0), vocabulary=[2, 3, 5], given="int64"
    ),
    "numbers hot": _with(
        "IntegerLookup", FLAT, vocabulary=[2, 3], output_mode="multi_hot", given="int64"
    ),
    "text": _with("TextVectorization", (1,), vocabulary=_TEXTS, given=WORDS),
    "text long": _with(
        *("TextVectorization", (1,)),
        *(9, "lower", "character", 2),
        output_sequence_length=5,
        vocabulary=_TEXTS,
        given=WORDS,
    ),
    "text counts": _with(
        "TextVectorization", (1,), output_mode="count", vocabulary=_TEXTS, given=WORDS
    ),
}
GROUPS: Mapping[str, Mapping[str, Variant]] = {
    "activations": ACTIVATED,
    "parameters": PARAMETERS,
    "convolutions": CONVOLUTIONS,
    "pools": POOLS,
    "images": IMAGES,
    "norms": NORMS,
    "recurrent": RECURRENT,
    "merges": MERGES,
    "preprocessing": PREPROCESSING,
}
VARIANTS: Mapping[str, Variant] = {
    name: variant for group in GROUPS.values() for name, variant in group.items()
}
ONLY_TF_KERAS: Mapping[str, tuple[Variant, str]] = {
    **{
        f"{kind} {name}": (
            _with(kind, IMAGE, *size, interpolation=name),
            f"no interpolation '{name}'",
        )
        for kind, size in (("UpSampling2D", (2,)), ("Resizing", (5, 5)))
        for name in ("gaussian", "mitchellcubic")
    },
    "causal": (_with("SeparableConv1D", STEPS, 4, 3, padding="causal"), "no padding 'causal'"),
    "hard sigmoid": (_with("LSTM", STEPS, 4, recurrent_activation="hard_sigmoid"), "clipped"),
}
"""Layers of tf_keras that Keras 3 does not compute so, and what the refusal names."""
ONLY_KERAS_3: Mapping[str, tuple[Variant, str]] = {
    **{
        f"dense {name}": (_with("Dense", FLAT, 4, activation=name), f"no activation '{name}'")
        for name in (
            *("celu", "glu", "hard_shrink", "hard_silu", "hard_tanh", "log_sigmoid"),
            *("log_softmax", "soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax"),
            *("squareplus", "tanh_shrink", "threshold"),
        )
    },
    "rms": (_with("RMSNormalization", FLAT), "cannot take a RMSNormalization layer"),
}
"""The same of Keras 3."""
