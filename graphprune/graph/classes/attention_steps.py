"""The steps of attention and of products of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from graphprune.graph.classes.activation_steps import softmax
from graphprune.graph.classes.composite_steps import CAUSAL, PADDING, repeat
from graphprune.graph.classes.normalization_steps import to_unit_length
from graphprune.graph.classes.steps import (
    ADDITIVE,
    AFFINE,
    IF_KEPT,
    MASK,
    NOTHING,
    PRODUCT,
    Branch,
    StepCall,
    Steps,
    matrix,
    with_figures,
)

_PROJECTED = ("query", "key", "value")
_COMPARED = ("training", "use_causal_mask")
"""Arguments of a call that change nothing in inference, or whose steps are known."""


def product(heads: int, length: int | None = None) -> str:
    """Return the step of the products of two tensors' matrices, one for each head.

    Args:
        heads: The number of heads.
        length: How many products are summed; None where it is not known.

    Example:
        >>> product(2), product(1, length=4)
        ('product of 2', 'product of 1, length 4')
    """
    return with_figures(f"{PRODUCT} of {heads}", length=length)


def additive(*, is_scaled: bool) -> str:
    """Return the step of additive scores, perhaps with a factor for each value that is summed."""
    return ADDITIVE + (", scaled" if is_scaled else "")


def padding_mask(roles: Sequence[str], *, is_causal: bool) -> str:
    """Return the step of the masks of what scores are computed from.

    Args:
        roles: `query` where places that ask are masked, `key` where places that are asked are.
        is_causal: Whether there is a causal mask too.

    Example:
        >>> padding_mask(["key", "query"], is_causal=True)
        'padding mask of key and query, causal'
    """
    return f"{PADDING} of {' and '.join(sorted(roles))}" + (", causal" if is_causal else "")


def masked_roles(step: str) -> list[str]:
    """Return the roles in the step of a padding mask.

    Example:
        >>> masked_roles("padding mask of key and query, causal")
        ['key', 'query']
    """
    return step.removeprefix(f"{PADDING} of ").split(",")[0].split(" and ")


def multi_head(call: StepCall) -> Steps | None:
    """Return the steps of a MultiHeadAttention over one axis, whose mask is causal or none."""
    places = {name: -1 - index for index, name in enumerate(call.arguments)}
    ranks = {0 if shape is None else len(shape) for shape in call.taken}
    is_plain = not is_told(call) and ranks == {3}
    if not is_plain or not {"query", "value"} <= set(places) <= {"query", "value", "key"}:
        return None
    kernels = {
        part: _as_matrix(call.weights[f"{part}.kernel"], inputs)
        for part, inputs in (("query", 1), ("key", 1), ("value", 1), ("attention_output", 2))
    }
    heads = call.config["num_heads"]
    sources = {"query": places["query"], "value": places["value"]}
    sources["key"] = places.get("key", places["value"])
    masks = _masks(call, places, {"query": ("query",), "key": ("value", "key")}, 3)
    if masks is None:
        return None
    return (
        *(Branch(kernels[part], (sources[part],)) for part in ("query", "key", "value")),
        Branch(product(heads), (0, 1)),
        *masks,
        softmax(_length_of(call, places["value"])),
        Branch(product(heads), (4 + len(masks), 2)),
        kernels["attention_output"],
    )


def grouped_query(call: StepCall) -> Steps | None:
    """Return the steps of a GroupQueryAttention, which repeats keys and values for more heads.

    Masks of what it takes and of a sliding window are not known.
    """
    config, places = call.config, {name: -1 - at for at, name in enumerate(call.arguments)}
    is_plain = not is_told(call) and not call.is_masked and not config.get("sliding_window")
    is_known = {"query", "value"} <= set(places) <= {"query", "value", "key"}
    if not is_plain or not is_known or {len(shape or ()) for shape in call.taken} != {3}:
        return None
    masks = _masks(call, places, {}, 0)
    if masks is None:
        return None
    heads, fewer = config["num_query_heads"], config["num_key_value_heads"]
    kernels = {part: _as_matrix(call.weights[f"{part}.kernel"], 1) for part in _PROJECTED}
    sources = {**places, "key": places.get("key", places["value"])}
    steps: list[str | Branch] = [Branch(kernels[part], (sources[part],)) for part in _PROJECTED]
    for place in (1, 2):
        again = repeat(heads // fewer, 2) if heads != fewer else AFFINE
        steps.append(Branch(again, (place,)))
    steps.append(Branch(product(heads), (0, 3)))
    steps += [step for step in masks if isinstance(step, str)]
    steps.append(softmax(_length_of(call, places["value"])))
    steps.append(Branch(product(heads), (len(steps) - 1, 4)))
    if config.get("use_gate"):
        gated, gate = len(steps) - 1, len(steps)
        steps.append(Branch(_as_matrix(call.weights["gate.kernel"], 1), (places["query"],)))
        steps += ["sigmoid", Branch("multiply", (gated, gate + 1))]
    return (*steps, _as_matrix(call.weights["attention_output.kernel"], 2))


def _length_of(call: StepCall, place: int) -> int | None:
    """Return the length of a sequence, by the place of its tensor."""
    shape = call.taken[-1 - place]
    return None if shape is None else shape[1]


def _masks(
    call: StepCall, places: Mapping[str, int], roles: Mapping[str, Sequence[str]], scores: int
) -> Steps | None:
    """Return the steps of the masks of attention; None where they are not known.

    Args:
        call: The call.
        places: The places of the tensors that it takes, by argument.
        roles: The arguments whose masks are those of places that ask, and that are asked.
        scores: The step of the scores.
    """
    masked: dict[str, int] = {}
    kept: list[str] = []
    for role, names in roles.items():
        taken = [-1 - places[name] for name in names if name in places]
        held = {place for each in taken if (place := call.masks[each]) is not None}
        if len(held) > 1:
            return None
        if held:
            masked[role] = MASK - held.pop()
            kept += [role] if any(call.kept[each] for each in taken) else []
    is_causal = bool(call.settings.get("use_causal_mask"))
    lengths = [(call.taken[-1 - places[name]] or ())[1] for name in ("query", "value")]
    if (is_causal or masked) and (None in lengths or 1 in lengths):
        return () if lengths[1] == 1 and not masked else None
    if not masked:
        return (CAUSAL,) if is_causal else ()
    names = sorted(masked)
    text = padding_mask(names, is_causal=is_causal)
    if len(kept) < len(names):
        rest = padding_mask(kept, is_causal=is_causal) if kept else ""
        text += IF_KEPT + (rest or (CAUSAL if is_causal else NOTHING))
    return (Branch(text, (scores, *(masked[name] for name in names))),)


def _as_matrix(kernel: Sequence[int], inputs: int) -> str:
    """Return the step of a kernel whose first axes, `inputs` of them, are those of its input."""
    return matrix((math.prod(kernel[:inputs]), math.prod(kernel[inputs:])))


def dot_product(call: StepCall) -> Steps | None:
    """Return the steps of an Attention.

    A factor of all scores is one of the constants that do not count.
    """
    mode = call.config.get("score_mode", "dot")
    if mode == "concat":
        return _attended(call, additive(is_scaled=False))
    return _attended(call, product(1)) if mode == "dot" else None


def additive_attention(call: StepCall) -> Steps | None:
    """Return the steps of an AdditiveAttention."""
    return _attended(call, additive(is_scaled=bool(call.config.get("use_scale", True))))


def _attended(call: StepCall, computes: str) -> Steps | None:
    """Return the steps of attention with one head, given that of its scores.

    Its result is zero where a place that asks is masked. A sum of one value leaves no operator.
    """
    shapes = [shape or () for shape in call.taken]
    is_sum_of_one = computes.startswith(ADDITIVE) and any(shape[-1:] == (1,) for shape in shapes)
    if is_told(call) or {*map(len, shapes)} != {3} or is_sum_of_one:
        return None
    if len(call.taken) not in (2, 3):
        return None
    key = -len(call.taken) if len(call.taken) == 3 else -2
    masks = _masks(call, {"query": -1, "value": -2}, {"key": ("value",)}, 0)
    if masks is None:
        return None
    scores: Steps = (Branch(computes, (-1, key)), *masks, softmax(_length_of(call, -2)))
    steps = (*scores, Branch(product(1), (len(scores) - 1, -2)))
    if call.masks[0] is None:
        return steps
    text = "multiply" if call.kept[0] else f"multiply{IF_KEPT}{NOTHING}"
    return (*steps, Branch(text, (len(scores), MASK)))


def is_told(call: StepCall) -> bool:
    """Return whether a call has arguments or unknown masks, which change its operators."""
    told = (value for key, value in call.settings.items() if key not in _COMPARED)
    return (call.is_masked and not call.is_mask_known) or any(told)


def dotted(call: StepCall) -> Steps | None:
    """Return the steps of a Dot; of a tensor with equal axes, the file does not tell the summed."""
    axes = call.config["axes"]
    pair = axes if isinstance(axes, list | tuple) else (axes, axes)
    if len(call.taken) != 2 or any(shape is None for shape in call.taken):
        return None
    shapes = [shape or () for shape in call.taken]
    lengths = [shape[axis] for shape, axis in zip(shapes, pair, strict=True)]
    is_told = all(shape[1:].count(lengths[0]) == 1 for shape in shapes)
    if not is_told or lengths[0] is None or {*map(len, shapes)} - {2, 3} or call.is_masked:
        return None
    step = product(1, lengths[0])
    if not call.config.get("normalize"):
        return (step,)
    unit = to_unit_length(lengths[0])
    return Branch(unit, (-1,)), Branch(unit, (-2,)), Branch(step, (0, 1))
