"""A model held against a plan: zeros are counted in the weights, wrapped or not."""

from dataclasses import replace

import pytest
from builders import build_graph
from lenet import RULES, lenet, lenet_zeros, rules
from planned import plan_with

from graphprune.errors import PlanError
from graphprune.plan import make_plan, verification_to_config, verify_plan, wrap_graph
from graphprune.plan.changes import Drift
from graphprune.plan.measured import TensorFacts
from graphprune.report import render_verification
from graphprune.sparsity.positions import Run

DONE = lenet_zeros(fc1=211_680, fc2=27_000)


def verified(graph=None, zeros=DONE, **kwargs):
    return verify_plan(
        make_plan(lenet(), rules()),
        graph or lenet(),
        {key: TensorFacts(count) for key, count in zeros.items()},
        model_path="lenet.keras",
        plan_path="plan.json",
        **kwargs,
    )


def test_a_model_with_all_planned_zeros_is_as_planned_wrapped_or_not():
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    assert verified() == verified(wrapped)
    assert (
        render_verification(verified()) == "verify  lenet.keras  against  plan.json\n"
        "\n"
        "    fc1  kernel  211,680 of 211,680 zeros  target 90.0%, measured 90.0%\n"
        "    fc2  kernel    27,000 of 27,000 zeros  target 90.0%, measured 90.0%\n"
        "\n"
        "As planned: 2 tensors, 238,680 zeros of 238,680 planned.\n"
    )


def test_more_zeros_than_planned_are_as_planned():
    assert verified(zeros=DONE | {("fc1", "kernel"): 220_000}).drift == ()


def test_missing_zeros_and_weights_under_the_mask_are_drift():
    found = verified(
        zeros=DONE | {("fc1", "kernel"): 205_565}, mask_faults={("fc2", "kernel"): 312}
    )
    assert (
        render_verification(found, brief=True) == "verify  lenet.keras  against  plan.json\n\n"
        "  ! fc1  kernel  205,565 of 211,680 zeros  target 90.0%, measured 87.4%\n"
        "  ! fc2  kernel    27,000 of 27,000 zeros  target 90.0%, measured 90.0%; 312 non-zero"
        " weights under the mask\n\n"
        "Drift: 2 of 2 tensors; 232,565 zeros of 238,680 planned.\n"
    )


def test_the_document():
    config = verification_to_config(verified(zeros=DONE | {("fc1", "kernel"): 1}))
    assert config["as_planned"] is False
    assert config["summary"] == {
        "tensors": 2,
        "drift": 1,
        "unchecked": 0,
        "zeros_planned": 238_680,
        "zeros_measured": 27_001,
    }
    assert config["tensors"][0] == {
        "address": "fc1",
        "tensor": "kernel",
        "rule": "dense-90",
        "size": 235_200,
        "zeros_planned": 211_680,
        "zeros_measured": 1,
        "under_mask": 0,
        "non_finite": 0,
        "units": None,
        "faults": ["zeros"],
        "as_planned": False,
    }


def test_another_model_is_refused():
    with pytest.raises(PlanError) as caught:
        verified(build_graph("in > flatten > fc1[784,300] > predictions[300,10]", name="lenet"))
    differences = "'fc2' is missing; 'predictions' kernel is [300, 10], planned as [100, 10]"
    assert (
        str(caught.value)
        == f"error[plan/stale]: the plan was made for another model: {differences}\n"
        "  --> plan.json\n"
        "  help: make the plan again for this model: graphprune plan MODEL -r RULES -o PLAN.json"
    )


def test_a_plan_that_prunes_nothing():
    plan = make_plan(lenet(), rules("version: 1\nrules: [{id: none, match: '*', keep: true}]"))
    assert render_verification(
        verify_plan(plan, lenet(), {}, model_path="m", plan_path="p")
    ).endswith("\n\nAs planned: the plan prunes nothing.\n")


FINISHED = {"fc1": 2000, "fc2": 2000}
RUN = Run(steps_per_epoch=500)


def drift(zeros, steps=FINISHED, mask_faults=None, run=RUN):
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    return plan_with(
        wrapped,
        rules(),
        zeros=zeros,
        steps=steps,
        mask_faults=mask_faults,
        steps_per_epoch=run.steps_per_epoch,
        epochs=run.epochs,
    ).drift


def test_a_model_as_planned_has_none():
    assert drift(lenet_zeros(fc1=211_680, fc2=27_000)) == ()


def test_too_few_zeros_are_drift():
    assert drift(lenet_zeros(fc1=205_800, fc2=27_000)) == (
        Drift("fc1", "kernel", "dense-90", 2000, target=0.9, measured=0.875),
    )


def test_half_way_only_half_of_the_ramp_is_asked_for():
    assert drift(lenet_zeros(fc1=205_800, fc2=26_250), steps={"fc1": 1000, "fc2": 1000}) == ()
    assert [
        found.target
        for found in drift(lenet_zeros(fc1=205_800, fc2=0), steps={"fc1": 1099, "fc2": 1099})
    ] == [0.7875]


def test_before_the_first_step_nothing_can_have_moved():
    text = RULES.replace("from: 0,", "from: 50%,")
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules(text)))
    length = {"steps_per_epoch": RUN.steps_per_epoch, "epochs": RUN.epochs}
    found = [
        plan_with(wrapped, rules(text), zeros=lenet_zeros(), steps={"fc1": step}, **length).drift
        for step in (0, 1)
    ]
    assert found == [(), (Drift("fc1", "kernel", "dense-90", 1, target=0.5, measured=0.0),)]


def test_weights_under_the_mask_are_drift_even_where_steps_in_an_epoch_are_unknown():
    assert drift(lenet_zeros(), mask_faults={("fc2", "kernel"): 312}, run=Run()) == (
        Drift("fc2", "kernel", "dense-90", 2000, under_mask=312),
    )


def test_a_model_whose_config_has_no_connections_is_not_as_planned_without_a_word():
    graph = replace(lenet(), is_connected=False)
    every = (
        "version: 1\n"
        "rules: [{id: all, match: '*', prune: {sparsity: 90%, schedule: {curve: step}}}]"
    )
    zeros = lenet_zeros(fc1=211_680, fc2=27_000, predictions=900)
    measured = {key: TensorFacts(count) for key, count in zeros.items()}
    found = verify_plan(make_plan(graph, rules(every)), graph, measured)
    assert found.is_as_planned is None
    assert render_verification(found).endswith(
        "No drift found, but not all was checked: 3 tensors, 239,580 zeros of 239,580 planned;"
        " architecture not checked: the config of the model does not have the connections of its"
        " layers.\n"
    )
