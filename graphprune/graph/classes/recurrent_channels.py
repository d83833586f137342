"""Channel rules of recurrent layers, cells and attention layers: units, filters and heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphprune.graph.classes.channel_rules import without_constants
from graphprune.graph.classes.channels import ChannelCall, ChannelRule, Channels, Labels, Mask
from graphprune.graph.classes.constants import effect_of

Result = Sequence[Channels | None]


def recurrent(
    gates: int, candidate: int, states: int, *, rank: int = 0, is_cell: bool = False
) -> ChannelRule:
    """Return the channel rule of a recurrent layer or cell.

    A unit is zero in every step where its candidate is zero: the state starts at zero, and the
    other gates only scale it.

    Args:
        gates: The blocks of units along the last axis of its kernels.
        candidate: The block from which new values of the state come.
        states: How many states it has.
        rank: Spatial axes of its kernels.
        is_cell: Whether it gives its output and states for one step.
    """

    def rule(call: ChannelCall) -> Result:
        if call.config.get("data_format") == "channels_first":
            return call.keep_all("is a recurrent layer whose channels come first")
        count = call.config["filters" if rank else "units"]
        read = call.along(0, -1)
        units = call.book.own("recurrent_kernel", rank, count, "consumes")
        blocks = np.tile(units, gates)
        for name in ("kernel", "recurrent_kernel"):
            call.bind(name, rank + 1, blocks, "produces")
        call.bind("bias", -1, blocks, "scales")
        bias = "" if rank or not call.book.has("bias") or call.config.get("reset_after") else "bias"
        zero_in = call.read(read, "kernel", rank, bias=bias)
        zero = _candidate(call, "kernel", rank + 1, gates, candidate, count, zero_in)
        zero &= _candidate(call, "bias", -1, gates, candidate, count, None)
        if effect_of(call.config.get("activation", "tanh")) != "keeps zero":
            zero &= False
        if effect_of(call.config.get("recurrent_activation", "sigmoid")) == "mixes":
            call.book.keep(units, "has an activation that is not known to treat each value alone")
        for state in call.taken[1:]:
            zero &= _initial(call, state, units)
        zero = _steady(call, zero, gates, candidate, rank)
        made = Channels(-1, units, zero)
        call.read(made, "recurrent_kernel", rank)
        return [made] * (1 + (states if is_cell or call.config.get("return_state") else 0))

    return rule


def _candidate(
    call: ChannelCall,
    weight: str,
    axis: int,
    gates: int,
    candidate: int,
    count: int,
    without: tuple[int, Mask] | None,
) -> Mask:
    found = call.zeros(weight, axis, gates * count, without)
    own: Mask = found.reshape(gates, count)[candidate].copy()
    return own


def _initial(call: ChannelCall, state: Channels | None, units: Labels) -> Mask:
    """Return which units start at zero, and couple them with the channels of the given state."""
    if state is not None and state.axis == -1 and state.count == len(units):
        call.book.couple(units, state.labels)
        return state.zero
    call.keep(state, "takes them as an initial state")
    call.book.keep(units, "has an initial state whose channels are not known")
    return np.zeros(len(units), bool)


def _steady(call: ChannelCall, zero: Mask, gates: int, candidate: int, rank: int) -> Mask:
    """Return which units stay zero: those whose candidate reads no unit that does not."""
    while zero.any():
        read = _candidate(
            call, "recurrent_kernel", rank + 1, gates, candidate, len(zero), (rank, zero)
        )
        if not (zero & ~read).any():
            break
        zero = zero & read
    return zero


def cell_inside(call: ChannelCall) -> Result:
    """Apply the rule of an RNN layer: that of its cell."""
    made = call.book.inside(call.config["cell"], "", call.taken, call.shapes)
    if not made:
        return call.keep_all("has a cell whose effect on channels is not known")
    return made if call.config.get("return_state") else made[:1]


def both_ways(call: ChannelCall) -> Result:
    """Apply the rule of a Bidirectional: its two layers, and how it merges their outputs.

    Both Kerases take the layers to have as many units, so units are removed in pairs.
    """
    for state in call.taken[1:]:
        call.keep(state, "takes them as an initial state")
    held = {
        "forward_layer": call.config["layer"],
        "backward_layer": call.config.get("backward_layer") or call.config["layer"],
    }
    forward, backward = (
        call.book.inside(entry, side, call.taken[:1], call.shapes[:1])
        for side, entry in held.items()
    )
    sides = [side[0] for side in (forward, backward) if side and side[0] is not None]
    if len(sides) < 2 or len(call.taken) > 1:
        for side in sides:
            call.keep(side, "has states, which are not known to be merged in this way")
        return ()
    left, right = sides
    call.book.couple(left.labels, right.labels)
    merged = _both_merged(left, right, call.config.get("merge_mode", "concat"))
    return [*merged, *forward[1:], *backward[1:]]


def _both_merged(left: Channels, right: Channels, mode: str | None) -> list[Channels]:
    """Return what a Bidirectional makes of the outputs of its two layers."""
    if mode is None:
        return [left, right]
    if mode == "concat":
        zero = np.concatenate([left.zero, right.zero])
        return [Channels(-1, np.concatenate([left.labels, right.labels]), zero)]
    zero = left.zero | right.zero if mode == "mul" else left.zero & right.zero
    return [Channels(-1, left.labels, zero)]


def multi_head(call: ChannelCall) -> Result:
    """Apply the rule of a MultiHeadAttention, whose heads are channels inside it."""
    heads = call.book.own("value.kernel", 1, call.config["num_heads"], "produces")
    return _attend(call, heads, {"query": 1, "key": 1, "value": 1})


def grouped_query(call: ChannelCall) -> Result:
    """Apply the rule of a GroupQueryAttention: a key head goes with its query heads.

    Keras takes a query and values of the same number of channels alone.
    """
    query, value = call.given("query"), call.given("value")
    if query is not None and value is not None:
        call.book.couple(query.labels, value.labels)
    for one in (query, value):
        if None in (query, value):
            call.keep(one, "takes a query and values of the same number of channels")
    fewer = call.config["num_key_value_heads"]
    heads = call.book.own("value.kernel", 1, fewer, "produces")
    times = call.config["num_query_heads"] // fewer
    return _attend(call, heads, {"query": times, "key": 1, "value": 1, "gate": times})


def _attend(call: ChannelCall, heads: Labels, parts: dict[str, int]) -> Result:
    """Return the output channels of an attention with heads, and the heads of its scores.

    Args:
        call: The call.
        heads: The heads of keys and values.
        parts: How many heads each projection has for one of these.
    """
    sources = {name: call.given(name) for name in ("query", "value", "key")}
    for channels, argument in zip(call.taken, call.arguments, strict=True):
        if argument not in sources:
            call.keep(channels, f"takes them as its {argument}")
    if "key" not in call.arguments:
        sources["key"] = sources["value"]
    sources["gate"] = sources["query"]
    empty = np.zeros(len(heads), bool)
    for name, times in parts.items():
        if not call.book.has(f"{name}.kernel"):
            continue
        many = np.repeat(heads, times)
        call.bind(f"{name}.kernel", 1, many, "produces")
        call.bind(f"{name}.bias", 0, many, "scales")
        bias = f"{name}.bias" if call.book.has(f"{name}.bias") else ""
        zero_in = call.read(sources[name], f"{name}.kernel", 0, bias=bias, made=(1, 2))
        if name == "value":
            empty = call.zeros("value.kernel", 1, len(heads), zero_in)
            empty = empty & call.zeros("value.bias", 0, len(heads))
    many, empty = (np.repeat(each, parts["query"]) for each in (heads, empty))
    zero_in = call.read(Channels(-1, many, empty), "attention_output.kernel", 0)
    scores = Channels(-3, many, np.zeros(len(many), bool))
    return [_projected(call, sources["query"], zero_in), scores]


def _projected(
    call: ChannelCall, query: Channels | None, zero_in: tuple[int, Mask] | None
) -> Channels | None:
    """Return the output channels; there are as many as the query has unless the config says it."""
    told, shape = call.config.get("output_shape"), call.shapes[0] if call.shapes else None
    told = told[0] if isinstance(told, list | tuple) and len(told) == 1 else told
    count = told if told else (shape or (None,))[-1]
    if type(count) is not int:
        return None
    labels = call.book.own("attention_output.kernel", 2, count, "produces")
    call.bind("attention_output.bias", 0, labels, "scales")
    if not told and query is not None:
        call.book.couple(labels, query.labels)
    elif not told:
        call.book.keep(labels, "gives as many channels as its query has")
    zero = call.zeros("attention_output.kernel", 2, count, zero_in)
    return Channels(-1, labels, zero & call.zeros("attention_output.bias", 0, count))


def dot_product(call: ChannelCall) -> Result:
    """Apply the rule of an Attention layer: it sums products of query and key channels.

    Constants do not go through: the result is zero where the query is masked.
    """
    query, value = call.given("query"), call.given("value")
    key = call.given("key") if "key" in call.arguments else value
    made = without_constants(value)
    for channels, argument in zip(call.taken, call.arguments, strict=True):
        if argument not in ("query", "value", "key"):
            call.keep(channels, f"takes them as its {argument}")
    if call.config.get("score_mode", "dot") != "dot" or query is None or key is None:
        for channels in (query, key):
            call.keep(channels, "compares them with those of another tensor")
        return [made, None]
    call.book.couple(query.labels, key.labels)
    call.book.use(query, query.zero | key.zero)
    return [made, None]
