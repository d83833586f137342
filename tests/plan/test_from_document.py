import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lenet import RULES, lenet, lenet_zeros, rules
from planned import plan_with

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import PlanError
from graphprune.plan import make_plan, plan_from_config, plan_to_config, read_plan, wrap_graph

CONFIG = plan_to_config(
    plan_with(
        lenet(),
        rules(),
        zeros=lenet_zeros(),
        path="lenet.keras",
        steps_per_epoch=50,
        epochs=3,
        allow_missed=True,
    )
)


def test_reading_is_the_inverse_of_writing():
    assert plan_to_config(plan_from_config(CONFIG)) == CONFIG


def test_plans_with_every_action_come_back():
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    text = RULES.replace("type: Dense}\n    prune", "name: fc2}\n    prune").replace("0.9}", "0.5}")
    config = plan_to_config(
        plan_with(
            wrapped, rules(text), zeros=lenet_zeros(), steps={"fc1": 2000}, steps_per_epoch=500
        )
    )
    assert [change["actions"] for change in config["layer_changes"]] == [
        ["unwrap"],
        ["retarget"],
        ["keep"],
    ]
    assert len(config["drift"]) == 1
    assert plan_to_config(plan_from_config(json.loads(json.dumps(config)))) == config


def test_a_plan_is_read_from_a_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(CONFIG))
    assert read_plan(path) == plan_from_config(CONFIG)


def test_unknown_keys_and_later_minor_versions_are_read():
    assert plan_from_config(
        CONFIG | {"format_version": "1.7", "later": {"a": 1}}
    ) == plan_from_config(CONFIG)


@pytest.mark.parametrize(
    "diagnostic",
    [
        Diagnostic("rule/no-match", "nothing", Where("p.yaml", 3, 9), "help", severity="warning"),
        Diagnostic("a/b", "c", Where("p.yaml"), count=3),
        Diagnostic(
            "a/b", "c", related=((Where("p.yaml", 1, 2), "x"), (Where("q.yaml", 3, 4), "y"))
        ),
    ],
)
def test_diagnostics_come_back(diagnostic):
    config = CONFIG | {"diagnostics": [diagnostic.to_config()]}
    assert plan_from_config(config).diagnostics == (diagnostic,)


def test_a_plan_of_an_early_version_is_read():
    """Before switches, and with keys that never said anything."""
    early = {key: value for key, value in CONFIG.items() if key != "switches"}
    assert plan_from_config(
        early | {"applyable": True, "complete": True, "errored": False}
    ) == plan_from_config(CONFIG)


WAY_OUT = "give the JSON file that graphprune plan -o wrote"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            b"",
            f"not a plan, or a damaged one: Expecting value: line 1 column 1 (char 0); {WAY_OUT}",
        ),
        (b"PK\x03\x04\xff", f"cannot read a plan: it is not UTF-8 text; {WAY_OUT}"),
        (b'{"kind": NaN}', f"not a plan, or a damaged one: NaN is not a JSON number; {WAY_OUT}"),
        (b"[" * 200_000, f"not a plan, or a damaged one: it is nested too deeply; {WAY_OUT}"),
        (b"[1]", "expected an object, got [1]; make the plan again"),
        (
            b'{"kind": "graphprune.diff"}',
            f"not a plan: its kind is 'graphprune.diff', not 'graphprune.plan'; {WAY_OUT}",
        ),
        (b'{"version": 1}', f"not a plan: its kind is None, not 'graphprune.plan'; {WAY_OUT}"),
        (
            b'{"kind": "graphprune.plan", "format_version": "2.0"}',
            (
                "plan format '2.0', this graphprune reads 1.x; update graphprune, or make the plan"
                " again"
            ),
        ),
        (
            b'{"kind": "graphprune.plan", "format_version": "1.0"}',
            "tool: this field is missing; make the plan again",
        ),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, fault):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(PlanError) as error:
        read_plan(path)
    assert str(error.value) == f"{path}: {fault}"


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(PlanError) as error:
        read_plan(tmp_path / "plan.json")
    assert (
        str(error.value)
        == f"{tmp_path / 'plan.json'}: cannot read a plan: No such file or directory; {WAY_OUT}"
    )


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("model", "layers"), "5", "model.layers: expected a whole number from 0, got '5'"),
        (("model", "layers"), 1, "model.layers: expected at least the 3 layers that follow, got 1"),
        (
            ("layer_changes", 0, "actions"),
            ["melt"],
            (
                "layer_changes[0].actions: expected one of wrap, unwrap, retarget, keep, unclaimed,"
                " noop, or unwrap and wrap, got ['melt']"
            ),
        ),
        (
            ("layer_changes", 0, "after"),
            None,
            "layer_changes[0].after: expected how the layer is pruned beside wrap, got null",
        ),
        (
            ("layer_changes", 0, "actions"),
            ["unwrap"],
            "layer_changes[0].after: expected null beside unwrap, got {",
        ),
        (
            ("layer_changes", 0, "after", "sparsity"),
            1.5,
            "layer_changes[0].after.sparsity: expected a number from 0 to 1, got 1.5",
        ),
        (
            ("layer_changes", 0, "after", "sparsity"),
            1.0,
            "a pruning (sparsity must be at least 0 and below 1, got 1), got {",
        ),
        (
            ("layer_changes", 0, "after", "pattern"),
            {"kind": "keep_of", "keep": 2},
            "layer_changes[0].after: expected a pruning with the field 'of', got {",
        ),
        (
            ("layer_changes", 0, "after", "pattern", "kind"),
            "checkered",
            (
                "layer_changes[0].after.pattern.kind: expected one of unstructured, keep_of, block,"
                " channel, got 'checkered'"
            ),
        ),
        (
            ("layer_changes", 0, "rule"),
            ["dense-90"],
            "layer_changes[0].rule: expected an object, got ['dense-90']",
        ),
        (("depends_on_weights",), "no", "depends_on_weights: expected true or false, got 'no'"),
        (("vars",), None, "vars: expected an object, got null"),
        (
            ("layer_changes", 0, "after", "weights"),
            "kernel",
            "layer_changes[0].after.weights: expected a list, got 'kernel'",
        ),
        (
            ("layer_changes", 0, "after", "schedule", "end", "step"),
            -1,
            "layer_changes[0].after.schedule.end.step: expected a number from 0, got -1",
        ),
        (
            ("layer_changes", 0, "after", "schedule", "end", "step"),
            1.5,
            "layer_changes[0].after.schedule.end.step: expected a whole number from 0, got 1.5",
        ),
        (
            ("layer_changes", 1, "address"),
            "fc1",
            "layer_changes: expected each address once, got 'fc1 twice'",
        ),
        (
            ("layer_changes", 0, "tensors", 0, "zeros_after"),
            2.5,
            "layer_changes[0].tensors[0].zeros_after: expected a whole number from 0, got 2.5",
        ),
        (
            ("layer_changes", 0, "tensors", 0, "zeros_after"),
            235201,
            "layer_changes[0].tensors[0].zeros_after: expected at most the size 235200, got 235201",
        ),
        (
            ("layer_changes", 0, "tensors", 0, "size"),
            5,
            "layer_changes[0].tensors[0].size: expected the product of the shape [784, 300], got 5",
        ),
    ],
)
def test_damaged_fields_are_named(path, value, fault):
    config = copy.deepcopy(CONFIG)
    target = config
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(PlanError) as error:
        plan_from_config(config, place="plan.json")
    assert str(error.value).startswith("plan.json: ")
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


def places(value, path=()):
    yield path
    for key, item in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from places(item, (*path, key))


@given(
    st.sampled_from(list(places(CONFIG))[1:]),
    st.sampled_from(
        [
            None,
            True,
            -1,
            1.5,
            10**400,
            "x",
            "",
            [],
            [None],
            {},
            {"step": float("inf")},
            {"epoch": "1"},
        ]
    ),
)
def test_a_plan_damaged_anywhere_is_read_or_refused(path, value):
    config = copy.deepcopy(CONFIG)
    target = config
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    try:
        written = plan_to_config(plan_from_config(config))
    except PlanError:
        return
    assert plan_to_config(plan_from_config(written)) == written
