from __future__ import annotations

import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS
from graphprune.tf.layers.building import foresee_outputs
from graphprune.tf.pruning import model_clone
from graphprune.tf.pruning.keras_api import prune_low_magnitude
from graphprune.tf.pruning.keras_schedules import ConstantSparsity
from graphprune.tf.pruning.surgery import strip_model

pytestmark = pytest.mark.tf

PRUNED = ConstantSparsity(0.5, 0)
PURE = {getattr(layers, name) for name, known in BUILTIN_LAYERS.items() if known.is_pure}


def chain(x, *steps):
    for step in steps:
        x = step(x)
    return x


def every_class() -> tf_keras.Model:
    image = layers.Input((16, 16, 3))
    x = chain(
        image,
        *(layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()),
        *(layers.DepthwiseConv2D(3), layers.SeparableConv2D(4, 3), layers.LeakyReLU()),
        *(layers.ELU(), layers.ThresholdedReLU(0.1)),
        *(layers.PReLU(), layers.Conv2DTranspose(4, 3), layers.LayerNormalization()),
        *(layers.ZeroPadding2D(1), layers.Cropping2D(1), layers.UpSampling2D(2)),
        *(layers.MaxPooling2D(), layers.AveragePooling2D(), layers.Rescaling(0.5)),
        *(layers.Permute((2, 1, 3)), layers.Softmax()),
    )
    pair = [layers.Dense(4)(x), layers.Conv2D(4, 1)(x)]
    merged = (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum)
    x = layers.Concatenate()([merge()(pair) for merge in (*merged, layers.Minimum)])
    line = chain(
        x,
        *(layers.Flatten(), layers.Reshape((-1, 4)), layers.Conv1D(4, 3)),
        *(layers.DepthwiseConv1D(3), layers.SeparableConv1D(4, 3), layers.ZeroPadding1D(1)),
        *(layers.Conv1DTranspose(4, 3), layers.Cropping1D(1)),
        *(layers.UpSampling1D(2), layers.MaxPooling1D(), layers.AveragePooling1D()),
        layers.EinsumDense("abc,cd->abd", (None, 5)),
    )
    volume = chain(
        layers.GlobalMaxPooling2D()(x),
        *(layers.Dense(64), layers.Activation("relu")),
        *(layers.Reshape((4, 4, 4, -1)), layers.Conv3D(2, 3), layers.Conv3DTranspose(2, 3)),
        *(layers.ZeroPadding3D(1), layers.Cropping3D(1), layers.UpSampling3D(2)),
        *(layers.MaxPooling3D(), layers.AveragePooling3D()),
    )
    ends = [layers.GlobalAveragePooling3D()(volume), layers.GlobalMaxPooling3D()(volume)]
    ends += [layers.GlobalAveragePooling1D()(line), layers.GlobalMaxPooling1D()(line)]
    return tf_keras.Model(image, [layers.GlobalAveragePooling2D()(x), *ends, volume])


def everything(model: tf_keras.Model) -> list[list[object]]:
    """Return all that each layer shows of how it was built and called, in wrappers as well."""
    return [
        [
            *(type(layer), layer.name, sorted(vars(layer)), layer.dtype, layer.built),
            *(layer._build_input_shape, str(layer.input_spec)),
            str(getattr(layer, "_saved_model_inputs_spec", None)),
            [(weight.name, weight.shape, weight.dtype) for weight in layer.weights],
            [
                (
                    [str(tensor) for tensor in node.keras_inputs],
                    [str(tensor) for tensor in tf.nest.flatten(node.outputs)],
                    sorted(vars(tf.nest.flatten(node.outputs)[0])),
                    str(node.call_kwargs),
                )
                for node in layer._inbound_nodes
            ],
        ]
        for layer in model._flatten_layers(include_self=False)
    ]


def test_the_model_has_every_class():
    assert {type(layer) for layer in every_class().layers} >= PURE


@pytest.mark.parametrize("is_strip", [False, True])
def test_a_clone_is_as_if_keras_had_traced_every_call(is_strip, monkeypatch):
    model = every_class()
    if is_strip:
        model = prune_low_magnitude(model, PRUNED)

    def clone():
        return strip_model(model) if is_strip else prune_low_magnitude(model, PRUNED)

    fast = clone()
    monkeypatch.setattr(model_clone, "foresee_outputs", lambda *_: None)
    slow = clone()
    assert fast.get_config() == slow.get_config()
    for one, other in zip(everything(fast), everything(slow), strict=True):
        assert one == other


def test_calls_are_not_traced(monkeypatch):
    model = every_class()
    wrapped = prune_low_magnitude(model, PRUNED)

    def refuse(*_, **__):
        raise AssertionError("call was traced")

    for kind in PURE:
        monkeypatch.setattr(kind, "call", refuse)
    assert strip_model(wrapped).output_shape == model.output_shape
    assert prune_low_magnitude(model, PRUNED).output_shape == model.output_shape


def _shared() -> tf_keras.Model:
    left, right = layers.Input((4,)), layers.Input((4,))
    dense = layers.Dense(3, name="d")
    return tf_keras.Model([left, right], layers.Add()([dense(left), dense(right)]))


def _masked() -> tf_keras.Model:
    words = layers.Input((5,))
    x = layers.Embedding(7, 4, mask_zero=True)(words)
    return tf_keras.Model(words, layers.Dense(3, name="d")(x))


def _regularized() -> tf_keras.Model:
    x = layers.Input((4,))
    return tf_keras.Model(x, layers.Dense(3, activity_regularizer="l2", name="d")(x))


class Doubled(layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


def _own() -> tf_keras.Model:
    x = layers.Input((4,))
    return tf_keras.Model(x, Doubled(3, name="d")(x))


@pytest.mark.parametrize("make", [_shared, _masked, _regularized, _own])
def test_what_a_call_does_besides_is_done_in_the_clone(make, monkeypatch):
    model = make()
    traced = []
    before = layers.Dense.call

    def call(self, inputs):
        traced.append(self.name)
        return before(self, inputs)

    monkeypatch.setattr(layers.Dense, "call", call)
    clone = strip_model(model)
    assert set(traced) == {"d"}
    assert [getattr(o, "_keras_mask", None) is None for o in clone.outputs] == [
        getattr(o, "_keras_mask", None) is None for o in model.outputs
    ]


def test_other_inputs_are_traced():
    model = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))])
    clone = layers.Dense(3)
    foresee_outputs(model.layers[0], clone, clone)
    assert clone(layers.Input((6, 4))).shape.as_list() == [None, 6, 3]
    assert clone(layers.Input((4,))).shape.as_list() == [None, 3]
