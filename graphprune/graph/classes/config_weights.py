"""Weights that depend on a layer's config: their number, or the meaning of their axes."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from graphprune.graph.classes.layer_class import Axes, Weight

ATTENTION_LAYERS = {
    "query": "_query_dense",
    "key": "_key_dense",
    "value": "_value_dense",
    "attention_output": "_output_dense",
}
"""The layers inside MultiHeadAttention: name and attribute
(tf_keras/src/layers/attention/multi_head_attention.py).
"""

MAX_EQUATION = 1000
"""Characters; three tensors with all axes that TensorFlow can count need fewer."""
SPATIAL: Mapping[int, Axes] = {1: ("w",), 2: ("h", "w"), 3: ("d", "h", "w")}
AXES: Axes = ("in", "out", "h", "w", "d", "multiplier", "heads", "each", "position", "weight")
"""The names of all axes of weights that can be pruned; where a layer has several of a kind, they
are numbered (`out_1`).
"""


def is_axis(name: str) -> bool:
    """Return whether a weight of some layer of Keras that can be pruned has an axis of this name.

    Example:
        >>> is_axis("in"), is_axis("out_2"), is_axis("inn"), is_axis("out_0")
        (True, True, False, False)
    """
    return re.sub(r"_[1-9]\d*$", "", name) in AXES


def einsum_dense(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of an EinsumDense."""
    return Weight("kernel", einsum_axes(str(config.get("equation", ""))), prunable=True), Weight(
        "bias", needs="bias_axes"
    )


def einsum_axes(equation: str) -> Axes:
    """Return the axes of an EinsumDense kernel: `in` are summed over, `out` appear only in the
    output, `each` stand in input and output both.

    Several of a kind are numbered from 1. An equation that Keras would refuse gives no axes.

    Example:
        >>> einsum_axes("...x,xy->...y"), einsum_axes("abc,cde->abde"), einsum_axes("abc,bcd->abd")
        (('in', 'out'), ('in', 'out_1', 'out_2'), ('each', 'in', 'out'))
    """
    if len(equation) > MAX_EQUATION:
        return ()
    parts = re.fullmatch(
        r"([A-Za-z]+),([A-Za-z]+)->([A-Za-z]+)", equation.replace("...", "").replace(" ", "")
    )
    if parts is None:
        return ()
    source, kernel, result = parts.groups()
    kept = {letter: "each" if letter in source else "out" for letter in result}
    return _numbered(tuple(kept.get(letter, "in") for letter in kernel))


def _numbered(kinds: Axes) -> Axes:
    totals, numbers = Counter(kinds), {kind: itertools.count(1) for kind in kinds}
    return tuple(kind if totals[kind] == 1 else f"{kind}_{next(numbers[kind])}" for kind in kinds)


def multi_head_attention(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a MultiHeadAttention: kernel and bias of its four layers, `heads` an
    axis of each kernel.
    """
    shape = config.get("output_shape")
    results = min(len(shape), MAX_EQUATION) if isinstance(shape, list | tuple) else 1
    axes = dict.fromkeys(ATTENTION_LAYERS, ("in", "heads", "out")) | {
        "attention_output": _numbered(("heads", "in", *("out",) * results))
    }
    weights: list[Weight] = []
    for layer, path in ATTENTION_LAYERS.items():
        bias = (
            tuple(axis for axis in axes[layer] if axis != "in")
            if layer != "attention_output"
            else axes[layer][2:]
        )
        kernel = Weight(f"{layer}.kernel", axes[layer], prunable=True, path=path, scopes=(layer,))
        weights += [
            kernel,
            Weight(f"{layer}.bias", bias, needs="use_bias", path=path, scopes=(layer,)),
        ]
    return tuple(weights)


def locally_connected(rank: int, config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a LocallyConnected layer, whose `implementation` decides how they are
    stored.

    1: one small dense kernel a position; 2: one kernel from every input to every output, of which
    only those in reach ever act, so it is not prunable; 3: the list of the weights in reach.
    """
    spatial = SPATIAL[rank]
    before, after = (tuple(f"{side}_{axis}" for axis in spatial) for side in ("in", "out"))
    first = config.get("data_format") == "channels_first"
    full = ("in", *before, "out", *after) if first else (*before, "in", *after, "out")
    kinds: Mapping[Any, Axes] = {1: ("position", "in", "out"), 2: full, 3: ("weight",)}
    implementation = config.get("implementation", 1)
    kernel = Weight("kernel", kinds.get(implementation, ()), prunable=implementation in (1, 3))
    return kernel, Weight("bias", (*spatial, "out"), needs="use_bias")


def batch_normalization(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a BatchNormalization, with those of its `renorm` form."""
    moving = [
        "moving_mean",
        "moving_variance",
        *(("moving_stddev", "renorm_mean", "renorm_stddev") if config.get("renorm") else ()),
    ]
    return (
        Weight("gamma", needs="scale"),
        Weight("beta", needs="center"),
        *(Weight(name, trainable=False) for name in moving),
    )


def attention(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a dot-product Attention."""
    has = {
        "scale": config.get("use_scale"),
        "concat_score_weight": config.get("score_mode") == "concat",
    }
    return tuple(Weight(name) for name, is_there in has.items() if is_there)


def normalization(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return what a Normalization layer has learned from data; nothing where it was told mean and
    variance.
    """
    return (
        ()
        if config.get("mean") is not None
        else tuple(Weight(name, trainable=False) for name in ("mean", "variance", "count"))
    )


def discretization(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return what a Discretization layer learned from data; nothing where its bins were given."""
    return () if config.get("bin_boundaries") is not None else (Weight("summary", trainable=False),)


def lookup(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a lookup layer; its vocabulary is no tensor."""
    return (
        (Weight("idf_weights", trainable=False),) if config.get("output_mode") == "tf_idf" else ()
    )


def text_vectorization(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a TextVectorization, which `.keras` files hold for the layer and for
    the lookup layer inside it.
    """
    weights = lookup(config)
    return (
        *weights,
        *(
            Weight(weight.name, trainable=False, path="_lookup_layer", is_copy=True)
            for weight in weights
        ),
    )
