"""Layers that multiply by one matrix (Dense, EinsumDense) or look up its rows (Embedding)."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphprune.graph.classes.activation_steps import MATRIX, activated
from graphprune.graph.classes.channels import (
    ChannelCall,
    Channels,
    Mask,
    Weights,
    from_axis,
    linear,
)
from graphprune.graph.classes.constants import Values
from graphprune.graph.classes.layer_class import (
    Axes,
    Expected,
    LayerCall,
    LayerClass,
    Weight,
    always,
    one,
)
from graphprune.graph.classes.lengths import Config, Open, SettingError, parse_lengths, read_setting
from graphprune.graph.classes.multiply_adds import at_each_place, einsum
from graphprune.graph.classes.steps import StepCall, Steps, looked_up, mask_of_indices, matrix
from graphprune.graph.shapes.axis_lengths import Shape

IN = Open("in")
MAX_EQUATION = 1000
"""Characters; three tensors with all axes that TensorFlow can count need fewer."""
TABLE = tuple(
    Weight(name, trainable=False)
    for name in ("vocabulary_table_keys", "vocabulary_table_values", "vocabulary")
)
"""The weights of a DynamicLookup."""
DYNAMIC_TABLE = tuple(
    replace(weight, name=f"dynamic_lookup_layer.{weight.name}", path="dynamic_lookup_layer")
    for weight in TABLE
)


def _dense_shapes(config: Config) -> Expected:
    units = read_setting(config, "units")
    return {"kernel": (IN, units), "bias": (units,)}


def _einsum_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    kernel = Weight("kernel", einsum_axes(str(config.get("equation", ""))), prunable=True)
    return kernel, Weight("bias", needs="bias_axes")


def einsum_axes(equation: str) -> Axes:
    """Return the axes of an EinsumDense kernel.

    `in` are summed over, `out` appear only in the output, `each` in input and output. Several of a
    kind are numbered from 1. An equation that Keras would refuse gives no axes.

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
    return numbered(tuple(kept.get(letter, "in") for letter in kernel))


def numbered(kinds: Axes) -> Axes:
    """Return the names of axes, numbered from 1 where a name stands several times.

    Example:
        >>> numbered(("in", "out", "out"))
        ('in', 'out_1', 'out_2')
    """
    totals, numbers = Counter(kinds), {kind: itertools.count(1) for kind in kinds}
    return tuple(kind if totals[kind] == 1 else f"{kind}_{next(numbers[kind])}" for kind in kinds)


def _einsum_weight_shapes(config: Config) -> Expected:
    """Return the weight shapes of an EinsumDense.

    Letters of the result go by `output_shape`, those of the input are open. The batch axis, and
    axes that an ellipsis stands for, are no part of `output_shape`
    (tf_keras/src/layers/core/einsum_dense.py, `_analyze_split_string`).
    """
    shape, equation = parse_lengths(config["output_shape"]), str(config["equation"])
    if len(equation) > MAX_EQUATION:
        raise SettingError(
            f"equation must have at most {MAX_EQUATION:,} characters, got {len(equation):,}"
        )
    parts = re.fullmatch(
        r"(\.\.\.)?([A-Za-z]+)(\.\.\.)?,([A-Za-z]+)->(\.\.\.)?([A-Za-z]+)(\.\.\.)?",
        equation.replace(" ", ""),
    )
    if parts is None:
        return {}
    starts_open, source, ends_open, kernel, _, result, _ = parts.groups()
    told = dict(zip(result if starts_open else result[1:], shape, strict=False))
    known = {"kernel": tuple(Open(axis) if axis in source else told.get(axis) for axis in kernel)}
    bias = _axes_of_bias(config, result)
    if not bias or ends_open:
        return known
    lengths = {None: 1} | {letter: told.get(letter) for letter in result if letter not in source}
    return {**known, "bias": tuple(lengths.get(letter) for letter in bias)}


def _einsum_output(config: Config, shape: Shape) -> Shape:
    """Return the output shape of an EinsumDense; an ellipsis is the axes before the named ones."""
    parts = re.fullmatch(
        r"(\.{3})?([A-Za-z]+),[A-Za-z]+->(\.{3})?([A-Za-z]+)", config["equation"].replace(" ", "")
    )
    if parts is None or bool(parts[1]) != bool(parts[3]):
        raise ValueError(f"equation {config['equation']!r} is not known")
    named, result = parts[2], parts[4]
    lengths = dict(zip(named, shape[len(shape) - len(named) :], strict=True))
    told = config["output_shape"]
    told = told if isinstance(told, list | tuple) else [told]
    made = dict(zip(reversed(result), reversed(told), strict=False))
    extra = shape[: len(shape) - len(named)]
    if extra and not parts[1]:
        raise ValueError(f"equation {config['equation']!r} has fewer axes than {shape}")
    return (*extra, *(lengths[letter] if letter in lengths else made[letter] for letter in result))


def _embedding_shapes(config: Config) -> Expected:
    return {"embeddings": (read_setting(config, "input_dim"), read_setting(config, "output_dim"))}


def _reversible_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a ReversibleEmbedding.

    Without `tie_weights` it has a second matrix for the reverse projection.
    """
    embeddings = Weight("embeddings", ("in", "out"), prunable=True)
    if config.get("tie_weights", True):
        return (embeddings,)
    return embeddings, replace(embeddings, name="reverse_embeddings")


def _reversible_shapes(config: Config) -> Expected:
    there = read_setting(config, "input_dim"), read_setting(config, "output_dim")
    return {"embeddings": there, "reverse_embeddings": there[::-1]}


def _reversible_output(call: LayerCall) -> Sequence[Shape | None]:
    """Return the output of a ReversibleEmbedding: with `reverse`, one number per row."""
    taken, operation = call.taken[0], call.operation
    if taken is None or operation is None:
        return ()
    if operation.setting("reverse", False):
        return [(*taken[:-1], call.config["input_dim"])]
    return [(*taken, call.config["output_dim"])]


def _dynamic_embedding_shapes(config: Config) -> Expected:
    return {f"embedding_layer.{name}": found for name, found in _embedding_shapes(config).items()}


def _fourier_shapes(config: Config) -> Expected:
    length = read_setting(config, "output_dim")
    return {"kernel_scale": (1,), "unscaled_kernel": (IN, length), "bias": (length,)}


def _dense_channels(call: ChannelCall) -> Sequence[Channels | None]:
    read = call.along(0, -1)
    return [call.activated(linear(call, read, "kernel", (0, 1), call.config["units"], -1))]


def _einsum_channels(call: ChannelCall) -> Sequence[Channels | None]:
    """Apply the rule of an EinsumDense: its last own axis, and one axis that it sums over."""
    equation, shape = call.config["equation"].replace(" ", ""), call.made
    parts = re.fullmatch(r"(?:\.{3})?([A-Za-z]+),([A-Za-z]+)->(?:\.{3})?([A-Za-z]+)", equation)
    if parts is None or shape is None:
        return call.keep_all("has an equation that is not known")
    source, kernel, result = parts.groups()
    read = call.first
    letter = "" if read is None or -read.axis > len(source) else source[read.axis]
    if read is not None and (letter not in kernel or letter in result):
        call.keep(read, "does not sum over them")
        read = None
    own = [axis for axis in kernel if axis in result and axis not in source]
    bias = _axes_of_bias(call.config, result)
    known = None if read is None else (kernel.index(letter), ~np.isnan(read.constants))
    zero_in = _einsum_read(call, read, (letter, kernel, result), bias)
    if not own:
        return [None]
    at = result.index(own[-1]) - len(result)
    count, axis = shape[at] or 0, kernel.index(own[-1])
    labels = call.book.own("kernel", axis, count, "produces")
    zero = call.zeros("kernel", axis, count, zero_in)
    if own[-1] in bias:
        call.bind("bias", bias.index(own[-1]), labels, "scales")
        zero = zero & call.zeros("bias", bias.index(own[-1]), count)
    elif bias:
        zero = zero & call.zeros("bias", 0, 1).all()
    sums = _einsum_sums(call, read, (letter, kernel, result))
    rows = np.moveaxis(sums, at, 0).reshape(sums.shape[at], -1)
    rows = np.where((rows == rows[:, :1]).all(1), rows[:, 0], np.nan)
    value = np.where(call.zeros("kernel", axis, count, known), rows, np.nan)
    return [call.activated(Channels(at, labels, zero, value=value))]


def _axes_of_bias(config: Config, result: str) -> list[str | None]:
    """Return the axes of an EinsumDense bias: those of the result from the first that it has.

    It has the length 1 along the others, here None (`_analyze_split_string` of both Kerases).

    Example:
        >>> _axes_of_bias({"bias_axes": "be"}, "abde"), _axes_of_bias({"bias_axes": None}, "abd")
        (['b', None, 'e'], [])
    """
    axes = str(config.get("bias_axes") or "")
    first = min((result.index(letter) for letter in axes), default=len(result))
    return [letter if letter in axes else None for letter in result[first:]]


def _einsum_read(
    call: ChannelCall,
    read: Channels | None,
    equation: tuple[str, str, str],
    bias: Sequence[str | None],
) -> tuple[int, Mask] | None:
    """Note that the kernel of an EinsumDense reads channels; return which are zero, and the axis.

    Args:
        call: The call.
        read: The channels.
        equation: The axis that they are along, the axes of the kernel and of the result.
        bias: The axes of the bias, which takes constants; without one, a moving mean behind does,
            which is along the last axis.
    """
    letter, kernel, result = equation
    if read is None:
        return None
    taking = bias or [result[-1]]
    made = [kernel.index(axis) if axis and axis in kernel else None for axis in taking]
    is_covered = {axis for axis in kernel if axis in result} <= {*taking}
    uneven = "" if is_covered else "has no bias along all axes of what it makes of their constant"
    axis = kernel.index(letter)
    return call.read(read, "kernel", axis, bias="bias", made=made, uneven=uneven)


def _einsum_sums(
    call: ChannelCall, read: Channels | None, equation: tuple[str, str, str]
) -> Values:
    """Return what an EinsumDense makes of the constants that it reads, with its bias.

    Its axes are those of the result, of length 1 where it is the same at all places.
    """
    letter, kernel, result = equation
    sums: Values = np.zeros((1,) * len(result))
    if read is not None and np.any(np.nan_to_num(read.constants)):
        made = [kernel.index(axis) if axis in kernel else None for axis in result]
        sums = call.book.sums("kernel", kernel.index(letter), np.nan_to_num(read.constants), made)
    bias = call.book.values("bias")
    return sums if bias is None else sums + bias


def _einsum_product(call: StepCall) -> Steps | None:
    """Return the step of an EinsumDense that is a product with a matrix.

    Its kernel has first the last axes of what it takes, and then those that it makes of them.
    """
    equation = str(call.config["equation"]).replace(" ", "")
    parts = re.fullmatch(r"(?:\.{3})?([A-Za-z]+),([A-Za-z]+)->(?:\.{3})?([A-Za-z]+)", equation)
    if len(equation) > MAX_EQUATION or parts is None:
        return None
    taken, kernel, result = parts.groups()
    count = sum(letter not in result for letter in kernel)
    read, made = kernel[:count], kernel[count:]
    is_product = taken.endswith(read) and result == taken.removesuffix(read) + made
    shape = call.weights["kernel"]
    inputs, outputs = math.prod(shape[:count]), math.prod(shape[count:])
    return (matrix((inputs, outputs)),) if is_product and made and inputs > 1 else None


def _einsum_resized(config: Config, _weights: Weights, made: Shape | None) -> Mapping[str, Any]:
    told = config["output_shape"]
    lengths = list(told) if isinstance(told, list | tuple) else [told]
    shape = (made or ())[-len(lengths) :]
    return {
        "output_shape": [
            length if length is None else new for length, new in zip(lengths, shape, strict=True)
        ]
    }


def _embedding_channels(call: ChannelCall) -> Sequence[Channels | None]:
    call.keep_all("takes them as indices")
    count = call.config["output_dim"]
    labels = call.book.own("embeddings", 1, count, "produces")
    return [Channels(-1, labels, call.zeros("embeddings", 1, count))]


CLASSES: Mapping[str, LayerClass] = {
    "Dense": LayerClass(
        "dense",
        (),
        (
            Weight("kernel", ("in", "out"), prunable=True),
            Weight("bias", ("out",), needs="use_bias"),
        ),
        _dense_shapes,
        one(lambda config, shape: (*shape[:-1], config["units"])),
        output_weight="kernel",
        is_pure=True,
        channels=_dense_channels,
        keeps_mask=always,
        resized=from_axis("units", "kernel", 1),
        multiply_adds=at_each_place("kernel"),
        steps=MATRIX,
    ),
    "EinsumDense": LayerClass(
        "dense",
        (),
        _einsum_weights,
        _einsum_weight_shapes,
        one(_einsum_output),
        is_pure=True,
        channels=_einsum_channels,
        resized=_einsum_resized,
        multiply_adds=einsum,
        keeps_mask=lambda _config: False,
        steps=activated(_einsum_product),
    ),
    "Embedding": LayerClass(
        "embedding",
        (),
        (Weight("embeddings", ("in", "out"), prunable=True),),
        _embedding_shapes,
        one(lambda config, shape: (*shape, config["output_dim"])),
        output_weight="embeddings",
        has_sparse_gradients=True,
        unused=frozenset({"input_length"}),
        channels=_embedding_channels,
        resized=from_axis("output_dim", "embeddings", 1),
        multiply_adds=lambda *_facts: 0,
        steps=looked_up,
        mask=mask_of_indices,
    ),
    "ReversibleEmbedding": LayerClass(
        "embedding",
        ("Embedding",),
        _reversible_weights,
        _reversible_shapes,
        _reversible_output,
        has_sparse_gradients=True,
        versions=(3,),
    ),
    "DynamicEmbedding": LayerClass(
        "embedding",
        (),
        (
            Weight("embedding_layer.embeddings", ("in", "out"), path="embedding_layer"),
            *DYNAMIC_TABLE,
        ),
        _dynamic_embedding_shapes,
        versions=(2,),
    ),
    "DynamicLookup": LayerClass("embedding", (), TABLE, versions=(2,)),
    "RandomFourierFeatures": LayerClass(
        "operation",
        (),
        (
            Weight("kernel_scale"),
            Weight("unscaled_kernel", ("in", "out"), trainable=False),
            Weight("bias", ("out",), trainable=False),
        ),
        _fourier_shapes,
        one(lambda config, shape: (shape[0], config["output_dim"])),
        versions=(2,),
    ),
}
