"""What `make_plan`, `read_rules` and `read_plan` take besides values that were read already: paths
and dicts.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from lenet import lenet, rules
from planned import plan_with

from graphprune import RuleError, apply_plan, make_plan, read_plan, read_rules
from graphprune.graph.read import open_model_file
from graphprune.plan import plan_to_config
from graphprune.rules.building.read import rule_set_of
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
SCHEDULE = {"curve": "constant", "begin": "0 steps"}
DATA = {
    "version": 1,
    "rules": [
        {
            "id": "dense",
            "match": {"type": "Dense"},
            "prune": {"sparsity": 0.5, "schedule": SCHEDULE},
        }
    ],
}
CONVS = {"version": 1, "rules": [{"id": "convs", "match": {"type": "Conv2D"}, "keep": True}]}
BY_MAGNITUDE = DATA | {
    "budgets": {"net": {"sparsity": 0.5, "allocate": "magnitude"}},
    "rules": [
        {
            "id": "dense",
            "match": {"type": "Dense"},
            "prune": {"budget": "net", "schedule": SCHEDULE},
        }
    ],
}


def test_rules_are_read_from_dicts_files_and_both(tmp_path):
    (tmp_path / "convs.json").write_text(json.dumps(CONVS))
    assert [rule.id for rule in read_rules(DATA).rules] == ["dense"]
    both = rule_set_of([DATA, tmp_path / "convs.json"])
    assert {rule.id for rule in both.rules} == {"dense", "convs"}
    assert {path for path, _ in both.files} == {"<dict>", str(tmp_path / "convs.json")}
    assert [rule.id for rule in rule_set_of("builtin:dense-90").rules] == [
        rule.id for rule in read_rules("builtin:dense-90").rules
    ]
    assert rule_set_of(both) is both


def test_faults_of_a_dict_have_places_in_its_text():
    faulty = DATA | {"rules": [DATA["rules"][0] | {"mtach": {}}]}
    with pytest.raises(RuleError) as caught:
        read_rules(CONVS, faulty)
    (fault,) = caught.value.diagnostics
    assert (fault.slug, fault.where.file) == ("key/unknown", "<dict 2>")
    assert "mtach" in json.dumps(faulty, indent=2).splitlines()[fault.where.line - 1]


def test_values_that_no_rule_file_can_hold_are_refused():
    with pytest.raises(
        TypeError,
        match=(
            r"^rules must be a dict of text, numbers, lists and dicts, got ndarray of numpy; write"
            r" it as a number or as text$"
        ),
    ):
        read_rules(DATA | {"vars": {"final": np.zeros(2)}})


def test_a_plan_from_a_path_knows_all_that_the_file_tells():
    model = open_model_file(MODEL)
    plan = make_plan(MODEL, BY_MAGNITUDE)
    assert plan.model.path == str(MODEL)
    assert plan.weight_hashes
    zeros = {
        (change.address, tensor.name): tensor.zeros_before
        for change in plan.changes
        for tensor in change.tensors
    }
    assert zeros == {key: model.zeros[key] for key in zeros}
    assert zeros
    short = DATA | {
        "rules": [
            DATA["rules"][0]
            | {"prune": {"sparsity": 0.5, "schedule": {"curve": "step", "begin": "4 epochs"}}}
        ]
    }
    with pytest.raises(RuleError, match="never-reached"):
        make_plan(MODEL, short, epochs=2)
    assert [
        found.slug for found in make_plan(MODEL, short, epochs=2, allow_missed=True).diagnostics
    ] == ["schedule/never-reached"]
    known = make_plan(str(MODEL), DATA, steps_per_epoch=7, epochs=2)
    assert known == make_plan(model, DATA, steps_per_epoch=7, epochs=2)
    assert known == plan_with(
        model.graph,
        read_rules(DATA),
        steps_per_epoch=7,
        epochs=2,
        zeros=model.zeros,
        path=str(MODEL),
        steps={},
        mask_faults={},
    )


def test_a_plan_is_read_from_json_data():
    plan = make_plan(lenet(), rules())
    assert plan_to_config(read_plan(plan_to_config(plan))) == plan_to_config(plan)


@pytest.mark.tf
def test_names_of_public_functions_take_the_same():
    from graphprune import load_model

    model = load_model(MODEL)
    plan = make_plan(MODEL, DATA)
    assert [layer.name for layer in apply_plan(model, plan_to_config(plan)).layers] == [
        layer.name for layer in model.layers
    ]
