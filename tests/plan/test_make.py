import pytest
from builders import build_graph
from lenet import RULES, lenet, lenet_zeros, rules
from planned import plan_with

from graphprune.errors import RuleError
from graphprune.plan import check_reached, make_plan, wrap_graph
from graphprune.plan.changes import kind_of
from graphprune.rules import parse_rules
from graphprune.rules.values.rule_set import Loss
from graphprune.sparsity.positions import Run

ONCE = "schedule: {curve: step, begin: 0 steps}"


def one_rule(match: str, prune: str) -> str:
    return f"version: 1\nrules:\n  - id: only\n    match: {match}\n    {prune}\n"


def actions(plan):
    return {change.address: (change.actions, change.action_reason) for change in plan.changes}


def test_claimed_layers_are_wrapped_and_kept_ones_stay_dense():
    plan = make_plan(lenet(), rules())
    assert actions(plan) == {
        "fc1": (("wrap",), "claimed_by_rule"),
        "fc2": (("wrap",), "claimed_by_rule"),
        "predictions": (("keep",), "keep_rule"),
    }
    assert plan.changes[2].also_matched == (Loss("dense-90", "keep", "keep-classifier"),)
    assert not plan.is_empty


def test_a_layer_that_no_rule_matches_is_unclaimed():
    plan = make_plan(lenet(), rules(one_rule("{name: fc1}", f"prune: {{sparsity: 50%, {ONCE}}}")))
    assert actions(plan)["fc2"] == (("unclaimed",), "no_rule")
    assert plan.changes[1].rule is None


def test_zeros_are_counted_exactly():
    plan = plan_with(lenet(), rules(), zeros=lenet_zeros(fc1=7))
    tensors = [
        (tensor.size, tensor.zeros_before, tensor.zeros_after)
        for change in plan.changes
        for tensor in change.tensors
    ]
    assert tensors == [(235_200, 7, 211_680), (30_000, 0, 27_000), (1_000, 0, None)]


def test_unmeasured_zeros_are_not_made_up():
    assert {
        tensor.zeros_before
        for change in make_plan(lenet(), rules()).changes
        for tensor in change.tensors
    } == {None}


def test_the_model_is_described():
    model = plan_with(lenet(), rules(), path="lenet.keras").model
    assert (model.path, model.layers, model.hidden_layers, model.prunable_tensors) == (
        "lenet.keras",
        5,
        2,
        3,
    )
    assert (model.prunable_weights, model.parameters, model.weights_sha256) == (
        266_200,
        266_610,
        None,
    )
    assert model.graph_sha256 == lenet().sha256


def test_layers_without_prunable_weights_are_listed_with_their_position():
    plan = make_plan(
        build_graph("in > fc_1 > relu > fc_2"),
        rules(one_rule("{type: Dense}", f"prune: {{sparsity: 50%, {ONCE}}}")),
    )
    assert [(layer.address, layer.type, layer.position) for layer in plan.hidden] == [
        ("in", "InputLayer", 0),
        ("relu", "ReLU", 2),
    ]


def test_planning_a_wrapped_model_again_changes_nothing():
    graph = wrap_graph(lenet(), make_plan(lenet(), rules()))
    plan = make_plan(graph, rules())
    assert actions(plan) == {
        "fc1": (("noop",), "already_as_planned"),
        "fc2": (("noop",), "already_as_planned"),
        "predictions": (("keep",), "keep_rule"),
    }
    assert plan.is_empty
    assert plan.changes[0].after_unknown == ()


def wrapped_lenet():
    return wrap_graph(lenet(), make_plan(lenet(), rules()))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("{final: 0.9}", "{final: 0.8}", "sparsity_changed"),
        ("every: 100 steps", "every: 50 steps", "schedule_changed"),
    ],
)
def test_another_target_keeps_the_mask(old, new, reason):
    plan = make_plan(wrapped_lenet(), rules(RULES.replace(old, new)))
    assert actions(plan)["fc1"] == (("retarget",), reason)
    assert plan.changes[0].after_unknown == ("schedule.end.step",)
    assert plan.changes[0].before is not None


def test_target_and_schedule_may_change_together():
    plan = make_plan(
        wrapped_lenet(), rules(RULES.replace("0.9}", "0.8}").replace("4 epochs", "5 epochs"))
    )
    assert actions(plan)["fc1"] == (("retarget",), "sparsity_and_schedule_changed")


def test_other_weights_rebuild_the_mask():
    text = one_rule("{type: LSTM}", f"prune: {{sparsity: 50%, {ONCE}}}")
    graph = build_graph("in > lstm")
    wrapped = wrap_graph(graph, make_plan(graph, rules(text)))
    plan = make_plan(
        wrapped, rules(text.replace("sparsity", "weights: [recurrent_kernel], sparsity"))
    )
    assert actions(plan) == {"lstm": (("unwrap", "wrap"), "weights_changed")}
    assert kind_of(plan.changes[0]) == "rewrap"
    assert plan.changes[0].after_unknown == ("mask",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("type: Dense}\n    prune", "name: fc2}\n    prune", "no_rule"),
        ("last: {type: Dense}", "name: fc1", "keep_rule"),
    ],
)
def test_a_wrapped_layer_that_is_not_to_be_pruned_is_unwrapped(old, new, reason):
    assert old in RULES
    plan = make_plan(wrapped_lenet(), rules(RULES.replace(old, new)))
    assert actions(plan)["fc1"] == (("unwrap",), reason)
    assert plan.changes[0].after is None


def test_weights_are_pruned_in_the_layers_order():
    text = one_rule(
        "{type: LSTM}", f"prune: {{sparsity: 50%, weights: [recurrent_kernel, kernel], {ONCE}}}"
    )
    (change,) = make_plan(build_graph("in > lstm"), rules(text)).changes
    assert change.after is not None
    assert change.after.weights == ("kernel", "recurrent_kernel")


def test_only_the_named_weights_are_pruned():
    text = one_rule("{type: LSTM}", f"prune: {{sparsity: 50%, weights: [kernel], {ONCE}}}")
    (change,) = make_plan(build_graph("in > lstm[4,16]"), rules(text)).changes
    assert [(tensor.name, tensor.zeros_after) for tensor in change.tensors] == [
        ("kernel", 32),
        ("recurrent_kernel", None),
    ]


def test_steps_that_nobody_knows_are_listed():
    assert make_plan(lenet(), rules()).changes[0].after_unknown == ("mask", "schedule.end.step")


def test_steps_are_resolved_when_an_epoch_has_a_length():
    change = make_plan(lenet(), rules(), steps_per_epoch=50).changes[0]
    assert change.after_unknown == ("mask",)
    assert change.known_steps == (("begin", 0), ("end", 200))


NEVER_REACHED = (
    "[schedule/never-reached]: rule 'dense-90': the schedule ends at 4 epochs, the run is 3 epochs"
    " (150 steps); its target of 90% is never reached\n"
    "  --> prune.yaml:6:5\n"
    "  help: train until 4 epochs, make the schedule end earlier (a schedule in % of the run fits"
    " any run), or pass --allow-missed"
)


def test_a_run_that_ends_too_early_is_refused_unless_it_is_allowed():
    with pytest.raises(RuleError) as caught:
        make_plan(lenet(), rules(), steps_per_epoch=50, epochs=3)
    assert str(caught.value) == f"error{NEVER_REACHED}"
    (warning,) = make_plan(
        lenet(), rules(), steps_per_epoch=50, epochs=3, allow_missed=True
    ).diagnostics
    assert str(warning) == f"warning{NEVER_REACHED}"


def test_a_plan_is_held_against_the_length_of_a_run():
    plan = make_plan(lenet(), rules())
    check_reached(plan, Run(50, 4))
    check_reached(plan, Run(50))
    with pytest.raises(RuleError) as caught:
        check_reached(plan, Run(50, 3))
    assert str(caught.value) == f"error{NEVER_REACHED}"


@pytest.mark.parametrize(
    ("schedule", "target", "text"),
    [
        ("curve: exponential, begin: 0 epochs, end: 4 epochs", "90%", "ends at 4 epochs"),
        ("curve: points, points: {1 epoch: 50%, 200 steps: 90%}", "90%", "ends at 200 steps"),
        ("curve: step, begin: 4 epochs, end: 5 epochs", "90%", "begins at 4 epochs"),
        ("curve: step, begin: 1 epoch, end: 5 epochs", "90%", None),
        ("curve: constant, begin: 0 steps, end: 5000 steps", "90%", None),
    ],
)
def test_every_curve_tells_where_its_target_lies_beyond_the_run(schedule, target, text):
    plan = make_plan(
        lenet(),
        rules(
            one_rule("{type: Dense}", f"prune: {{sparsity: {target}, schedule: {{{schedule}}}}}")
        ),
        steps_per_epoch=50,
        epochs=3,
        allow_missed=True,
    )
    found = [str(warning).splitlines()[0] for warning in plan.diagnostics]
    assert found == (
        []
        if text is None
        else [
            f"warning[schedule/never-reached]: rule 'only': the schedule {text}, the run is 3"
            f" epochs (150 steps); its target of {target} is never reached"
        ]
    )


def test_the_steps_of_points_are_unknown_until_an_epoch_has_a_length():
    text = one_rule(
        "{type: Dense}",
        "prune: {sparsity: 90%, schedule: {curve: points, points: {10 steps: 10%, 1 epoch: 50%, 200"
        " steps: 70%, 9 epochs: 90%}}}",
    )
    assert make_plan(lenet(), rules(text)).changes[0].after_unknown == (
        "mask",
        "schedule.end.step",
        "schedule.points[1].step",
    )
    assert make_plan(lenet(), rules(text), steps_per_epoch=50).changes[0].after_unknown == ("mask",)


def test_an_end_before_the_beginning_is_an_error_once_the_run_is_known():
    text = RULES.replace("begin: 0 epochs, end: 4 epochs", "begin: 3 epochs, end: 100 steps")
    with pytest.raises(RuleError) as fault:
        make_plan(lenet(), rules(text), steps_per_epoch=50, epochs=5)
    assert (
        str(fault.value)
        == "error[value/range]: rule 'dense-90': end (100 steps, step 100) comes before begin (3"
        " epochs, step 150)\n"
        "  --> prune.yaml:6:5\n"
        "  help: make the schedule end after it begins"
    )


def test_a_rule_that_fits_no_layer_stops_the_plan():
    with pytest.raises(RuleError, match="rule/no-match"):
        make_plan(
            lenet(),
            rules(
                one_rule("{type: Dense, params: {gte: 1M}}", f"prune: {{sparsity: 50%, {ONCE}}}")
            ),
        )


def test_planning_is_pure():
    graph = lenet()
    assert make_plan(graph, rules()) == make_plan(lenet(), rules())
    assert graph == lenet()
    assert all(layer.wrap is None for layer in graph.layers.values())


STEP = "{curve: step, begin: 0 steps}"
SPARSE = "{id: sparse, result: {sparsity: {gte: 99%}, of: {type: Dense}}}"


@pytest.mark.parametrize(
    ("require", "rules", "slugs"),
    [
        (
            [SPARSE, "{id: three, count: {of: {type: Conv2D}, is: 3}}"],
            [],
            ["require/failed", "require/failed"],
        ),
        (
            [SPARSE],
            [
                "{id: b, match: {name: fc2, trainable: true}, prune: {sparsity: 50%, schedule:"
                " once}}"
            ],
            ["rule/conflict"],
        ),
        ([SPARSE], ["{id: b, match: {name: fc9}, keep: true}"], ["layer/unknown"]),
        (
            [SPARSE],
            ["{id: b, match: {type: Conv2D, params: {gte: 1G}}, keep: true}"],
            ["rule/no-match"],
        ),
        (
            [SPARSE],
            [
                "{id: b, match: {type: Conv2D}, prune: {pattern: {keep: 2, of: 7, along: in},"
                " schedule: once}}"
            ],
            ["pattern/misfit"],
        ),
        (
            [SPARSE],
            ["{id: b, match: {type: Conv2D}, prune: {budget: net, schedule: once}}"],
            ["budget/infeasible"],
        ),
        (
            ["{id: three, count: {of: {type: Densee}, is: {gte: 1}}}", SPARSE],
            [],
            ["type/unknown", "require/failed"],
        ),
        (
            ["{id: sparse, result: {sparsity: {gte: 99%}, of: {type: Densee}}}"],
            [],
            ["type/unknown"],
        ),
        (
            [],
            ["{id: b, match: {name: [conv_1, conv_9]}, expect: 2, keep: true}"],
            ["layer/unknown"],
        ),
    ],
    ids=[
        "checks",
        "conflict",
        "unknown layer",
        "no match",
        "misfit",
        "budget",
        "unknown type",
        "unknown type in a result",
        "count",
    ],
)
def test_everything_is_judged_that_can_be_and_nothing_that_only_follows(require, rules, slugs):
    checks = "".join(["require:\n", *(f"- {check}\n" for check in require)] if require else [])
    lines = "".join(
        f"- {rule}\n"
        for rule in [
            "{id: a, match: {type: Dense}, prune: {sparsity: 90%, schedule: once}}",
            *rules,
        ]
    )
    budgets = "budgets: {net: {sparsity: 90%, max: 50%}}\n" if "net" in lines else ""
    text = f"version: 1\nschedules: {{once: {STEP}}}\n{budgets}{checks}rules:\n{lines}"
    with pytest.raises(RuleError) as caught:
        make_plan(
            build_graph("in > conv_1[3,3,3,8] > flatten > fc1[8,600] > fc2[600,4]"),
            parse_rules(text, "p.yaml"),
        )
    assert [fault.slug for fault in caught.value.diagnostics] == slugs
