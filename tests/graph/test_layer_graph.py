from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from builders import build_config, build_graph

from graphprune.errors import GraphError
from graphprune.graph import LayerGraph, graph_from_config, read_graph
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.sparsity.schedules import Schedule

RESIDUAL = "in > conv_1 > bn > relu; conv_1 + relu > add_1 > gap > out"
PRUNING = Pruning(0.5, Schedule(end=Position(4, "epoch")), ("kernel",))


def wrapped_entry(entry: dict[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in entry.items() if key not in ("name", "inbound_nodes")}
    config = {
        "name": inner["config"]["name"],
        "trainable": True,
        "dtype": "float32",
        "layer": inner,
        "pruning": PRUNING.to_config(),
        "provenance": {"rule": "r"},
    }
    placement = {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}
    return {
        "module": "graphprune.tf.pruning.wrapper",
        "class_name": "PruneLowMagnitude",
        "config": config,
        "registered_name": "graphprune>PruneLowMagnitude",
        **placement,
    }


def failure(config: dict[str, Any]) -> str:
    with pytest.raises(GraphError) as caught:
        graph_from_config(config, place="m.keras")
    return str(caught.value)


def test_layers_come_in_topological_order_with_ties_by_position() -> None:
    config = build_config("in_a > a > add_1; in_b > b > b2; a + b2 > add_2")
    config["config"]["layers"].reverse()
    graph = graph_from_config(config)
    assert list(graph.layers) == ["in_b", "b", "b2", "in_a", "a", "add_2", "add_1"]


def test_a_nested_model_comes_before_its_layers() -> None:
    graph = build_graph("in > inner > out", models={"inner": "in > fc > bn"})
    assert list(graph.layers) == ["in", "inner", "inner::in", "inner::fc", "inner::bn", "out"]
    assert [layer.kind for layer in graph.layers.values()] == [
        "input",
        "model",
        "input",
        "layer",
        "layer",
        "layer",
    ]
    assert [layer.container for layer in graph.layers.values()] == [
        None,
        None,
        "inner",
        "inner",
        "inner",
        None,
    ]
    assert graph.layer("inner::fc").name == "fc"


def test_flow_passes_through_nested_models_and_counts_their_calls() -> None:
    graph = build_graph(
        "in_a > inner > cat; in_b > inner > fc_z; inner@0 + fc_z > add",
        models={"inner": "in > fc > bn"},
    )
    assert list(graph.flow.edges) == [
        (("in_a", 0), ("inner::fc", 0)),
        (("inner::fc", 0), ("inner::bn", 0)),
        (("inner::bn", 0), ("cat", 0)),
        (("inner::bn", 0), ("add", 0)),
        (("in_b", 0), ("inner::fc", 1)),
        (("inner::fc", 1), ("inner::bn", 1)),
        (("inner::bn", 1), ("fc_z", 0)),
        (("fc_z", 0), ("add", 0)),
    ]
    assert {
        address: layer.calls for address, layer in graph.layers.items() if layer.calls > 1
    } == dict.fromkeys(["inner", "inner::in", "inner::fc", "inner::bn"], 2)


def test_a_shared_layer_may_feed_itself() -> None:
    graph = build_graph("in > fc > fc > out")
    assert list(graph.flow.edges) == [
        (("in", 0), ("fc", 0)),
        (("fc", 0), ("fc", 1)),
        (("fc", 1), ("out", 0)),
    ]
    assert [
        (source, target, facts["source_call"], facts["target_call"])
        for source, target, facts in graph.network.edges(data=True)
    ] == [("in", "fc", 0, 0), ("fc", "fc", 0, 1), ("fc", "out", 1, 0)]


def test_a_shared_layer_comes_after_all_layers_that_feed_it() -> None:
    graph = build_graph("in > shared:Dense[4, 4] > add_1; in > fc > shared > add_1")
    assert list(graph.layers) == ["in", "fc", "shared", "add_1"]


def test_shared_layers_that_feed_each_other_come_by_their_first_calls() -> None:
    graph = build_graph("in > b:Dense[4, 4] > a:Dense[4, 4] > b > a > out; in > z")
    assert list(graph.layers) == ["in", "z", "b", "a", "out"]


def test_calls_keep_their_index_whatever_their_order_in_the_flow() -> None:
    config = build_config("in > shared:Dense > relu; shared > out")
    shared = config["config"]["layers"][1]
    shared["inbound_nodes"] = [[["relu", 0, 0, {}]], [["in", 0, 0, {}]]]
    config["config"]["layers"][2]["inbound_nodes"] = [[["shared", 1, 0, {}]]]
    graph = graph_from_config(config)
    assert set(graph.flow.edges) == {
        (("in", 0), ("shared", 1)),
        (("shared", 1), ("relu", 0)),
        (("relu", 0), ("shared", 0)),
        (("shared", 0), ("out", 0)),
    }


def test_tensors_in_keywords_are_edges_and_constants_are_not() -> None:
    config = build_config("in > a:Dense; in > b:Dense; a > op:TFOpLambda")
    config["config"]["layers"][3]["inbound_nodes"] = [
        [
            "_CONSTANT_VALUE",
            -1,
            2.0,
            {"y": ["a", 0, 0], "z": {"deep": [["b", 0, 0]]}, "perm": ["x", "y", "z"], "name": None},
        ]
    ]
    graph = graph_from_config(config)
    assert [
        (source, facts["argument"])
        for source, target, facts in graph.network.edges(data=True)
        if target == "op"
    ] == [("a", "y"), ("b", "z.deep.0")]
    assert graph.to_config() == config


def test_the_last_layers_produce_the_output_also_inside_nested_models() -> None:
    graph = build_graph("in > inner; in > fc", models={"inner": "in > fc > bn"})
    assert graph.outputs == ("inner", "fc")
    assert [address for address, layer in graph.layers.items() if layer.produces_output] == [
        "inner",
        "inner::bn",
        "fc",
    ]


def test_a_frozen_model_freezes_its_layers() -> None:
    config = build_config("in > inner > out", models={"inner": "in > fc(trainable=True)"})
    config["config"]["layers"][1]["config"]["trainable"] = False
    graph = graph_from_config(config)
    assert [address for address, layer in graph.layers.items() if not layer.trainable] == [
        "inner",
        "inner::in",
        "inner::fc",
    ]


def test_counts_of_lenet() -> None:
    graph = build_graph("in > fc1[784,300] > fc2[300,100] > predictions:Dense[100,10]")
    assert (graph.parameters, graph.prunable_weights) == (266_610, 266_200)
    assert [layer.address for layer in graph.candidates()] == ["fc1", "fc2", "predictions"]
    assert graph.layer("fc1").prunable[0].label() == "kernel [in 784, out 300]"


@pytest.mark.parametrize(
    "text",
    [
        RESIDUAL,
        "in > fc > fc > out",
        "in > embed > lstm > gru > rnn",
        "in > depthwise > separable > ln",
    ],
)
def test_config_to_graph_to_config_is_the_identity(text: str) -> None:
    config = build_config(text) | {
        "build_config": {"input_shape": [None, 4]},
        "compile_config": {"optimizer": "adam"},
    }
    before = copy.deepcopy(config)
    graph = graph_from_config(config)
    given = graph.to_config()
    assert given == before
    given["config"]["layers"][1]["config"].clear()
    given["config"]["layers"][2]["inbound_nodes"].clear()
    assert graph.to_config() == before
    assert graph_from_config(config["config"]).to_config() == before["config"]


def test_hash_ignores_addresses_dialect_build_and_compile_settings() -> None:
    config = build_config(RESIDUAL)
    other = copy.deepcopy(config) | {
        "compile_config": {"loss": "mse"},
        "shared_object_id": 140505385248208,
    }
    for entry in other["config"]["layers"]:
        entry["build_config"] = {"input_shape": (None, 4)}
        del entry["module"], entry["registered_name"]
    assert graph_from_config(config) == graph_from_config(other)


def test_hash_sees_settings_and_connections() -> None:
    graph = build_graph(RESIDUAL)
    assert graph != build_graph("in > conv_1 > bn > relu; relu + conv_1 > add_1 > gap > out")
    assert graph != build_graph(
        "in > conv_1(strides=[2,2]) > bn > relu; conv_1 + relu > add_1 > gap > out"
    )
    assert build_graph("in > fc[4,4]") == build_graph("in > fc[4,4]")
    assert build_graph("in > fc[4,4]") != build_graph("in > fc[5,4]")


def test_an_unknown_address_names_close_ones() -> None:
    with pytest.raises(GraphError) as caught:
        build_graph("in > fc1 > fc2").layer("fc9")
    assert str(caught.value) == "net: no layer has the address 'fc9'; closest: 'fc2', 'fc1'"
    with pytest.raises(GraphError) as caught:
        build_graph("in > fc1 > fc2").layer("zzzz")
    assert (
        str(caught.value)
        == "net: no layer has the address 'zzzz'; 'graphprune layers MODEL' lists all addresses"
    )


def wrapped_graph() -> tuple[LayerGraph, dict[str, Any]]:
    config = build_config(RESIDUAL)
    entries = config["config"]["layers"]
    entries[1] = wrapped_entry(entries[1])
    return (
        graph_from_config(
            config,
            tensors={
                "conv_1": [
                    ("kernel", (3, 3, 4, 4), "float32"),
                    ("mask_kernel", (3, 3, 4, 4), "bool"),
                    ("pruning_step", (), "int64"),
                ]
            },
        ),
        config,
    )


def test_a_wrapped_layer_is_the_layer_inside() -> None:
    graph, config = wrapped_graph()
    layer = graph.layer("conv_1")
    assert (layer.type, layer.config["name"], [tensor.name for tensor in layer.tensors]) == (
        "Conv2D",
        "conv_1",
        ["kernel"],
    )
    assert layer.wrap is not None
    assert (layer.wrap.type, layer.wrap.pruning, layer.wrap.provenance) == (
        "graphprune>PruneLowMagnitude",
        PRUNING,
        Provenance("r"),
    )
    assert graph.to_config() == config


def test_unwrapping_a_layer_gives_the_original_config() -> None:
    graph, _ = wrapped_graph()
    stripped = graph.replace({"conv_1": replace(graph.layer("conv_1"), wrap=None)})
    assert stripped.to_config() == build_config(RESIDUAL)
    assert stripped.sha256 == build_graph(RESIDUAL).sha256 != graph.sha256
    assert stripped.network.nodes["conv_1"]["layer"].wrap is None


def test_replacing_reaches_into_nested_models_and_refuses_other_addresses() -> None:
    graph = build_graph("in > inner > out", models={"inner": "in > fc"})
    layer = graph.layer("inner::fc")
    changed = graph.replace(
        {"inner::fc": replace(layer, entry={**layer.entry, "config": {**layer.config, "units": 9}})}
    )
    assert changed.to_config()["config"]["layers"][1]["config"]["layers"][1]["config"]["units"] == 9
    assert graph.layer("inner::fc").config["units"] == 4
    with pytest.raises(GraphError) as caught:
        graph.replace({"out": layer})
    assert (
        str(caught.value)
        == "net: layer 'out' cannot become 'inner::fc'; a replacement keeps the address, and nested"
        " models are not replaced"
    )


def test_a_damaged_wrapper_is_named() -> None:
    config = build_config("in > fc")
    config["config"]["layers"][1] = wrapped_entry(config["config"]["layers"][1])
    del config["config"]["layers"][1]["config"]["pruning"]["sparsity"]
    assert (
        failure(config)
        == "m.keras: the pruning wrapper of layer 'fc' is damaged (KeyError: 'sparsity'); save the"
        " model again"
    )


def test_outputs_that_nobody_gives_are_named() -> None:
    config = build_config("in > inner > fc", models={"inner": "in > fc"})
    outputs = config["config"]["output_layers"]
    outputs[0][2] = -1
    assert (
        failure(config)
        == "m.keras: the model's outputs take tensor -1 of 'fc', which gives at most 100,000"
        " tensors (counted from 0); save the model again"
    )
    outputs[0][:] = ["inner", 1, 1]
    assert (
        failure(config)
        == "m.keras: the model's outputs take tensor 1 of 'inner', which gives at most 1 tensor"
        " (counted from 0); save the model again"
    )
    outputs[0][:] = ["gone", 0, 0]
    assert (
        failure(config)
        == "m.keras: the model's outputs take a tensor of 'gone', which is no layer of the model;"
        " save the model again"
    )


def test_faults_of_a_config_are_named() -> None:
    config = build_config("in > a:Dense > b:Dense")
    layers = config["config"]["layers"]
    layers[1]["inbound_nodes"] = [[["b", 0, 0, {}]]]
    assert (
        failure(config)
        == "m.keras: layer 'a' waits for its own output; a model must be acyclic, save it again"
    )
    layers[1]["inbound_nodes"] = [[["c", 0, 0, {}]]]
    assert (
        failure(config)
        == "m.keras: layer 'a' takes a tensor of 'c', which is no layer of the model; save the"
        " model again"
    )
    layers[1]["inbound_nodes"] = [[["in", 3, 0, {}]]]
    assert (
        failure(config)
        == "m.keras: layer 'a' takes a tensor of call 4 of 'in', which has 1 call; save the model"
        " again"
    )
    layers[1]["inbound_nodes"] = [[["in", 0, 10**9, {}]]]
    assert (
        failure(config)
        == "m.keras: layer 'a' takes tensor 1000000000 of 'in', which gives at most 1 tensor"
        " (counted from 0); save the model again"
    )
    layers[1]["inbound_nodes"] = 5
    assert (
        failure(config)
        == "m.keras: the inbound nodes of layer 'a' are not a list, got '5'; save the model again"
    )
    layers[1] = copy.deepcopy(layers[0])
    assert (
        failure(config)
        == "m.keras: two layers have the name 'in'; give each layer its own name and save the model"
        " again"
    )
    layers[1] = {"class_name": "Dense"}
    assert (
        failure(config)
        == "m.keras: entry 1 of the model's layers is not a layer (class_name, config and a name),"
        " got \"{'class_name': 'Dense'}\"; save the model again"
    )
    assert (
        failure({"class_name": "Sub", "config": {}})
        == "m.keras: 'Sub' is not a Functional or Sequential model, its layers are not in its"
        " config; rebuild it with the Functional API"
    )


def test_a_config_without_tensors_has_no_candidates() -> None:
    assert read_graph(build_config("in > fc")).candidates() == ()
    with pytest.raises(TypeError, match="give them only with a config"):
        read_graph("x.keras", tensors={})


def test_thousands_of_layers_are_read_in_one_pass() -> None:
    graph = build_graph("in > " + " > ".join(f"fc{number}" for number in range(3000)))
    assert len(graph.flow) == 3001
    assert graph.to_config() == build_config(
        "in > " + " > ".join(f"fc{number}" for number in range(3000))
    )
