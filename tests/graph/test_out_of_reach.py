"""Weights that no rule can reach, and what to do about them."""

from graphprune.graph.from_config import graph_from_config
from graphprune.graph.out_of_reach import BY_NAME, find_out_of_reach

NAMED = [("w", (8,), "float32"), ("dense_2.kernel", (8, 8), "float32")]


def model(**entry):
    """Return the graph of a model of Keras 3 with a custom layer."""
    own = {
        "class_name": "own>Block",
        "config": {"name": "block", "dtype": {"module": "keras", "class_name": "DTypePolicy"}},
        **entry,
    }
    taken = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 8]}}
    config = {"name": "net", "layers": [taken, own]}
    whole = {"module": "keras.src.models.sequential", "class_name": "Sequential", "config": config}
    return graph_from_config(whole, tensors={"block": NAMED})


def test_layers_inside_a_custom_layer_of_an_h5_file_are_known_by_name_alone():
    graph = model()
    assert graph.keras == 3
    assert [(one.address, one.reason) for one in find_out_of_reach(graph)] == [("block", BY_NAME)]


def test_a_keras_file_has_them_as_layers():
    graph = model(module="program", registered_name="own>Block")
    assert find_out_of_reach(graph) == ()
