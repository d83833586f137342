"""The layers of Keras as one table: their weights in storage order, which may be pruned, what the axes mean, and the base classes.

The order of weights is that of `add_weight` calls in `build` (tf_keras/src/layers), trainable ones first, which is how both file formats store them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphprune.graph.entries import Entry, is_builtin, is_wrapper, type_of

Axes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight that a layer class makes.

    Attributes:
        name: Its bare name; prefixed by the path of a layer inside a wrapper (`forward_layer.kernel`).
        axes: One name an axis; empty where they have no settled meaning.
        prunable: Whether rules may claim it.
        needs: The config key that must be true for the weight to exist.
        trainable: Whether optimizers update it while its layer is not frozen.
        path: Where a `.keras` file holds it, below the layer's own path.
    """

    name: str
    axes: Axes = ()
    prunable: bool = False
    needs: str = ""
    trainable: bool = True
    path: str = ""


@dataclass(frozen=True, slots=True)
class LayerClass:
    """What is known of one class: its bases, nearest first, and its weights."""

    bases: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()


SPATIAL: dict[int, Axes] = {1: ("w",), 2: ("h", "w"), 3: ("d", "h", "w")}
BIAS = Weight("bias", ("out",), needs="use_bias")
DENSE = (Weight("kernel", ("in", "out"), prunable=True), BIAS)
SCALE_AND_CENTER = (Weight("gamma", needs="scale"), Weight("beta", needs="center"))
MOVING = (Weight("moving_mean", trainable=False), Weight("moving_variance", trainable=False))


def _conv(rank: int) -> tuple[Weight, ...]:
    return Weight("kernel", (*SPATIAL[rank], "in", "out"), prunable=True), BIAS


def _conv_transpose(rank: int) -> tuple[Weight, ...]:
    return Weight("kernel", (*SPATIAL[rank], "out", "in"), prunable=True), BIAS


def _depthwise(rank: int) -> Weight:
    return Weight("depthwise_kernel", (*SPATIAL[rank], "in", "multiplier"), prunable=True)


def _separable(rank: int) -> tuple[Weight, ...]:
    return _depthwise(rank), Weight("pointwise_kernel", (*SPATIAL[rank], "in", "out"), prunable=True), BIAS


def _recurrent(axes: Axes = ("in", "out"), *, prunable: bool = True) -> tuple[Weight, ...]:
    return (
        Weight("kernel", axes, prunable, path="cell"),
        Weight("recurrent_kernel", axes, prunable, path="cell"),
        Weight("bias", needs="use_bias", path="cell"),
    )


def _conv_lstm(rank: int) -> LayerClass:
    return LayerClass(("ConvLSTM", "ConvRNN", "RNN"), _recurrent((*SPATIAL[rank], "in", "out"), prunable=False))


def _attention() -> tuple[Weight, ...]:
    layers = {"query": "_query_dense", "key": "_key_dense", "value": "_value_dense", "attention_output": "_output_dense"}
    return tuple(Weight(f"{layer}.{name}", needs=needs, path=path) for layer, path in layers.items() for name, needs in (("kernel", ""), ("bias", "use_bias")))


BUILTIN_LAYERS: Mapping[str, LayerClass] = {
    "Dense": LayerClass((), DENSE),
    "EinsumDense": LayerClass((), (Weight("kernel"), Weight("bias", needs="bias_axes"))),
    "Embedding": LayerClass((), (Weight("embeddings", ("in", "out"), prunable=True),)),
    "Conv1D": LayerClass(("Conv",), _conv(1)),
    "Conv2D": LayerClass(("Conv",), _conv(2)),
    "Conv3D": LayerClass(("Conv",), _conv(3)),
    "Conv1DTranspose": LayerClass(("Conv1D", "Conv"), _conv_transpose(1)),
    "Conv2DTranspose": LayerClass(("Conv2D", "Conv"), _conv_transpose(2)),
    "Conv3DTranspose": LayerClass(("Conv3D", "Conv"), _conv_transpose(3)),
    "DepthwiseConv1D": LayerClass(("DepthwiseConv", "Conv"), (_depthwise(1), Weight("bias", needs="use_bias"))),
    "DepthwiseConv2D": LayerClass(("DepthwiseConv", "Conv"), (_depthwise(2), Weight("bias", needs="use_bias"))),
    "SeparableConv1D": LayerClass(("SeparableConv", "Conv"), _separable(1)),
    "SeparableConv2D": LayerClass(("SeparableConv", "Conv"), _separable(2)),
    "LocallyConnected1D": LayerClass((), (Weight("kernel"), Weight("bias", needs="use_bias"))),
    "LocallyConnected2D": LayerClass((), (Weight("kernel"), Weight("bias", needs="use_bias"))),
    "SimpleRNN": LayerClass(("RNN",), _recurrent()),
    "LSTM": LayerClass(("RNN", "BaseRandomLayer"), _recurrent()),
    "GRU": LayerClass(("RNN", "BaseRandomLayer"), _recurrent()),
    "ConvLSTM1D": _conv_lstm(1),
    "ConvLSTM2D": _conv_lstm(2),
    "ConvLSTM3D": _conv_lstm(3),
    "BatchNormalization": LayerClass(("BatchNormalizationBase",), SCALE_AND_CENTER + MOVING),
    "SyncBatchNormalization": LayerClass(("BatchNormalizationBase",), SCALE_AND_CENTER + MOVING),
    "LayerNormalization": LayerClass((), SCALE_AND_CENTER),
    "GroupNormalization": LayerClass((), SCALE_AND_CENTER),
    "PReLU": LayerClass((), (Weight("alpha"),)),
    "MultiHeadAttention": LayerClass((), _attention()),
}


def known_class(entry: Entry) -> LayerClass | None:
    """Return what the table says of the entry's class, None for classes that it does not hold."""
    return BUILTIN_LAYERS.get(type_of(entry)) if is_builtin(entry) else None


def weights_of(entry: Entry) -> tuple[Weight, ...] | None:
    """Return the weights that a layer with this entry makes, in storage order; None where the table does not know.

    Layers inside TimeDistributed and Bidirectional come with the path of the inner layer before their name, and are not prunable.

    Example:
        >>> [weight.name for weight in weights_of({"class_name": "Dense", "config": {"use_bias": False}})]
        ['kernel']
    """
    found = known_class(entry)
    config = entry["config"]
    if found is not None:
        return tuple(weight for weight in found.weights if not weight.needs or config.get(weight.needs, True))
    if not is_builtin(entry) or is_wrapper(entry):
        return None
    return _inner_weights(type_of(entry), config)


def _inner_weights(layer_type: str, config: Mapping[str, Any]) -> tuple[Weight, ...] | None:
    layer = config.get("layer")
    if layer_type == "TimeDistributed":
        inner = {"layer": layer}
    elif layer_type == "Bidirectional":
        inner = {"forward_layer": layer, "backward_layer": config.get("backward_layer") or layer}
    else:
        return None
    weights: list[Weight] = []
    for path, entry in inner.items():
        found = weights_of(entry) if isinstance(entry, Mapping) and isinstance(entry.get("config"), Mapping) else None
        if found is None:
            return None
        weights += [replace(weight, name=f"{path}.{weight.name}", path=f"{path}/{weight.path}".rstrip("/"), axes=(), prunable=False) for weight in found]
    return tuple(weights)
