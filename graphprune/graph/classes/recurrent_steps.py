"""The steps of recurrent layers, alone and inside a Bidirectional."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.archive.entries import is_entry
from graphprune.graph.classes.attention_steps import is_told
from graphprune.graph.classes.cell_formulas import cell_text
from graphprune.graph.classes.composite_steps import LAST, REVERSE, STATE
from graphprune.graph.classes.lengths import Config
from graphprune.graph.classes.spatial import per_axis
from graphprune.graph.classes.steps import (
    AFFINE,
    MASK,
    RECURRENT,
    Branch,
    Results,
    StepCall,
    Steps,
    StepsRule,
    joined,
)


def recurrent(
    kernel: Sequence[int], state: Sequence[int], cell: str, *, is_stateful: bool = False
) -> str:
    """Return the step of a recurrent layer.

    Args:
        kernel, state: Inputs and outputs of the matrices of what it reads and of its state.
        cell: The formulas of the states of its cell.
        is_stateful: Whether it begins with the state of the call before.

    Example:
        >>> recurrent((6, 4), (4, 4), "h = tanh(h[0/1] + x[0/1])")
        'recurrent 6x4 4x4, h = tanh(h[0/1] + x[0/1])'
    """
    shapes = " ".join("x".join(map(str, each)) for each in (kernel, state))
    return f"{RECURRENT} {shapes}, {cell}" + (", stateful" if is_stateful else "")


def convolution(strides: Sequence[int], padding: str) -> str:
    """Return the settings of the convolutions of a ConvLSTM, before the formulas of its cell.

    Example:
        >>> convolution((2, 2), "valid")
        'strides 2x2, valid, '
    """
    return f"strides {'x'.join(map(str, strides))}, {padding}, "


def state_of(name: str) -> str:
    """Return the step that gives the last state of a recurrent layer."""
    return f"{STATE} {name}"


def recurrence(kind: str) -> StepsRule:
    """Return the rule of one of the recurrent layers."""

    def rule(call: StepCall) -> Steps | None:
        given = _as_given(call)
        return _recurrent_steps(kind, given) if _is_simple(given) else None

    return rule


def _as_given(call: StepCall) -> StepCall:
    """Return a call with the mask that the layer is given.

    Keras 3 gives none to a layer that it calls with several tensors, as with states to begin with:
    the argument is not named after the sequence (`Layer.__call__`, keras/src/layers/layer.py).
    """
    is_given = call.keras == 2 or len(call.taken) == 1
    return call if is_given else replace(call, masks=(), is_masked=False)


def recurrence_of_cell(call: StepCall) -> Steps | None:
    """Return the steps of an RNN around cells; one has those of a recurrent layer of its kind."""
    cell: Any = call.config.get("cell")
    call = _as_given(call)
    if not is_entry(cell) or not _is_simple(call):
        return None
    if _kind_of(cell) == "StackedRNNCells":
        return _stacked_steps(cell["config"].get("cells") or (), call)
    kind, config = _kind_of(cell), {**cell["config"], **call.config}
    return _recurrent_steps(kind, replace(call, config=config)) if kind in _STATES_OF else None


def _kind_of(cell: Any) -> str:
    """Return the kind of recurrent layer that a cell is of."""
    name: str = cell["class_name"]
    return name.rsplit(">", 1)[-1].removesuffix("Cell")


def _stacked_steps(cells: Sequence[Any], call: StepCall) -> Steps | None:
    """Return the steps of stacked cells: those of as many layers, one on the sequence of the other.

    None where they would begin with states, or be unrolled. Each cell keeps its states where the
    mask does not count a step, and the result before stays.
    """
    config, is_masked = call.config, call.is_masked
    settings = ("unroll", "zero_output_for_mask")
    if len(call.taken) > 1 or any(config.get(key) for key in settings):
        return None
    steps, (source, *masks) = _reversed(call)
    wholes: list[tuple[str, int]] = []
    for number, cell in enumerate(cells):
        if not is_entry(cell) or _kind_of(cell) not in _STATES_OF:
            return None
        kind, weights = _kind_of(cell), _weights_below(call, f"cells.{number}.")
        inner = {**cell["config"], **config}
        step = _cell_step(kind, inner, weights, call.keras, is_masked=is_masked)
        if step is None:
            return None
        if is_masked and number < len(cells) - 1:
            step = step.replace(step[step.index("o = ") : step.index("h = ")], "")
        steps.append(Branch(step, (source, *masks)))
        source = len(steps) - 1
        wholes.append((kind, source))
    if not wholes:
        return None
    last: Steps = () if config.get("return_sequences") else (LAST,)
    if not config.get("return_state"):
        return (*steps, *last)
    states = [each for kind, whole in wholes for each in _last_states(kind, call, whole)]
    first = source + len(last) + 1
    ends = (source + len(last), *range(first, first + len(states)))
    return (*steps, *last, *states, Results(ends))


def _weights_below(call: StepCall, before: str) -> dict[str, Sequence[int]]:
    """Return the shapes of the weights of a layer inside, by the names that it has for them."""
    return {
        key.removeprefix(before): shape
        for key, shape in call.weights.items()
        if key.startswith(before)
    }


def convolved(rank: int) -> StepsRule:
    """Return the rule of a ConvLSTM; dilated ones, and those behind a mask, are not compared."""

    def rule(call: StepCall) -> Steps | None:
        call = _as_given(call)
        config = call.config
        dilation, strides = (
            per_axis(config.get(key, 1), rank) for key in ("dilation_rate", "strides")
        )
        is_plain = set(dilation) == {1} and config.get("data_format") != "channels_first"
        if not is_plain or call.is_masked or config.get("unroll") or not _is_simple(call):
            return None
        first = (1,) * (2 - rank)
        kernels = (call.weights["kernel"], call.weights["recurrent_kernel"])
        kernel, state = ((*first, *shape) for shape in kernels)
        text = cell_text("LSTM", config, state[-2], call.keras)
        if text is None:
            return None
        settings = convolution((*first, *strides), config.get("padding", "valid"))
        is_stateful = bool(config.get("stateful"))
        step = recurrent(kernel, state, settings + text, is_stateful=is_stateful)
        return _whole_steps("LSTM", call, step)

    return rule


def _recurrent_steps(kind: str, call: StepCall) -> Steps | None:
    """Return the steps of a recurrent layer, which takes the mask of its sequence beside it."""
    config, is_masked = call.config, call.is_masked
    step = _cell_step(kind, config, call.weights, call.keras, is_masked=is_masked)
    if step is None or (config.get("unroll") and not _is_unrolled_alike(call)):
        return None
    return _whole_steps(kind, call, step)


def _whole_steps(kind: str, call: StepCall, step: str) -> Steps:
    """Return the steps of a recurrent layer around that of its cell."""
    steps, taken = _reversed(call)
    steps.append(Branch(step, (*taken, *(-1 - place for place in range(1, len(call.taken))))))
    return (*steps, *_results(kind, call, len(steps) - 1))


def _reversed(call: StepCall) -> tuple[list[str | Branch], tuple[int, ...]]:
    """Return the steps before a cell, and the places of the sequence and its mask behind them."""
    taken: tuple[int, ...] = (-1, MASK) if call.is_masked else (-1,)
    if not call.config.get("go_backwards"):
        return [], taken
    return [Branch(REVERSE, (place,)) for place in taken], tuple(range(len(taken)))


def _is_unrolled_alike(call: StepCall) -> bool:
    """Return whether a file of an unrolled layer tells its cell: it has three steps or more.

    Beside a mask, its result and its state are one tensor.
    """
    length = (call.taken[0] or (None, None))[1]
    is_told = not (call.is_masked and call.config.get("return_state"))
    return is_told and length is not None and length > 2 and len(call.taken) == 1


def _results(kind: str, call: StepCall, whole: int) -> Steps:
    """Return the steps of what a recurrent layer gives: the sequence or its end, and its states."""
    config = call.config
    last: Steps = () if config.get("return_sequences") else (LAST,)
    if not config.get("return_state"):
        return last
    states = _last_states(kind, call, whole)
    result, first = whole + len(last), whole + len(last) + 1
    return (*last, *states, Results((result, *range(first, first + len(states)))))


def _last_states(kind: str, call: StepCall, whole: int) -> list[Branch]:
    """Return the steps of the last states of a cell.

    Where all steps count, the state that is the result of the last one is the last of the sequence.
    """
    names = _STATES_OF[kind]
    texts = [LAST if name == "h" and not call.is_masked else state_of(name) for name in names]
    return [Branch(text, (whole,)) for text in texts]


_STATES_OF = {"SimpleRNN": "h", "LSTM": "hc", "GRU": "h"}


def _is_simple(call: StepCall) -> bool:
    """Return whether a recurrent layer takes the sequence and perhaps its mask and first states."""
    states = call.arguments[1 : len(call.taken)]
    are_states = all(name.startswith("initial_state") for name in states)
    is_plain = not is_told(call) and not any(mask is not None for mask in call.masks[1:])
    return is_plain and are_states and len(states) == len(call.taken) - 1


def _cell_step(
    kind: str,
    config: Config,
    weights: Mapping[str, Sequence[int]],
    keras: int,
    *,
    is_masked: bool = False,
) -> str | None:
    if config.get("time_major"):
        return None
    kernel, state = weights["kernel"], weights["recurrent_kernel"]
    text = cell_text(kind, config, state[0], keras, is_masked=is_masked)
    if text is None:
        return None
    return recurrent(kernel, state, text, is_stateful=bool(config.get("stateful")))


def both_ways(call: StepCall) -> Steps | None:
    """Return the steps of a Bidirectional around a recurrent layer."""
    config = call.config
    forward: Any = config.get("layer")
    backward: Any = config.get("backward_layer") or forward
    merged = _MERGED.get(config.get("merge_mode", "concat"))
    is_known = is_entry(forward) and is_entry(backward) and merged is not None
    if not is_known or not _is_simple(call) or len(call.taken) != 1:
        return None
    own, other = forward["config"], dict(backward["config"])
    if config.get("backward_layer") is None:
        other["go_backwards"] = not own.get("go_backwards", False)
    steps: list[str | Branch] = []
    ends: list[tuple[int, ...]] = []
    for name, entry, settings in (("forward", forward, own), ("backward", backward, other)):
        part = _side(call, name, entry["class_name"], settings)
        if part is None:
            return None
        made, results = part
        ends.append(tuple(place + len(steps) for place in results))
        steps += _moved(made, len(steps))
    first, *rest = merged or ()
    steps += [Branch(first, (ends[0][0], ends[1][0])), *rest]
    return (*steps, Results((len(steps) - 1, *ends[0][1:], *ends[1][1:])))


_MERGED: Mapping[Any, tuple[str, ...]] = {
    "concat": (joined(-1, 3),),
    "sum": ("add",),
    "mul": ("multiply",),
    "ave": ("add", AFFINE),
}


def _moved(steps: Sequence[str | Branch], by: int) -> Iterator[str | Branch]:
    """Yield the steps of a part of a layer, behind some others."""
    for step in steps:
        if isinstance(step, str):
            yield step
        else:
            yield replace(
                step, inputs=tuple(place + by if place >= 0 else place for place in step.inputs)
            )


def _side(
    call: StepCall, name: str, kind: str, config: Config
) -> tuple[list[str | Branch], tuple[int, ...]] | None:
    """Return the steps of one direction, and those that give its results.

    The whole sequence is in its own order. Bidirectional lets its layers give zero for masked steps
    where they give the whole sequence.
    """
    weights = _weights_below(call, f"{name}_layer.")
    cell, is_whole = kind.rsplit(">", 1)[-1], bool(config.get("return_sequences"))
    settings = {**config, "zero_output_for_mask": is_whole}
    inner = replace(call, config=settings, weights=weights)
    found = _recurrent_steps(cell, inner) if cell in _STATES_OF else None
    if found is None:
        return None
    steps = [step for step in found if not isinstance(step, Results)]
    ends = next((each.places for each in found if isinstance(each, Results)), (len(steps) - 1,))
    if name == "backward" and is_whole:
        steps.append(Branch(REVERSE, ends[:1]))
        ends = (len(steps) - 1, *ends[1:])
    return steps, ends
