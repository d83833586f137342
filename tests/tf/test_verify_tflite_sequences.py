"""Sequences in `.tflite` files of the real converter: unrolled, split, with states and masks."""

import pytest
from converted_files import check_folder, convert_in_batches_of_one, converted_and_same, plan_of

from graphprune.archive.saved_model.exported import find_exported
from graphprune.plan.exported import verify_exported
from graphprune.plan.operator_architecture import check_operator_architecture

pytestmark = pytest.mark.tf


def recurrent_net(keras, *, gate="tanh", back=True, order=(0, 1), **has):
    """Unrolled and split layers, one that begins with the states of another, and a bare cell."""
    layers = keras.layers
    given = layers.Input((3, 6), batch_size=1, name="x")
    unrolled = layers.LSTM(5, unroll=True, return_sequences=True, recurrent_activation=gate)
    x = layers.Bidirectional(unrolled, merge_mode=has.get("merge", "sum"), name="both")(given)
    after = has.get("after", False)
    parts = {"unroll": True, "implementation": 1}
    x = layers.GRU(5, go_backwards=back, reset_after=after, name="gru", **parts)(x)
    x = layers.RepeatVector(3, name="again")(x)
    x = layers.LSTM(5, recurrent_activation=has.get("own", "sigmoid"), name="lstm", **parts)(x)
    x = layers.RepeatVector(3, name="repeat")(x)
    split = {"return_state": True, "return_sequences": True, "implementation": 1}
    y, *states = layers.LSTM(4, activation=has.get("split", "relu"), **split, name="split")(x)
    states = [states[place] for place in order]
    y = layers.LSTM(4, return_sequences=True, name="next")(y, initial_state=states)
    cell = layers.SimpleRNNCell(3, activation=has.get("cell", "tanh"))
    y = layers.RNN(cell, name="bare")(y)
    return keras.Model(given, layers.Dense(2, name="out")(y), name="net")


def masked_net(keras, *, causal=True, masks=True, heads=2, kind="Average", **has):
    """Attention and an average behind the masks of two sequences."""
    layers = keras.layers
    words, others = (layers.Input((n,), batch_size=1, name=f"x{n}") for n in (5, 4))
    x = layers.Embedding(9, 6, mask_zero=True, name="embed")(words)
    y = layers.Embedding(7, 6, mask_zero=masks, name="other")(others)
    z = layers.MultiHeadAttention(heads, 6 // heads, name="heads")(x, x, use_causal_mask=causal)
    x = layers.LayerNormalization(name="norm")(layers.Add(name="add")([x, z]))
    x = layers.Attention(name="dot")([layers.Dense(6, name="query")(x), y])
    added = layers.AdditiveAttention(use_scale=has.get("scale", True), name="added")
    x = added([x, layers.Dense(6, name="value")(y)][:: has.get("order", 1)])
    x = getattr(layers, f"Global{kind}Pooling1D")(name="gap")(x)
    return keras.Model([words, others], layers.Dense(2, name="out")(x), name="net")


def translation_net(keras, *, masked=True, back=False, states=True, **has):
    """An encoder whose states a decoder begins with, and a model that is called twice."""
    layers = keras.layers
    words, others = (layers.Input((n,), batch_size=1, name=f"x{n}") for n in (5, 4))
    x = layers.Embedding(9, 6, mask_zero=masked, name="embed")(words)
    y = layers.Embedding(7, 6, mask_zero=True, name="other")(others)
    own = {"activation": has.get("encoder", "tanh"), "go_backwards": back, "name": "encoder"}
    _, h, c = layers.LSTM(4, return_state=True, **own)(x)
    decoder = layers.LSTM(5, return_sequences=True, name="decoder")
    h, c = (layers.Dense(5, name=name)(state) for name, state in (("h", h), ("c", c)))
    y = decoder(y, **({"initial_state": [h, c]} if states else {}))
    given = layers.Input((5,), name="given")
    z = layers.Dense(5, has.get("inner", "relu"), name="first")(given)
    inner = keras.Model(given, layers.Dense(5, name="second")(z), name="inner")
    parts = [inner(layers.GlobalMaxPooling1D(name="gap")(y)), inner(h)]
    y = layers.Subtract(name="less")(parts[:: has.get("order", 1)])
    return keras.Model([words, others], layers.Dense(2, name="out")(y), name="net")


def frames_net(keras, *, first="relu", last="tanh", strides=1, back=False):
    """A model for each frame, and a ConvLSTM over frames."""
    layers = keras.layers
    image = layers.Input((6, 5, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation=first, name="a")(image)
    x = layers.Multiply(name="times")([x, layers.Conv2D(4, 1, activation="elu", name="b")(image)])
    each = keras.Model(image, x, name="each_frame")
    given = layers.Input((3, 6, 5, 2), batch_size=1, name="x")
    x = layers.TimeDistributed(each, name="each")(given)
    x = layers.ConvLSTM2D(
        3,
        3,
        strides=strides,
        activation=last,
        go_backwards=back,
        return_sequences=True,
        name="conv",
    )(x)
    return keras.Model(given, layers.Dense(2, name="out")(layers.Flatten()(x)), name="net")


def stacked_net(keras, *, first="relu", gate="tanh", after=True, swapped=False, **has):
    """Stacked cells of two kinds behind a mask, whose states go on, and of three kinds."""
    layers = keras.layers
    given = layers.Input((3,), batch_size=1, name="x")
    x = layers.Embedding(9, 6, mask_zero=has.get("mask", True), name="embed")(given)
    pair = [layers.GRUCell(4, activation=has.get("inner", "tanh")), layers.LSTMCell(4)]
    found = layers.RNN(pair, return_state=True, name="pair")(x)
    found = [part for each in found for part in (each if isinstance(each, list) else [each])]
    x = layers.Concatenate(name="states")([found[place] for place in has.get("order", (0, 1, 3))])
    x = layers.RepeatVector(3, name="repeat")(x)
    cells = [
        layers.LSTMCell(4, activation=first),
        layers.GRUCell(4, recurrent_activation=gate, reset_after=after),
        layers.SimpleRNNCell(3),
    ]
    cells = [cells[1], cells[0], cells[2]] if swapped else cells[: has.get("count", 3)]
    x = layers.RNN(cells, go_backwards=has.get("back", True), name="stack")(x)
    return keras.Model(given, layers.Dense(2, name="out")(x), name="net")


NETS = {
    "stacked": (
        stacked_net,
        {
            "activation of the first cell": ({"first": "tanh"}, "stack"),
            "gates of the second cell": ({"gate": "sigmoid"}, "stack"),
            "reset after": ({"after": False}, "stack"),
            "order of cells": ({"swapped": True}, "stack"),
            "a cell less": ({"count": 2}, "stack"),
            "no mask": ({"mask": False}, "pair"),
            "activation of a cell behind a mask": ({"inner": "relu"}, "pair"),
            "order of states": ({"order": (0, 3, 1)}, "states"),
            "direction": ({"back": False}, "stack"),
        },
    ),
    "recurrent": (
        recurrent_net,
        {
            "gates": ({"gate": "sigmoid"}, "both"),
            "how directions are merged": ({"merge": "mul"}, "both"),
            "direction": ({"back": False}, "gru"),
            "reset after": ({"after": True}, "gru"),
            "gates of parts": ({"own": "tanh"}, "lstm"),
            "activation of a split layer": ({"split": "tanh"}, "split"),
            "order of states": ({"order": (1, 0)}, "next"),
            "activation of a cell": ({"cell": "relu"}, "bare"),
        },
    ),
    "masked": (
        masked_net,
        {
            "no causal mask": ({"causal": False}, "heads"),
            "no mask of keys": ({"masks": False}, "dot"),
            "heads": ({"heads": 3}, "heads"),
            "maximum": ({"kind": "Max"}, "gap"),
            "scale of sums": ({"scale": False}, "added"),
            "order of query and value": ({"order": -1}, "added"),
        },
    ),
    "translation": (
        translation_net,
        {
            "no mask": ({"masked": False}, "encoder"),
            "activation of the encoder": ({"encoder": "relu"}, "encoder"),
            "direction": ({"back": True}, "encoder"),
            "no states": ({"states": False}, "decoder"),
            "activation inside": ({"inner": "tanh"}, "inner::first"),
            "order": ({"order": -1}, "less"),
        },
    ),
    "frames": (
        frames_net,
        {
            "activation inside": ({"first": "tanh"}, "each"),
            "activation of a cell": ({"last": "relu"}, "conv"),
            "strides": ({"strides": 2}, "conv"),
            "direction": ({"back": True}, "conv"),
        },
    ),
}


UNREAD = {("frames", "keras"), ("recurrent", "keras"), ("recurrent", "tf_keras")}
"""Nets whose exported folder has operations that are not read: TimeDistributed, unrolled layers."""


@pytest.mark.parametrize("name", [pytest.param("tf_keras", marks=pytest.mark.slow), "keras"])
@pytest.mark.parametrize("net", NETS)
def test_what_is_changed_in_layers_over_sequences_is_seen(net, name, tmp_path):
    keras = pytest.importorskip(name)
    build, changes = NETS[net]
    exported = "unchecked" if (net, name) in UNREAD else "same"
    file = converted_and_same(build(keras), keras, tmp_path, exported)
    for case, (changed, wanted) in changes.items():
        other = plan_of(build(keras, **changed), tmp_path / "other.keras")
        found = [check_operator_architecture(other, file)]
        if exported == "same":
            found.append(check_folder(other, tmp_path / "net"))
        for one in found:
            # Keras 3 numbers the names of operations
            addresses = {each.address.removesuffix("_1") for each in one.differences}
            assert wanted in addresses, case


def masked_half_net(keras, *, back=False, zeros=True, policy="mixed_float16"):
    """A recurrent layer in both directions behind a mask, computed in 16 bits."""
    layers, own = keras.layers, {"dtype": policy}
    given = layers.Input((3,), name="x")
    x = layers.Embedding(9, 6, mask_zero=zeros, name="embed", **own)(given)
    inner = layers.LSTM(5, return_sequences=True, go_backwards=back, **own)
    x = layers.Bidirectional(inner, name="both", **own)(x)
    return keras.Model(given, layers.Dense(2, name="out")(x), name="net")


def test_a_folder_of_tf_keras_with_16_bits_and_a_mask_is_compared(tmp_path):
    keras = pytest.importorskip("tf_keras")
    model = masked_half_net(keras)
    plan = plan_of(model, tmp_path / "net.keras")
    model.export(str(tmp_path / "net"))
    exported = find_exported(tmp_path / "net")
    found = verify_exported(plan, exported)
    assert (found.unchecked, found.architecture.status) == ((), "same")
    assert {one.partition("/")[0] for one in exported.keys} >= {"embed", "both", "out"}
    for changed in ({"back": True}, {"zeros": False}):
        other = plan_of(masked_half_net(keras, **changed), tmp_path / "other.keras")
        assert verify_exported(other, exported).architecture.status == "differs"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["float16", "dynamic"])
@pytest.mark.parametrize("name", ["tf_keras", "keras"])
@pytest.mark.parametrize("net", NETS)
def test_sequences_in_files_with_fewer_bits_are_compared_too(net, name, form, tmp_path):
    keras = pytest.importorskip(name)
    build, _ = NETS[net]
    model = build(keras)
    plan = plan_of(model, tmp_path / "net.keras")
    file = convert_in_batches_of_one(keras, model, tmp_path / "net", form)
    found = check_operator_architecture(plan, file)
    assert (found.status, found.differences, found.unchecked) == ("same", (), "")


@pytest.mark.parametrize("name", [pytest.param("tf_keras", marks=pytest.mark.slow), "keras"])
def test_what_a_file_does_not_tell_is_not_checked(name, tmp_path):
    keras = pytest.importorskip(name)
    layers = keras.layers
    given = layers.Input((4, 6), batch_size=1, name="x")
    x = layers.Normalization(name="norm")(layers.Activation("tanh", name="act")(given))
    cells = [layers.LSTMCell(3), layers.LSTMCell(3)]
    x = layers.Activation("relu", name="relu")(x)
    x = layers.RNN(cells, unroll=True, name="stack")(x)
    model = keras.Model(given, x, name="net")
    plan = plan_of(model, tmp_path / "net.keras")
    file = convert_in_batches_of_one(keras, model, tmp_path / "net")
    found = check_operator_architecture(plan, file)
    assert found.differences == ()
    assert found.unchecked == (
        "the file has no operator of norm (Normalization), as if it was not adapted; operators of"
        " stack (RNN) are not compared"
    )
