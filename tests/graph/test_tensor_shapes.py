from builders import build_config, build_graph

from graphprune.graph import find_tensor_shapes, graph_from_config


def shapes_of(text, build=None, layers=None, **kwargs):
    config = build_config(text, **kwargs)
    for entry in config["config"]["layers"]:
        if entry["name"] in (layers or {}):
            entry["config"]["layer"] = layers[entry["name"]]
        if entry["name"] in (build or {}):
            entry["build_config"] = {"input_shape": build[entry["name"]]}
    return find_tensor_shapes(graph_from_config(config))


def test_inputs_build_configs_and_plain_layers_tell_shapes():
    shapes = shapes_of(
        "in > conv_1 > relu_1 > flatten_1 > fc_1[9,5]",
        {"relu_1": [None, 3, 3, 1], "fc_1": [None, 9]},
    )
    assert shapes == {
        ("in", 0, 0): (None, 4),
        ("conv_1", 0, 0): (None, 3, 3, 1),
        ("relu_1", 0, 0): (None, 3, 3, 1),
        ("flatten_1", 0, 0): (None, 9),
        ("fc_1", 0, 0): (None, 5),
    }


def test_a_layer_with_several_inputs_tells_each():
    shapes = shapes_of(
        "in > conv_1; in > conv_2; conv_1 + conv_2 > cat_1", {"cat_1": [[None, 2], [None, 3]]}
    )
    assert (shapes["conv_1", 0, 0], shapes["conv_2", 0, 0], shapes["cat_1", 0, 0]) == (
        (None, 2),
        (None, 3),
        (None, 5),
    )


def test_a_nested_model_gives_what_its_output_layer_gives_in_each_call():
    shapes = find_tensor_shapes(
        build_graph(
            "in_a > tower; in_b > tower; tower@0 + tower@1 > cat_1",
            models={"tower": "in > fc_1[4,7]"},
        )
    )
    assert (shapes["tower", 0, 0], shapes["tower", 1, 0]) == ((None, 7), (None, 7))


def test_damaged_build_configs_tell_nothing():
    assert shapes_of("in > conv_1 > conv_2", {"conv_2": "x"}) == {("in", 0, 0): (None, 4)}
    assert shapes_of("in > conv_1 > conv_2", {"conv_2": [[None, "x"]]}) == {("in", 0, 0): (None, 4)}
    assert shapes_of("in > conv_1 > conv_2", {"conv_2": [1] * 99}) == {("in", 0, 0): (None, 4)}


def test_shapes_go_from_the_inputs_through_the_layers():
    text = (
        "in(batch_input_shape=(None, 8, 8, 3)) > conv_1[3,3,3,4] > pool_1(pool_size=(2, 2),"
        " padding='valid') > flatten_1 > fc_1[36,5]"
    )
    shapes = shapes_of(text)
    assert [shapes[name, 0, 0] for name in ("conv_1", "pool_1", "flatten_1", "fc_1")] == [
        (None, 6, 6, 4),
        (None, 3, 3, 4),
        (None, 36),
        (None, 5),
    ]


def test_a_shared_layer_has_a_shape_for_each_call():
    shapes = shapes_of(
        "in_a(batch_input_shape=(None, 8, 3)) > fc_1[3,5]; in_b(batch_input_shape=(None, 9, 3)) >"
        " fc_1"
    )
    assert (shapes["fc_1", 0, 0], shapes["fc_1", 1, 0]) == ((None, 8, 5), (None, 9, 5))


def test_a_nested_model_is_walked_again_for_calls_on_other_shapes_and_keeps_its_own_inside():
    text = (
        "in_a(batch_input_shape=(None, 8, 3)) > tower; in_b(batch_input_shape=(None, 9, 3)) > tower"
    )
    graph = build_graph(text, models={"tower": "in(batch_input_shape=(None, None, 3)) > fc_1[3,5]"})
    shapes = find_tensor_shapes(graph)
    assert (shapes["tower", 0, 0], shapes["tower", 1, 0], shapes["tower::fc_1", 0, 0]) == (
        (None, 8, 5),
        (None, 9, 5),
        (None, None, 5),
    )


def test_towers_in_towers_with_ever_other_shapes_end():
    models = {"t0": "in > fc_0[4,4]"}
    for level in range(1, 11):
        joined = "joined:Concatenate(axis=1)"
        models[f"t{level}"] = (
            f"in(batch_input_shape=(None, 3, 4)) > t{level - 1}; in + t{level - 1}@0 > {joined} >"
            f" t{level - 1}; t{level - 1}@1 > relu_1"
        )
    shapes = find_tensor_shapes(
        build_graph("in(batch_input_shape=(None, 5, 4)) > t10", models=models)
    )
    assert shapes["in", 0, 0] == (None, 5, 4)


def test_a_model_that_a_layer_holds_is_walked_for_one_step_and_not_for_ever():
    held = build_config("in(batch_input_shape=(None, 8, 3)) > flatten_1 > fc_1(units=5)[24,5]")
    shapes = shapes_of(
        "in(batch_input_shape=(None, 6, 8, 3)) > td:TimeDistributed", layers={"td": held}
    )
    assert shapes["td", 0, 0] == (None, 6, 5)
    for _ in range(5):
        outer = build_config("in(batch_input_shape=(None, 6, 8, 3)) > td:TimeDistributed")
        outer["config"]["layers"][1]["config"]["layer"] = held
        held = outer
    assert shapes_of(
        "in(batch_input_shape=(None, 2, 6, 8, 3)) > td:TimeDistributed", layers={"td": held}
    ).keys() == {("in", 0, 0)}
