"""Graphs read without TensorFlow equal the live models that were saved."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from live_models import all_weights, edges, walk
from tf_keras import layers

from graphprune.archive import read_archive
from graphprune.graph import LayerGraph, locate_weights, measure_zeros, read_graph, read_steps
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

pytestmark = pytest.mark.tf


def residual() -> tf_keras.Model:
    image = tf_keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="c1")(image)
    y = layers.BatchNormalization(name="bn")(
        layers.Conv2D(4, 3, padding="same", use_bias=False, name="c2")(x)
    )
    z = tf.reduce_mean(x + y, axis=[1, 2])
    return tf_keras.Model(
        image, layers.Dense(2, name="d")(tf.concat([z, z], axis=1)[:, 1:3]), name="residual"
    )


def recurrent() -> tf_keras.Model:
    steps = [
        layers.Embedding(10, 4, mask_zero=True, name="e"),
        layers.LSTM(3, return_sequences=True),
        layers.GRU(3, use_bias=False, return_sequences=True),
    ]
    steps += [
        layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
        layers.TimeDistributed(layers.Dense(2)),
        layers.SimpleRNN(2),
        layers.PReLU(),
    ]
    return tf_keras.Sequential([tf_keras.Input((6,)), *steps], name="recurrent")


def convolutions() -> tf_keras.Model:
    flat = tf_keras.Input((8, 8, 2))
    x = layers.SeparableConv2D(3, 3, depth_multiplier=2)(flat)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="down")(x)
    x = layers.Conv2DTranspose(3, 2, name="up")(x)
    x = layers.LayerNormalization(center=False)(
        layers.Conv3D(2, 1)(layers.Reshape((5, 5, 3, 1))(x))
    )
    x = layers.SeparableConv1D(3, 2)(layers.Conv1D(3, 2, groups=1)(layers.Reshape((25, 6))(x)))
    x = layers.DepthwiseConv1D(2)(x)
    return tf_keras.Model(
        flat,
        layers.BatchNormalization(scale=False, name="frozen_bn", trainable=False)(x),
        name="convolutions",
    )


def two_by_two() -> tf_keras.Model:
    a, b = tf_keras.Input((5,), name="a"), tf_keras.Input((4,), name="b")
    trunk = layers.Dense(3, name="trunk")(layers.Concatenate(name="cat")([a, b]))
    outputs = {
        "age": layers.Dense(1, name="age")(trunk),
        "group": layers.Dense(2, name="group")(trunk),
    }
    return tf_keras.Model({"first": a, "second": b}, outputs, name="two_by_two")


def keywords() -> tf_keras.Model:
    query, value = tf_keras.Input((5, 4), name="query"), tf_keras.Input((6, 4), name="value")
    attended = layers.MultiHeadAttention(2, 3, name="mh")(query, value=value)
    return tf_keras.Model(
        [query, value],
        layers.LSTM(4, name="l")(attended, initial_state=[attended[:, 0], attended[:, 1]]),
        name="keywords",
    )


def shared() -> tf_keras.Model:
    a, b = tf_keras.Input((5,), name="a"), tf_keras.Input((5,), name="b")
    dense = layers.Dense(5, name="shared")
    return tf_keras.Model(
        [a, b], layers.Add(name="sum")([dense(dense(a)), dense(b)]), name="shared_model"
    )


def siamese() -> tf_keras.Model:
    inside = tf_keras.Input((5,))
    tower = tf_keras.Model(
        inside,
        layers.BatchNormalization(name="bn")(layers.Dense(4, name="fc")(inside)),
        name="tower",
    )
    a, b = tf_keras.Input((5,), name="a"), tf_keras.Input((5,), name="b")
    return tf_keras.Model(
        [a, b],
        layers.Dense(1, name="fc")(layers.Subtract(name="minus")([tower(a), tower(b)])),
        name="siamese",
    )


def nested_twice() -> tf_keras.Model:
    x = tf_keras.Input((4,))
    inner = tf_keras.Model(x, layers.Dense(4, name="deep")(x), name="inner")
    y = tf_keras.Input((4,))
    middle = tf_keras.Model(
        y, layers.Dense(4, name="between")(inner(layers.Dense(4, name="before")(y))), name="middle"
    )
    tail = tf_keras.Sequential(
        [layers.Dense(3, name="s1"), layers.BatchNormalization(name="s2")], name="tail"
    )
    z = tf_keras.Input((4,))
    return tf_keras.Model(z, tail(middle(z)), name="nested_twice")


def transfer() -> tf_keras.Model:
    x = tf_keras.Input((4,))
    base = tf_keras.Model(
        x, layers.BatchNormalization(name="bn")(layers.Dense(4, name="fc")(x)), name="base"
    )
    base.trainable = False
    return tf_keras.Sequential(
        [base, layers.Dropout(0.5), layers.Dense(2, name="head")], name="transfer"
    )


def shared_across() -> tf_keras.Model:
    dense, x, y = layers.Dense(4, name="both"), tf_keras.Input((4,)), tf_keras.Input((4,), name="y")
    inner = tf_keras.Model(x, dense(x), name="inner")
    return tf_keras.Model(
        y,
        layers.Dense(4, name="last")(dense(inner(layers.Dense(4, name="first")(y)))),
        name="shared_across",
    )


def mobilenet() -> tf_keras.Model:
    return tf_keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=3
    )


def masked() -> tf_keras.Model:
    query, value = tf_keras.Input((5, 4), name="query"), tf_keras.Input((6, 4), name="value")
    pairs, steps = (
        tf_keras.Input((5, 6), name="pairs", dtype="bool"),
        tf_keras.Input((5,), name="steps", dtype="bool"),
    )
    attended = layers.MultiHeadAttention(2, 3, name="mh")(query, value, attention_mask=pairs)
    outputs = [
        layers.LSTM(3, name="l")(attended, mask=steps),
        {"each": layers.Dense(2, name="d")(attended)},
    ]
    return tf_keras.Model(
        {"query": query, "others": [value, (pairs, steps)]}, outputs, name="masked"
    )


def constants() -> tf_keras.Model:
    x = tf_keras.Input((4, 4), name="x")
    y = tf.stack([1 - x * 2.0 + tf.constant(np.ones((4, 4), "float32")), x], axis=-1)[:, :, :, 0]
    y = tf.matmul(y, np.eye(4, dtype="float32"))
    y = tf.math.add(
        tf.transpose(tf.where(y > 0, y, tf.zeros_like(y)), perm=[0, 2, 1]), x, name="named"
    )
    return tf_keras.Model(x, layers.Dense(2)(layers.Flatten()(tf.nn.relu(y))), name="constants")


def wrapped_in_keras() -> tf_keras.Model:
    inner = tf_keras.Sequential(
        [tf_keras.Input((4,)), layers.Dense(3, name="in_each")], name="each"
    )
    image = tf_keras.Input((8, 8, 3))
    steps = layers.TimeDistributed(inner, name="td")(
        layers.Reshape((36, 4))(layers.Conv2D(4, 3, name="c")(image))
    )
    return tf_keras.Model(
        image,
        layers.Bidirectional(layers.GRU(2), merge_mode=None, name="both_ways")(steps),
        name="wrapped_in_keras",
    )


def four_deep() -> tf_keras.Model:
    model = None
    for depth in range(4):
        x = tf_keras.Input((4,))
        y = layers.Dense(4, name=f"d{depth}")(x)
        model = tf_keras.Model(x, y if model is None else model(y) + model(x), name=f"level{depth}")
    return model


def structured() -> tf_keras.Model:
    def inputs(prefix: str) -> dict[str, object]:
        return {
            "a": tf_keras.Input((3,), name=f"{prefix}a"),
            "b": [tf_keras.Input((3,), name=f"{prefix}b{place}") for place in range(2)],
        }

    inside, outside = inputs("i"), inputs("o")
    total = layers.Add(name="add")([inside["a"], *inside["b"]])
    outputs = tf_keras.Model(
        inside, {"sum": total, "list": [layers.Dense(2, name="t")(total)]}, name="inner"
    )(outside)
    return tf_keras.Model(
        outside,
        {"out": layers.Dense(1, name="o")(outputs["sum"]), "list": outputs["list"][0]},
        name="structured",
    )


def states() -> tf_keras.Model:
    x = tf_keras.Input((4, 3), name="x")
    every, hidden, cell = layers.LSTM(3, return_sequences=True, return_state=True, name="encoder")(
        x
    )
    decoded = layers.LSTM(3, return_sequences=True, name="decoder")(x, initial_state=[hidden, cell])
    return tf_keras.Model(
        x,
        [
            layers.Dot(axes=(2, 2), name="dot")(
                [layers.Attention(name="att")([decoded, every]), every]
            ),
            hidden,
        ],
        name="states",
    )


NESTED = [four_deep, structured, siamese, nested_twice, transfer, shared_across]
BUILDERS = [
    residual,
    recurrent,
    convolutions,
    two_by_two,
    keywords,
    masked,
    constants,
    wrapped_in_keras,
    states,
    shared,
    *NESTED,
    mobilenet,
]


@pytest.fixture(scope="module", params=BUILDERS, ids=lambda build: build.__name__)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tf_keras.Model, dict[str, Path]]:
    tf_keras.utils.set_random_seed(7)
    model = request.param()
    for weight in model.weights:
        weight.assign(tf.random.normal(weight.shape))
    folder = tmp_path_factory.mktemp("saved")
    model.compile("adam", "mse")
    model.save(folder / "model.keras")
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(folder / "model.h5")
    model.use_legacy_config = False
    return model, {"keras": folder / "model.keras", "h5": folder / "model.h5"}


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_layers_and_weights_equal_the_live_model(
    saved: tuple[tf_keras.Model, dict[str, Path]], format: str
) -> None:
    model, paths = saved
    graph = read_graph(paths[format])
    live = {address: layer for address, layer in walk(model)}
    assert set(graph.layers) == set(live)
    weights = locate_weights(read_archive(paths[format]), graph)
    for address, layer in graph.layers.items():
        assert layer.types[-1] == type(live[address]).__name__
        assert layer.trainable == live[address].trainable
        if layer.kind == "model":
            assert layer.tensors == ()
            continue
        variables = all_weights(live[address])
        assert [tensor.shape for tensor in layer.tensors] == [
            tuple(variable.shape) for variable in variables
        ]
        last = [variable.name.split("/")[-1].removesuffix(":0") for variable in variables]
        # a model inside a wrapper: the file has numbers and no names
        if (address, format) != ("td", "keras"):
            assert [tensor.name.rsplit(".", 1)[-1] for tensor in layer.tensors] == last
        for tensor, variable in zip(layer.tensors, variables, strict=True):
            np.testing.assert_array_equal(weights.read(address, tensor.name), variable.numpy())


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_edges_equal_the_live_model(
    saved: tuple[tf_keras.Model, dict[str, Path]], format: str
) -> None:
    model, paths = saved
    graph = read_graph(paths[format])
    assert Counter(
        (source, facts["source_tensor"], target)
        for source, target, facts in graph.network.edges(data=True)
    ) == edges(model)
    flat = [layer.name for layer in tf.nest.flatten(model._output_layers)]
    assert list(graph.outputs) == flat
    assert list(graph.inputs) == [layer.name for layer in model._input_layers]


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_a_file_reads_into_a_graph_that_gives_its_config_back(
    saved: tuple[tf_keras.Model, dict[str, Path]], format: str
) -> None:
    archive = read_archive(saved[1][format])
    assert read_graph(archive).to_config() == archive.config


def test_live_config_and_both_formats_are_one_graph(
    saved: tuple[tf_keras.Model, dict[str, Path]],
) -> None:
    model, paths = saved
    graphs = [read_graph(path) for path in paths.values()]
    assert graphs[0].sha256 == graphs[1].sha256
    config = model.get_config()
    live = read_graph(config)
    assert live.to_config() == config
    assert {address: layer.calls for address, layer in live.layers.items()} == {
        address: layer.calls for address, layer in graphs[0].layers.items()
    }


def test_zeros_are_counted_in_every_tensor(saved: tuple[tf_keras.Model, dict[str, Path]]) -> None:
    _, paths = saved
    for path in paths.values():
        graph: LayerGraph = read_graph(path)
        zeros = measure_zeros(locate_weights(read_archive(path), graph))
        assert set(zeros) == {
            (address, tensor.name)
            for address, layer in graph.layers.items()
            for tensor in layer.tensors
        }
        assert sum(zeros.values()) == 0


def test_prunable_tensors_have_named_axes(saved: tuple[tf_keras.Model, dict[str, Path]]) -> None:
    for layer in read_graph(saved[1]["keras"]).layers.values():
        for tensor in layer.prunable:
            assert len(tensor.axes) == len(tensor.shape)
            assert "in" in tensor.axes


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_wrapped_layers_are_read_with_their_state(tmp_path: Path, format: str) -> None:
    schedule = Schedule(end=Position(4, "epoch"))
    steps = [
        PruneLowMagnitude(
            layers.SeparableConv1D(3, 2, name="sep"),
            Pruning(0.5, schedule, ("depthwise_kernel", "pointwise_kernel")),
        ),
        PruneLowMagnitude(
            layers.LSTM(3, name="lstm"), Pruning(0.5, schedule, ("kernel", "recurrent_kernel"))
        ),
        layers.Dense(3, name="plain"),
        PruneLowMagnitude(
            layers.Dense(2, name="fc", trainable=False), Pruning(0.5, schedule, ("kernel",))
        ),
    ]
    model = tf_keras.Sequential([tf_keras.Input((6, 4)), *steps], name="wrapped")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / f"m.{format}")
    archive = read_archive(tmp_path / f"m.{format}")
    graph = read_graph(archive)
    weights = locate_weights(archive, graph)
    assert graph.to_config() == archive.config
    for layer in model.layers:
        found = graph.layer(layer.name)
        wrapped = isinstance(layer, PruneLowMagnitude)
        inner = layer.layer if wrapped else layer
        assert (found.wrap is not None, found.type, found.trainable) == (
            wrapped,
            type(inner).__name__,
            inner.trainable,
        )
        assert [tensor.name for tensor in found.tensors] == [
            variable.name.split("/")[-1].removesuffix(":0") for variable in inner.weights
        ]
        for variable in layer.weights:
            np.testing.assert_array_equal(
                weights.read(layer.name, variable.name.split("/")[-1].removesuffix(":0")),
                variable.numpy(),
            )
    assert set(weights.tensors["fc"]) == {
        "kernel",
        "bias",
        "mask_kernel",
        "threshold_kernel",
        "pruning_step",
        "last_update",
    }
    assert read_steps(locate_weights(archive, graph)) == {"sep": 0, "lstm": 0, "fc": 0}


def test_a_model_saved_as_h5_before_is_read_from_keras_too(tmp_path: Path) -> None:
    model = nested_twice()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("a.h5", "b.keras", "c.h5"):
            model.save(tmp_path / name)
    graphs = [read_graph(tmp_path / name) for name in ("a.h5", "b.keras", "c.h5")]
    assert graphs[0] == graphs[1] == graphs[2]
    assert read_graph(model.get_config()).to_config() == model.get_config()
