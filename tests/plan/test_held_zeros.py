"""`method: keep` in rules and plans: the zeros that are there, and nothing else."""

import pytest
from builders import build_graph
from memory_weights import make_weights, with_zeros
from planned import plan_with

from graphprune.errors import RuleError
from graphprune.plan import plan_from_config, plan_to_config
from graphprune.report import render_plan_text
from graphprune.rules import parse_rules
from graphprune.rules.resolving.conflicts import describe_settings
from graphprune.sparsity.pruning import Pruning

GRAPH = build_graph("in > fc1[100,50] > fc2[50,20] > fc3[20,10]")
ZEROS = {("fc1", "kernel"): 4321, ("fc2", "kernel"): 1}


def rules(prune="{method: keep}", before=""):
    text = f"version: 1\n{before}rules:\n- {{id: held, match: '*', prune: {prune}}}\n"
    return parse_rules(text, "p.yaml")


def plan(read, **options):
    return plan_with(GRAPH, rules(**options), read_weight=read)


def test_each_tensor_keeps_the_number_of_its_zeros_and_one_without_zeros_stays_dense():
    found = plan(with_zeros(make_weights(GRAPH), ZEROS).read)
    held = {change.address: change.after for change in found.changes}
    assert held["fc3"] is None
    assert [held[name].target_zeros("kernel", shape) for name, shape in
            (("fc1", (100, 50)), ("fc2", (50, 20)))] == [4321, 1]  # fmt: skip
    assert {held[name].method for name in ("fc1", "fc2")} == {"keep"}
    assert held["fc1"].schedule.curve == "step"
    text = render_plan_text(found)
    assert "  method keep, zeros that are there: 4,322 zeros of 6,200; 69.71% of prunable" in text
    assert "unstructured, method keep" in text
    assert "(no weight is zero)" in text
    again = plan_from_config(plan_to_config(found))
    assert [change.after for change in again.changes] == [change.after for change in found.changes]


def test_a_method_is_in_the_config_of_a_pruning_and_another_is_refused():
    found = plan(with_zeros(make_weights(GRAPH), ZEROS).read)
    pruning = found.changes[0].after
    config = pruning.to_config()
    assert (config["method"], Pruning.from_config(config)) == ("keep", pruning)
    del config["method"]
    assert Pruning.from_config(config).method == "gradual"
    with pytest.raises(ValueError, match="method must be one of gradual, keep, got 'rigl'"):
        Pruning.from_config({**config, "method": "rigl"})


def test_a_tensor_of_zeros_alone_is_an_error():
    with pytest.raises(RuleError) as caught:
        plan(with_zeros(make_weights(GRAPH), {("fc2", "kernel"): 1000}).read)
    (fault,) = caught.value.diagnostics
    assert (fault.slug, fault.message) == (
        "budget/infeasible",
        "fc2 kernel holds zeros alone, so with 'method: keep' nothing of it is trained",
    )


def test_a_plan_needs_the_weights():
    with pytest.raises(RuleError, match="method: keep counts zeros, but the weights"):
        plan(None)


@pytest.mark.parametrize(
    ("prune", "message"),
    [
        ("{method: rigl}", "must be one of gradual, keep, got 'rigl'"),
        ("{method: one-shot}", "must be one of gradual, keep, got 'one-shot'"),
        ("{method: keep, sparsity: 0.5}", "sparsity cannot be combined with 'method: keep'"),
        (
            "{method: keep, schedule: {curve: step, begin: 0 steps}}",
            "schedule cannot be combined with 'method: keep'",
        ),
        ("{method: keep, pattern: {channel: out}}", "pattern cannot be combined"),
    ],
)
def test_other_methods_and_fields_that_say_what_becomes_zero_are_refused(prune, message):
    with pytest.raises(RuleError) as caught:
        rules(prune)
    assert message in str(caught.value)
    assert len(caught.value.diagnostics) == 1


def test_keep_replaces_what_defaults_say_of_targets_and_schedules():
    before = "defaults: {prune: {sparsity: 0.5, schedule: {curve: step, begin: 0 steps}}}\n"
    (rule,) = rules(before=before).rules
    assert rule.action.method == "keep"
    assert describe_settings(rule) == "method keep, the zeros that are there"
