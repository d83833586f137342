"""Thresholds in plans: weights whose magnitude is below one become zero, as they are when the plan
is made.
"""

import numpy as np
import pytest
from builders import build_graph
from memory_weights import make_weights, wrap_layers
from planned import plan_with

from graphprune.errors import RuleError, StalePlanError
from graphprune.plan import check_weights_fit, make_plan, plan_from_config, plan_to_config
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules
from graphprune.sparsity.budgets import allocate_by_threshold
from graphprune.sparsity.pruning import Provenance, Pruning

NET = "in > fc1[100,50] > fc2[50,20] > fc3[20,10]"


def rules(threshold=0.5, schedule="{curve: step, begin: 0 steps}", match="'*'"):
    return parse_rules(
        "version: 1\n"
        "rules:\n"
        f"- {{id: small, match: {match}, prune: {{threshold: {threshold}, schedule:"
        f" {schedule}}}}}\n",
        "p.yaml",
    )


def below(weights, address, threshold=0.5):
    return int((np.abs(weights.read(address, "kernel")) < threshold).sum())


def test_each_tensor_loses_what_is_below_the_threshold():
    graph = build_graph(NET)
    weights = make_weights(graph)
    plan = plan_with(graph, rules(), read_weight=weights.read)
    assert {change.address: change.tensors[0].zeros_after for change in plan.changes} == {
        name: below(weights, name) for name in ("fc1", "fc2", "fc3")
    }
    assert plan.depends_on_weights
    total = sum(below(weights, name) for name in ("fc1", "fc2", "fc3"))
    (budget,) = plan.budgets
    assert (budget.name, budget.allocate, budget.zeros, budget.weights, budget.scale) == (
        "|w| < 0.5",
        "threshold",
        total,
        6200,
        0.5,
    )
    assert (
        f"  threshold |w| < 0.5: {total:,} zeros of 6,200; {total / 6200:.2%} of prunable"
        in render_plan_text(plan)
    )
    again = plan_from_config(plan_to_config(plan))
    assert ([change.after for change in again.changes], again.budgets) == (
        [change.after for change in plan.changes],
        plan.budgets,
    )


def test_the_share_of_a_layer_is_that_of_its_tensors():
    graph = build_graph("in > lstm[64,16]")
    weights = make_weights(graph)
    (change,) = plan_with(graph, rules(), read_weight=weights.read).changes
    zeros = sum(tensor.zeros_after for tensor in change.tensors)
    assert len(change.after.shares) == 2
    assert change.after.sparsity == zeros / sum(tensor.size for tensor in change.tensors)


def test_a_tensor_keeps_a_weight_and_one_without_small_weights_stays_dense():
    assert allocate_by_threshold([np.array([0.1, 0.2]), np.array([np.nan, 1.0])], 0.5).kept == (
        1,
        2,
    )
    graph = build_graph("in > fc1[100,50] > fc2[50,20]")
    weights = make_weights(graph)
    weights.tensors["fc2", "kernel"] += 1
    plan = plan_with(graph, rules(), read_weight=weights.read)
    assert [change.actions for change in plan.changes] == [("wrap",), ("keep",)]
    assert "small (no weight has |w| < 0.5)" in render_plan_text(plan)


def test_a_model_wrapped_by_the_threshold_is_as_planned_whatever_its_weights_became():
    graph = build_graph("in > fc1[100,50]")
    weights = make_weights(graph)
    (change,) = plan_with(graph, rules(), read_weight=weights.read).changes
    wrapped = wrap_layers(graph, change.after, ("fc1",), "small")
    (layer,) = wrapped.candidates()
    assert layer.wrap.provenance.budget == ""
    # another budget gave its shares
    assert not plan_with(wrapped, rules(), read_weight=make_weights(graph, seed=1).read).is_empty
    told = wrap_with_budget(graph, change.after, "threshold 0.5")
    assert plan_with(told, rules(), read_weight=make_weights(graph, seed=1).read).is_empty
    assert not plan_with(
        told, rules(threshold=0.6), read_weight=make_weights(graph, seed=1).read
    ).is_empty


def wrap_with_budget(graph, pruning: Pruning, budget):
    from dataclasses import replace

    wrapped = wrap_layers(graph, pruning, ("fc1",), "small")
    layer = wrapped.layers["fc1"]
    return replace(
        wrapped,
        layers={
            **wrapped.layers,
            "fc1": replace(
                layer, wrap=replace(layer.wrap, provenance=Provenance("small", budget=budget))
            ),
        },
    )


def test_a_plan_by_threshold_fits_only_the_weights_that_it_was_made_from():
    graph = build_graph(NET)
    plan = plan_with(graph, rules(), read_weight=make_weights(graph).read)
    check_weights_fit(graph, plan, make_weights(graph).read)
    with pytest.raises(
        StalePlanError, match="the plan depends on the weights of 'fc1', 'fc2', 'fc3'"
    ):
        check_weights_fit(graph, plan, make_weights(graph, seed=1).read)


def test_without_weights_it_says_what_it_needs():
    with pytest.raises(RuleError) as caught:
        make_plan(build_graph(NET), rules())
    assert (
        str(caught.value)
        == "error[budget/no-weights]: a threshold compares magnitudes, but the weights of the"
        " model are not available\n"
        "  --> p.yaml:3:35\n"
        "  help: plan from the saved model, or give make_plan 'read_weight'"
    )


def test_two_rules_conflict_in_words():
    text = (
        "version: 1\n"
        "schedules: {once: {curve: step, begin: 0 steps}}\n"
        "rules:\n"
        "- {id: a, match: {name: fc1}, prune: {threshold: 0.5, schedule: once}}\n"
        "- {id: b, match: {name: fc1}, prune: {threshold: 0.4, schedule: once}}\n"
    )
    graph = build_graph(NET)
    with pytest.raises(RuleError) as caught:
        plan_with(graph, parse_rules(text, "p.yaml"), read_weight=make_weights(graph).read)
    assert "  --> p.yaml:4:3   a   |w| < 0.5 unstructured, once" in str(caught.value)


def test_a_ramp_never_falls_where_a_tensor_wants_less_than_the_ramp_begins_from():
    graph = build_graph("in > fc1[100,50]")
    ramp = "{curve: polynomial, from: 50%, begin: 0 steps, end: 100 steps, every: 10 steps}"
    (change,) = plan_with(
        graph, rules(threshold=0.3, schedule=ramp), read_weight=make_weights(graph).read
    ).changes
    from graphprune.sparsity.positions import Run

    timetable, (share,) = change.after.schedule.to_timetable(Run()), change.after.shares
    way = [timetable.sparsity_at(step, share) for step in range(0, 110, 10)]
    assert share < 0.5
    assert way == sorted(way)
    assert way[-1] == share
