from graphprune.archive.tfmot import rename_toolkit_wrappers


def wrapper(name, inner, *, zipped=False, **config):
    entry = {
        "class_name": "PruneLowMagnitude",
        "config": {
            "name": name,
            "layer": {"class_name": "Dense", "config": {"name": inner}},
            **config,
        },
    }
    return (
        entry
        | {"name": name}
        | (
            {"module": "tensorflow_model_optimization", "registered_name": "PruneLowMagnitude"}
            if zipped
            else {}
        )
    )


def model(*layers, outputs=()):
    return {
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": list(layers),
            "input_layers": [],
            "output_layers": [[name, 0, 0] for name in outputs],
        },
    }


def test_wrappers_take_the_names_of_their_layers_wherever_these_stand():
    first = wrapper("prune_low_magnitude_a", "a", pruning_schedule={})
    second = wrapper("prune_low_magnitude_b", "b", zipped=True, pruning_schedule={}) | {
        "inbound_nodes": [[["prune_low_magnitude_a", 0, 0, {}]]]
    }
    config = model(model(first), second, outputs=["prune_low_magnitude_b"])
    renamed, names = rename_toolkit_wrappers(config)
    assert names == {"prune_low_magnitude_a": "a", "prune_low_magnitude_b": "b"}
    nested, other = renamed["config"]["layers"]
    inner = nested["config"]["layers"][0]
    assert (inner["name"], inner["config"]["name"], inner["class_name"]) == (
        "a",
        "a",
        "graphprune>PruneLowMagnitude",
    )
    assert (other["module"], other["class_name"], other["registered_name"]) == (
        "graphprune.tf.pruning.wrapper",
        "PruneLowMagnitude",
        "graphprune>PruneLowMagnitude",
    )
    assert (other["inbound_nodes"], renamed["config"]["output_layers"]) == (
        [[["a", 0, 0, {}]]],
        [["b", 0, 0]],
    )
    assert config["config"]["layers"][1]["name"] == "prune_low_magnitude_b"


def test_other_wrappers_and_other_names_stay():
    own = wrapper("mine", "a", pruning={})
    config = model(own, {"class_name": "Dense", "config": {"name": "prune_low_magnitude_x"}})
    assert rename_toolkit_wrappers(config) == (config, {})
    assert rename_toolkit_wrappers(config)[0] is config
