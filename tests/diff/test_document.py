import json

import numpy as np
from builders import build_graph
from memory_weights import make_weights, with_zeros, wrap_layers

from graphprune.diff import diff_graphs, graph_diff_to_config
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule

PRUNING = Pruning(0.9, Schedule(end=Position(4, "epoch"), name="ramp"), ("kernel",))


def lenet_diff():
    graph = build_graph("in > flatten > fc1[784,300] > fc2[300,100] > predictions:Dense[100,10]")
    pruned = with_zeros(
        make_weights(graph, seed=1), {("fc1", "kernel"): 211_680, ("fc2", "kernel"): 27_000}
    )
    pruned.states |= {(address, "pruning_step"): np.array(2000) for address in ("fc1", "fc2")}
    wrapped = wrap_layers(graph, PRUNING, ("fc1", "fc2"))
    return (
        graph,
        wrapped,
        diff_graphs(
            graph,
            wrapped,
            left_weights=make_weights(graph),
            right_weights=pruned,
            left_path="a.keras",
            right_path="b.keras",
        ),
    )


def test_the_document_is_the_one_of_the_specification():
    graph, wrapped, diff = lenet_diff()
    config = graph_diff_to_config(diff)
    expected = {
        "format_version": "1.0",
        "kind": "graphprune.diff",
        "left": {"path": "a.keras", "graph_sha256": graph.sha256, "parameters": 266610, "zeros": 0},
        "right": {
            "path": "b.keras",
            "graph_sha256": wrapped.sha256,
            "parameters": 266610,
            "zeros": 238680,
        },
        "equal": {"graph": True, "pruning": False, "weights": False},
        "layers": [
            {
                "address": "fc1",
                "previous_address": None,
                "paired_by": "address",
                "type": "Dense",
                "status": ["wrapped"],
                "config": [],
                "pruning": {
                    "before": None,
                    "after": {
                        "rule": "dense-90",
                        "pattern": {"kind": "unstructured"},
                        "step": 2000,
                        "finished": True,
                    },
                },
                "tensors": [
                    {
                        "name": "kernel",
                        "shape_before": [784, 300],
                        "shape_after": [784, 300],
                        "zeros_before": 0,
                        "zeros_after": 211680,
                        "sparsity_before": 0.0,
                        "sparsity_after": 0.9,
                        "target": 0.9,
                        "target_met": True,
                        "values": "changed",
                        "mask": None,
                    }
                ],
            },
            config["layers"][1],
        ],
        "edges": {"added": [], "removed": []},
        "summary": {
            "added": 0,
            "removed": 0,
            "renamed": 0,
            "reconfigured": 0,
            "wrapped": 2,
            "unwrapped": 0,
            "rewired": 0,
            "sparsity_changed": 2,
        },
    }
    assert json.dumps(config) == json.dumps(expected)
    assert [layer["address"] for layer in config["layers"]] == ["fc1", "fc2"]


def test_two_runs_give_the_same_bytes():
    assert json.dumps(graph_diff_to_config(lenet_diff()[2])) == json.dumps(
        graph_diff_to_config(lenet_diff()[2])
    )


def test_all_layers_and_tensors_are_there_on_demand():
    config = graph_diff_to_config(lenet_diff()[2], show_all=True)
    assert [(layer["address"], len(layer["tensors"])) for layer in config["layers"]] == [
        ("in", 0),
        ("flatten", 0),
        ("fc1", 2),
        ("fc2", 2),
        ("predictions", 2),
    ]


def test_shares_have_six_places():
    graph = build_graph("in > fc[7,1]")
    weights = make_weights(graph)
    diff = diff_graphs(
        graph, graph, left_weights=weights, right_weights=with_zeros(weights, {("fc", "kernel"): 1})
    )
    assert graph_diff_to_config(diff)["layers"][0]["tensors"][0]["sparsity_after"] == 0.142857


def test_connections_say_which_input_they_go_to():
    left, right = (
        build_graph("in > fc > relu; fc + fc > add"),
        build_graph("in > fc > relu; fc + relu > add"),
    )
    edges = graph_diff_to_config(diff_graphs(left, right))["edges"]
    assert {
        "source": "relu",
        "source_call": 0,
        "source_tensor": 0,
        "target": "add",
        "target_call": 0,
        "argument": "1",
    } in edges["added"]
    assert edges["removed"][0]["source"] == "fc"


def test_a_renamed_model_is_said():
    config = graph_diff_to_config(
        diff_graphs(build_graph("in > fc", name="a"), build_graph("in > fc", name="b"))
    )
    assert config["model"] == [{"path": "name", "before": "a", "after": "b"}]
    assert config["equal"] == {"graph": False, "pruning": True, "weights": None}


def test_settings_that_only_look_like_objects_are_compared() -> None:
    left, right = (
        build_graph(f"in > mask:Masking(mask_value={{'class_name': {value}}})")
        for value in ("[1]", "[2]")
    )
    (layer,) = graph_diff_to_config(diff_graphs(left, right))["layers"]
    assert layer["config"] == [
        {"path": "config.mask_value.class_name", "before": [1], "after": [2]}
    ]


def test_settings_that_json_cannot_say_are_objects() -> None:
    left, right = (
        build_graph(f"in > mask:Masking(mask_value={value})") for value in ("0.0", "1e999")
    )
    (layer,) = graph_diff_to_config(diff_graphs(left, right))["layers"]
    assert layer["config"] == [
        {"path": "config.mask_value", "before": 0.0, "after": {"$float": "Infinity"}}
    ]
