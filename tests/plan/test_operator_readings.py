"""What a plan's model may compute where its config does not tell."""

from dataclasses import replace

import pytest

from graphprune.graph.classes.steps import LEARNED
from graphprune.graph.computation import Computation, Step
from graphprune.plan.operator_readings import list_readings

GIVEN = Step("x", "input")


def readings(*steps):
    computation = Computation((GIVEN, *steps), (len(steps),))
    return [
        ([step.computes for step in found.steps[1:]], reason)
        for found, reason in list_readings(computation)
    ]


def test_a_normalization_may_be_there_or_not():
    found = readings(Step("one", LEARNED, (0,)), Step("relu", "relu", (1,)))
    assert found == [
        (["affine", "relu"], ""),
        (["relu"], "the file has no operator of one (Normalization), as if it was not adapted"),
    ]


def test_of_two_normalizations_each_may_be_there():
    first, second = Step("one", LEARNED, (0,)), Step("two", LEARNED, (2,))
    found = readings(first, Step("relu", "relu", (1,)), second)
    assert [texts for texts, _ in found] == [
        ["affine", "relu", "affine"],
        ["relu"],
        ["relu", "affine"],
        ["affine", "relu"],
    ]


def test_a_plan_without_formulas_says_that_it_is_old():
    old = Step("loop", "recurrent 6x16 4x16, sigmoid 3, tanh 2", (0,))
    assert readings(old, Step("loop", "last of sequence", (1,))) == [
        (
            ["unknown recurrent", "last of sequence"],
            "the plan was made by an earlier version, without the formulas of loop; make it again",
        )
    ]
    new = Step("loop", "recurrent 6x4 4x4, h = tanh(h[0/1] + x[0/1])", (0,))
    assert readings(new) == [([new.computes], "")]


def test_masks_that_keras_3_may_have_deleted_are_there_or_not():
    mask, scores = Step("e", "not equal 0", (0,)), Step("heads", "product of 2", (0, 0))
    text = "padding mask of key and query, causal if kept, else padding mask of key, causal"
    masked = Step("heads", text, (2, 1, 1))
    last = Step("dot", "multiply if kept, else nothing", (3, 1))
    found = [each.steps[1:] for each, _ in list_readings(_of(mask, scores, masked, last))]
    fewer = replace(masked, computes="padding mask of key, causal", inputs=(2, 1))
    all_of_them = replace(masked, computes="padding mask of key and query, causal")
    assert found == [
        (mask, scores, fewer),
        (mask, scores, all_of_them, replace(last, computes="multiply")),
    ]


def _of(*steps):
    return Computation((GIVEN, *steps), (len(steps),))


@pytest.mark.parametrize(("before", "wanted"), [("relu", "unknown PReLU"), ("tanh", "prelu")])
def test_a_prelu_behind_a_relu_is_not_known(before, wanted):
    ((found, reason),) = readings(Step("a", before, (0,)), Step("b", "prelu", (1,)))
    assert (found, reason) == ([before, wanted], "")
