"""Computations in one form, whatever a converter made of them."""

import pytest

from graphprune.graph.computation import Computation, Step
from graphprune.plan.computation_check import are_same, simplify


def net(repeats, operation):
    """Two inputs, one of which is repeated before an operation of both."""
    steps = [Step("a", "input"), Step("b", "input"), Step("r", repeats, (0,))]
    last = Step("o", operation, (2, 1))
    return Computation((*steps, last), (3,))


def plain(operation):
    steps = Step("a", "input"), Step("b", "input"), Step("o", operation, (0, 1))
    return Computation(steps, (2,))


@pytest.mark.parametrize("operation", ["add", "multiply", "subtract"])
def test_a_repetition_that_an_operation_of_two_tensors_does_by_itself_does_not_count(operation):
    sides = [simplify(each) for each in (net("repeat 3 over 0", operation), plain(operation))]
    assert are_same(*sides, frozenset())


OTHERS = {
    "along an axis that is there": ("repeat 3 over 1", "add"),
    "product": ("repeat 3 over 0", "product of 1"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_repetitions_count(name):
    repeats, operation = OTHERS[name]
    sides = [simplify(each) for each in (net(repeats, operation), plain(operation))]
    assert not are_same(*sides, frozenset())


def behind_normalization(*, is_folded):
    """A normalization that a kernel and a sum take; the kernel may have it inside."""
    steps = (
        Step("x", "input"),
        Step("relu", "relu", (0,)),
        Step("bn", "affine", (1,)),
        Step("fc", "matrix 4x4", (1 if is_folded else 2,)),
        Step("add", "add", (2, 3)),
    )
    return Computation(steps, (4,))


def test_a_normalization_may_be_inside_a_kernel_and_stay_for_what_else_takes_it():
    sides = [simplify(behind_normalization(is_folded=folded)) for folded in (True, False)]
    assert are_same(*sides, frozenset())
    assert [step.computes for step in sides[0].steps].count("affine") == 1


def attention(first, second, third):
    """A product of the first two of two inputs, and a product of that with the third."""
    steps = [Step("a", "input"), Step("b", "input"), Step("o", "product of 1", (first, second))]
    return Computation((*steps, Step("p", "product of 2", (2, third))), (3,))


@pytest.mark.parametrize(
    ("taken", "is_same"), [((0, 1, 1), True), ((1, 0, 0), True), ((0, 0, 1), False)]
)
def test_inputs_without_names_are_told_by_what_takes_them(taken, is_same):
    sides = simplify(attention(0, 1, 1)), simplify(attention(*taken))
    assert are_same(*sides, frozenset()) is is_same
    assert are_same(*sides, frozenset({"a", "b"})) is (taken == (0, 1, 1))
