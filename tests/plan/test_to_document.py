import json

from lenet import RULES, lenet, lenet_zeros, rules
from planned import plan_with

import graphprune
from graphprune.graph.architecture import describe_architecture, fingerprint, hash_architecture
from graphprune.plan import make_plan, plan_from_config, plan_sha256, plan_to_config, wrap_graph


def plan(text=RULES, **options):
    return plan_with(
        lenet(), rules(text), **({"zeros": lenet_zeros(), "path": "lenet.keras"} | options)
    )


def test_the_example_of_the_specification():
    config = plan_to_config(plan())
    assert config["layer_changes"][0] == {
        "address": "fc1",
        "type": "Dense",
        "calls": 1,
        "actions": ["wrap"],
        "action_reason": "claimed_by_rule",
        "rule": {"id": "dense-90", "file": "prune.yaml", "line": 6},
        "also_matched": [],
        "before": None,
        "after": {
            "pattern": {"kind": "unstructured"},
            "sparsity": 0.9,
            "schedule": {
                "name": "ramp",
                "curve": "polynomial",
                "power": 3,
                "from": 0.0,
                "begin": {"epoch": 0},
                "end": {"epoch": 4},
                "every": {"step": 100},
            },
            "weights": ["kernel"],
        },
        "after_unknown": ["mask", "schedule.end.step"],
        "tensors": [
            {
                "name": "kernel",
                "axes": {"in": 784, "out": 300},
                "shape": [784, 300],
                "size": 235200,
                "zeros_before": 0,
                "zeros_after": 211680,
                "sparsity_before": 0.0,
                "sparsity_after": 0.9,
            }
        ],
    }
    assert config["layer_changes"][2] == {
        "address": "predictions",
        "type": "Dense",
        "calls": 1,
        "actions": ["keep"],
        "action_reason": "keep_rule",
        "rule": {"id": "keep-classifier", "file": "prune.yaml", "line": 9},
        "also_matched": [{"id": "dense-90", "lost_to": "keep"}],
        "before": None,
        "after": None,
        "after_unknown": [],
        "tensors": [],
    }
    assert {
        key: config[key]
        for key in config
        if key not in ("architecture", "layer_changes", "model", "rules", "summary")
    } == {
        "format_version": "1.0",
        "kind": "graphprune.plan",
        "tool": {"name": "graphprune", "version": graphprune.__version__},
        "vars": {"final": 0.9},
        "switches": {"only": [], "off": [], "var": {}, "set": {}},
        "depends_on_weights": False,
        "drift": [],
        "budgets": [],
        "checks": [],
        "diagnostics": [],
    }
    assert config["model"] == {
        "path": "lenet.keras",
        "graph_sha256": lenet().sha256,
        "architecture_sha256": hash_architecture(lenet()),
        "weights_sha256": None,
        "layers": 5,
        "prunable_weights": 266200,
        "parameters": 266610,
    }


def test_keys_stand_in_the_order_of_the_specification():
    assert list(plan_to_config(plan())) == [
        "format_version", "kind", "tool", "model", "rules", "vars", "switches",
        "depends_on_weights", "drift", "layer_changes", "budgets", "checks", "diagnostics",
        "summary", "architecture",
    ]  # fmt: skip


def test_the_architecture_is_told_layer_by_layer():
    config, known = plan_to_config(plan()), describe_architecture(lenet())
    assert list(config["architecture"]["layers"]) == list(known.layers)
    assert config["architecture"]["layers"]["fc1"] == (
        f"{known.layers['fc1'].settings} {known.layers['fc1'].inputs}"
    )
    assert plan_from_config(config).architecture == known


def test_the_architecture_is_that_without_wrappers():
    wrapped = wrap_graph(lenet(), make_plan(lenet(), rules()))
    for graph in (lenet(), wrapped):
        assert fingerprint(graph) == (hash_architecture(graph), describe_architecture(lenet()))
    assert hash_architecture(wrapped) != hash_architecture(lenet())


def test_two_runs_give_the_same_bytes():
    assert json.dumps(plan_to_config(plan())) == json.dumps(plan_to_config(plan()))


def test_known_steps_stand_beside_their_epochs():
    schedule = plan_to_config(plan(steps_per_epoch=50))["layer_changes"][0]["after"]["schedule"]
    assert (schedule["begin"], schedule["end"], schedule["every"]) == (
        {"epoch": 0, "step": 0},
        {"epoch": 4, "step": 200},
        {"step": 100},
    )


def test_unmeasured_zeros_are_null():
    (tensor,) = plan_to_config(plan(zeros=None))["layer_changes"][0]["tensors"]
    assert (tensor["zeros_before"], tensor["sparsity_before"]) == (None, None)


def test_computed_shares_have_six_places():
    (tensor,) = plan_to_config(plan(zeros=lenet_zeros(fc1=1)))["layer_changes"][0]["tensors"]
    assert tensor["sparsity_before"] == 4e-06


def test_settings_are_not_rounded_so_that_the_file_asks_for_the_same_zeros():
    text = RULES.replace("0.9}", "0.12345678}")
    config = json.loads(json.dumps(plan_to_config(plan(text))))
    assert plan_from_config(config).changes[0].after == plan(text).changes[0].after


def test_the_hash_is_of_what_is_done():
    same = plan_sha256(plan())
    assert same == plan_sha256(
        plan(path="copy.keras", zeros=None, steps_per_epoch=50, epochs=3, allow_missed=True)
    )
    assert same == plan_sha256(plan_from_config(plan_to_config(plan())))
    assert same != plan_sha256(plan(RULES.replace("0.9}", "0.8}")))
    assert same != plan_sha256(plan(RULES.replace("every: 100", "every: 99")))
