"""The hash of an architecture: one for all files of a model, another for another model."""

import copy

import pytest
from builders import build_graph

from graphprune.graph import graph_from_config
from graphprune.graph.architecture import hash_architecture

NET = "in > conv(strides=[1, 1]) > bn(axis=[3]) > drop(rate=0.5) > fc[4,4]; in + fc > add_1 > out"
BASE = build_graph(NET)


def changed(change):
    config = copy.deepcopy(BASE.to_config())
    change({layer["config"]["name"]: layer for layer in config["config"]["layers"]})
    return graph_from_config(config)


SAME = {
    "defaults": lambda layers: layers["conv"]["config"].update(groups=1, padding="valid"),
    "of an input": lambda layers: layers["in"]["config"].update(optional=False),
    "by name": lambda layers: layers["fc"]["config"].update(
        kernel_initializer={"class_name": "GlorotUniform", "config": {"seed": None}}
    ),
    "build": lambda layers: layers["fc"].update(build_config={"input_shape": [None, 4]}),
}
OTHERS = {
    "a setting": lambda layers: layers["conv"]["config"].update(strides=[2, 2]),
    "not the default": lambda layers: layers["conv"]["config"].update(groups=2),
    "an axis": lambda layers: layers["bn"]["config"].update(axis=[1]),
    "a rate": lambda layers: layers["drop"]["config"].update(rate=0.25),
    "an input's shape": lambda layers: layers["in"]["config"].update(batch_input_shape=[None, 9]),
    "a connection": lambda layers: layers["add_1"]["inbound_nodes"][0].reverse(),
    "a constant": lambda layers: layers["drop"]["inbound_nodes"][0][0].__setitem__(
        3, {"training": True}
    ),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_keras_may_leave_out_does_not_count(change):
    assert changed(change).to_config() != BASE.to_config()
    assert hash_architecture(changed(change)) == hash_architecture(BASE)


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_another_model_has_another_hash(change):
    assert hash_architecture(changed(change)) != hash_architecture(BASE)


def test_the_name_counts_and_the_order_of_parallel_layers_does_not():
    assert hash_architecture(build_graph(NET, name="other")) != hash_architecture(BASE)
    turned = BASE.to_config()
    layers = turned["config"]["layers"]
    turned["config"]["layers"] = [layers[0], *reversed(layers[1:])]
    assert hash_architecture(graph_from_config(turned)) == hash_architecture(BASE)


def sequential(*layers):
    entries = [{"class_name": kind, "config": config} for kind, config in layers]
    return graph_from_config(
        {"class_name": "Sequential", "config": {"name": "net", "layers": entries}}
    )


def test_the_input_of_a_sequential_model_may_be_left_out():
    first = ("InputLayer", {"name": "x", "batch_input_shape": [None, 4]})
    dense = ("Dense", {"name": "fc", "units": 3, "batch_input_shape": [None, 4]})
    relu = ("ReLU", {"name": "relu"})
    assert hash_architecture(sequential(dense, relu)) == hash_architecture(
        sequential(first, dense, relu)
    )
    assert hash_architecture(sequential(relu, dense)) != hash_architecture(sequential(dense, relu))


def test_the_code_of_a_lambda_does_not_count_and_its_closure_does():
    def model(code, scale):
        config = {"name": "l", "function": [code, None, [scale]], "function_type": "lambda"}
        return hash_architecture(sequential(("Lambda", config)))

    assert model("YQ==", 2.0) == model("Yg==", 2.0)
    assert model("YQ==", 2.0) != model("YQ==", 3.0)


def of_kerases(name, *, own=False):
    """Return a model with an operation and an input, which a Keras or the program has named."""
    taken = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 4]}}
    dense = {"class_name": "Dense", "config": {"name": "fc", "units": 4}}
    config = {"name": name, "function": "math.add"}
    layers = [
        taken | {"name": "x", "inbound_nodes": []},
        dense | {"name": "fc", "inbound_nodes": [[["x", 0, 0, {}]]]},
        {"class_name": "TFOpLambda", "config": config, "name": name}
        | {"inbound_nodes": [["fc", 0, 0, {"y": 2.0 if own else 1.0}]]},
    ]
    model = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]]}
    model["output_layers"] = [[name, 0, 0]]
    return hash_architecture(graph_from_config({"class_name": "Functional", "config": model}))


def test_names_that_a_keras_gives_to_operations_do_not_count():
    assert of_kerases("tf.math.add_3") == of_kerases("add")
    assert of_kerases("tf.math.add_3") != of_kerases("mine")
    assert of_kerases("tf.math.add", own=True) != of_kerases("tf.math.add")


def test_an_axis_may_be_counted_from_the_end_in_a_layer_inside_too():
    def over_steps(axis):
        norm = {"class_name": "BatchNormalization", "config": {"name": "bn", "axis": [axis]}}
        return sequential(
            ("InputLayer", {"name": "x", "batch_input_shape": [None, 6, 4, 5]}),
            ("TimeDistributed", {"name": "steps", "layer": norm}),
        )

    assert hash_architecture(over_steps(-1)) == hash_architecture(over_steps(2))
    assert hash_architecture(over_steps(-1)) != hash_architecture(over_steps(1))
