"""Recurrent layers and cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from graphprune.archive.entries import is_entry, to_snake_case
from graphprune.graph.classes.channels import from_axis
from graphprune.graph.classes.layer_class import (
    MAX_INSIDE,
    SPATIAL,
    Axes,
    Expected,
    LayerClass,
    Part,
    Weight,
    several,
)
from graphprune.graph.classes.lengths import Config, Open, read_setting, read_window
from graphprune.graph.classes.multiply_adds import for_each_step
from graphprune.graph.classes.recurrent_channels import cell_inside, recurrent
from graphprune.graph.classes.recurrent_steps import convolved, recurrence, recurrence_of_cell
from graphprune.graph.classes.spatial import convolved_length, per_axis
from graphprune.graph.classes.steps import StepsRule
from graphprune.graph.shapes.axis_lengths import Shape

IN = Open("in")
RANDOM = ("BaseRandomLayer",)
IMPLEMENTATION = frozenset({"implementation"})
"""How tf_keras multiplies, in one or several steps, with the same result."""


def _weights(axes: Axes = ("in", "out"), path: str = "cell") -> tuple[Weight, ...]:
    return (
        Weight("kernel", axes, prunable=True, path=path),
        Weight("recurrent_kernel", axes, prunable=True, path=path),
        Weight("bias", needs="use_bias", path=path),
    )


def _gated(gates: int, config: Config) -> Expected:
    units = read_setting(config, "units")
    return {
        "kernel": (IN, gates * units),
        "recurrent_kernel": (units, gates * units),
        "bias": (gates * units,),
    }


def _gru_shapes(config: Config) -> Expected:
    shapes = _gated(3, config)
    return {**shapes, "bias": (2, *shapes["bias"])} if config.get("reset_after", True) else shapes


def _output(states: int, config: Config, shape: Shape) -> Sequence[Shape]:
    """Return the shapes of a recurrent layer's output, and of its states if it returns them."""
    if config.get("time_major"):
        raise ValueError("a recurrent layer with time as its first axis")
    batch, steps, _ = shape
    state = (batch, config["units"])
    output = (batch, steps, config["units"]) if config.get("return_sequences") else state
    return output, *(state,) * (states if config.get("return_state") else 0)


def _layer(
    bases: tuple[str, ...],
    shapes: Callable[[Config], Expected],
    states: int,
    gates: int,
    candidate: int,
    steps: StepsRule,
) -> LayerClass:
    """Return the record of a recurrent layer.

    Keras puts the `initial_state` behind the sequence, as further inputs (`_process_inputs`,
    tf_keras/src/layers/rnn/base_rnn.py).
    """
    return LayerClass(
        "sequence",
        bases,
        _weights(),
        shapes,
        several(partial(_output, states)),
        rest="initial_state",
        calls=("cell",),
        unused=IMPLEMENTATION,
        channels=recurrent(gates, candidate, states),
        steps=steps,
        resized=from_axis("units", "recurrent_kernel", 0),
        multiply_adds=for_each_step,
        keeps_mask=lambda config: bool(config.get("return_sequences")),
        takes_mask=True,
    )


def _cell(
    shapes: Callable[[Config], Expected], states: int, gates: int, candidate: int
) -> LayerClass:
    return LayerClass(
        "sequence",
        RANDOM,
        _weights(path=""),
        shapes,
        unused=IMPLEMENTATION,
        channels=recurrent(gates, candidate, states, is_cell=True),
        resized=from_axis("units", "recurrent_kernel", 0),
        multiply_adds=for_each_step,
    )


def _conv_lstm(rank: int) -> LayerClass:
    axes = (*SPATIAL[rank], "in", "out")
    return LayerClass(
        "sequence",
        ("ConvLSTM", "ConvRNN", "RNN"),
        _weights(axes),
        partial(_conv_lstm_shapes, rank),
        several(partial(_conv_lstm_output, rank)),
        rest="initial_state",
        calls=("cell",),
        unused=IMPLEMENTATION,
        channels=recurrent(4, 2, 2, rank=rank),
        steps=convolved(rank),
        resized=from_axis("filters", "recurrent_kernel", rank),
        multiply_adds=for_each_step,
    )


def _conv_lstm_shapes(rank: int, config: Config) -> Expected:
    filters, window = read_setting(config, "filters"), read_window(rank, config)
    return {
        "kernel": (*window, IN, 4 * filters),
        "recurrent_kernel": (*window, filters, 4 * filters),
        "bias": (4 * filters,),
    }


def _conv_lstm_output(rank: int, config: Config, shape: Shape) -> Sequence[Shape]:
    """Return the output shape of a ConvLSTM; those of its states are unknown."""
    if config.get("data_format") == "channels_first" or len(shape) != rank + 3:
        raise ValueError("a ConvLSTM whose channels come first")
    settings = zip(
        *(
            per_axis(config.get(key, 1), rank)
            for key in ("kernel_size", "strides", "dilation_rate")
        ),
        strict=True,
    )
    space = tuple(
        None if length is None else convolved_length(length, k, s, d, config)
        for length, (k, s, d) in zip(shape[2:-1], settings, strict=True)
    )
    steps = (shape[1],) if config.get("return_sequences") else ()
    return ((shape[0], *steps, *space, config["filters"]),)


def _rnn_output(config: Config, shape: Shape) -> Sequence[Shape]:
    """Return the output shape of an RNN of built-in cells; those of its states are unknown."""
    cell = config["cell"]["config"]
    last = cell["cells"][-1]["config"] if "cells" in cell else cell
    return _output(0, {**config, "units": last["units"]}, shape)


def _stacked(config: Config) -> Sequence[Part] | None:
    """Return the cells of a StackedRNNCells."""
    return listed_parts(config, "cells")


def listed_parts(config: Config, key: str) -> Sequence[Part] | None:
    """Return the layers that a layer holds in a list, at most one more than a layer may have."""
    held = config.get(key)
    if not isinstance(held, list | tuple):
        return None
    parts: list[Part] = []
    seen: Counter[str] = Counter()
    for index, entry in enumerate(held[: MAX_INSIDE + 1]):
        if not is_entry(entry):
            return None
        kind = to_snake_case(entry["class_name"].rsplit(">", 1)[-1])
        place = f"{key}/{kind}_{seen[kind]}" if seen[kind] else f"{key}/{kind}"
        parts.append(Part(f"{key}.{index}", entry, place, ""))
        seen[kind] += 1
    return parts


CLASSES: Mapping[str, LayerClass] = {
    "SimpleRNN": _layer(
        ("RNN",), partial(_gated, 1), states=1, gates=1, candidate=0, steps=recurrence("SimpleRNN")
    ),
    "LSTM": _layer(
        ("RNN", *RANDOM),
        partial(_gated, 4),
        states=2,
        gates=4,
        candidate=2,
        steps=recurrence("LSTM"),
    ),
    "GRU": _layer(
        ("RNN", *RANDOM), _gru_shapes, states=1, gates=3, candidate=2, steps=recurrence("GRU")
    ),
    "SimpleRNNCell": _cell(partial(_gated, 1), states=1, gates=1, candidate=0),
    "LSTMCell": _cell(partial(_gated, 4), states=2, gates=4, candidate=2),
    "GRUCell": _cell(_gru_shapes, states=1, gates=3, candidate=2),
    **{f"ConvLSTM{rank}D": _conv_lstm(rank) for rank in (1, 2, 3)},
    "RNN": LayerClass(
        "sequence",
        output_shapes=several(_rnn_output),
        parts=lambda config: [Part("", config.get("cell"), "cell", setting="cell")],
        rest="initial_state",
        calls=("cell",),
        channels=cell_inside,
        steps=recurrence_of_cell,
        keeps_mask=lambda config: bool(config.get("return_sequences")),
        takes_mask=True,
    ),
    "StackedRNNCells": LayerClass("sequence", parts=_stacked, calls=("cells",)),
    "AbstractRNNCell": LayerClass("sequence", versions=(2,)),
}
