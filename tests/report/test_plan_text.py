from dataclasses import replace

import pytest
from builders import build_graph
from lenet import RULES, lenet, lenet_zeros, rules
from planned import plan_with

from graphprune.diagnostics.diagnostic import Where
from graphprune.plan import make_plan, plan_from_config, plan_to_config, wrap_graph
from graphprune.plan.changes import (
    Drift,
    HiddenLayer,
    LayerChange,
    ModelFacts,
    Plan,
    RuleRef,
    TensorChange,
)
from graphprune.report import render_plan_text
from graphprune.rules.values.rule_set import Loss

EXAMPLE = """\
model  lenet.keras   5 layers, 3 prunable tensors, 266,200 prunable of 266,610 parameters
rules  prune.yaml    2 rules

  + wrap   = keep dense

  + fc1          Dense  kernel [in 784, out 300]  235,200   0.0% -> 90.0%  \
unstructured  ramp 0 epochs..4 epochs   dense-90
  + fc2          Dense  kernel [in 300, out 100]   30,000   0.0% -> 90.0%  \
unstructured  ramp 0 epochs..4 epochs   dense-90
  = predictions  Dense  kernel [in 100, out 10]     1,000   dense          \
                                        keep-classifier (beats dense-90)

2 layers without prunable weights hidden (--all shows them).

Plan: 2 to wrap, 0 to retarget, 0 to rewrap, 0 to unwrap; 1 kept dense, 0 unclaimed.
Zeros when finished: 238,680 = 90.0% of claimed, 89.7% of prunable, 89.5% of all parameters.
"""


def lenet_plan(graph=None, text=RULES, **options):
    return plan_with(
        graph or lenet(), rules(text), **({"zeros": lenet_zeros(), "path": "lenet.keras"} | options)
    )


def wrapped():
    return wrap_graph(lenet(), lenet_plan())


def test_the_example_of_the_specification():
    assert render_plan_text(lenet_plan()) == EXAMPLE


def test_a_narrow_terminal_cuts_the_table_and_says_what_it_leaves_out():
    lines = render_plan_text(lenet_plan(), width=84).splitlines()
    assert lines[6:11] == [
        "  + fc1          Dense  235,200   0.0% -> 90.0%  unstructured   dense-90",
        "  + fc2          Dense   30,000   0.0% -> 90.0%  unstructured   dense-90",
        "  = predictions  Dense    1,000   dense                         keep-classifier…",
        "",
        "The terminal is too narrow for: weights, schedules.",
    ]


def test_a_wide_terminal_cuts_nothing():
    assert render_plan_text(lenet_plan(), width=150) == EXAMPLE


def test_brief_is_the_last_two_lines():
    assert render_plan_text(lenet_plan(), brief=True).splitlines() == EXAMPLE.splitlines()[-2:]


def test_all_shows_layers_without_prunable_weights_where_they_stand():
    lines = render_plan_text(lenet_plan(), show_all=True).splitlines()
    assert [line.split()[0] for line in lines[5:8]] == ["in", "flatten", "+"]
    assert not any("hidden" in line for line in lines)


@pytest.mark.parametrize("brief", [True, False])
def test_a_model_that_follows_its_rules_is_one_line(brief):
    assert (
        render_plan_text(lenet_plan(wrapped()), brief=brief)
        == "No changes. The model already follows prune.yaml.\n"
    )


def test_all_shows_what_is_already_as_planned():
    text = render_plan_text(lenet_plan(wrapped(), zeros=lenet_zeros(fc1=211_680)), show_all=True)
    assert text.splitlines()[3:] == [
        "  = keep dense   . as planned",
        "",
        "    in           InputLayer",
        "    flatten      Flatten",
        (
            "  . fc1          Dense       kernel [in 784, out 300]  235,200   90.0% -> 90.0%  "
            "unstructured  ramp 0 epochs..4 epochs   dense-90"
        ),
        (
            "  . fc2          Dense       kernel [in 300, out 100]   30,000    0.0% -> 90.0%  "
            "unstructured  ramp 0 epochs..4 epochs   dense-90"
        ),
        (
            "  = predictions  Dense       kernel [in 100, out 10]     1,000   "
            f"dense{'':51}keep-classifier (beats dense-90)"
        ),
        "",
        "No changes. The model already follows prune.yaml.",
    ]


def test_changes_of_a_wrapped_model():
    text = RULES.replace("0.9}", "0.95}").replace(
        "type: Dense}\n    prune", "name: fc1}\n    prune"
    )
    lines = render_plan_text(
        lenet_plan(wrapped(), text, zeros=lenet_zeros(fc1=211_680))
    ).splitlines()
    assert lines[3:] == [
        "  - unwrap   ~ retarget   = keep dense",
        "",
        (
            "  ~ fc1          Dense  kernel [in 784, out 300]  235,200   90.0% -> 95.0%  "
            "unstructured  ramp 0 epochs..4 epochs   dense-90"
        ),
        (
            "  - fc2          Dense  kernel [in 300, out 100]   30,000    0.0% ->"
            " dense                                          no rule"
        ),
        (
            "  = predictions  Dense  kernel [in 100, out 10]     1,000   "
            "dense                                                   keep-classifier"
        ),
        "",
        "2 layers without prunable weights hidden (--all shows them).",
        "",
        "Plan: 0 to wrap, 1 to retarget, 0 to rewrap, 1 to unwrap; 1 kept dense, 0 unclaimed.",
        (
            "Zeros when finished: 223,440 = 95.0% of claimed, 83.9% of prunable, 83.8% of all"
            " parameters."
        ),
    ]


def test_layers_as_planned_are_counted_beside_changes():
    text = RULES.replace("type: Dense}\n    prune", "name: fc1}\n    prune")
    lines = render_plan_text(lenet_plan(wrapped(), text)).splitlines()
    assert [line.split()[1] for line in lines[5:7]] == ["fc2", "predictions"]
    assert (
        lines[8]
        == "2 layers without prunable weights and 1 already as planned hidden (--all shows them)."
    )


def test_drift_stands_above_changes():
    plan = replace(lenet_plan(), drift=(Drift("fc2", "kernel", "dense-90", 2000, under_mask=312),))
    assert render_plan_text(plan) == (
        "Note: the model has changed since rule dense-90 was applied\n"
        "  ! fc2  kernel  312 non-zero weights under the mask\n\n" + EXAMPLE
    )


LSTM = (
    "version: 1\n"
    "rules:\n"
    "  - id: half\n"
    "    match: {type: LSTM}\n"
    "    prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}\n"
)


def test_a_layer_with_several_tensors_takes_a_line_each():
    lines = render_plan_text(
        plan_with(build_graph("in > lstm[4,16] > fc[4,4]"), rules(LSTM), path="m.keras")
    ).splitlines()
    assert lines[3:8] == [
        "  + wrap   ? unclaimed",
        "",
        (
            "  + lstm  LSTM   kernel [in 4, out 16]            64   -> 50.0%  unstructured  step 0"
            " steps   half"
        ),
        "                 recurrent_kernel [in 4, out 16]  64   -> 50.0%",
        (
            "  ? fc    Dense  kernel [in 4, out 4]             16   "
            "dense                                  no rule"
        ),
    ]


def test_a_rewrap_says_that_the_mask_is_rebuilt():
    graph = build_graph("in > lstm[4,16]")
    plan = make_plan(
        wrap_graph(graph, make_plan(graph, rules(LSTM))),
        rules(LSTM.replace("sparsity", "weights: [kernel], sparsity")),
    )
    assert render_plan_text(plan).splitlines()[3:7] == [
        "  -/+ rewrap",
        "",
        (
            "  -/+ lstm  LSTM  kernel [in 4, out 16]            64   -> 50.0%  unstructured, only"
            " kernel  # mask is rebuilt  step 0 steps   half"
        ),
        "                  recurrent_kernel [in 4, out 16]  64   -> dense",
    ]


def test_known_steps_are_shown():
    assert "ramp 0 epochs..4 epochs (steps 0..200)   dense-90" in render_plan_text(
        lenet_plan(steps_per_epoch=50)
    )


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (
            "{curve: linear, begin: 100 steps, end: 4 epochs}",
            "linear 100 steps..4 epochs (steps 100..200)",
        ),
        (
            "{curve: linear, begin: 1 epoch, end: 200 steps}",
            "linear 1 epoch..200 steps (steps 50..200)",
        ),
        ("{curve: linear, begin: 100 steps, end: 200 steps}", "linear 100 steps..200 steps"),
        ("{curve: linear, begin: 1 epoch, end: 60%}", "linear 1 epoch..60%"),
        ("{curve: step, begin: 1 epoch}", "step 1 epoch (step 50)"),
    ],
)
def test_steps_beside_a_schedule_are_of_one_unit_and_whole(schedule, text):
    text_of_plan = render_plan_text(
        lenet_plan(
            text=RULES.replace("schedule: ramp", f"schedule: {schedule}"), steps_per_epoch=50
        )
    )
    assert f"unstructured  {text}   dense-90" in text_of_plan


# What the rules are, what the plan's text says of fc1, and what its JSON says.
STORIES = [
    pytest.param(
        {"k": "keep", "a": "a", "a2": "a2 > a"},
        "k (beats a2; a2 overrides a)",
        [{"id": "a", "lost_to": "override", "by": "a2"}, {"id": "a2", "lost_to": "keep"}],
        id="keep-beats-the-one-that-overrides",
    ),
    pytest.param(
        {"k": "keep > a", "a": "a", "a2": "a2"},
        "k (overrides a; beats a2)",
        [{"id": "a", "lost_to": "override"}, {"id": "a2", "lost_to": "keep"}],
        id="keep-overrides",
    ),
    pytest.param(
        {"k": "keep > a", "a": "a", "a2": "a2 > a"},
        "k (overrides a; beats a2)",
        [{"id": "a", "lost_to": "override"}, {"id": "a2", "lost_to": "keep"}],
        id="two-override-and-the-one-that-decides-is-named",
    ),
    pytest.param(
        {"k": "keep", "a": "a > k"},
        "a (overrides k)",
        [{"id": "k", "lost_to": "override"}],
        id="prune-overrides-keep",
    ),
    pytest.param(
        {"k": "keep", "a": "a > b", "b": "b > c", "c": "c"},
        "k (beats a; a overrides b, c)",
        [
            {"id": "a", "lost_to": "keep"},
            {"id": "b", "lost_to": "override", "by": "a"},
            {"id": "c", "lost_to": "override", "by": "a"},
        ],
        id="transitive",
    ),
    pytest.param(
        {"k": "keep", "m": "keep", "a": "a > k"},
        "m (beats a; a overrides k)",
        [{"id": "a", "lost_to": "keep"}, {"id": "k", "lost_to": "override", "by": "a"}],
        id="one-keep-overridden-another-not",
    ),
    pytest.param(
        {"a": "same", "b": "same > c", "c": "c"},
        "a (same settings: b; b overrides c)",
        [{"id": "b", "lost_to": "same settings"}, {"id": "c", "lost_to": "override", "by": "b"}],
        id="same-settings-as-the-one-that-overrides",
    ),
]


def story_rules(story):
    """Rules on fc1 by id: `keep`, or a name that stands for settings of its own; after `>` the rule
    that it overrides.
    """
    lines = ["version: 1", "rules:"]
    for number, (id, what) in enumerate(story.items()):
        kind, _, beaten = what.partition(" > ")
        share = 50 if kind == "same" else 60 + number
        action = (
            "keep: true"
            if kind == "keep"
            else f"prune: {{sparsity: {share}%, schedule: {{curve: step, begin: 0 steps}}}}"
        )
        lines.append(
            f"- {{id: {id}, match: {{name: fc1}},"
            f" {action}{f', overrides: {beaten}' if beaten else ''}}}"
        )
    return "\n".join(lines)


@pytest.mark.parametrize(("story", "text", "also_matched"), STORIES)
def test_the_plan_says_who_beat_whom(story, text, also_matched):
    made = lenet_plan(text=story_rules(story))
    assert (
        next(
            line for line in render_plan_text(made, show_all=True).splitlines() if " fc1 " in line
        ).split("   ")[-1]
        == text
    )
    config = plan_to_config(made)
    assert config["layer_changes"][0]["also_matched"] == also_matched
    assert plan_from_config(config).changes[0].also_matched == made.changes[0].also_matched


def test_drift_comes_first():
    drift = (
        Drift("fc1", "kernel", "dense-90", 2000, target=0.9, measured=0.874),
        Drift("fc2", "kernel", "dense-90", 2000, under_mask=312),
        Drift("fc3", "kernel", "", 2000, under_mask=1),
    )
    assert (
        render_plan_text(replace(lenet_plan(wrapped()), drift=drift))
        == "Note: the model has changed since rule dense-90 was applied\n"
        "  ! fc1  kernel  target 90.0% at step 2000, measured 87.4%\n"
        "  ! fc2  kernel  312 non-zero weights under the mask\n"
        "\n"
        "Note: the model has changed since pruning was applied\n"
        "  ! fc3  kernel  1 non-zero weight under the mask\n"
        "\n"
        "No changes. The model already follows prune.yaml.\n"
    )


def test_a_plan_from_json_shows_what_it_knows():
    lines = render_plan_text(plan_from_config(plan_to_config(lenet_plan()))).splitlines()
    assert lines[:2] == [
        "model  lenet.keras   5 layers, 266,200 prunable of 266,610 parameters",
        "rules  prune.yaml",
    ]
    assert lines[5:8] == [
        (
            "  + fc1          Dense  kernel [in 784, out 300]  235,200   0.0% -> 90.0%  "
            "unstructured  ramp 0 epochs..4 epochs   dense-90"
        ),
        (
            "  + fc2          Dense  kernel [in 300, out 100]   30,000   0.0% -> 90.0%  "
            "unstructured  ramp 0 epochs..4 epochs   dense-90"
        ),
        (
            "  = predictions  Dense                                      "
            "dense                                                  keep-classifier (beats"
            " dense-90)"
        ),
    ]


def test_names_cannot_move_the_cursor():
    hostile = "fc\x1b[2J\r\nNo changes."
    change = LayerChange(
        hostile,
        hostile,
        1,
        ("keep",),
        "keep_rule",
        RuleRef(hostile, Where("a.yaml")),
        (Loss(hostile, "keep", "k"),),
        None,
        None,
        (),
        (TensorChange(hostile, (), (2,), 2, 0, None),),
    )
    facts = ModelFacts(hostile, "", 2, 2, 2, 1, 1)
    wrap = replace(change, actions=("wrap",))
    for changes in ((change,), (change, wrap)):
        plan = Plan(
            facts,
            ((hostile, ""),),
            1,
            {},
            changes,
            drift=(Drift(hostile, hostile, hostile, 1, under_mask=2),),
            hidden=(HiddenLayer(hostile, hostile, 1),),
        )
        for show_all in (False, True):
            text = render_plan_text(plan, show_all=show_all)
            assert "\x1b" not in text
            assert "\r" not in text
            assert "\nNo changes.\r" not in text
            assert "fc\\x1b[2J\\r\\nNo changes." in text
