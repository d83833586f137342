"""Every class of `tf_keras.layers` as small layers: what to build them with, what they take, and
how long the axes of their prunable tensors must be.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers
from tf_keras.layers import experimental

Lengths = Mapping[str, Mapping[str, int]]
"""Of each prunable tensor: the length of each axis, in storage order."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One layer to build; its inputs have 5 channels, and it has 7 units or filters, unless it says
    otherwise.
    """

    make: Callable[[], layers.Layer]
    shapes: tuple[tuple[int, ...], ...] = ((5,),)
    lengths: Lengths = field(default_factory=dict)
    dtype: str = "float32"

    def model(self) -> tf_keras.Model:
        """Return a model of this layer alone."""
        inputs = [
            layers.Input(shape, dtype=self.dtype, name=f"x{index}")
            for index, shape in enumerate(self.shapes)
        ]
        layer = self.make()
        given = inputs[0] if len(inputs) == 1 else inputs
        return tf_keras.Model(
            given, layer(*inputs) if isinstance(layer, layers.MultiHeadAttention) else layer(given)
        )


def exported_classes() -> dict[str, type[layers.Layer]]:
    """Return the layer classes that `tf_keras.layers` exports, by their own name."""

    def of(module: ModuleType) -> dict[str, type[layers.Layer]]:
        members = [getattr(module, name) for name in dir(module)]
        return {
            member.__name__: member
            for member in members
            if inspect.isclass(member) and issubclass(member, layers.Layer)
        }

    return {**of(layers), **of(experimental), **of(experimental.preprocessing)}


def kernels(**lengths: Mapping[str, int]) -> Lengths:
    return {name.replace("__", "."): axes for name, axes in lengths.items()}


def gates(count: int, inputs: int = 5, units: int = 7, prefix: str = "") -> Lengths:
    return {
        f"{prefix}kernel": {"in": inputs, "out": count * units},
        f"{prefix}recurrent_kernel": {"in": units, "out": count * units},
    }


def _adapted_normalization() -> layers.Layer:
    layer = layers.Normalization()
    layer.adapt(np.arange(10.0).reshape(2, 5))
    return layer


SIGNAL, IMAGE, VOLUME = (6, 5), (6, 8, 5), (4, 5, 6, 5)
DENSE = kernels(kernel={"in": 5, "out": 7})
CONV2 = kernels(kernel={"h": 2, "w": 3, "in": 5, "out": 7})
PAIR = ((4, 5), (4, 5))

PRUNABLE: Mapping[str, Sample] = {
    "dense": Sample(lambda: layers.Dense(7), lengths=DENSE),
    "dense_no_bias": Sample(lambda: layers.Dense(7, use_bias=False), lengths=DENSE),
    "einsum": Sample(lambda: layers.EinsumDense("ab,bc->ac", 7, bias_axes="c"), lengths=DENSE),
    "einsum_split": Sample(
        lambda: layers.EinsumDense("...x,xhy->...hy", (2, 7)),
        lengths=kernels(kernel={"in": 5, "out_1": 2, "out_2": 7}),
    ),
    "einsum_each": Sample(
        lambda: layers.EinsumDense("abc,bcd->abd", (4, 7)),
        ((4, 5),),
        kernels(kernel={"each": 4, "in": 5, "out": 7}),
    ),
    "embedding": Sample(
        lambda: layers.Embedding(9, 7),
        lengths=kernels(embeddings={"in": 9, "out": 7}),
        dtype="int32",
    ),
    "conv1": Sample(
        lambda: layers.Conv1D(7, 2), (SIGNAL,), kernels(kernel={"w": 2, "in": 5, "out": 7})
    ),
    "conv2": Sample(lambda: layers.Conv2D(7, (2, 3)), (IMAGE,), CONV2),
    "conv2_no_bias": Sample(lambda: layers.Conv2D(7, (2, 3), use_bias=False), (IMAGE,), CONV2),
    "conv2_groups": Sample(
        lambda: layers.Conv2D(6, (2, 3), groups=2),
        ((6, 8, 4),),
        kernels(kernel={"h": 2, "w": 3, "in": 2, "out": 6}),
    ),
    "conv3": Sample(
        lambda: layers.Conv3D(7, (1, 2, 3)),
        (VOLUME,),
        kernels(kernel={"d": 1, "h": 2, "w": 3, "in": 5, "out": 7}),
    ),
    "conv1_up": Sample(
        lambda: layers.Conv1DTranspose(7, 2), (SIGNAL,), kernels(kernel={"w": 2, "out": 7, "in": 5})
    ),
    "conv2_up": Sample(
        lambda: layers.Conv2DTranspose(7, (2, 3)),
        (IMAGE,),
        kernels(kernel={"h": 2, "w": 3, "out": 7, "in": 5}),
    ),
    "conv3_up": Sample(
        lambda: layers.Conv3DTranspose(7, (1, 2, 3)),
        (VOLUME,),
        kernels(kernel={"d": 1, "h": 2, "w": 3, "out": 7, "in": 5}),
    ),
    "depthwise1": Sample(
        lambda: layers.DepthwiseConv1D(2, depth_multiplier=3),
        (SIGNAL,),
        kernels(depthwise_kernel={"w": 2, "in": 5, "multiplier": 3}),
    ),
    "depthwise2": Sample(
        lambda: layers.DepthwiseConv2D((2, 3), depth_multiplier=3, use_bias=False),
        (IMAGE,),
        kernels(depthwise_kernel={"h": 2, "w": 3, "in": 5, "multiplier": 3}),
    ),
    "separable1": Sample(
        lambda: layers.SeparableConv1D(7, 2, depth_multiplier=3),
        (SIGNAL,),
        kernels(
            depthwise_kernel={"w": 2, "in": 5, "multiplier": 3},
            pointwise_kernel={"w": 1, "in": 15, "out": 7},
        ),
    ),
    "separable2": Sample(
        lambda: layers.SeparableConv2D(7, (2, 3), depth_multiplier=3, use_bias=False),
        (IMAGE,),
        kernels(
            depthwise_kernel={"h": 2, "w": 3, "in": 5, "multiplier": 3},
            pointwise_kernel={"h": 1, "w": 1, "in": 15, "out": 7},
        ),
    ),
    "local1": Sample(
        lambda: layers.LocallyConnected1D(7, 2),
        (SIGNAL,),
        kernels(kernel={"position": 5, "in": 10, "out": 7}),
    ),
    "local1_sparse": Sample(
        lambda: layers.LocallyConnected1D(7, 2, implementation=3),
        (SIGNAL,),
        kernels(kernel={"weight": 350}),
    ),
    "local2": Sample(
        lambda: layers.LocallyConnected2D(7, (2, 3), use_bias=False),
        (IMAGE,),
        kernels(kernel={"position": 30, "in": 30, "out": 7}),
    ),
    "simple_rnn": Sample(lambda: layers.SimpleRNN(7), (SIGNAL,), gates(1)),
    "lstm": Sample(lambda: layers.LSTM(7), (SIGNAL,), gates(4)),
    "gru": Sample(lambda: layers.GRU(7), (SIGNAL,), gates(3)),
    "gru_before": Sample(
        lambda: layers.GRU(7, reset_after=False, use_bias=False), (SIGNAL,), gates(3)
    ),
    "rnn_of_cell": Sample(lambda: layers.RNN(layers.LSTMCell(7)), (SIGNAL,), gates(4)),
    "rnn_of_cells": Sample(
        lambda: layers.RNN(
            [layers.GRUCell(7), layers.SimpleRNNCell(3), layers.GRUCell(2, use_bias=False)]
        ),
        (SIGNAL,),
        gates(3, prefix="cells.0.") | gates(1, 7, 3, "cells.1.") | gates(3, 3, 2, "cells.2."),
    ),
    "conv_lstm1": Sample(
        lambda: layers.ConvLSTM1D(7, 2),
        ((3, *SIGNAL),),
        kernels(kernel={"w": 2, "in": 5, "out": 28}, recurrent_kernel={"w": 2, "in": 7, "out": 28}),
    ),
    "conv_lstm2": Sample(
        lambda: layers.ConvLSTM2D(7, (2, 3), use_bias=False),
        ((3, *IMAGE),),
        kernels(
            kernel={"h": 2, "w": 3, "in": 5, "out": 28},
            recurrent_kernel={"h": 2, "w": 3, "in": 7, "out": 28},
        ),
    ),
    "conv_lstm3": Sample(
        lambda: layers.ConvLSTM3D(7, (1, 2, 3)),
        ((3, *VOLUME),),
        kernels(
            kernel={"d": 1, "h": 2, "w": 3, "in": 5, "out": 28},
            recurrent_kernel={"d": 1, "h": 2, "w": 3, "in": 7, "out": 28},
        ),
    ),
    "bidirectional": Sample(
        lambda: layers.Bidirectional(layers.LSTM(7)),
        (SIGNAL,),
        gates(4, prefix="forward_layer.") | gates(4, prefix="backward_layer."),
    ),
    "bidirectional_unlike": Sample(
        lambda: layers.Bidirectional(
            layers.GRU(7), backward_layer=layers.SimpleRNN(3, use_bias=False, go_backwards=True)
        ),
        (SIGNAL,),
        gates(3, prefix="forward_layer.") | gates(1, units=3, prefix="backward_layer."),
    ),
    "bidirectional_of_cells": Sample(
        lambda: layers.Bidirectional(layers.RNN([layers.GRUCell(7), layers.SimpleRNNCell(3)])),
        (SIGNAL,),
        {
            f"{side}_layer.{name}": lengths
            for side in ("forward", "backward")
            for name, lengths in (gates(3, prefix="cells.0.") | gates(1, 7, 3, "cells.1.")).items()
        },
    ),
    "time_distributed": Sample(
        lambda: layers.TimeDistributed(layers.Dense(7)),
        (SIGNAL,),
        kernels(layer__kernel={"in": 5, "out": 7}),
    ),
    "time_distributed_deep": Sample(
        lambda: layers.TimeDistributed(layers.Bidirectional(layers.GRU(7))),
        ((3, *SIGNAL),),
        gates(3, prefix="layer.forward_layer.") | gates(3, prefix="layer.backward_layer."),
    ),
    "attention": Sample(
        lambda: layers.MultiHeadAttention(2, 3, value_dim=7),
        ((4, 5), (6, 8)),
        kernels(
            query__kernel={"in": 5, "heads": 2, "out": 3},
            key__kernel={"in": 8, "heads": 2, "out": 3},
            value__kernel={"in": 8, "heads": 2, "out": 7},
            attention_output__kernel={"heads": 2, "in": 7, "out": 5},
        ),
    ),
    "attention_split": Sample(
        lambda: layers.MultiHeadAttention(2, 3, output_shape=(4, 7), use_bias=False),
        ((4, 5), (6, 5)),
        kernels(
            query__kernel={"in": 5, "heads": 2, "out": 3},
            key__kernel={"in": 5, "heads": 2, "out": 3},
            value__kernel={"in": 5, "heads": 2, "out": 3},
            attention_output__kernel={"heads": 2, "in": 3, "out_1": 4, "out_2": 7},
        ),
    ),
}
"""Layers with prunable tensors."""

WEIGHTED: Mapping[str, Sample] = {
    "local1_full": Sample(lambda: layers.LocallyConnected1D(7, 2, implementation=2), (SIGNAL,)),
    "local2_full": Sample(
        lambda: layers.LocallyConnected2D(
            7, (2, 3), implementation=2, data_format="channels_first"
        ),
        ((5, 6, 8),),
    ),
    "batch_norm": Sample(layers.BatchNormalization),
    "batch_norm_bare": Sample(lambda: layers.BatchNormalization(scale=False, center=False)),
    "batch_norm_renorm": Sample(lambda: layers.BatchNormalization(renorm=True)),
    "sync_batch_norm": Sample(lambda: experimental.SyncBatchNormalization(scale=False)),
    "time_distributed_norm": Sample(
        lambda: layers.TimeDistributed(layers.BatchNormalization()), (SIGNAL,)
    ),
    "layer_norm": Sample(lambda: layers.LayerNormalization(center=False)),
    "group_norm": Sample(lambda: layers.GroupNormalization(5, scale=False)),
    "prelu": Sample(layers.PReLU),
    "dot_attention": Sample(lambda: layers.Attention(use_scale=True, score_mode="concat"), PAIR),
    "dot_attention_bare": Sample(layers.Attention, PAIR),
    "additive_attention": Sample(layers.AdditiveAttention, PAIR),
    "additive_attention_bare": Sample(lambda: layers.AdditiveAttention(use_scale=False), PAIR),
    "normalization": Sample(_adapted_normalization),
    "normalization_told": Sample(lambda: layers.Normalization(mean=0.0, variance=1.0)),
    "discretization": Sample(lambda: layers.Discretization(num_bins=3)),
    "discretization_told": Sample(lambda: layers.Discretization(bin_boundaries=[0.0, 1.0])),
    "string_lookup": Sample(lambda: layers.StringLookup(vocabulary=["a", "b"]), dtype="string"),
    "integer_lookup": Sample(
        lambda: layers.IntegerLookup(
            vocabulary=[1, 2], output_mode="tf_idf", idf_weights=[1.0, 2.0]
        ),
        dtype="int64",
    ),
    "text": Sample(
        lambda: layers.TextVectorization(vocabulary=["a", "b"]), ((1,),), dtype="string"
    ),
    "text_idf": Sample(
        lambda: layers.TextVectorization(
            vocabulary=["a", "b"], output_mode="tf_idf", idf_weights=[1.0, 2.0]
        ),
        ((1,),),
        dtype="string",
    ),
    "fourier": Sample(lambda: experimental.RandomFourierFeatures(7)),
    "frozen_bidirectional": Sample(
        lambda: layers.Bidirectional(layers.LSTM(7), trainable=False), (SIGNAL,)
    ),
}
"""Layers that have weights, or could have, of which no class is in `PRUNABLE`, or none of the
tensors is prunable.
"""

STRINGS: Mapping[str, Sample] = {
    "dynamic_lookup": Sample(
        lambda: experimental.DynamicLookup(3, initial_vocabulary=tf.constant(["a", "b", "c"])),
        ((2,),),
        dtype="string",
    ),
    "dynamic_embedding": Sample(
        lambda: experimental.DynamicEmbedding(
            3, 2, initial_vocabulary=tf.constant(["a", "b", "c"]), input_length=2
        ),
        ((2,),),
        dtype="string",
    ),
}
"""Layers with variables of text, which `.h5` files cannot hold."""

CELLS: Mapping[str, Sample] = {
    "SimpleRNNCell": Sample(lambda: layers.SimpleRNNCell(7), lengths=gates(1)),
    "LSTMCell": Sample(lambda: layers.LSTMCell(7, use_bias=False), lengths=gates(4)),
    "GRUCell": Sample(lambda: layers.GRUCell(7), lengths=gates(3)),
    "StackedRNNCells": Sample(
        lambda: layers.StackedRNNCells([layers.LSTMCell(7), layers.GRUCell(3)]),
        lengths=gates(4, prefix="cells.0.") | gates(3, 7, 3, "cells.1."),
    ),
}
"""Cells, which are built by an RNN layer around them."""

ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "Activation": {"activation": "relu"},
    "CategoryEncoding": {"num_tokens": 5},
    "CenterCrop": {"height": 2, "width": 2},
    "Dot": {"axes": 1},
    "Dropout": {"rate": 0.5},
    "AlphaDropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "HashedCrossing": {"num_bins": 5},
    "Hashing": {"num_bins": 5},
    "Lambda": {"function": tf.abs},
    "Permute": {"dims": (1,)},
    "RandomBrightness": {"factor": 0.5},
    "RandomContrast": {"factor": 0.5},
    "RandomCrop": {"height": 2, "width": 2},
    "RandomHeight": {"factor": 0.5},
    "RandomRotation": {"factor": 0.5},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
    "RandomWidth": {"factor": 0.5},
    "RandomZoom": {"height_factor": 0.5},
    "RepeatVector": {"n": 2},
    "Rescaling": {"scale": 2.0},
    "Resizing": {"height": 2, "width": 2},
    "Reshape": {"target_shape": (5, 1)},
    "SpatialDropout1D": {"rate": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
    "SpatialDropout3D": {"rate": 0.5},
}
"""What classes without weights need to be made."""
