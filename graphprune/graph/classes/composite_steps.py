"""The steps of layers that converters write as several operators.

They are attention, recurrent layers, layer normalization and up-sampling. A rule gives None for
settings whose operators are not known, so that the layer is not compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.archive.entries import is_entry
from graphprune.graph.classes.lengths import Config
from graphprune.graph.classes.spatial import per_axis
from graphprune.graph.classes.steps import (
    AFFINE,
    NORMALIZE,
    PRODUCT,
    RECURRENT,
    Branch,
    StepCall,
    Steps,
    StepsRule,
    joined,
    matrix,
)

REVERSE, LAST, REPEAT = "reverse", "last of sequence", "repeat"
_RESIZE = "resize"
KINDS = {
    NORMALIZE: "normalization",
    PRODUCT: "attention",
    RECURRENT: "recurrent",
    REVERSE: "recurrent",
    LAST: "recurrent",
    REPEAT: "up-sampling",
    _RESIZE: "up-sampling",
    "selu": "activation",
    "softsign": "activation",
    "mish": "activation",
}
"""The steps that are several operators, by the first word or words, and what kind of layer has
them.
"""
_IN_CELLS = frozenset({"sigmoid", "tanh", "relu"})


def find_kind(step: str) -> str:
    """Return the kind of layer of a step that is several operators; empty for other steps.

    Example:
        >>> find_kind("repeat 2 over 1"), find_kind("relu")
        ('up-sampling', '')
    """
    return next((kind for begin, kind in KINDS.items() if step.startswith(begin)), "")


def normalize(count: int) -> str:
    """Return the step of a normalization over `count` values; scale and shift do not count.

    Nor does epsilon, which is another number in files of 16 or 8 bits.
    """
    return f"{NORMALIZE} over {count}"


def product(heads: int) -> str:
    """Return the step of the products of two tensors' matrices, one for each head."""
    return f"{PRODUCT} of {heads}"


def repeat(times: int, axis: int) -> str:
    """Return the step that repeats each value along an axis, counted with the batch."""
    return f"{REPEAT} {times} over {axis}"


def resize(kind: str, factors: Sequence[int]) -> str:
    """Return the step of a resizing that mixes neighbours."""
    return f"{_RESIZE} {kind} {'x'.join(map(str, factors))}"


def recurrent(kernel: Sequence[int], state: Sequence[int], activations: Mapping[str, int]) -> str:
    """Return the step of a recurrent layer.

    Args:
        kernel, state: Inputs and outputs of the matrices of what it reads and of its state.
        activations: How often each activation is in a cell; `linear` does not count.

    Example:
        >>> recurrent((6, 16), (4, 16), {"tanh": 2, "sigmoid": 3})
        'recurrent 6x16 4x16, sigmoid 3, tanh 2'
    """
    shapes = " ".join(f"{rows}x{columns}" for rows, columns in (kernel, state))
    counts = [f"{name} {count}" for name, count in sorted(activations.items()) if count]
    return ", ".join((f"{RECURRENT} {shapes}", *counts))


def normalized(call: StepCall) -> Steps | None:
    """Return the steps of a LayerNormalization."""
    shape, axes = call.taken[0], call.config.get("axis", -1)
    if shape is None or call.config.get("rms_scaling"):
        return None
    lengths = [shape[axis] for axis in (axes if isinstance(axes, list | tuple) else [axes])]
    if any(length is None for length in lengths):
        return None
    count = math.prod(length for length in lengths if length is not None)
    return (normalize(count), AFFINE)


def upsampled(rank: int) -> StepsRule:
    """Return the rule of an up-sampling over `rank` axes."""

    def rule(call: StepCall) -> Steps | None:
        config, shape = call.config, call.taken[0]
        kind = config.get("interpolation", "nearest")
        is_known = shape is not None and None not in shape[1:]
        if config.get("data_format") == "channels_first" or not is_known:
            return None
        factors = per_axis(config["size"], rank)
        if kind == "nearest":
            return tuple(repeat(n, axis) for axis, n in enumerate(factors, 1) if n != 1)
        return (resize(kind, factors),) if kind == "bilinear" else None

    return rule


def multi_head(call: StepCall) -> Steps | None:
    """Return the steps of a MultiHeadAttention over one axis, without masks."""
    places = {name: -1 - index for index, name in enumerate(call.arguments)}
    ranks = {0 if shape is None else len(shape) for shape in call.taken}
    is_plain = not _is_told(call) and ranks == {3}
    if not is_plain or not {"query", "value"} <= set(places) <= {"query", "value", "key"}:
        return None
    kernels = {
        part: _as_matrix(call.weights[f"{part}.kernel"], inputs)
        for part, inputs in (("query", 1), ("key", 1), ("value", 1), ("attention_output", 2))
    }
    heads = call.config["num_heads"]
    sources = {"query": places["query"], "value": places["value"]}
    sources["key"] = places.get("key", places["value"])
    return (
        *(Branch(kernels[part], (sources[part],)) for part in ("query", "key", "value")),
        Branch(product(heads), (0, 1)),
        "softmax",
        Branch(product(heads), (4, 2)),
        kernels["attention_output"],
    )


def _as_matrix(kernel: Sequence[int], inputs: int) -> str:
    """Return the step of a kernel whose first axes, `inputs` of them, are those of its input."""
    return matrix((math.prod(kernel[:inputs]), math.prod(kernel[inputs:])))


def dot_product(call: StepCall) -> Steps | None:
    """Return the steps of an Attention, without masks."""
    ranks = {0 if shape is None else len(shape) for shape in call.taken}
    if _is_told(call) or call.config.get("score_mode", "dot") != "dot" or ranks != {3}:
        return None
    if len(call.taken) not in (2, 3):
        return None
    key = -len(call.taken) if len(call.taken) == 3 else -2
    return Branch(product(1), (-1, key)), "softmax", Branch(product(1), (1, -2))


def _is_told(call: StepCall) -> bool:
    """Return whether a call has masks or other arguments that change its operators."""
    told = (value for key, value in call.settings.items() if key != "training")
    return call.is_masked or bool(call.config.get("return_state")) or any(told)


def recurring(gates: int, inner: int) -> StepsRule:
    """Return the rule of a recurrent layer.

    Args:
        gates: How often its cell has the recurrent activation.
        inner: How often it has the other one.
    """

    def rule(call: StepCall) -> Steps | None:
        step = _cell_step(call.config, call.weights, gates, inner)
        return None if step is None or not _is_simple(call) else _with_ends(call.config, step)

    return rule


def _is_simple(call: StepCall) -> bool:
    """Return whether a recurrent layer takes the sequence alone."""
    return not _is_told(call) and len(call.taken) == 1


def _cell_step(
    config: Config, weights: Mapping[str, Sequence[int]], gates: int, inner: int
) -> str | None:
    counts = Counter({config.get("recurrent_activation", "sigmoid"): gates})
    counts[config.get("activation", "tanh")] += inner
    counts = Counter({name: count for name, count in counts.items() if count and name != "linear"})
    is_split = config.get("implementation", 2) != 2 or config.get("reset_after") is False
    if set(counts) - _IN_CELLS or is_split or config.get("unroll") or config.get("stateful"):
        return None
    kernel, state = weights["kernel"], weights["recurrent_kernel"]
    return None if config.get("time_major") else recurrent(kernel, state, counts)


def _with_ends(config: Config, step: str) -> Steps:
    before = (REVERSE,) if config.get("go_backwards") else ()
    return (*before, step, *(() if config.get("return_sequences") else (LAST,)))


_CELLS = {"SimpleRNN": (0, 1), "LSTM": (3, 2), "GRU": (2, 1)}
"""How often the recurrent activation and the other one are in a cell."""


def recurrence(kind: str) -> StepsRule:
    """Return the rule of one of the recurrent layers."""
    return recurring(*_CELLS[kind])


def both_ways(call: StepCall) -> Steps | None:
    """Return the steps of a Bidirectional around a recurrent layer."""
    config = call.config
    forward: Any = config.get("layer")
    backward: Any = config.get("backward_layer") or forward
    merged = _MERGED.get(config.get("merge_mode", "concat"))
    if not is_entry(forward) or not is_entry(backward) or merged is None or not _is_simple(call):
        return None
    own, other = forward["config"], dict(backward["config"])
    if config.get("backward_layer") is None:
        other["go_backwards"] = not own.get("go_backwards", False)
    steps: list[str | Branch] = []
    ends = []
    for name, entry, settings in (("forward", forward, own), ("backward", backward, other)):
        part = _side(call, name, entry["class_name"], settings)
        if part is None:
            return None
        steps += [Branch(part[0], (-1,)), *part[1:]]
        ends.append(len(steps) - 1)
    return (*steps, Branch(merged[0], tuple(ends)), *merged[1:])


_MERGED: Mapping[Any, tuple[str, ...]] = {
    "concat": (joined(-1, 3),),
    "sum": ("add",),
    "mul": ("multiply",),
    "ave": ("add", AFFINE),
}


def _side(call: StepCall, name: str, kind: str, config: Config) -> list[str] | None:
    """Return the steps of one direction; its results are in the order of the sequence."""
    before = f"{name}_layer."
    weights = {
        key.removeprefix(before): shape
        for key, shape in call.weights.items()
        if key.startswith(before)
    }
    cell = _CELLS.get(kind.rsplit(">", 1)[-1])
    step = None if cell is None else _cell_step(config, weights, *cell)
    if step is None:
        return None
    is_turned = name == "backward" and config.get("return_sequences")
    steps = [each for each in _with_ends(config, step) if isinstance(each, str)]
    return [*steps, *((REVERSE,) if is_turned else ())]
