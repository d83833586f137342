"""Which shapes a built-in layer's weights have by its config, as one table; lengths that depend on
the layer's input are open.

The rules follow the `build` methods of tf_keras (tf_keras/src/layers). A rule that misses a setting
says nothing: old files cannot tell a class of Keras from one of the user's with the same name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.archive.entries import Entry, is_builtin, type_of
from graphprune.graph.classes.config_weights import ATTENTION_LAYERS, MAX_EQUATION
from graphprune.graph.classes.lengths import (
    MAX_AXES,
    Config,
    Lengths,
    Open,
    SettingError,
    is_length,
    parse_length,
    parse_lengths,
    read_setting,
    read_window,
)

Expected = Mapping[str, Lengths]
"""By the weights' names; one that is left out may have any shape."""
IN = Open("in")


def find_expected_shapes(entry: Entry) -> Expected:
    """Return the shapes of a layer's weights as far as its class and config tell them; nothing for
    custom layers.

    Raises:
        SettingError: a setting is no number that the layer can be built with.

    Example:
        >>> shapes = find_expected_shapes({"class_name": "Dense", "config": {"units": 3}})
        >>> shapes["bias"], [str(length) for length in shapes["kernel"]]
        ((3,), ['in', '3'])
    """
    rule = _RULES.get(type_of(entry)) if is_builtin(entry) else None
    try:
        return {} if rule is None else rule(entry["config"])
    except KeyError:
        return {}


def _dense(config: Config) -> Expected:
    units = read_setting(config, "units")
    return {"kernel": (IN, units), "bias": (units,)}


def _embedding(config: Config) -> Expected:
    return {"embeddings": (read_setting(config, "input_dim"), read_setting(config, "output_dim"))}


def _dynamic_embedding(config: Config) -> Expected:
    return {f"embedding_layer.{name}": lengths for name, lengths in _embedding(config).items()}


def _fourier(config: Config) -> Expected:
    length = read_setting(config, "output_dim")
    return {"kernel_scale": (1,), "unscaled_kernel": (IN, length), "bias": (length,)}


def _convolution(rank: int) -> Callable[[Config], Expected]:
    def rule(config: Config) -> Expected:
        filters, groups = read_setting(config, "filters"), read_setting(config, "groups", 1)
        if filters % groups:
            raise SettingError(f"filters must be a multiple of groups, got {filters} and {groups}")
        return {"kernel": (*read_window(rank, config), IN, filters), "bias": (filters,)}

    return rule


def _transposed(rank: int) -> Callable[[Config], Expected]:
    def rule(config: Config) -> Expected:
        filters = read_setting(config, "filters")
        return {"kernel": (*read_window(rank, config), filters, IN), "bias": (filters,)}

    return rule


def _depthwise(rank: int) -> Callable[[Config], Expected]:
    def rule(config: Config) -> Expected:
        multiplier = read_setting(config, "depth_multiplier", 1)
        return {
            "depthwise_kernel": (*read_window(rank, config), IN, multiplier),
            "bias": (Open("in", multiplier),),
        }

    return rule


def _separable(rank: int) -> Callable[[Config], Expected]:
    def rule(config: Config) -> Expected:
        filters, depthwise = read_setting(config, "filters"), _depthwise(rank)(config)
        return {
            **depthwise,
            "pointwise_kernel": (*(1,) * rank, *depthwise["bias"], filters),
            "bias": (filters,),
        }

    return rule


def _locally_connected(rank: int) -> Callable[[Config], Expected]:
    def rule(config: Config) -> Expected:
        filters, window = read_setting(config, "filters"), math.prod(read_window(rank, config))
        last: Lengths = (*(None,) * (2 * rank + 1), filters)
        if config.get("data_format") == "channels_first":
            last = (*(None,) * (rank + 1), filters, *(None,) * rank)
        kernels: Mapping[Any, Lengths] = {
            1: (None, Open("in", window), filters),
            2: last,
            3: (None,),
        }
        implementation = config.get("implementation", 1)
        known = {"kernel": kernels[implementation]} if implementation in (1, 2, 3) else {}
        return {**known, "bias": (*(None,) * rank, filters)}

    return rule


def _recurrent(gates: int) -> Callable[[Config], Expected]:
    def rule(config: Config) -> Expected:
        units = read_setting(config, "units")
        return {
            "kernel": (IN, gates * units),
            "recurrent_kernel": (units, gates * units),
            "bias": (gates * units,),
        }

    return rule


def _gru(config: Config) -> Expected:
    shapes = _recurrent(3)(config)
    return {**shapes, "bias": (2, *shapes["bias"])} if config.get("reset_after", True) else shapes


def _conv_lstm(rank: int) -> Callable[[Config], Expected]:
    def rule(config: Config) -> Expected:
        filters, window = read_setting(config, "filters"), read_window(rank, config)
        return {
            "kernel": (*window, IN, 4 * filters),
            "recurrent_kernel": (*window, filters, 4 * filters),
            "bias": (4 * filters,),
        }

    return rule


def _multi_head_attention(config: Config) -> Expected:
    heads, key_dim = read_setting(config, "num_heads"), read_setting(config, "key_dim")
    value_dim = (
        read_setting(config, "value_dim") if config.get("value_dim") is not None else key_dim
    )
    shape = config.get("output_shape")
    results: Lengths = (Open("query"),) if not shape else parse_lengths(shape)
    widths = {"query": key_dim, "key": key_dim, "value": value_dim}
    inward = {f"{part}.kernel": (Open(part), heads, width) for part, width in widths.items()}
    biases = {f"{part}.bias": (heads, width) for part, width in widths.items()}
    outward = {
        "attention_output.kernel": (heads, value_dim, *results),
        "attention_output.bias": results,
    }
    assert {name.split(".")[0] for name in (*inward, *outward)} == ATTENTION_LAYERS.keys()
    return {**inward, **biases, **outward}


def _einsum_dense(config: Config) -> Expected:
    """Return the shapes of an EinsumDense: letters of the result go by `output_shape`, those of the
    input are open.

    The batch axis, and axes that an ellipsis stands for, are no part of `output_shape`
    (tf_keras/src/layers/core/einsum_dense.py, `_analyze_split_string`).
    """
    shape = parse_lengths(config["output_shape"])
    if len(str(config["equation"])) > MAX_EQUATION:
        raise SettingError(
            f"equation must have at most {MAX_EQUATION:,} characters, got"
            f" {len(str(config['equation'])):,}"
        )
    parts = re.fullmatch(
        r"(\.\.\.)?([A-Za-z]+)(\.\.\.)?,([A-Za-z]+)->(\.\.\.)?([A-Za-z]+)(\.\.\.)?",
        str(config["equation"]).replace(" ", ""),
    )
    if parts is None:
        return {}
    starts_open, source, ends_open, kernel, _, result, _ = parts.groups()
    told = dict(zip(result if starts_open else result[1:], shape, strict=False))
    known = {"kernel": tuple(Open(one) if one in source else told.get(one) for one in kernel)}
    bias = config.get("bias_axes")
    if not bias or ends_open:
        return known
    letters = [None if letter in source else told.get(letter) for letter in str(bias)]
    return {**known, "bias": tuple(letters)}


def _input(config: Config) -> Expected:
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


def _scalars(*names: str) -> Callable[[Config], Expected]:
    return lambda _config: dict.fromkeys(names, ())


def _normalized(*names: str) -> Callable[[Config], Expected]:
    """Return the rule of a layer that keeps one number for each place along its axes, the same
    number of them for each of `names`.
    """

    def rule(config: Config) -> Expected:
        axis = config.get("axis", -1)
        axes = axis if isinstance(axis, list | tuple) else [axis]
        axes = [] if axis is None else axes
        return dict.fromkeys(names, tuple(Open(f"axis {one}") for one in axes))

    return rule


def _batch_normalization(config: Config) -> Expected:
    axis = config.get("axis", -1)
    names = (
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
        "moving_stddev",
        "renorm_mean",
        "renorm_stddev",
    )
    return {} if isinstance(axis, list | tuple) and len(axis) != 1 else _normalized(*names)(config)


def _group_normalization(config: Config) -> Expected:
    groups = config.get("groups", 32)
    channels = Open("groups")
    if groups != -1:
        channels = Open("channels in a group", parse_length(groups, "groups"))
    return {"gamma": (channels,), "beta": (channels,)}


def _inside(entry: Any, prefix: str) -> Expected:
    """Return the shapes of a layer inside another, by names that begin with `prefix`; its open
    lengths are its own.
    """
    if (
        not isinstance(entry, Mapping)
        or not isinstance(entry.get("class_name"), str)
        or not isinstance(entry.get("config"), Mapping)
    ):
        return {}
    return {
        f"{prefix}{name}": tuple(
            replace(length, name=f"{prefix}{length.name}") if isinstance(length, Open) else length
            for length in lengths
        )
        for name, lengths in find_expected_shapes(entry).items()
    }


def _wrapper(config: Config) -> Expected:
    return _inside(config["layer"], "layer.")


def _spectral(config: Config) -> Expected:
    inner = _wrapper(config)
    kernel = inner.get("layer.kernel", inner.get("layer.embeddings"))
    return {**inner, "vector_u": (1, kernel[-1])} if kernel else inner


def _bidirectional(config: Config) -> Expected:
    forward = config["layer"]
    return {
        **_inside(forward, "forward_layer."),
        **_inside(config.get("backward_layer") or forward, "backward_layer."),
    }


def _stacked_cells(config: Config) -> Expected:
    cells: Sequence[Any] = config["cells"] if isinstance(config["cells"], list | tuple) else ()
    return {
        name: lengths
        for index, cell in enumerate(cells)
        for name, lengths in _inside(cell, f"cells.{index}.").items()
    }


_RULES: Mapping[str, Callable[[Config], Expected]] = {
    "InputLayer": _input,
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "Embedding": _embedding,
    "DynamicEmbedding": _dynamic_embedding,
    "RandomFourierFeatures": _fourier,
    **{f"Conv{rank}D": _convolution(rank) for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": _transposed(rank) for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": _depthwise(rank) for rank in (1, 2)},
    **{f"SeparableConv{rank}D": _separable(rank) for rank in (1, 2)},
    **{f"LocallyConnected{rank}D": _locally_connected(rank) for rank in (1, 2)},
    **{f"ConvLSTM{rank}D": _conv_lstm(rank) for rank in (1, 2, 3)},
    **dict.fromkeys(("SimpleRNN", "SimpleRNNCell"), _recurrent(1)),
    **dict.fromkeys(("LSTM", "LSTMCell"), _recurrent(4)),
    **dict.fromkeys(("GRU", "GRUCell"), _gru),
    "RNN": lambda config: _inside(config["cell"], ""),
    "StackedRNNCells": _stacked_cells,
    **dict.fromkeys(("Wrapper", "TimeDistributed"), _wrapper),
    "Bidirectional": _bidirectional,
    "SpectralNormalization": _spectral,
    "MultiHeadAttention": _multi_head_attention,
    "Attention": _scalars("scale", "concat_score_weight"),
    "AdditiveAttention": lambda _config: {"scale": (Open("in"),)},
    **dict.fromkeys(("BatchNormalization", "SyncBatchNormalization"), _batch_normalization),
    "LayerNormalization": _normalized("gamma", "beta"),
    "GroupNormalization": _group_normalization,
    "Normalization": lambda config: {**_normalized("mean", "variance")(config), "count": ()},
    "Discretization": lambda _config: {"summary": (2, None)},
}
