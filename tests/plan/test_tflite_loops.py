"""Loops of recurrent layers in `.tflite` files and their layers."""

from graphprune.graph.computation import Computation, Step
from graphprune.plan.tflite_loops import pair_loops


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
