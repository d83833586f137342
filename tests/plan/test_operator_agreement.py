"""Figures in steps of a file that agree with those of a plan."""

import pytest

from graphprune.graph.computation import Computation, Step
from graphprune.plan.operator_agreement import settle

EPSILON = "normalize over 8, epsilon {}"


def texts(planned, found):
    """The texts of both sides once settled."""
    steps = [Step("", text) for text in planned]
    settled, other = settle(Computation(tuple(steps), (0,)), [Step("", text) for text in found])
    return [step.computes for step in settled.steps], [step.computes for step in other]


@pytest.mark.parametrize("stored", ["0.001", "0.0010004", "0.00098"])
def test_a_figure_near_the_planned_one_is_that(stored):
    planned = [EPSILON.format("0.001"), EPSILON.format("1e-05"), "relu"]
    found = [EPSILON.format(stored), EPSILON.format("1.001e-05"), "relu"]
    assert texts(planned, found) == (planned, planned)


def test_another_figure_stays():
    planned, found = [EPSILON.format("0.001")], [EPSILON.format("0.0012")]
    assert texts(planned, found) == (planned, found)


def test_a_figure_that_one_side_does_not_tell_is_left_out_of_that_kind_alone():
    planned = [EPSILON.format("0.001"), EPSILON.format("1e-05"), "normalize over 4, epsilon 0.1"]
    found = [EPSILON.format("0.001"), "normalize over 8", "normalize over 4, epsilon 0.1"]
    plain = ["normalize over 8", "normalize over 8", "normalize over 4, epsilon 0.1"]
    assert texts(planned, found) == (plain, plain)


def test_a_length_is_compared_exactly_and_one_of_scores_not_at_all():
    scores = [Step("", "product of 2"), Step("", "softmax", (0,))]
    steps = [*scores, Step("", "softmax, length 20", (1,))]
    for length, wanted in ((20, "softmax, length 20"), (21, "softmax, length 21")):
        found = [*scores, Step("", f"softmax, length {length}", (1,))]
        settled, other = settle(Computation(tuple(steps), (2,)), found)
        assert [step.computes for step in settled.steps[1:]] == [
            "softmax of scores",
            "softmax, length 20",
        ]
        assert [step.computes for step in other[1:]] == ["softmax of scores", wanted]


def test_a_limit_that_may_be_larger_is_any_larger_one():
    limits = ["clip 0 4", "clip 0 1", "clip 0 2"]
    assert texts(["clip 0 4"], ["clip 0 1.5+"])[1] == ["clip 0 4"]
    assert texts(["clip 0 1"], ["clip 0 1.5+"])[1] == ["clip 0 1.5+"]
    assert texts(limits, ["clip 0 3.98", "clip 0 1", "clip 0 3"])[1] == [
        "clip 0 4",
        "clip 0 1",
        "clip 0 3",
    ]
