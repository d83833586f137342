"""Small models of many shapes, and the values that tests prune them with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.layers.live_tensors import prunable_names
from graphprune.tf.pruning.addresses import addressed_layers, inner_layer, is_layered_model
from graphprune.tf.pruning.surgery import wrap_layers


def _residual() -> tf_keras.Model:
    image = layers.Input((6, 6, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="c1")(image)
    x = layers.BatchNormalization(name="bn")(x)
    x = tf.nn.relu(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="dw")(x)
    x = tf.reduce_mean(x + y, axis=[1, 2])
    return tf_keras.Model(
        image, layers.Dense(3, activation="softmax", name="out")(x), name="residual"
    )


def _sequential() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Dense(6, input_shape=(5,), activation="relu", name="d1"),
            layers.Dropout(0.5),
            layers.Dense(2, name="d2"),
        ],
        name="seq",
    )


def _deferred_sequential() -> tf_keras.Model:
    model = tf_keras.Sequential(
        [layers.Dense(6, name="d1"), layers.Dense(2, name="d2")], name="deferred"
    )
    model.build((None, 5))
    return model


def _recurrent() -> tf_keras.Model:
    words = layers.Input((7,), dtype="int32", name="words")
    x = layers.Embedding(11, 6, mask_zero=True, name="embed")(words)
    x, h, c = layers.LSTM(
        3, return_sequences=True, return_state=True, activity_regularizer="l2", name="lstm"
    )(x)
    x = layers.LSTM(3, name="decoder")(x, initial_state=[h, c])
    return tf_keras.Model(words, layers.Dense(2, name="out")(x), name="recurrent")


def _gated() -> tf_keras.Model:
    x = layers.Input((5, 3), name="x")
    return tf_keras.Model(
        x,
        layers.GRU(3, name="gru")(
            layers.SimpleRNN(3, return_sequences=True, name="rnn")(layers.Masking()(x))
        ),
        name="gated",
    )


def _convolutions() -> tf_keras.Model:
    signal, volume = layers.Input((9, 2), name="signal"), layers.Input((4, 4, 4, 1), name="volume")
    x = layers.SeparableConv1D(3, 3, name="sep1")(
        layers.Conv1D(4, 3, kernel_constraint="max_norm", name="c1")(signal)
    )
    y = layers.Flatten(name="flat")(layers.Conv3D(2, 3, name="c3")(volume))
    joined = layers.Concatenate(name="join")([layers.Flatten()(x), y])
    return tf_keras.Model(
        {"signal": signal, "volume": volume},
        layers.Dense(2, name="out")(joined),
        name="convolutions",
    )


def _separable() -> tf_keras.Model:
    image = layers.Input((6, 6, 2), name="image")
    x = layers.SeparableConv2D(4, 3, name="sep")(image)
    x = layers.Conv2DTranspose(2, 2, name="up")(x)
    return tf_keras.Model(image, layers.GlobalAveragePooling2D()(x), name="separable")


def _siamese() -> tf_keras.Model:
    inside = layers.Input((5,), name="inside")
    shared = layers.Dense(5, activation="tanh", name="shared")
    tower = tf_keras.Model(inside, shared(shared(inside)), name="tower")
    left, right = layers.Input((5,), name="left"), layers.Input((5,), name="right")
    head = tf_keras.Sequential(
        [layers.Dense(3, name="h1"), layers.Dense(1, name="h2")], name="head"
    )
    gap = tower(left) - tower(right)
    return tf_keras.Model(
        [left, right], [head(gap), layers.Dense(2, name="aux")(gap)], name="siamese"
    )


def _deep() -> tf_keras.Model:
    model: tf_keras.Model | None = None
    for name in ("inner", "middle", "outer"):
        tensor = layers.Input((4,), name=f"{name}_in")
        x = layers.Dense(4, name="d")(tensor)
        model = tf_keras.Model(tensor, x if model is None else model(x), name=name)
    return model


def _lambdas() -> tf_keras.Model:
    factor = 3.0
    x = layers.Input((4,), name="x")
    y = layers.Lambda(lambda tensor: tensor * factor, name="triple")(x)
    y = layers.TimeDistributed(
        layers.Lambda(lambda tensor: tensor + 1.0, name="plus"), name="each"
    )(layers.Reshape((2, 2))(y))
    y = layers.Dense(3, activation=lambda tensor: tensor**2, name="square")(layers.Flatten()(y))
    return tf_keras.Model(x, y, name="lambdas")


def _frozen() -> tf_keras.Model:
    x = layers.Input((4,), name="x")
    y = layers.Dense(4, trainable=False, name="cold")(x)
    return tf_keras.Model(x, layers.Dense(2, name="warm")(y), name="frozen")


def _text() -> tf_keras.Model:
    x = layers.Input((2,), dtype="string", name="x")
    lookup = layers.StringLookup(name="lookup")
    lookup.adapt([["ham", "eggs"], ["spam", "ham"]])
    normal = layers.Normalization(name="normal")
    normal.adapt(np.arange(12.0).reshape(4, 3))
    y = layers.Flatten()(layers.Embedding(5, 3, name="embed")(lookup(x)))
    return tf_keras.Model(
        x, layers.Dense(2, name="out")(normal(layers.Dense(3, name="mid")(y))), name="text"
    )


ZOO: Mapping[str, Callable[[], tf_keras.Model]] = {
    make.__name__[1:]: make
    for make in (
        _residual,
        _sequential,
        _deferred_sequential,
        _recurrent,
        _gated,
        _convolutions,
        _separable,
        _siamese,
        _deep,
        _lambdas,
        _frozen,
        _text,
    )
}
IN_FILES = [name for name in ZOO if name != "lambdas"]


def build(name: str, seed: int = 1) -> tf_keras.Model:
    """Return a fresh model of the zoo; the same seed gives the same weights."""
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(seed)
    return ZOO[name]()


def sample(model: tf_keras.Model, count: int = 4, seed: int = 0, words: int = 11) -> object:
    """Return random inputs for a model; integers stay below `words`."""
    rng = np.random.default_rng(seed)

    def one(spec: tf.TensorSpec) -> np.ndarray:
        shape = (count, *spec.shape[1:])
        if spec.dtype == tf.string:
            return rng.choice(["ham", "eggs", "spam", "other"], shape).astype(object)
        return (
            rng.integers(0, words, shape)
            if spec.dtype.is_integer
            else rng.normal(size=shape).astype("float32")
        )

    inputs = model.input if hasattr(model, "input") else tf.TensorSpec(model._build_input_shape)
    return tf.nest.map_structure(lambda tensor: tf.constant(one(tensor)), inputs)


def pruning(
    *weights: str, sparsity: float = 0.75, end: int = 6, every: int = 2, curve: str = "polynomial"
) -> Pruning:
    """Return a pruning in steps."""
    return Pruning(
        sparsity,
        Schedule(curve=curve, end=Position(end, "step"), every=Position(every, "step")),
        weights,
    )


def wrap_all(model: tf_keras.Model, **kwargs: object) -> tf_keras.Model:
    """Return a clone with every prunable layer wrapped."""
    layers_by_address = {
        a: inner_layer(layer) for a, layer in addressed_layers(model) if not is_layered_model(layer)
    }
    return wrap_layers(
        model,
        {
            a: pruning(*names, **kwargs)
            for a, layer in layers_by_address.items()
            if (names := prunable_names(layer))
        },
    )
