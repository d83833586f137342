"""Attention layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.graph.classes import attention_steps
from graphprune.graph.classes.channels import Weights
from graphprune.graph.classes.dense import MAX_EQUATION, numbered
from graphprune.graph.classes.layer_class import Expected, LayerClass, Weight, always, merged
from graphprune.graph.classes.lengths import Config, Lengths, Open, parse_lengths, read_setting
from graphprune.graph.classes.multiply_adds import attention
from graphprune.graph.classes.multiply_adds import dot_product as multiplied
from graphprune.graph.classes.recurrent_channels import dot_product, grouped_query, multi_head
from graphprune.graph.shapes.axis_lengths import Shape

MULTI_HEAD_LAYERS = {
    "query": "_query_dense",
    "key": "_key_dense",
    "value": "_value_dense",
    "attention_output": "_output_dense",
}
"""The layers inside MultiHeadAttention: name and attribute
(tf_keras/src/layers/attention/multi_head_attention.py).
"""
DENSE_ATTENTION = ("BaseDenseAttention", "BaseRandomLayer")


def _multi_head_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return kernel and bias of the four layers inside; `heads` is an axis of each kernel."""
    shape = config.get("output_shape")
    results = min(len(shape), MAX_EQUATION) if isinstance(shape, list | tuple) else 1
    axes = dict.fromkeys(MULTI_HEAD_LAYERS, ("in", "heads", "out")) | {
        "attention_output": numbered(("heads", "in", *("out",) * results))
    }
    weights: list[Weight] = []
    for layer, path in MULTI_HEAD_LAYERS.items():
        bias = (
            tuple(axis for axis in axes[layer] if axis != "in")
            if layer != "attention_output"
            else axes[layer][2:]
        )
        weights += [
            Weight(f"{layer}.kernel", axes[layer], prunable=True, path=path, scopes=(layer,)),
            Weight(f"{layer}.bias", bias, needs="use_bias", path=path, scopes=(layer,)),
        ]
    return tuple(weights)


def _multi_head_shapes(config: Config) -> Expected:
    heads, key_dim = read_setting(config, "num_heads"), read_setting(config, "key_dim")
    value_dim = (
        read_setting(config, "value_dim") if config.get("value_dim") is not None else key_dim
    )
    shape = config.get("output_shape")
    results: Lengths = (Open("query"),) if not shape else parse_lengths(shape)
    widths = {"query": key_dim, "key": key_dim, "value": value_dim}
    return {
        **{f"{part}.kernel": (Open(part), heads, width) for part, width in widths.items()},
        **{f"{part}.bias": (heads, width) for part, width in widths.items()},
        "attention_output.kernel": (heads, value_dim, *results),
        "attention_output.bias": results,
    }


def _multi_head_output(config: Config, taken: Sequence[Shape]) -> Shape:
    """Return the output shape of MultiHeadAttention for its query; scores are unknown."""
    query, shape = taken[0], config.get("output_shape")
    if shape is None:
        return query
    return *query[:-1], *(shape if isinstance(shape, list | tuple) else (shape,))


GROUPED_QUERY_LAYERS = MULTI_HEAD_LAYERS | {"gate": "_gate_dense"}
"""The layers inside GroupQueryAttention (keras/src/layers/attention/grouped_query_attention.py of
Keras 3).
"""


def _grouped_query_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return kernel and bias of the four or five layers inside, in creation order."""
    layers = ("query", "key", *(("gate",) if config.get("use_gate") else ()), "value")
    weights: list[Weight] = []
    for layer in (*layers, "attention_output"):
        is_last = layer == "attention_output"
        kernel = ("heads", "in", "out") if is_last else ("in", "heads", "out")
        bias = ("out",) if is_last else ("heads", "out")
        path = GROUPED_QUERY_LAYERS[layer]
        weights += [
            Weight(f"{layer}.kernel", kernel, prunable=True, path=path, scopes=(layer,)),
            Weight(f"{layer}.bias", bias, needs="use_bias", path=path, scopes=(layer,)),
        ]
    return tuple(weights)


def _grouped_query_shapes(config: Config) -> Expected:
    heads, width = read_setting(config, "num_query_heads"), read_setting(config, "head_dim")
    fewer = read_setting(config, "num_key_value_heads")
    query, counts = Open("query"), {"query": heads, "key": fewer, "gate": heads, "value": fewer}
    sources = {"query": query, "key": Open("key"), "gate": query, "value": Open("value")}
    return {
        **{f"{part}.kernel": (sources[part], count, width) for part, count in counts.items()},
        **{f"{part}.bias": (count, width) for part, count in counts.items()},
        "attention_output.kernel": (heads, width, query),
        "attention_output.bias": (query,),
    }


def _dot_product_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    has = {
        "scale": config.get("use_scale"),
        "concat_score_weight": config.get("score_mode") == "concat",
    }
    return tuple(Weight(name) for name, is_there in has.items() if is_there)


def _attention_output(_config: Config, taken: Sequence[Shape]) -> Shape:
    """Return the output shape of both attentions for [query, value] or [query, value, key]."""
    query, value = taken[:2]
    return (*query[:-1], value[-1])


def _multi_head_resized(config: Config, weights: Weights, _made: Shape | None) -> Mapping[str, Any]:
    heads: dict[str, Any] = {"num_heads": weights["query.kernel"][1]}
    for part in ("query", "key", "value"):  # tf_keras builds the layer by these shapes
        shape = config.get(f"{part}_shape")
        if isinstance(shape, list | tuple):
            heads[f"{part}_shape"] = [*shape[:-1], weights[f"{part}.kernel"][0]]
    told, out = config.get("output_shape"), weights["attention_output.kernel"][2:]
    if not told:
        return heads
    return heads | {"output_shape": list(out) if isinstance(told, list | tuple) else out[0]}


def _grouped_query_resized(
    _config: Config, weights: Weights, _made: Shape | None
) -> Mapping[str, Any]:
    many, few = weights["query.kernel"][1], weights["key.kernel"][1]
    return {"num_query_heads": many, "num_key_value_heads": few}


def _with_listed_shape(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with a list for an output shape of one axis, as Keras 3 writes it."""
    shape = config.get("output_shape")
    return config | {"output_shape": [shape]} if isinstance(shape, int) else config


CLASSES: Mapping[str, LayerClass] = {
    "MultiHeadAttention": LayerClass(
        "sequence",
        (),
        _multi_head_weights,
        _multi_head_shapes,
        merged(_multi_head_output),
        arguments=("query", "value", "key"),
        channels=multi_head,
        keeps_mask=always,
        normalize=_with_listed_shape,
        deletes_masks=True,
        steps=attention_steps.multi_head,
        resized=_multi_head_resized,
        multiply_adds=attention,
        attributes=MULTI_HEAD_LAYERS,
        attribute_class="EinsumDense",
        is_built_by_call=True,
    ),
    "GroupQueryAttention": LayerClass(
        "sequence",
        (),
        _grouped_query_weights,
        _grouped_query_shapes,
        merged(lambda _config, taken: taken[0]),
        arguments=("query", "value", "key"),
        channels=grouped_query,
        steps=attention_steps.grouped_query,
        resized=_grouped_query_resized,
        multiply_adds=attention,
        attributes=GROUPED_QUERY_LAYERS,
        attribute_class="EinsumDense",
        file_class="GroupedQueryAttention",
        versions=(3,),
    ),
    "Attention": LayerClass(
        "sequence",
        DENSE_ATTENTION,
        _dot_product_weights,
        lambda _config: {"scale": (), "concat_score_weight": ()},
        merged(_attention_output),
        arguments=("query", "value", "key"),
        channels=dot_product,
        keeps_mask=always,
        steps=attention_steps.dot_product,
        multiply_adds=multiplied,
    ),
    "AdditiveAttention": LayerClass(
        "sequence",
        DENSE_ATTENTION,
        (Weight("scale", needs="use_scale"),),
        lambda _config: {"scale": (Open("in"),)},
        merged(_attention_output),
        arguments=("query", "value", "key"),
        keeps_mask=always,
        steps=attention_steps.additive_attention,
    ),
}
