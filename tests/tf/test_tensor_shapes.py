"""Shapes found without TensorFlow are those of the live tensors; none is wrong, and nearly all are
found.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import tensorflow as tf
import tf_keras
from layer_zoo import ARGUMENTS, PRUNABLE, STRINGS, WEIGHTED
from live_models import output_shapes
from tf_keras import layers
from tf_zoo import ZOO, build

from graphprune.graph import find_tensor_shapes, read_graph

pytestmark = pytest.mark.tf

UNTOLD = {"Lambda", "TextVectorization", "IntegerLookup"}
UNTOLD |= {"DynamicLookup", "DynamicEmbedding"}
"""Classes whose output is not told; with them, what comes after them is not."""
SHAPES = ((5,), (6, 5), (6, 8, 5), (4, 5, 6, 5))

SETTINGS = {
    "strided": (lambda: layers.Conv2D(4, 3, strides=(2, 3), padding="same"), (9, 11, 2)),
    "dilated": (lambda: layers.Conv1D(4, 3, dilation_rate=2, padding="causal"), (9, 2)),
    "open": (lambda: layers.Conv2D(4, 3), (None, None, 2)),
    "up strided": (lambda: layers.Conv2DTranspose(4, (3, 2), strides=(2, 3)), (5, 6, 2)),
    "up same": (lambda: layers.Conv1DTranspose(4, 5, strides=3, padding="same"), (6, 2)),
    "up padded": (lambda: layers.Conv2DTranspose(4, 3, strides=2, output_padding=1), (5, 6, 2)),
    "depthwise strided": (
        lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same"),
        (9, 11, 2),
    ),
    "pool same": (lambda: layers.MaxPooling2D(3, strides=2, padding="same"), (9, 11, 2)),
    "pool first": (lambda: layers.AveragePooling2D(2, data_format="channels_first"), (2, 9, 11)),
    "global first": (
        lambda: layers.GlobalMaxPooling2D(data_format="channels_first", keepdims=True),
        (2, 9, 11),
    ),
    "pad": (lambda: layers.ZeroPadding2D(((1, 2), (3, 4))), (9, 11, 2)),
    "pad 1": (lambda: layers.ZeroPadding1D(2), (9, 2)),
    "crop 3": (lambda: layers.Cropping3D((1, 2, 1)), (5, 6, 7, 2)),
    "up 3": (lambda: layers.UpSampling3D((1, 2, 3)), (5, 6, 7, 2)),
    "batches": (lambda: layers.Conv1D(4, 2), (3, 9, 2)),
    "flat open": (lambda: layers.Flatten(), (None, 3)),
    "reshape open": (lambda: layers.Reshape((-1, 6)), (None, 3)),
    "reshape rest": (lambda: layers.Reshape((2, -1)), (4, 3)),
    "permute": (lambda: layers.Permute((3, 1, 2)), (4, 3, 2)),
    "states": (lambda: layers.LSTM(7, return_state=True, return_sequences=True), (6, 5)),
    "both states": (
        lambda: layers.Bidirectional(layers.LSTM(7, return_state=True), merge_mode="sum"),
        (6, 5),
    ),
    "both apart": (
        lambda: layers.Bidirectional(layers.GRU(7, return_sequences=True), merge_mode=None),
        (6, 5),
    ),
    "conv lstm": (
        lambda: layers.ConvLSTM2D(7, 3, strides=2, padding="same", return_sequences=True),
        (3, 9, 11, 2),
    ),
    "distributed": (lambda: layers.TimeDistributed(layers.Conv2D(4, 3)), (3, 9, 11, 2)),
}

OPERATIONS = {
    "where": lambda x, y, n, im: tf.where(x > 0, x, y),
    "where number": lambda x, y, n, im: tf.where(tf.less_equal(x, y), x, 0.0),
    "split": lambda x, y, n, im: tf.split(x, 3, axis=-1)[1],
    "split sizes": lambda x, y, n, im: tf.split(x, [2, -1], -1)[1],
    "split batch": lambda x, y, n, im: tf.split(x, 2, axis=0)[1],
    "reshape": lambda x, y, n, im: tf.reshape(x, (-1, 24)),
    "reshape more": lambda x, y, n, im: tf.reshape(x, (-1, 2, 12)),
    "reshape to the shape of another": lambda x, y, n, im: tf.reshape(x, tf.shape(y)),
    "reshape to lengths": lambda x, y, n, im: tf.reshape(x, [tf.shape(x)[0], 24]),
    "transpose": lambda x, y, n, im: tf.transpose(x, [0, 2, 1]),
    "transpose all": lambda x, y, n, im: tf.transpose(x),
    "matmul": lambda x, y, n, im: tf.matmul(x, y, transpose_b=True),
    "matmul other": lambda x, y, n, im: tf.linalg.matmul(x, y, transpose_a=True),
    "matmul constant": lambda x, y, n, im: tf.matmul(x, [[1.0, 2.0]] * 6),
    "at": lambda x, y, n, im: x @ tf.transpose(y, [0, 2, 1]),
    "concat": lambda x, y, n, im: tf.concat([x, y], -1),
    "stack": lambda x, y, n, im: tf.stack([x, y], axis=1),
    "unstack": lambda x, y, n, im: tf.unstack(x, axis=1)[0],
    "expand": lambda x, y, n, im: tf.expand_dims(x, 1),
    "expand last": lambda x, y, n, im: tf.expand_dims(x, -1),
    "squeeze": lambda x, y, n, im: tf.squeeze(tf.expand_dims(x, 1), axis=1),
    "tile": lambda x, y, n, im: tf.tile(x, [1, 2, 1]),
    "pad": lambda x, y, n, im: tf.pad(x, [[0, 0], [1, 2], [0, 0]]),
    "one hot": lambda x, y, n, im: tf.one_hot(n, 7),
    "one hot first": lambda x, y, n, im: tf.one_hot(n, 7, axis=1),
    "mean": lambda x, y, n, im: tf.reduce_mean(x, axis=-1, keepdims=True),
    "any": lambda x, y, n, im: tf.reduce_any(x > 0, axis=1),
    "sum all": lambda x, y, n, im: tf.reduce_sum(x),
    "argmax": lambda x, y, n, im: tf.argmax(x, -1),
    "cast": lambda x, y, n, im: tf.cast(n, "float32"),
    "gather": lambda x, y, n, im: tf.gather(x, [0, 2], axis=1),
    "gather by tensor": lambda x, y, n, im: tf.gather(x, n, axis=1, batch_dims=1),
    "gather by places": lambda x, y, n, im: tf.gather_nd(x, [[0, 1]]),
    "slice": lambda x, y, n, im: x[:, 1:, 0],
    "slice last": lambda x, y, n, im: x[..., -1],
    "slice new axis": lambda x, y, n, im: x[..., tf.newaxis],
    "slice step": lambda x, y, n, im: x[:, ::2],
    "slice back": lambda x, y, n, im: x[:, ::-1, :3],
    "slice batch": lambda x, y, n, im: x[:1],
    "slice by tensor": lambda x, y, n, im: x[:, : tf.reduce_max(n)],
    "shape": lambda x, y, n, im: tf.shape(x)[0] * 2,
    "einsum": lambda x, y, n, im: tf.einsum("bij,bkj->bik", x, y),
    "resize": lambda x, y, n, im: tf.image.resize(im, (5, 6)),
    "broadcast": lambda x, y, n, im: tf.broadcast_to(tf.expand_dims(x[:1], 1), [2, 2, 4, 6]),
    "normalize": lambda x, y, n, im: tf.nn.l2_normalize(x, axis=-1),
    "norm": lambda x, y, n, im: tf.norm(x, axis=1),
    "softmax": lambda x, y, n, im: tf.nn.softmax(x, axis=1),
    "constant first": lambda x, y, n, im: 1.0 - x,
    "constant of a shape": lambda x, y, n, im: x * [[1.0], [2.0], [3.0], [4.0]],
    "constant of a shape first": lambda x, y, n, im: [[[[1.0]]], [[[2.0]]]] - x,
    "compare": lambda x, y, n, im: tf.logical_and(tf.equal(x, y), x > 0),
    "clip": lambda x, y, n, im: tf.clip_by_value(x, 0, 1),
    "sums": lambda x, y, n, im: tf.add_n([x, y]),
    "bias": lambda x, y, n, im: tf.nn.bias_add(x, [1.0] * 6),
    "remainder": lambda x, y, n, im: n % 3,
    "repeat": lambda x, y, n, im: tf.repeat(x, 2, axis=1),
    "top": lambda x, y, n, im: tf.math.top_k(x, 2)[1],
    "cumsum": lambda x, y, n, im: tf.reverse(tf.cumsum(x, axis=1), [1]),
    "backend": lambda x, y, n, im: tf_keras.backend.batch_dot(x, y, axes=2),
    "dot": lambda x, y, n, im: layers.Dot((2, 2))([x, y]),
    "dot of vectors": lambda x, y, n, im: layers.Dot(1, normalize=True)(
        [layers.Flatten()(x), layers.Flatten()(y)]
    ),
    "pool": lambda x, y, n, im: tf.nn.max_pool2d(im, 2, 2, "SAME"),
    "tensordot": lambda x, y, n, im: tf.tensordot(x, [[1.0, 2.0]] * 6, axes=1),
    "strided": lambda x, y, n, im: tf.strided_slice(x, [0, 1, 0], [2, 3, 4]),
}
NOT_TOLD = {
    "einsum", "reshape to the shape of another", "reshape to lengths", "slice by tensor", "pool",
    "tensordot", "strided",
}  # fmt: skip
"""Those that depend on values, some that the table leaves out, and einsum, of whose tensors Keras
writes nothing into a config.
"""


def held() -> Iterator[tf_keras.Model]:
    """Yield models in which a TimeDistributed holds a model."""
    small = tf_keras.Sequential(
        [layers.Conv2D(4, 3, input_shape=(8, 8, 3)), layers.Flatten(), layers.Dense(5)]
    )
    video = tf_keras.Input((6, 8, 8, 3))
    yield tf_keras.Model(video, layers.LSTM(7)(layers.TimeDistributed(small)(video)))
    inside = tf_keras.Input((None, 3))
    yield tf_keras.Model(
        video,
        layers.TimeDistributed(
            layers.TimeDistributed(tf_keras.Model(inside, layers.GRU(4)(inside)))
        )(video),
    )


def several() -> Iterator[tf_keras.Model]:
    a, b = tf_keras.Input((4, 5), name="a"), tf_keras.Input((4, 7), name="b")
    yield tf_keras.Model([a, b], layers.Concatenate()([a, b]))
    yield tf_keras.Model([a, b], layers.Attention()([layers.Dense(3)(a), layers.Dense(3)(b)]))
    one = tf_keras.Input((4, 1), name="one")
    yield tf_keras.Model([a, one], layers.Multiply()([a, one]))
    yield tf_keras.Model([a, one], a * one + 3.0)


def towers() -> Iterator[tf_keras.Model]:
    inside = tf_keras.Input((None, None, 3), name="inside")
    tower = tf_keras.Model(
        inside, layers.Conv2D(4, 3, padding="same", strides=2)(inside), name="tower"
    )
    small, large = (
        tf_keras.Input((8, 8, 3), name="small"),
        tf_keras.Input((16, 16, 3), name="large"),
    )
    yield tf_keras.Model([small, large], [tower(small), tower(large)])
    deferred = tf_keras.Sequential([layers.Conv2D(4, 3), layers.Flatten()], name="deferred")
    yield tf_keras.Model(small, deferred(small))


def with_arguments(name: str) -> Iterator[tf_keras.Model]:
    for shape, dtype in itertools.product(SHAPES, ("float32", "int64", "string")):
        x = tf_keras.Input(shape, dtype=dtype)
        try:
            yield tf_keras.Model(
                x, getattr(layers, name)(**ARGUMENTS[name])([x, x] if name == "Dot" else x)
            )
        except (ValueError, TypeError, IndexError, AttributeError):
            continue


def assert_shapes_are_live(model: tf_keras.Model, untold: int = 0) -> None:
    graph, live = read_graph(model.get_config()), output_shapes(model)
    found = find_tensor_shapes(graph)
    assert found.items() <= live.items()
    assert (
        len(live) - len(found) <= untold or {layer.type for layer in graph.layers.values()} & UNTOLD
    )


@pytest.mark.parametrize("name", ZOO)
def test_a_model_of_the_zoo(name: str) -> None:
    assert_shapes_are_live(build(name), untold=1 if name == "recurrent" else 0)


@pytest.mark.parametrize(
    "samples", [PRUNABLE, WEIGHTED, STRINGS], ids=["prunable", "weighted", "strings"]
)
def test_each_layer_class(samples: dict[str, object]) -> None:
    tf_keras.backend.clear_session()
    for sample in samples.values():
        assert_shapes_are_live(sample.model())


def test_each_class_without_weights() -> None:
    tf_keras.backend.clear_session()
    # what is inside one is not told, and TensorFlow's own functions do not serialize
    for name in sorted(set(ARGUMENTS) - {"Lambda"}):
        for model in with_arguments(name):
            assert_shapes_are_live(model)


def test_settings_that_change_lengths() -> None:
    tf_keras.backend.clear_session()
    for name, (make, shape) in SETTINGS.items():
        x = tf_keras.Input(shape)
        assert_shapes_are_live(tf_keras.Model(x, make()(x)), untold=1 if name == "up padded" else 0)


def test_several_tensors_and_nested_models_called_on_other_shapes() -> None:
    for model in (*several(), *towers()):
        assert_shapes_are_live(model)


def test_operations_that_stand_in_a_model() -> None:
    tf_keras.backend.clear_session()
    x, y = tf_keras.Input((4, 6), name="x"), tf_keras.Input((4, 6), name="y")
    n, im = tf_keras.Input((4,), dtype="int32", name="n"), tf_keras.Input((8, 8, 3), name="im")
    made = {name: make(x, y, n, im) for name, make in OPERATIONS.items()}
    model = tf_keras.Model([x, y, n, im], made)
    live, found = output_shapes(model), find_tensor_shapes(read_graph(model.get_config()))
    assert {key: (shape, live[key]) for key, shape in found.items() if shape != live[key]} == {}
    layer_of = {
        name: (
            tensor._keras_history.layer.name,
            tensor._keras_history.node_index,
            tensor._keras_history.tensor_index,
        )
        for name, tensor in made.items()
    }
    assert {name for name, key in layer_of.items() if key not in found} == NOT_TOLD


def test_models_held_by_layers() -> None:
    for model in held():
        assert_shapes_are_live(model)
