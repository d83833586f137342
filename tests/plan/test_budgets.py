"""Budgets in plans: shares, what is left dense, what cannot be met, and that a plan of an applied
model is empty.
"""

from dataclasses import replace

import numpy as np
import pytest
from builders import build_graph
from memory_weights import make_weights
from planned import plan_with

from graphprune.errors import PlanError, RuleError
from graphprune.plan import (
    check_weights_fit,
    make_plan,
    plan_from_config,
    plan_to_config,
    wrap_graph,
)
from graphprune.plan.changes import BudgetChange, DenseTensor
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules

NET = "in > fc1[100,50] > fc2[50,20] > fc3[20,10]"
SIZES = {"fc1": 5000, "fc2": 1000, "fc3": 200}


def rules(
    budget,
    rest="- {id: all, match: '*', prune: {budget: net, schedule: {curve: step, begin: 0 steps}}}",
):
    return parse_rules(f"version: 1\nbudgets:\n  net: {budget}\nrules:\n{rest}\n", "p.yaml")


def plan(budget, graph=None, weights=None, **options):
    graph = graph or build_graph(NET)
    return plan_with(
        graph, rules(budget, **options), read_weight=None if weights is None else weights.read
    )


def zeros(plan):
    return {
        (change.address, tensor.name): tensor.zeros_after
        for change in plan.changes
        for tensor in change.tensors
    }


def faults(*args, **options):
    with pytest.raises(RuleError) as caught:
        plan(*args, **options)
    return str(caught.value)


def test_uniform_is_one_sparsity_with_the_exact_sum():
    found = plan("{sparsity: 90%}")
    assert zeros(found) == {("fc1", "kernel"): 4500, ("fc2", "kernel"): 900, ("fc3", "kernel"): 180}
    assert [change.after.shares for change in found.changes] == [(0.9,), (0.9,), (0.9,)]
    assert found.budgets == (
        BudgetChange("net", "uniform", "claimed", 0.9, None, None, 6200, 5580, 0.1),
    )


def test_bounds_hold_for_each_tensor():
    found = plan("{sparsity: 90%, allocate: erk, min: 40%, max: 95%}")
    assert zeros(found) == {("fc1", "kernel"): 4628, ("fc2", "kernel"): 826, ("fc3", "kernel"): 126}
    assert sum(zeros(found).values()) == 5580
    found = plan("{sparsity: 90%, allocate: erk, min: 70%}")
    assert (zeros(found)["fc3", "kernel"], sum(zeros(found).values())) == (140, 5580)


def test_over_prunable_counts_what_other_rules_zero_and_what_is_kept():
    once = "schedule: {curve: step, begin: 0 steps}"
    rest = (
        f"- {{id: a, match: {{name: fc1}}, prune: {{budget: net, {once}}}}}\n"
        f"- {{id: b, match: {{name: fc2}}, prune: {{sparsity: 50%, {once}}}}}\n"
        "- {id: c, match: {name: fc3}, keep: true}"
    )
    found = plan("{sparsity: 80%, over: prunable}", rest=rest)
    assert zeros(found) == {
        ("fc1", "kernel"): 4460,
        ("fc2", "kernel"): 500,
        ("fc3", "kernel"): None,
    }
    assert (found.budgets[0].zeros, found.budgets[0].weights) == (4960, 6200)
    assert (
        faults("{sparsity: 90%, over: prunable}", rest=rest)
        == "error[budget/infeasible]: budget 'net' (uniform, 90% over prunable) cannot be met: its"
        " tensors can reach 8.07% to 88.69% of 6,200 weights\n"
        "  --> p.yaml:3:3\n"
        "  help: change its sparsity, 'min' or 'max', or use it in more rules"
    )
    assert (
        faults(
            "{sparsity: 80%, over: prunable}\n  other: {sparsity: 80%, over: prunable}",
            rest=rest.replace("sparsity: 50%", "budget: other"),
        )
        == "error[budget/infeasible]: budgets 'net' and 'other' are both over prunable, so each"
        " counts the zeros of the other\n"
        "  --> p.yaml:4:3\n"
        "  help: write 'over: claimed' in one of them"
    )


def test_a_budget_that_its_bounds_do_not_allow_says_what_can_be_reached():
    assert (
        faults("{sparsity: 90%, max: 80%}")
        == "error[budget/infeasible]: budget 'net' (uniform, 90% over claimed, max 80%) cannot be"
        " met: its tensors can reach 0% to 80% of 6,200 weights\n"
        "  --> p.yaml:3:3\n"
        "  help: change its sparsity, 'min' or 'max', or use it in more rules"
    )


def test_a_tensor_of_a_layer_that_erk_leaves_dense_is_left_out_of_its_wrapper():
    graph = build_graph("in > lstm[64,16] > fc1[200,100]")
    found = make_plan(graph, rules("{sparsity: 90%, allocate: erk}"))
    assert [(change.address, change.actions, change.after.weights) for change in found.changes] == [
        ("lstm", ("wrap",), ("kernel",)),
        ("fc1", ("wrap",), ("kernel",)),
    ]
    assert found.budgets[0].dense[0].tensor == "recurrent_kernel"
    assert "all (recurrent_kernel: ERK would keep " in render_plan_text(found)
    assert make_plan(wrap_graph(graph, found), rules("{sparsity: 90%, allocate: erk}")).is_empty


def weights_of(graph, **scales):
    weights = make_weights(graph)
    for address, scale in scales.items():
        weights.tensors[address, "kernel"] = weights.tensors[address, "kernel"] * np.float32(scale)
    return weights


def test_magnitude_is_one_threshold_over_all_tensors():
    graph = build_graph(NET)
    weights = weights_of(graph, fc1=0.95, fc3=100)
    found = plan("{sparsity: 90%, allocate: magnitude}", graph, weights)
    everything = np.concatenate(
        [np.abs(weights.tensors[address, "kernel"]).ravel() for address in SIZES]
    )
    threshold = np.sort(everything)[5580]
    order = np.concatenate([np.full(size, index) for index, size in enumerate(SIZES.values())])
    kept = order[np.argsort(-everything, kind="stable")[:620]]
    expected = {
        (address, "kernel"): size - int((kept == index).sum())
        for index, (address, size) in enumerate(SIZES.items())
    }
    assert {key: count or 0 for key, count in zeros(found).items()} == expected
    assert expected["fc3", "kernel"] == 0
    assert found.budgets[0].dense == (DenseTensor("fc3", "kernel", 200),)
    assert found.budgets[0].scale == pytest.approx(float(threshold))
    assert render_plan_text(found).splitlines()[9:10] == [
        "  budget net   magnitude, 90% over claimed: 5,580 zeros of 6,200 (threshold"
        f" {float(threshold):.4f}); 90.00% of prunable"
    ]
    assert "all (net keeps all of its weights)" in render_plan_text(found)


def test_magnitude_needs_weights():
    assert (
        faults("{sparsity: 90%, allocate: magnitude}")
        == "error[budget/no-weights]: budget 'net' is allocated by magnitude, but the weights"
        " of the model are not available\n"
        "  --> p.yaml:3:3\n"
        "  help: plan from the saved model, or give make_plan 'read_weight'"
    )


def test_a_plan_by_magnitude_depends_on_the_weights_that_it_was_made_from():
    graph = build_graph(NET)
    weights = weights_of(graph)
    found = plan("{sparsity: 90%, allocate: magnitude}", graph, weights)
    assert (found.depends_on_weights, [address for address, _ in found.weight_hashes]) == (
        True,
        ["fc1", "fc2", "fc3"],
    )
    assert len(found.model.weights_sha256) == 64
    again = plan_from_config(plan_to_config(found))
    check_weights_fit(graph, again, weights.read)
    with pytest.raises(PlanError) as caught:
        check_weights_fit(graph, again, weights_of(graph, fc2=2, fc3=2).read)
    assert (
        str(caught.value)
        == "error[plan/stale]: the plan depends on the weights of 'fc2', 'fc3', and those"
        " of this model differ\n"
        "  help: make the plan again for this model: graphprune plan MODEL -r RULES -o PLAN.json"
    )
    assert plan("{sparsity: 90%, allocate: erk}", graph).depends_on_weights is False


def test_magnitudes_that_moved_in_training_do_not_move_the_shares_of_a_wrapped_model():
    graph = build_graph(NET)
    budget = "{sparsity: 90%, allocate: magnitude}"
    wrapped = wrap_graph(graph, plan(budget, graph, weights_of(graph, fc3=100)))
    again = plan(budget, wrapped, weights_of(graph, fc1=100))
    assert again.is_empty
    assert again.depends_on_weights is False
    assert again.changes[2].action_reason == "dense_by_budget"
    assert not plan("{sparsity: 80%, allocate: magnitude}", wrapped, weights_of(graph)).is_empty
    assert not plan("{sparsity: 90%, allocate: uniform}", wrapped).is_empty
    uniform = wrap_graph(graph, plan("{sparsity: 90%}", graph))
    assert not plan(budget, uniform, weights_of(graph, fc3=100)).is_empty


def test_a_plan_with_budgets_comes_back_from_json():
    for budget in (
        "{sparsity: 50%, allocate: erk, min: 1%}",
        "{sparsity: 50%, allocate: erk, over: prunable}",
    ):
        config = plan_to_config(plan(budget))
        again = plan_from_config(config)
        assert plan_to_config(again)["budgets"] == config["budgets"]
        assert [change.after for change in again.changes] == [
            change.after for change in plan(budget).changes
        ]


def test_budgets_share_out_whole_blocks():
    rest = (
        "- {id: all, match: '*', prune: {budget: net, pattern: {block: {in: 10, out: 1}}, schedule:"
        " {curve: step, begin: 0 steps}}}"
    )
    found = plan("{sparsity: 75%, allocate: erk}", rest=rest)
    assert all(count % 10 == 0 for count in zeros(found).values())
    assert found.budgets[0].zeros == sum(zeros(found).values())


def net_of_two_dtypes():
    """The net with 2 bytes for each weight of its first layer, 4 for each of the others."""
    graph = build_graph(NET)
    first = graph.layers["fc1"]
    tensors = tuple(replace(tensor, dtype="float16") for tensor in first.tensors)
    return graph.replace({"fc1": replace(first, tensors=tensors)})


def test_of_one_dtype_a_share_of_bytes_is_that_of_weights():
    found = plan("{sparsity: 90%, of: bytes}")
    assert zeros(found) == zeros(plan("{sparsity: 90%}"))
    (budget,) = found.budgets
    assert (budget.counts, budget.weights, budget.zeros) == ("bytes", 24_800, 22_320)
    assert "22,320 of 24,800 bytes; 90.00%" in render_plan_text(found)
    assert plan_from_config(plan_to_config(found)).budgets == found.budgets


def test_bytes_count_by_dtype_and_the_fewest_zeros_reach_the_share():
    graph = net_of_two_dtypes()
    weights = make_weights(graph)
    found = plan("{sparsity: 50%, of: bytes, allocate: magnitude}", graph, weights)
    scores = {name: np.abs(weights.tensors[name, "kernel"]).ravel() for name in SIZES}
    units = np.concatenate([np.full(SIZES[name], 2 if name == "fc1" else 4) for name in SIZES])
    order = np.argsort(np.concatenate(list(scores.values())), kind="stable")
    reached = np.cumsum(units[order])
    count = int(np.searchsorted(reached, 7_400)) + 1  # half of 5,000 * 2 + 1,200 * 4 bytes
    threshold = np.concatenate(list(scores.values()))[order[count - 1]]
    assert zeros(found) == {
        (name, "kernel"): int((values <= threshold).sum()) for name, values in scores.items()
    }
    assert found.budgets[0].zeros == reached[count - 1]
    wrapped = wrap_graph(graph, found)
    text = "{sparsity: 50%, of: bytes, allocate: magnitude}"
    assert plan(text, wrapped, make_weights(graph, seed=5)).is_empty


def test_bytes_over_prunable_count_zeros_of_other_rules():
    rest = (
        "- {id: all, match: '*', prune: {budget: net, schedule: {curve: step, begin: 0 steps}}}\n"
        "- id: first\n  match: {name: fc1}\n  overrides: all\n"
        "  prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}"
    )
    found = plan("{sparsity: 50%, of: bytes, over: prunable}", net_of_two_dtypes(), rest=rest)
    assert zeros(found) == {("fc1", "kernel"): 2500, ("fc2", "kernel"): 500, ("fc3", "kernel"): 100}
    assert (found.budgets[0].weights, found.budgets[0].zeros) == (14_800, 7_400)


def test_a_share_of_bytes_out_of_reach_is_an_error_with_the_range():
    text = faults("{sparsity: 99%, of: bytes, min: 10%, max: 50%}", net_of_two_dtypes())
    assert "(uniform, 99% of bytes over claimed, min 10%, max 50%) cannot be met" in text
    assert "its tensors can reach 10% to 50% of 14,800 bytes" in text
