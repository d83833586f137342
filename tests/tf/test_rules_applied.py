"""Patterns and budgets on the way through real files: plan, apply, plan again, train to the target,
verify the zeros.
"""

import json

import numpy as np
import pytest
import tf_keras
from commands import run_command
from planned import plan_with
from tf_keras import layers

from graphprune import PruneLowMagnitude, apply_rules, load_model, read_rules
from graphprune.rules.text.files import list_shipped_rules
from graphprune.shipped import shipped_file
from graphprune.tf.pruning.live_graph import count_zeros, graph_of_model, weight_reader

pytestmark = pytest.mark.tf

MODEL = shipped_file("fixtures/digits-cnn.keras")
FOLLOWED = "No changes. The model already follows {}.\n"
MIXED = """\
version: 1
budgets: {net: {sparsity: 80%, allocate: erk}}
rules:
  - id: convs
    match: {type: Conv2D}
    prune: {budget: net, schedule: {curve: step, begin: 0 steps}}
  - id: hidden
    match: {name: hidden}
    prune: {pattern: {keep: 2, of: 4, along: in}, schedule: {curve: step, begin: 0 steps}}
  - id: digits
    match: {name: digits}
    prune: {like: hidden, pattern: {block: {in: 4, out: 1}}, sparsity: 50%}
"""


def cnn(inputs):
    x = layers.Conv2D(16, 3, padding="same", name="conv_1")(inputs)
    x = layers.Conv2D(32, 1, name="conv_2")(layers.DepthwiseConv2D(3)(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(30, 3, padding="same", name="conv_3")(x))
    return layers.Dense(10)(layers.Dense(48)(layers.Dense(64)(x)))


def encoder(inputs):
    x = layers.Embedding(50, 16)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    return layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Dense(16)(layers.Dense(64)(x))))


def sequence(inputs):
    x = layers.GRU(16)(layers.LSTM(16, return_sequences=True)(layers.Embedding(50, 16)(inputs)))
    return layers.Dense(2)(layers.Dense(8)(x))


def padded_mobile(inputs):
    x = layers.ZeroPadding2D(1)(inputs)
    x = first = layers.Conv2D(8, 1)(
        layers.DepthwiseConv2D(3, padding="same")(layers.Conv2D(8, 3, strides=2)(x))
    )
    x = layers.ReLU()(layers.Conv2D(16, 1)(x))
    x = layers.Conv2D(8, 1)(layers.DepthwiseConv2D(3, padding="same")(x))
    return layers.Dense(4)(
        layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(layers.Add()([first, x])))
    )


BUILDERS = {
    "transformer-90": (encoder, (6,)),
    "recurrent-80": (sequence, (6,)),
    "xnnpack-latency": (padded_mobile, (8, 8, 3)),
}


@pytest.mark.parametrize("shipped", list_shipped_rules(), ids=lambda shipped: shipped.name)
def test_each_shipped_file_applied_to_a_live_model_that_it_matches_leaves_nothing_to_do(shipped):
    build, shape = BUILDERS.get(shipped.name, (cnn, (8, 8, 3)))
    inputs = tf_keras.Input(shape)
    model, rules = tf_keras.Model(inputs, build(inputs)), read_rules(shipped.path)
    wrapped = apply_rules(model, rules)
    assert any(isinstance(layer, PruneLowMagnitude) for layer in wrapped.layers)
    again = plan_with(
        graph_of_model(wrapped),
        rules,
        zeros=count_zeros(wrapped),
        read_weight=weight_reader(wrapped),
    )
    assert [change.address for change in again.changes if change.is_change] == []
    assert again.is_empty


def test_a_shipped_file_applied_to_a_model_leaves_nothing_to_do(tmp_path):
    rules = "builtin:global-magnitude-90"
    assert run_command("plan", MODEL, "-r", rules, "-o", tmp_path / "plan.json").code == 0
    done = run_command(
        "apply", MODEL, "--plan", tmp_path / "plan.json", "-o", tmp_path / "wrapped.keras"
    )
    assert (done.code, done.err) == (0, "")
    assert run_command("plan", tmp_path / "wrapped.keras", "-r", rules).out == FOLLOWED.format(
        rules
    )


def test_a_plan_by_magnitude_is_stale_for_other_weights(tmp_path):
    assert (
        run_command(
            "plan", MODEL, "-r", "builtin:global-magnitude-90", "-o", tmp_path / "plan.json"
        ).code
        == 0
    )
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["depends_on_weights"] is True
    model = load_model(MODEL)
    kernel = model.get_layer("conv_2").kernel
    kernel.assign(kernel * 2)
    model.save(tmp_path / "other.keras")
    done = run_command(
        "apply",
        tmp_path / "other.keras",
        "--plan",
        tmp_path / "plan.json",
        "-o",
        tmp_path / "wrapped.keras",
    )
    assert done.code == 1
    assert (
        done.err == "error[plan/stale]: the plan depends on the weights of 'conv_2', and those"
        " of this model differ\n"
        f"  --> {tmp_path / 'plan.json'}\n"
        "  help: make the plan again for this model: graphprune plan MODEL -r RULES -o"
        " PLAN.json\n"
    )
    assert not (tmp_path / "wrapped.keras").exists()


def test_a_live_model_is_wrapped_by_magnitude():
    wrapped = apply_rules(load_model(MODEL), read_rules("builtin:global-magnitude-90"))
    shares = {
        layer.name: layer.pruning.shares for layer in wrapped.layers if hasattr(layer, "pruning")
    }
    assert set(shares) == {"conv_1", "conv_2", "conv_3", "hidden"}
    assert len({share for pair in shares.values() for share in pair}) == 4


def test_patterns_and_budgets_reach_the_zeros_that_the_plan_says(tmp_path):
    (tmp_path / "p.yaml").write_text(MIXED)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "d.npz",
        x_train=rng.normal(size=(32, 8, 8, 1)).astype("float32"),
        y_train=rng.integers(0, 10, 32),
    )
    plan = json.loads(run_command("plan", MODEL, "-r", tmp_path / "p.yaml", "--format", "json").out)
    done = run_command(
        "train",
        MODEL,
        "-r",
        tmp_path / "p.yaml",
        "--data",
        tmp_path / "d.npz",
        "--run",
        tmp_path / "run",
        "--epochs",
        "1",
        "--batch-size",
        "16",
    )
    assert done.code == 0, done.err
    layers = json.loads(run_command("layers", tmp_path / "run", "--format", "json").out)["layers"]
    measured = {
        (layer["address"], tensor["name"]): tensor["zeros"]
        for layer in layers
        for tensor in layer["tensors"]
    }
    wanted = {
        (change["address"], tensor["name"]): tensor["zeros_after"]
        for change in plan["layer_changes"]
        for tensor in change["tensors"]
    }
    assert len(wanted) == 4  # ERK leaves conv_1 dense
    assert {key: measured[key] for key in wanted} == wanted
    assert run_command("plan", tmp_path / "run", "-r", tmp_path / "p.yaml").out == FOLLOWED.format(
        tmp_path / "p.yaml"
    )
