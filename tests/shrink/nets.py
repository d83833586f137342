"""Small models of many kinds, built alike in tf_keras and in Keras 3."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any


def residual(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same", use_bias=False)(image))
    x = layers.ReLU()(x)
    for _ in range(2):
        y = layers.Conv2D(5, 3, padding="same", activation="relu")(x)
        y = layers.BatchNormalization(scale=False)(layers.Conv2D(6, 3, padding="same")(y))
        x = layers.Activation("swish")(layers.Add()([x, y]))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def dense_blocks(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    for _ in range(3):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same", activation="gelu")(y)])
    return keras.Model(image, layers.Dense(3, "softmax")(layers.Flatten()(x)))


def inception(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((9, 9, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="elu")(image)
    branches = [
        layers.Conv2D(4, 1, activation="relu")(x),
        layers.Conv2D(4, 3, padding="same")(layers.Conv2D(3, 1, activation="tanh")(x)),
        layers.Conv2D(2, 1)(layers.MaxPooling2D(3, strides=1, padding="same")(x)),
    ]
    x = layers.Dropout(0.5)(layers.Concatenate()(branches))
    x = layers.AveragePooling2D(2)(x)
    return keras.Model(image, [layers.Dense(2)(layers.Flatten()(x)), layers.Conv2D(2, 1)(x)])


def u_net(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((None, None, 3))
    down = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D(2)(down)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(4, 2, strides=2, padding="same", activation="relu")(x)
    x = layers.Concatenate()([down, x])
    x = layers.UpSampling2D(2)(layers.Conv2D(5, 3, padding="same", activation="relu")(x))
    x = layers.Cropping2D(1)(layers.ZeroPadding2D(2)(x))
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


def mobile(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(6, 1)(x)))
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(y)
    y = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization()(y))
    gate = layers.Dense(3, activation="relu")(layers.GlobalAveragePooling2D()(y))
    gate = layers.Reshape((1, 1, 12))(layers.Dense(12, activation="sigmoid")(gate))
    y = layers.Conv2D(4, 1)(layers.Multiply()([y, gate]))
    x = layers.SeparableConv2D(5, 3, depth_multiplier=2)(layers.Add()([x, y]))
    x = layers.Conv2D(6, 1, groups=1)(x)
    return keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))


def constants(keras: Any) -> Any:
    """Channels that stay constant and not zero, before what can take them and what cannot."""
    layers = keras.layers
    image = layers.Input((9, 9, 3))
    x = layers.Conv2D(12, 3, activation="softplus")(image)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, use_bias=False)(x))
    x = layers.AveragePooling2D(2, strides=1)(layers.Activation("selu")(x))
    y = layers.Conv2D(20, 1, activation="gelu")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="tanh")(y)
    z = layers.Conv2D(4, 1, padding="same", activation="swish")(x)
    x = layers.Flatten()(layers.Concatenate()([layers.Add()([y, z]), z]))
    x = layers.Dense(12, activation="sigmoid")(layers.Dense(12, activation="elu")(x))
    x = layers.BatchNormalization(scale=False)(layers.Dense(9, use_bias=False)(x))
    return keras.Model(image, layers.Dense(2)(layers.LeakyReLU()(x)))


def grouped(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((6, 6, 3))
    x = layers.Conv2D(8, 1)(image)
    x = layers.Conv2D(12, 3, groups=4, activation="relu")(x)
    x = layers.Conv2D(6, 1)(x)
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))


def generator(keras: Any) -> Any:
    layers = keras.layers
    noise = layers.Input((5,))
    x = layers.Reshape((3, 3, 4))(layers.Dense(36, activation="relu")(noise))
    x = layers.Conv2DTranspose(5, 3, activation="leaky_relu")(x)
    x = layers.Permute((2, 1, 3))(layers.BatchNormalization()(x))
    return keras.Model(noise, layers.Conv2D(1, 3, activation="tanh")(x))


def transformer(keras: Any) -> Any:
    layers = keras.layers
    words = layers.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8)(words)
    y = layers.MultiHeadAttention(4, 3)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, y]))
    y = layers.Dense(8)(layers.Dense(10, activation="gelu")(x))
    x = layers.LayerNormalization()(layers.Add()([x, y]))
    x = layers.MultiHeadAttention(2, 4, output_shape=6)(x, x)
    x = layers.TimeDistributed(layers.Dense(5, activation="relu"))(x)
    return keras.Model(words, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def attention(keras: Any) -> Any:
    layers = keras.layers
    steps = layers.Input((4, 3))
    query, value = layers.Dense(5)(steps), layers.Dense(5, activation="relu")(steps)
    x = layers.Attention()([query, value])
    x = layers.Dot(axes=(2, 2))([layers.Dense(4)(x), layers.Dense(4)(value)])
    return keras.Model(steps, layers.Dense(2)(layers.Flatten()(x)))


def of_application(keras: Any, name: str) -> Any:
    """Return the module of an application, whose layers Keras does not export."""
    return importlib.import_module(f"{keras.__name__}.src.applications.{name}")


def scaled_sum(keras: Any, scale: float, **settings: Any) -> Any:
    """Return the layer of InceptionResNetV2 that adds a part of its second tensor to the first."""
    return of_application(keras, "inception_resnet_v2").CustomScaleLayer(scale, **settings)


def scaled_sums(keras: Any) -> Any:
    layers, convnext = keras.layers, of_application(keras, "convnext")
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", activation="softplus")(image)
    for scale in (0.5, -0.3):
        y = layers.Conv2D(12, 1, activation="relu")(x)
        if keras.__name__ == "keras":  # tf_keras cannot load them without custom objects
            y = convnext.StochasticDepth(0.1)(convnext.LayerScale(0.5, 12)(y))
        x = layers.ReLU()(scaled_sum(keras, scale)([x, layers.Conv2D(16, 1)(y)]))
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))


def gated(keras: Any) -> Any:
    layers = keras.layers
    start = layers.Input((6,))
    x = layers.Dense(8, activation="relu")(start)
    x = layers.Concatenate()([x, layers.Dense(5, activation="sigmoid")(x)])
    return keras.Model(start, layers.Dense(2)(layers.Dense(4)(x)))


def recurrent(keras: Any) -> Any:
    layers = keras.layers
    words = layers.Input((None,), dtype="int32")
    x = layers.Embedding(20, 6)(words)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    x = layers.GRU(4, return_sequences=True)(x)
    x = layers.Conv1D(6, 3, padding="causal")(x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="sum")(x)
    x = layers.RNN(layers.LSTMCell(5), return_sequences=True)(x)
    return keras.Model(words, layers.Dense(2)(layers.SimpleRNN(4)(x)))


def states(keras: Any) -> Any:
    layers = keras.layers
    source, target = layers.Input((5, 3)), layers.Input((4, 3))
    _, h, c = layers.LSTM(6, return_state=True)(source)
    x = layers.LSTM(6, return_sequences=True)(target, initial_state=[h, c])
    x = layers.MultiHeadAttention(2, 3)(x, x)
    _, *both = layers.Bidirectional(layers.GRU(4, return_state=True), merge_mode="ave")(x)
    return keras.Model([source, target], layers.Dense(2)(layers.Concatenate()(both)))


def masked_steps(keras: Any) -> Any:
    """Steps that are masked, which Keras 3 leaves out of products and maxima."""
    layers = keras.layers
    words = layers.Input((6,), dtype="int32")
    x = layers.Embedding(20, 12, mask_zero=True)(words)
    query, y = layers.Dense(9)(x), layers.Dense(9, activation="sigmoid")(x)
    gate = layers.Dense(12, activation="sigmoid")(layers.GlobalAveragePooling1D()(x))
    x = layers.Multiply()([layers.Dense(12)(x), layers.Reshape((1, 12))(gate)])
    x = layers.Concatenate()([layers.Dense(4)(x), layers.Maximum()([query, y])])
    x = layers.Concatenate()([x, layers.Attention()([query, y])])
    return keras.Model(words, layers.Dense(2)(layers.Dense(5)(x)))


def nested(keras: Any) -> Any:
    layers = keras.layers
    start = layers.Input((6,))
    tower = keras.Sequential(
        [layers.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(4)], name="tower"
    )
    both = layers.Dense(6, name="shared")
    x, y = both(layers.Dense(6)(start)), both(layers.Dense(6, activation="tanh")(start))
    x = layers.Concatenate()([tower(x), tower(y)])
    return keras.Model(start, layers.Dense(2)(x))


def images_in_time(keras: Any) -> Any:
    layers = keras.layers
    frames = layers.Input((3, 6, 6, 2))
    x = layers.ConvLSTM2D(4, 3, return_sequences=True)(frames)
    x = layers.TimeDistributed(layers.Conv2D(5, 2, activation="relu"))(x)
    x = layers.Conv3D(4, 2)(x)
    return keras.Model(frames, layers.Dense(2)(layers.Flatten()(x)))


def operations(keras: Any) -> Any:
    """Return a net with hard swish, gates and sums written as operators."""
    layers = keras.layers
    image = layers.Input((6, 6, 3))
    x = layers.Conv2D(6, 1)(image)
    x = x * (layers.ReLU(6.0)(x + 3.0) / 6.0)
    y = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(4, 1)(x - 0.5 * y)
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(x + 1.0)))


def operation_constants(keras: Any) -> Any:
    """Constants that go through operators and functions, each to what can take them."""
    layers, functions = keras.layers, getattr(keras, "ops", None) or _tensorflow_functions()
    image = layers.Input((6, 6, 3))
    x = layers.Conv2D(16, 1)(image)
    x = 0.5 - x * (layers.ReLU(6.0)(x + 3.0) / 6.0)
    x = layers.Conv2D(12, 1)(abs(-x) ** 2)
    y = layers.Conv2D(12, 1, activation="softsign")(image)
    z = functions.clip(x, -0.2, 0.5) - functions.maximum(functions.sigmoid(y), -0.1)
    z = layers.Concatenate(axis=1)([z, layers.Average()([x, y]), layers.Minimum()([x, y])])
    z = layers.DepthwiseConv2D(3, depth_multiplier=2)(functions.cast(z, "float32"))
    z = functions.sum(layers.SeparableConv2D(12, 3, depth_multiplier=2)(z), axis=(1, 2))
    z = functions.leaky_relu(layers.Dense(12)(z)) + functions.gelu(layers.Dense(12)(z))
    return keras.Model(image, layers.Dense(2)(functions.relu(z) - 1.0))


def _tensorflow_functions() -> Any:
    """Return functions of TensorFlow by the names that Keras 3 gives to its operations."""
    import tensorflow as tf

    return SimpleNamespace(
        cast=tf.cast,
        clip=tf.clip_by_value,
        gelu=tf.nn.gelu,
        leaky_relu=tf.nn.leaky_relu,
        maximum=tf.maximum,
        relu=tf.nn.relu,
        sigmoid=tf.sigmoid,
        sum=tf.reduce_sum,
    )


def sequence_constants(keras: Any) -> Any:
    """Constants that biases with several axes take, and those of attention and recurrent layers."""
    layers = keras.layers
    steps = layers.Input((4, 3))
    x = layers.EinsumDense("abc,cd->abd", (4, 12), bias_axes="d", activation="sigmoid")(steps)
    y = layers.EinsumDense("abc,cde->abed", (4, 5, 2), bias_axes="ed", activation="tanh")(x)
    y = layers.EinsumDense("abed,edf->abf", (4, 12), bias_axes="bf")(y)
    y = layers.EinsumDense("abc,cd->abd", (4, 12), activation="relu")(layers.ReLU()(y))
    x = layers.EinsumDense("...c,cd->...d", 12)(layers.Add()([layers.Dense(12)(x), y]))
    x = layers.EinsumDense("...c,cd->...d", 12, bias_axes="d")(layers.BatchNormalization()(x))
    x = layers.MultiHeadAttention(2, 4, output_shape=12)(layers.Activation("softplus")(x), x)
    x = layers.LSTM(6, return_sequences=True)(x)
    x = layers.SimpleRNN(5, return_sequences=True)(layers.Dense(12, activation="sigmoid")(x))
    x = layers.GRU(5, reset_after=False)(layers.Dense(12, activation="sigmoid")(x))
    return keras.Model(steps, layers.Dense(2)(x))


def einsum(keras: Any) -> Any:
    layers = keras.layers
    steps = layers.Input((4, 3))
    x = layers.EinsumDense("abc,cd->abd", output_shape=(4, 6), bias_axes="d")(steps)
    if hasattr(layers, "GroupQueryAttention"):  # Keras 3 alone has it
        x = layers.GroupQueryAttention(3, 4, 2)(x, layers.Dense(6)(x))
    x = layers.EinsumDense("abc,cde->abde", (4, 2, 5), activation="relu", bias_axes="be")(x)
    x = layers.EinsumDense("abde,def->abf", output_shape=(4, 3), bias_axes="f")(x)
    x = layers.RepeatVector(2)(layers.Flatten()(x))
    return keras.Model(steps, layers.Dense(2)(layers.Flatten()(x)))


NETS: Mapping[str, Callable[[Any], Any]] = {
    build.__name__: build
    for build in (
        residual,
        dense_blocks,
        inception,
        u_net,
        mobile,
        constants,
        operation_constants,
        sequence_constants,
        grouped,
        generator,
        transformer,
        attention,
        scaled_sums,
        gated,
        recurrent,
        states,
        masked_steps,
        nested,
        images_in_time,
        operations,
        einsum,
    )
}


def random_net(choices: list[int], keras: Any) -> Any:
    """Return a net of images whose blocks and sizes are chosen by numbers."""
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    known = [layers.Conv2D(4, 3, padding="same", activation="relu")(image)]
    for choice in choices:
        block, size = _BLOCKS[choice % len(_BLOCKS)], 2 + choice // 7 % 5
        taken = known[-1 - choice // 11 % min(3, len(known))]
        known.append(block(layers, taken, size, known))
    ends = [layers.GlobalAveragePooling2D()(known[-1]), layers.Flatten()(known[-2])]
    return keras.Model(image, layers.Dense(2)(layers.Concatenate()(ends)))


def _convolved(layers: Any, x: Any, size: int, _known: list[Any]) -> Any:
    return layers.Conv2D(size, 3, padding="same", activation=("relu", "swish")[size % 2])(x)


def _filled(layers: Any, x: Any, size: int, _known: list[Any]) -> Any:
    return layers.Conv2D(size, 1, activation=("sigmoid", "softmax", "softplus")[size % 3])(x)


def _normalized(layers: Any, x: Any, size: int, _known: list[Any]) -> Any:
    return layers.Activation("tanh")(layers.BatchNormalization(scale=size % 2 == 0)(x))


def _depthwise(layers: Any, x: Any, size: int, _known: list[Any]) -> Any:
    return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + size % 2)(x)


def _added(layers: Any, x: Any, size: int, _known: list[Any]) -> Any:
    own = layers.Conv2D(x.shape[-1], 1)(layers.ZeroPadding2D(1)(layers.Cropping2D(1)(x)))
    return (layers.Add, layers.Average, layers.Maximum, layers.Subtract)[size % 4]()([x, own])


def _joined(layers: Any, x: Any, size: int, known: list[Any]) -> Any:
    return layers.Concatenate()([x, known[size % len(known)]])


def _gated(layers: Any, x: Any, size: int, _known: list[Any]) -> Any:
    gate = layers.Dense(size, activation="gelu")(layers.GlobalMaxPooling2D()(x))
    gate = layers.Dense(x.shape[-1], activation="sigmoid")(gate)
    return layers.Multiply()([x, layers.Reshape((1, 1, x.shape[-1]))(gate)])


def _scaled(layers: Any, x: Any, size: int, _known: list[Any]) -> Any:
    x = layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x))
    return layers.LayerNormalization()(x) if size == 2 else layers.LeakyReLU()(x)


_BLOCKS = (_convolved, _filled, _normalized, _depthwise, _added, _joined, _gated, _scaled)
