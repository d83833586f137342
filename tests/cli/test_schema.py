"""The JSON Schemas of plans, diffs and verifications against documents that the commands write."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from commands import run_command
from lenet import RULES, lenet, lenet_zeros, rules
from planned import plan_with

from graphprune.plan import make_plan, plan_to_config, wrap_graph

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "fixtures" / "digits-cnn.keras"
GRAPHS = ROOT / "rules" / "tests" / "graphs"


def schema_of(kind):
    done = run_command("schema", kind)
    assert done.code == 0
    return json.loads(done.out)


SCHEMAS = {kind: schema_of(kind) for kind in ("plan", "diff", "verify")}
VALIDATORS = {kind: jsonschema.Draft202012Validator(schema) for kind, schema in SCHEMAS.items()}


def written(*arguments):
    return json.loads(run_command(*arguments, "--format", "json").out)


def faults(kind, document):
    return [
        f"{fault.json_path}: {fault.message}" for fault in VALIDATORS[kind].iter_errors(document)
    ]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one_and_describes_every_key(kind):
    schema = SCHEMAS[kind]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"].startswith("graphprune ")
    for name, part in {"the document": schema, **schema["$defs"]}.items():
        assert part["description"], name
        for key, node in part["properties"].items():
            assert "description" in node, f"{name}: {key}"


def test_without_an_argument_it_is_the_schema_of_rule_files():
    assert run_command("schema") == run_command("schema", "rules")
    assert schema_of("rules")["title"] == "graphprune rule file"
    assert schema_of("test")["title"] == "graphprune rule test"


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        (MODEL, "dense-90"),
        (MODEL, "erk-95"),
        (MODEL, "global-magnitude-90"),
        (GRAPHS / "cnn.json", "block-4x1"),
        (GRAPHS / "padded-mobile.json", "xnnpack-latency"),
        (GRAPHS / "sequence.json", "two-of-four"),
        (GRAPHS / "encoder.json", "keep-first-and-last"),
        (GRAPHS / "mobile.json", "channels-50"),
    ],
    ids=lambda value: Path(value).stem,
)
def test_written_plans_fit_their_schema(model, rule):
    length = ("--steps-per-epoch", "50", "--epochs", "30")
    plan = written("plan", model, "-r", ROOT / "rules" / f"{rule}.yaml", *length)
    assert plan["kind"] == "graphprune.plan"
    assert faults("plan", plan) == []


def test_plans_of_wrapped_models_with_drift_fit_their_schema():
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    text = RULES.replace("type: Dense}\n    prune", "name: fc2}\n    prune").replace("0.9}", "0.5}")
    plan = plan_to_config(
        plan_with(
            wrapped, rules(text), zeros=lenet_zeros(), steps={"fc1": 2000}, steps_per_epoch=500
        )
    )
    assert (len(plan["drift"]), plan["layer_changes"][0]["before"] is None) == (1, False)
    assert faults("plan", plan) == []


def test_written_diffs_and_verifications_fit_their_schemas(tmp_path):
    diffs = [
        written("diff", MODEL, MODEL),
        written("diff", MODEL, MODEL, "--all"),
        written("diff", GRAPHS / "cnn.json", GRAPHS / "mobile.json"),
    ]
    assert [faults("diff", found) for found in diffs] == [[], [], []]
    plan = tmp_path / "plan.json"
    run_command("plan", MODEL, "-r", ROOT / "rules" / "dense-90.yaml", "-o", plan)
    verification = written("verify", MODEL, "--plan", plan)
    assert verification["summary"]["tensors"] > 0
    assert faults("verify", verification) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), "graphprune.diff"),
        (("model", "layers"), "5"),
        (("layer_changes", 0, "calls"), -1),
        (("layer_changes", 0, "after", "sparsity"), 1.5),
        (("layer_changes", 0, "after", "schedule", "from"), 2),
        (("layer_changes", 0, "after", "pattern", "kind"), "checkered"),
        (("diagnostics",), None),
    ],
)
def test_the_schema_sees_what_the_reader_refuses(path, value):
    plan = copy.deepcopy(plan_to_config(make_plan(lenet(), rules())))
    target = plan
    for key in path[:-1]:
        target = target[key]
    assert faults("plan", plan) == []
    target[path[-1]] = value
    assert len(faults("plan", plan)) == 1
