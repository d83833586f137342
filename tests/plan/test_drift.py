from lenet import RULES, lenet, lenet_zeros, rules
from planned import plan_with

from graphprune.plan import make_plan, wrap_graph
from graphprune.plan.changes import Drift
from graphprune.sparsity.positions import Run

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
