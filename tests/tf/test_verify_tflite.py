"""`.tflite` files of the real converter against plans of tf_keras and Keras 3 models."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from converted_files import (
    check_folder,
    convert,
    convert_in_batches_of_one,
    converted_and_same,
    plan_of,
)
from shrink.nets import scaled_sum

from graphprune.plan.measured import planned_tensors
from graphprune.plan.operator_architecture import check_operator_architecture
from graphprune.plan.tflite import verify_tflite
from graphprune.plan.verify import LayerDifference

pytestmark = pytest.mark.tf


def prune(model, plan):
    """Make the first half of each planned tensor zero, another half in each second one."""
    planned = {address for address, _ in planned_tensors(plan)}
    for number, layer in enumerate(model.layers):
        values = layer.get_weights()
        names = [weight.name.split("/")[-1].split(":")[0] for weight in layer.weights]
        for place, name in enumerate(names):
            if layer.name in planned and name.endswith("kernel"):
                flat = values[place].reshape(-1)
                half = len(flat) // 2 + 1
                flat[slice(None, half) if (number + place) % 2 else slice(-half, None)] = 0
        layer.set_weights(values)


def convolution_net(keras, **changed):
    layers = keras.layers
    first = {"strides": 2, "padding": "valid", "use_bias": False} | changed.get("first", {})
    x = image = layers.Input((12, 12, 3), name="image")
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.Conv2D(8, 3, name="first", **first)(x)
    x = layers.ReLU(6.0, name="first_relu")(
        layers.BatchNormalization(name=changed.get("bn", "bn"))(x)
    )
    y = layers.DepthwiseConv2D(3, padding="same", name="deep", activation="relu")(x)
    y = layers.Conv2D(8, 3, padding="same", name="wide", dilation_rate=changed.get("rate", 2))(y)
    x = layers.Activation(changed.get("activation", "swish"), name="act")(layers.Add()([x, y]))
    parts = {name: layers.Conv2D(8, 1, activation="tanh", name=name)(x) for name in ("one", "two")}
    x = scaled_sum(keras, 0.3, name="sum")([parts[name] for name in changed.get("parts", parts)])
    x = layers.GlobalAveragePooling2D(name="mean")(layers.BatchNormalization(name="bn_b")(x))
    for letter in changed.get("order", "ab"):
        x = layers.Dense(8, "tanh", name=letter)(x)
    return keras.Model(image, layers.Dense(3, "softmax", name="out")(x), name="net")


CHANGED = {
    "activation": ({"activation": "tanh"}, "act"),
    "dilation": ({"rate": 1}, "wide"),
    "stride": ({"first": {"strides": 1}}, "first"),
    "parts of a scaled sum": ({"parts": ("two", "one")}, "sum"),
}


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_the_architecture_of_a_converted_model_is_compared(name, tmp_path):
    keras = pytest.importorskip(name)
    model = convolution_net(keras)
    plan = plan_of(model, tmp_path / "net.keras")
    prune(model, plan)
    file = convert(model, tmp_path / "net")
    found = verify_tflite(plan, file)
    assert (found.architecture.status, found.drift, found.unchecked) == ("same", (), ())
    exported = str(tmp_path / "net")
    assert check_folder(plan, exported).status == "same"
    for changed, layer in CHANGED.values():
        other = plan_of(convolution_net(keras, **changed), tmp_path / "other.keras")
        for found in _checks(other, file, exported):
            assert layer in {one.address for one in found.differences}
    other = plan_of(convolution_net(keras, order="ba"), tmp_path / "other.keras")
    for found in _checks(other, file, exported):
        differences = {(one.address, one.what) for one in found.differences}
        assert differences == {("a", "inputs"), ("b", "inputs")}
    other = plan_of(convolution_net(keras, bn="lost"), tmp_path / "other.keras")
    assert [found.differences for found in _checks(other, file, exported)] == [
        (),
        (LayerDifference("lost", "missing"),),
    ]


def _checks(plan, file, folder):
    """Return what a plan says of a file, and of the SavedModel that it was converted from."""
    return check_operator_architecture(plan, file), check_folder(plan, folder)


def test_infinite_weights_are_found_where_the_converter_wrote_the_largest_number(tmp_path):
    x = tf_keras.Input((6,), name="x")
    y = tf_keras.layers.Dense(4, name="first")(x)
    y = tf_keras.layers.Dense(2, "relu", name="out")(tf.maximum(y, tf.float32.min))
    model = tf_keras.Model(x, tf_keras.layers.BatchNormalization(name="bn")(y))
    plan = plan_of(model, tmp_path / "net.keras")
    first, out = model.get_layer("first").kernel, model.get_layer("out").bias
    first.assign(np.where(np.arange(24).reshape(6, 4) < 20, 0, [np.inf, 1, 1, -np.inf]))
    out.assign([np.inf, 0])
    model.get_layer("bn").moving_mean.assign([np.inf, 0.5])
    file = convert(model, tmp_path / "net")
    assert not any(np.isinf(file.read(tensor)).any() for tensor in file.constants)
    found = verify_tflite(plan, file)
    assert {one.address: one.non_finite for one in found.checks} == {"first": 2, "out": 0}
    assert [one.non_finite for one in found.not_finite] == [1, 1]


def sequence_net(keras, *, heads=2, activation="selu", size=2, **has):
    layers = keras.layers
    x = layers.Input((4, 6), batch_size=1, name="x")
    given, x = x, layers.Dense(8, activation, name="first")(x)
    y = layers.LayerNormalization(name="norm")(x) if has.get("norm", True) else x
    y = layers.MultiHeadAttention(heads, 8 // heads, name="heads")(y, y)
    y = layers.UpSampling1D(size, name="up")(layers.Add(name="add")([x, y]))
    y = layers.Permute((2, 1), name="turn")(y) if has.get("turn", True) else y
    y = layers.Dense(4, "mish", name="second")(y)
    if keras is tf_keras:  # loops of Keras 3 are written with operators of TensorFlow
        both = layers.LSTM(3, return_sequences=True)
        y = layers.Bidirectional(both, merge_mode="sum", name="both")(y)
        cell, back = has.get("cell", "GRU"), has.get("back", True)
        y = getattr(layers, cell)(4, activation="relu", go_backwards=back, name="loop")(y)
    return keras.Model(given, layers.Dense(2, name="out")(y), name="net")


OTHERS = {
    "activation": ({"activation": "mish"}, ("first", "settings")),
    "heads": ({"heads": 4}, ("heads", "settings")),
    "no norm": ({"norm": False}, ("norm", "added")),
    "size": ({"size": 3}, ("up", "settings")),
    "no permute": ({"turn": False}, ("turn", "added")),
    "cell": ({"cell": "SimpleRNN"}, ("loop", "settings")),
    "direction": ({"back": False}, ("loop", "settings")),
}


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_layers_of_several_operators_are_compared(name, tmp_path):
    keras = pytest.importorskip(name)
    model = sequence_net(keras)
    plan = plan_of(model, tmp_path / "net.keras")
    file = convert(model, tmp_path / "net")
    found = check_operator_architecture(plan, file)
    assert (found.status, found.differences, found.unchecked) == ("same", (), "")
    for case, (changed, wanted) in OTHERS.items():
        if keras is tf_keras or not {"cell", "back"} & set(changed):
            other = plan_of(sequence_net(keras, **changed), tmp_path / "other.keras")
            differences = check_operator_architecture(other, file).differences
            # Keras 3 numbers the names of operations
            told = {(one.address.removesuffix("_1"), one.what) for one in differences}
            assert wanted in told, case
            seen = check_folder(other, str(tmp_path / "net"))
            assert seen.status == "differs", case


def turned_net(keras, *, turned="a"):
    """The sum of two tensors of one shape, one of which is transposed."""
    layers = keras.layers
    inputs = [layers.Input((8, 8), name=f"x{letter}") for letter in "ab"]
    parts = {}
    for letter, given in zip("ab", inputs, strict=True):
        x = layers.Dense(8, "relu", name=letter)(given)
        parts[letter] = layers.Permute((2, 1), name="turn")(x) if letter == turned else x
    x = layers.Dense(2, name="out")(layers.Add(name="add")([*parts.values()]))
    return keras.Model(inputs, x, name="net")


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_the_tensor_that_a_permute_takes_is_compared(name, tmp_path):
    keras = pytest.importorskip(name)
    model = turned_net(keras)
    plan = plan_of(model, tmp_path / "net.keras")
    file = convert(model, tmp_path / "net")
    other = plan_of(turned_net(keras, turned="b"), tmp_path / "other.keras")
    for found in _checks(plan, file, str(tmp_path / "net")):
        assert (found.status, found.differences) == ("same", ())
    for found in _checks(other, file, str(tmp_path / "net")):
        assert found.differences == (LayerDifference("turn", "inputs"),)


def odd_net(keras, **has):
    """A net of layers that the converter writes as many operators, with loops over four steps."""
    layers = keras.layers
    given = layers.Input((4, 6), batch_size=1, name="x")
    x = layers.Dense(8, has.get("activation", "hard_sigmoid"), name="first")(given)
    x = layers.LayerNormalization(epsilon=has.get("epsilon", 1e-3), name="norm")(x)
    heads, causal = has.get("heads", 1), has.get("causal", True)
    x = layers.MultiHeadAttention(heads, 8 // heads, name="heads")(x, x, use_causal_mask=causal)
    x = layers.GroupNormalization(has.get("groups", 2), epsilon=1e-5, name="groups")(x)
    each = layers.Dense(6, has.get("each", "tanh"), name="part")
    x = layers.TimeDistributed(each, name="each")(x)
    gate, after = has.get("gate", "hard_sigmoid"), has.get("after", False)
    x = layers.LSTM(5, recurrent_activation=gate, return_sequences=True, name="lstm")(x)
    x = layers.GRU(5, reset_after=after, name="gru")(x)
    x = layers.RepeatVector(has.get("times", 3), name="repeat")(x)
    return keras.Model(given, layers.Dense(2, name="out")(x), name="net")


CHANGES = {
    "activation": ({"activation": "sigmoid"}, "first"),
    "epsilon": ({"epsilon": 1e-5}, "norm"),
    "two heads": ({"heads": 2}, "heads"),
    "no causal mask": ({"causal": False}, "heads"),
    "groups": ({"groups": 4}, "groups"),
    "activation of each step": ({"each": "relu"}, "each"),
    "activation of gates": ({"gate": "sigmoid"}, "lstm"),
    "reset after": ({"after": True}, "gru"),
    "repetitions": ({"times": 2}, "repeat"),
}


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_settings_inside_layers_of_many_operators_are_compared(name, tmp_path):
    keras = pytest.importorskip(name)
    exported = {"tf_keras": "unchecked", "keras": "same"}[name]
    file = converted_and_same(odd_net(keras), keras, tmp_path, exported)
    for case, (changed, wanted) in CHANGES.items():
        other = plan_of(odd_net(keras, **changed), tmp_path / "other.keras")
        differences = check_operator_architecture(other, file).differences
        assert (wanted, "settings") in {(one.address, one.what) for one in differences}, case


@pytest.mark.slow
@pytest.mark.parametrize("form", ["float16", "dynamic"])
@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_files_with_fewer_bits_are_compared_too(name, form, tmp_path):
    keras = pytest.importorskip(name)
    model = odd_net(keras)
    plan = plan_of(model, tmp_path / "net.keras")
    file = convert_in_batches_of_one(keras, model, tmp_path / "net", form)
    assert check_operator_architecture(plan, file).status == "same"
    other = plan_of(odd_net(keras, epsilon=1e-5, gate="sigmoid"), tmp_path / "other.keras")
    differences = check_operator_architecture(other, file).differences
    assert {one.address for one in differences} == {"norm", "lstm"}


def masked_net(keras, *, mask=True, value=0.0, back=True):
    """A net whose sequences have masks: those of an Embedding and of a Masking."""
    layers = keras.layers
    words = layers.Input((5,), batch_size=1, name="x")
    x = layers.Embedding(9, 6, mask_zero=mask, name="embed")(words)
    x = layers.SpatialDropout1D(0.2, name="drop")(x)
    if keras is not tf_keras:  # repeats results of masked parts where batches have a size
        x = layers.TimeDistributed(layers.Dense(6, name="dense"), name="each")(x)
    both = layers.LSTM(3, return_sequences=True, name="cell")
    x = layers.Bidirectional(both, name="both")(x)
    x = layers.GRU(4, name="gru")(x)
    x = layers.RepeatVector(3, name="repeat")(x)
    x = layers.Masking(value, name="hide")(x)
    x = layers.SimpleRNN(3, go_backwards=back, name="last")(x)
    return keras.Model(words, layers.Dense(2, name="out")(x), name="net")


UNMASKED = {
    "no mask": ({"mask": False}, "both"),
    "other value": ({"value": 1.0}, "hide"),
    "direction": ({"back": False}, "last"),
}


@pytest.mark.parametrize("name", [pytest.param("tf_keras", marks=pytest.mark.slow), "keras"])
def test_masks_of_sequences_are_compared(name, tmp_path):
    keras = pytest.importorskip(name)
    file = converted_and_same(masked_net(keras), keras, tmp_path)
    for case, (changed, wanted) in UNMASKED.items():
        other = plan_of(masked_net(keras, **changed), tmp_path / "other.keras")
        differences = check_operator_architecture(other, file).differences
        assert wanted in {one.address for one in differences}, case


def test_kernels_of_one_shape_are_found_by_what_they_multiply(tmp_path):
    layers = tf_keras.layers
    cells = [layers.LSTMCell(6), layers.LSTMCell(6)]
    model = tf_keras.Sequential(
        [
            layers.Input((5, 6), batch_size=1, name="x"),
            layers.GRU(6, return_sequences=True, name="one"),
            layers.GRU(6, return_sequences=True, name="two"),
            layers.RNN(cells, return_sequences=True, name="stack"),
            layers.GRU(6, reset_after=False, name="three"),
            layers.Dense(2, name="out"),
        ],
        name="net",
    )
    plan = plan_of(model, tmp_path / "net.keras")
    prune(model, plan)
    for name, place in (("two", 1), ("stack", 3), ("three", 1)):
        weights = model.get_layer(name).get_weights()
        weights[place] = np.ones_like(weights[place])  # of the same shape as the other kernels
        model.get_layer(name).set_weights(weights)
    found = verify_tflite(plan, convert(model, tmp_path / "net"))
    assert [check.unchecked for check in found.checks] == [""] * 11
    drift = [(check.address, check.tensor) for check in found.drift]
    assert drift == [
        ("two", "recurrent_kernel"),
        ("stack", "cells.1.kernel"),
        ("three", "recurrent_kernel"),
    ]
