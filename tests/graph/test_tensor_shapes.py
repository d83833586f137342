from builders import build_config, build_graph

from graphprune.graph import find_tensor_shapes, graph_from_config


def shapes_of(text, build=None, **kwargs):
    config = build_config(text, **kwargs)
    for entry in config["config"]["layers"]:
        if entry["name"] in (build or {}):
            entry["build_config"] = {"input_shape": build[entry["name"]]}
    return find_tensor_shapes(graph_from_config(config))


def test_inputs_build_configs_and_plain_layers_tell_shapes():
    shapes = shapes_of("in > conv_1 > relu_1 > flatten_1 > fc_1[9,5]", {"relu_1": [None, 3, 3, 1], "fc_1": [None, 9]})
    assert shapes == {
        ("in", 0, 0): (None, 4),
        ("conv_1", 0, 0): (None, 3, 3, 1),
        ("relu_1", 0, 0): (None, 3, 3, 1),
        ("flatten_1", 0, 0): (None, 9),
        ("fc_1", 0, 0): (None, 5),
    }


def test_a_layer_with_several_inputs_tells_each():
    shapes = shapes_of("in > conv_1; in > conv_2; conv_1 + conv_2 > cat_1", {"cat_1": [[None, 2], [None, 3]]})
    assert (shapes["conv_1", 0, 0], shapes["conv_2", 0, 0], ("cat_1", 0, 0) in shapes) == ((None, 2), (None, 3), False)


def test_a_nested_model_gives_what_its_output_layer_gives_in_each_call():
    shapes = find_tensor_shapes(build_graph("in_a > tower; in_b > tower; tower@0 + tower@1 > cat_1", models={"tower": "in > fc_1[4,7]"}))
    assert (shapes["tower", 0, 0], shapes["tower", 1, 0]) == ((None, 7), (None, 7))


def test_damaged_build_configs_tell_nothing():
    assert shapes_of("in > conv_1 > conv_2", {"conv_2": "x"}) == {("in", 0, 0): (None, 4)}
    assert shapes_of("in > conv_1 > conv_2", {"conv_2": [[None, "x"]]}) == {("in", 0, 0): (None, 4)}
    assert shapes_of("in > conv_1 > conv_2", {"conv_2": [1] * 99}) == {("in", 0, 0): (None, 4)}
