"""The steps of layers that converters write as several operators.

They are attention, products, recurrent layers and up-sampling. A rule gives None for
settings whose operators are not known, so that the layer is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from graphprune.archive.entries import is_entry
from graphprune.graph.classes.activation_steps import ABOVE, BELOW, CLIP, SCALED_ELU
from graphprune.graph.classes.normalization_steps import UNIT_LENGTH
from graphprune.graph.classes.spatial import per_axis
from graphprune.graph.classes.steps import (
    ADDITIVE,
    ANY,
    CROP,
    EACH,
    MOVES,
    NORMALIZE,
    PRODUCT,
    RECURRENT,
    UNEQUAL,
    Branch,
    Results,
    StepCall,
    Steps,
    StepsRule,
)

REVERSE, LAST, STATE, REPEAT = "reverse", "last of sequence", "last state", "repeat"
CAUSAL, PADDING = "causal mask", "padding mask"
_RESIZE = "resize"
KINDS = {
    NORMALIZE: "normalization",
    UNIT_LENGTH: "normalization",
    PRODUCT: "attention",
    ADDITIVE: "attention",
    CAUSAL: "attention",
    PADDING: "attention",
    RECURRENT: "recurrent",
    REVERSE: "recurrent",
    LAST: "recurrent",
    STATE: "recurrent",
    REPEAT: "up-sampling",
    _RESIZE: "resizing",
    EACH: "time-distributed",
    UNEQUAL: "mask",
    ANY: "mask",
    CLIP: "activation",
    SCALED_ELU: "activation",
    ABOVE: "activation",
    BELOW: "activation",
    CROP: "cropping",
    "selu": "activation",
    "softsign": "activation",
    "mish": "activation",
}
"""The steps that are several operators, by the first word or words, and what kind of layer has
them.
"""


def find_kind(step: str) -> str:
    """Return the kind of layer of a step that is several operators; empty for other steps.

    Example:
        >>> find_kind("repeat 2 over 1"), find_kind("relu")
        ('up-sampling', '')
    """
    return next((kind for begin, kind in KINDS.items() if step.startswith(begin)), "")


def repeat(times: int, axis: int) -> str:
    """Return the step that repeats each value along an axis, counted with the batch."""
    return f"{REPEAT} {times} over {axis}"


def is_spread(step: str) -> bool:
    """Return whether a step repeats what has no such axis, as a RepeatVector does.

    A converter leaves it out before operations of two tensors, which repeat such a tensor too.

    Example:
        >>> is_spread(repeat(3, 0)), is_spread(repeat(3, 1)), is_spread("relu")
        (True, False, False)
    """
    return step.startswith(REPEAT) and step.endswith(" over 0")


def resize(kind: str, lengths: Sequence[int], sizes: Sequence[int]) -> Steps:
    """Return the steps of a resizing to other lengths; by whole factors as Keras up-samples.

    Example:
        >>> resize("bilinear", (2, 3), (4, 3)), resize("nearest", (2, 3), (4, 3))
        (('resize bilinear 2x1',), ('repeat 2 over 1',))
        >>> resize("nearest", (4, 4), (3, 5)), resize("bilinear", (4, 4), (4, 4))
        (('resize nearest to 3x5',), ())
    """
    if any(size % length for size, length in zip(sizes, lengths, strict=True)):
        return (f"{_RESIZE} {kind} to {'x'.join(map(str, sizes))}",)
    factors = [size // length for size, length in zip(sizes, lengths, strict=True)]
    if kind == "nearest":
        return tuple(repeat(n, axis) for axis, n in enumerate(factors, 1) if n != 1)
    is_more = any(n != 1 for n in factors)
    return (f"{_RESIZE} {kind} {'x'.join(map(str, factors))}",) if is_more else ()


def repeated(call: StepCall) -> Steps:
    """Return the steps of a RepeatVector, which Keras 3 repeats along the new axis itself."""
    return (repeat(call.config["n"], 0 if call.keras == 2 else 1),)


def for_each_step(call: StepCall) -> Steps | None:
    """Return the steps of a TimeDistributed: those of its layer, for each part of the sequence.

    With a batch size tf_keras repeats the last result where a part is masked, which is not known.
    """
    shape = call.taken[0]
    inner: Any = call.config.get("layer")
    if shape is None or not is_entry(inner):
        return None
    if call.is_masked and call.keras == 2 and shape[0] is not None:
        return None
    weights = {key.removeprefix("layer."): shape for key, shape in call.weights.items()}
    steps = call.inside(inner, weights, [(shape[0], *shape[2:])])
    steps = call.held() if steps is None else steps
    if steps is None or any(_is_move(step) for step in steps):
        return None
    return (EACH, *_behind_first(steps))


def _is_move(step: str | Branch | Results) -> bool:
    text = step if isinstance(step, str) else getattr(step, "computes", "")
    return text.startswith(MOVES)


def _behind_first(steps: Steps) -> Iterator[str | Branch | Results]:
    """Yield steps behind one more, which they take where they took what the call takes."""
    for step in steps:
        if isinstance(step, Branch):
            yield replace(step, inputs=tuple(0 if at == -1 else at + 1 for at in step.inputs))
        elif isinstance(step, Results):
            yield Results(tuple(place + 1 for place in step.places))
        else:
            yield step


def upsampled(rank: int) -> StepsRule:
    """Return the rule of an up-sampling over `rank` axes."""

    def rule(call: StepCall) -> Steps | None:
        config, shape = call.config, call.taken[0]
        kind = config.get("interpolation", "nearest")
        is_known = shape is not None and None not in shape[1:]
        if config.get("data_format") == "channels_first" or not is_known:
            return None
        lengths = [length or 0 for length in shape[1 : rank + 1]] if shape else []
        sizes = [n * size for n, size in zip(lengths, per_axis(config["size"], rank), strict=True)]
        return resize(kind, lengths, sizes) if kind in _RESIZED else None

    return rule


_RESIZED = ("bilinear", "nearest")


def resized(call: StepCall) -> Steps | None:
    """Return the steps of a Resizing, without one that keeps the ratio of its sides."""
    config, shape = call.config, call.taken[0]
    keeps_ratio = config.get("crop_to_aspect_ratio") or config.get("pad_to_aspect_ratio")
    kind = config.get("interpolation", "bilinear")
    is_known = shape is not None and len(shape) == 4 and None not in shape[1:]
    if keeps_ratio or config.get("data_format") == "channels_first" or not is_known:
        return None
    lengths = [length or 0 for length in shape[1:3]] if shape else []
    sizes = (config["height"], config["width"])
    return resize(kind, lengths, sizes) if kind in _RESIZED else None


_COMPARED = ("training", "use_causal_mask")
"""Arguments of a call that change nothing in inference, or whose steps are known."""
