"""Loops of recurrent layers in `.tflite` files and their layers."""

import numpy as np
from tflite_files import Part, tflite_bytes

from graphprune.archive.tflite.file import TfliteFile
from graphprune.graph.computation import Computation, Step
from graphprune.plan.tflite_loops import find_loops, pair_loops


def chain(*layers):
    steps = [Step("x", "input")]
    for layer in layers:
        steps.append(Step(layer, "unknown GRU", (len(steps) - 1,)))
    return Computation(tuple(steps), (len(steps) - 1,))


def test_layers_of_one_shape_are_paired_in_the_order_in_which_they_run():
    fitting = {"b": [1, 2], "c": [1, 2], "a": [0]}
    assert pair_loops(fitting, chain("a", "c", "b")) == {"a": 0, "c": 1, "b": 2}


def test_layers_of_one_shape_side_by_side_are_not_told():
    steps = (Step("x", "input"), Step("a", "unknown GRU", (0,)), Step("b", "unknown GRU", (0,)))
    both = Computation((*steps, Step("sum", "add", (1, 2))), (3,))
    assert pair_loops({"a": [0, 1], "b": [0, 1]}, both) == {}
    assert pair_loops({"a": [0, 1], "b": [0, 1]}, None) == {}


def test_more_loops_than_layers_are_not_told():
    assert pair_loops({"a": [0, 1]}, chain("a")) == {}


def test_a_layer_of_several_steps_is_paired_once():
    steps = (Step("x", "input"), Step("a", "reverse", (0,)), Step("a", "reverse", (0,)))
    first, second = Step("a", "unknown LSTM", (1, 2)), Step("b", "unknown LSTM", (3,))
    both = Computation((*steps, first, second), (4,))
    assert pair_loops({"b": [0, 1], "a": [0, 1]}, both) == {"a": 0, "b": 1}


def test_the_parts_of_a_fused_layer_are_two_kernels_and_a_second_call_has_the_same():
    one, two = ([f"{layer}{number}" for number in range(8)] for layer in ("one", "two"))
    parts = [
        Part(name, values=np.full((4, 6 if number < 4 else 4), number + 8 * at, "float32"))
        for at, names in enumerate((one, two))
        for number, name in enumerate(names)
    ]
    parts += [Part(name, (1, 3, 6)) for name in ("x", "y", "z", "last")]
    operators = [
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [source, *kernels], [result])
        for source, kernels, result in (("x", one, "y"), ("y", two, "z"), ("z", one, "last"))
    ]
    loops = find_loops(TfliteFile(tflite_bytes(parts, operators)))
    assert [loop.kernels for loop in loops] == [
        {
            "kernel": tuple((0, begin + number) for number in range(4)),
            "recurrent_kernel": tuple((0, begin + number) for number in range(4, 8)),
        }
        for begin in (0, 8)
    ]
