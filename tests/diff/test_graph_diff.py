import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from builders import build_graph
from hypothesis import given
from hypothesis import strategies as st
from memory_weights import MemoryWeights, make_weights, with_zeros, wrap_layers

from graphprune.diff.changes import ConfigChange, Connection, MaskOverlap
from graphprune.diff.document import graph_diff_to_config
from graphprune.diff.graph_diff import diff_graphs, diff_models
from graphprune.graph import graph_from_config
from graphprune.graph.read import open_model_file, read_graph
from graphprune.sparsity.positions import Position, Run
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule

RAMP = Schedule(end=Position(2000, "step"), name="ramp")
HALF = Pruning(0.5, RAMP, ("kernel",))
KINDS = ("fc", "relu", "drop", "bn", "conv", "lstm")


@st.composite
def graphs(draw, numbers=(0, 1, 2)):
    """Layers of random kinds, each taking one or two earlier ones; graphs drawn with other numbers
    share no names.
    """
    names = ["in"]
    steps = []
    for index in range(draw(st.integers(1, 12))):
        sources = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        kind = "add" if len(sources) > 1 else draw(st.sampled_from(KINDS))
        name = f"{kind}_{draw(st.sampled_from(numbers))}{index}"
        steps.append(f"{' + '.join(sources)} > {name}")
        names.append(name)
    graph = build_graph("; ".join(steps))
    chosen = draw(st.sets(st.sampled_from(names)))
    return wrap_layers(
        graph, HALF, tuple(layer.address for layer in graph.candidates() if layer.address in chosen)
    )


@given(graphs(), st.booleans())
def test_a_graph_does_not_differ_from_itself(graph, measured):
    weights = make_weights(graph) if measured else None
    diff = diff_graphs(graph, graph, left_weights=weights, right_weights=weights)
    assert diff.is_empty
    assert diff.notable_layers == ()
    assert diff.is_weights_equal is (
        True if measured or not any(layer.tensors for layer in diff.layers) else None
    )
    assert set(diff.count_statuses().values()) == {0}


@given(graphs(), st.one_of(graphs(), graphs(numbers=(7, 8))))
def test_swapping_the_sides_swaps_what_came_and_what_went(left, right):
    there, back = diff_graphs(left, right), diff_graphs(right, left)

    def addresses(diff, status):
        return {layer.address for layer in diff.layers if status in layer.status}

    assert addresses(there, "added") == addresses(back, "removed")
    assert addresses(there, "removed") == addresses(back, "added")
    assert there.count_statuses()["wrapped"] == back.count_statuses()["unwrapped"]
    assert (len(there.added), len(there.removed)) == (len(back.removed), len(back.added))
    assert there.is_graph_equal == back.is_graph_equal


@given(graphs())
def test_wrapping_and_stripping_change_nothing_but_wrappers(graph):
    wrapped = wrap_layers(graph, HALF, tuple(layer.address for layer in graph.candidates()))
    diff = diff_graphs(graph, wrapped)
    assert diff.is_graph_equal
    assert {layer.status for layer in diff.notable_layers} <= {("wrapped",)}


def test_added_and_removed_layers_and_connections_are_listed():
    diff = diff_graphs(build_graph("in > fc1 > relu > out"), build_graph("in > fc1 > drop > out"))
    assert [(layer.address, layer.status) for layer in diff.notable_layers] == [
        ("drop", ("added",)),
        ("relu", ("removed",)),
    ]
    assert [(edge.source, edge.target) for edge in diff.added] == [("fc1", "drop"), ("drop", "out")]
    assert [(edge.source, edge.target) for edge in diff.removed] == [
        ("fc1", "relu"),
        ("relu", "out"),
    ]


def test_a_layer_that_is_gone_is_told_from_another_of_its_name():
    before = build_graph("in > dense_1[4,4] > dense_2[4,5] > dense_3[5,5]")
    after = build_graph("in > dense_1[4,4] > dense_2[5,5]")
    diff = diff_graphs(before, after)
    assert [edge.gone for edge in diff.removed] == [("target",), ("source",)]
    assert all(edge.gone == () for edge in diff.added)
    config = graph_diff_to_config(diff)
    assert [edge.get("gone") for edge in config["edges"]["removed"]] == [["target"], ["source"]]


def test_connections_of_renamed_layers_are_the_same():
    diff = diff_graphs(build_graph("in > dense_1 > dense_2"), build_graph("in > dense_7 > dense_8"))
    assert (diff.added, diff.removed) == ((), ())
    assert [
        (layer.previous_address, layer.address, layer.status) for layer in diff.notable_layers
    ] == [("dense_1", "dense_7", ("renamed",)), ("dense_2", "dense_8", ("renamed",))]
    assert not diff.is_graph_equal


def test_a_changed_setting_has_a_dotted_path():
    diff = diff_graphs(
        build_graph("in > conv2(strides=[1, 1])"), build_graph("in > conv2(strides=[2, 2])")
    )
    (layer,) = diff.notable_layers
    assert (layer.status, layer.config) == (
        ("reconfigured",),
        (ConfigChange("config.strides", [1, 1], [2, 2]),),
    )


def test_outputs_of_the_model_are_connections():
    diff = diff_graphs(build_graph("in > fc1 > fc2"), build_graph("in > fc1 > fc2; fc1 > relu"))
    assert Connection("relu", 0, 0, None, 0, "output 1") in diff.added


def test_inputs_that_change_places_are_connections():
    diff = diff_graphs(
        build_graph("in_a; in_b; in_a + in_b > add"), build_graph("in_b; in_a; in_a + in_b > add")
    )
    assert [edge for edge in diff.added if edge.source is None] == [
        Connection(None, 0, 0, "in_b", 0, "input"),
        Connection(None, 0, 1, "in_a", 0, "input"),
    ]


def test_a_constant_argument_of_a_call_is_a_setting():
    def build(factor):
        config = build_graph("in > times:TFOpLambda").to_config()
        config["config"]["layers"][1]["inbound_nodes"][0][0][3] = {"y": factor}
        return graph_from_config(config)

    (layer,) = diff_graphs(build(2.0), build(3.0)).notable_layers
    assert layer.config == (ConfigChange("calls.0[0].y", 2.0, 3.0),)


def test_a_model_with_another_name_is_not_the_same_graph():
    diff = diff_graphs(build_graph("in > fc", name="net"), build_graph("in > fc", name="net_1"))
    assert diff.model == (ConfigChange("name", "net", "net_1"),)
    assert not diff.is_graph_equal


def test_the_older_dialect_is_not_a_change():
    graph = build_graph("in > fc1")
    config = graph.to_config()
    for entry in config["config"]["layers"]:
        del entry["module"], entry["registered_name"]
    tensors = {
        layer.address: [(tensor.name, tensor.shape, tensor.dtype) for tensor in layer.tensors]
        for layer in graph.layers.values()
    }
    assert diff_graphs(graph, graph_from_config(config, tensors=tensors)).is_empty


def test_a_wrap_is_neither_added_nor_removed():
    graph = build_graph("in > fc1[4,4] > fc2[4,4]")
    wrapped = wrap_layers(graph, HALF, ("fc1",))
    there, back = diff_graphs(graph, wrapped), diff_graphs(wrapped, graph)
    assert {status: count for status, count in there.count_statuses().items() if count} == {
        "wrapped": 1
    }
    assert {status: count for status, count in back.count_statuses().items() if count} == {
        "unwrapped": 1
    }
    assert there.is_graph_equal
    assert not there.is_pruning_equal


def measured(zeros, *, step, schedule=RAMP, run=None):
    """Return the first layer's diff from dense to a wrapped fc1 of 16 weights at 50%."""
    graph = build_graph("in > fc1[4,4]")
    weights = make_weights(graph)
    pruned = with_zeros(weights, {("fc1", "kernel"): zeros})
    pruned.states["fc1", "pruning_step"] = np.array(step)
    wrapped = wrap_layers(graph, Pruning(0.5, schedule, ("kernel",)), ("fc1",))
    (layer,) = diff_graphs(
        graph, wrapped, left_weights=weights, right_weights=pruned, run=run
    ).notable_layers
    return layer


@pytest.mark.parametrize(("zeros", "met"), [(7, False), (8, True), (9, True)])
def test_a_target_is_met_by_its_exact_count(zeros, met):
    (kernel,) = measured(zeros, step=2000).notable_tensors
    assert (kernel.zeros_before, kernel.zeros_after, kernel.target, kernel.target_met) == (
        0,
        zeros,
        0.5,
        met,
    )


@pytest.mark.parametrize(("step", "finished"), [(1999, False), (2000, True), (2500, True)])
def test_a_schedule_in_steps_is_finished_at_its_end(step, finished):
    assert measured(8, step=step).after.finished is finished


def test_a_schedule_in_epochs_is_finished_by_the_run_or_else_by_its_zeros():
    epochs = Schedule(end=Position(4, "epoch"))
    assert measured(8, step=100, schedule=epochs).after.finished is True
    assert measured(7, step=100, schedule=epochs).after.finished is False
    assert (
        measured(8, step=100, schedule=epochs, run=Run(steps_per_epoch=50)).after.finished is False
    )


def test_a_stripped_layer_keeps_the_target_that_its_wrapper_had():
    graph = build_graph("in > fc1[4,4]")
    weights = with_zeros(make_weights(graph), {("fc1", "kernel"): 8})
    (layer,) = diff_graphs(
        wrap_layers(graph, HALF, ("fc1",)), graph, left_weights=weights, right_weights=weights
    ).notable_layers
    (kernel,) = layer.notable_tensors
    assert (layer.status, kernel.target, kernel.target_met, kernel.values) == (
        ("unwrapped",),
        0.5,
        True,
        "same",
    )


def test_masks_of_two_wrapped_models_are_compared():
    graph = wrap_layers(build_graph("in > fc1[2,4]"), HALF, ("fc1",))
    weights = make_weights(graph)

    def with_mask(kept):
        return MemoryWeights(
            weights.tensors, {("fc1", "mask_kernel"): np.isin(np.arange(8), kept).reshape(2, 4)}
        )

    diff = diff_graphs(
        graph, graph, left_weights=with_mask([0, 1, 2, 3]), right_weights=with_mask([1, 2, 3, 4])
    )
    assert diff.layers[1].tensors[0].mask == MaskOverlap(shared=0.75, dropped=1, regrown=1)
    assert not diff.is_pruning_equal


def test_another_sparsity_in_the_wrapper_is_a_setting_but_no_other_graph():
    graph = build_graph("in > fc1[4,4]")
    diff = diff_graphs(
        wrap_layers(graph, HALF, ("fc1",)),
        wrap_layers(graph, Pruning(0.8, RAMP, ("kernel",)), ("fc1",)),
    )
    (layer,) = diff.notable_layers
    assert layer.config == (ConfigChange("pruning.sparsity", 0.5, 0.8),)
    assert diff.is_graph_equal
    assert not diff.is_pruning_equal


def test_trained_values_alone_are_no_notable_layer():
    graph = build_graph("in > fc1[4,4] > fc2[4,4]")
    diff = diff_graphs(
        graph, graph, left_weights=make_weights(graph), right_weights=make_weights(graph, seed=1)
    )
    assert diff.notable_layers == ()
    assert diff.is_weights_equal is False
    assert not diff.is_empty


def test_each_tensor_is_read_once_where_addresses_are_the_same():
    graph = build_graph("in > fc1[4,4] > fc2[4,4]")
    weights, others = make_weights(graph), make_weights(graph)
    diff_graphs(graph, graph, left_weights=weights, right_weights=others)
    assert (
        weights.reads
        == others.reads
        == [("fc1", "kernel"), ("fc1", "bias"), ("fc2", "kernel"), ("fc2", "bias")]
    )


def test_totals_count_all_parameters():
    graph = build_graph("in > fc1[4,4]")
    weights = make_weights(graph)
    diff = diff_graphs(
        graph, graph, left_weights=weights, right_weights=with_zeros(weights, {("fc1", "bias"): 3})
    )
    assert (diff.left.parameters, diff.left.zeros, diff.right.zeros, diff.sparsity_changed) == (
        20,
        0,
        3,
        1,
    )


FIXTURE = Path(__file__).parents[2] / "fixtures" / "digits-cnn.keras"


@pytest.fixture
def first_dense():
    """The address of the first Dense layer of the shipped model."""
    return next(
        layer.address for layer in read_graph(FIXTURE).layers.values() if layer.type == "Dense"
    )


@pytest.fixture
def sparser(tmp_path, first_dense):
    """The shipped model with 100 weights of a Dense kernel set to zero."""
    path = open_model_file(FIXTURE).weights.find(first_dense, "kernel").path
    copy = tmp_path / "sparser.keras"
    with zipfile.ZipFile(FIXTURE) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "model.weights.h5":
                (tmp_path / "w.h5").write_bytes(data)
                with h5py.File(tmp_path / "w.h5", "r+") as file:
                    values = file[path][()]
                    values.reshape(-1)[:100] = 0
                    file[path][...] = values
                data = (tmp_path / "w.h5").read_bytes()
            target.writestr(name, data)
    return copy


def test_a_file_does_not_differ_from_its_copy(tmp_path):
    copy = shutil.copy(FIXTURE, tmp_path / "copy.keras")
    diff = diff_models(open_model_file(FIXTURE), open_model_file(copy))
    assert diff.is_empty
    assert diff.is_weights_equal is True
    assert diff.weights_gzip is None


def test_zeros_in_a_file_are_found(sparser, first_dense):
    diff = diff_models(open_model_file(FIXTURE), open_model_file(sparser))
    assert [layer.address for layer in diff.notable_layers] == [first_dense]
    (kernel,) = diff.notable_layers[0].notable_tensors
    assert (kernel.name, kernel.zeros_before, kernel.zeros_after, kernel.values) == (
        "kernel",
        0,
        100,
        "changed",
    )
    assert diff.left.path.endswith("digits-cnn.keras")
    assert diff.weights_gzip is not None
    assert diff.weights_gzip[0] > diff.weights_gzip[1] > 1000


def test_a_layer_without_a_wrapper_has_no_state(first_dense):
    weights = open_model_file(FIXTURE).weights
    assert weights.read_state(first_dense, "pruning_step") is None
    assert weights.read(first_dense, "kernel").dtype == np.float32
