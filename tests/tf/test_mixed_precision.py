"""Runs in mixed precision with tf_keras: 16-bit computation, float32 weights, exact zeros, resumed
bit for bit, and stripped to the precision of the original.
"""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from commands import run_command
from run_builders import assert_same_bits, ramp, wrap
from tf_keras import layers
from tf_keras.mixed_precision import LossScaleOptimizer

from graphprune.archive.tflite.file import TfliteFile
from graphprune.errors import OutputError, TrainingError
from graphprune.graph import read_graph
from graphprune.graph.architecture import describe_architecture
from graphprune.runs.records import read_record
from graphprune.runs.run_file import read_run_file
from graphprune.serving.kept_zeros import zeros_of
from graphprune.tf.models.export import to_tflite
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.precision import in_precision, last_layers
from graphprune.tf.pruning.surgery import strip_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf
FLOAT16, BFLOAT16 = "mixed_float16", "mixed_bfloat16"


class Low(layers.Layer):
    """A layer that takes a dtype, and gives it to the layer that it makes only if told so."""

    def __init__(self, *, gives=True, **kwargs):
        super().__init__(**kwargs)
        self.gives = gives
        policy = self.dtype_policy if gives else None
        self.dense = layers.Dense(4, name="made", dtype=policy)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "gives": self.gives}


class Fixed(layers.Layer):
    """A layer that makes one of float16, whatever its own dtype is."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4, name="inside", dtype="float16")

    def call(self, x):
        return self.dense(x)


class Closed(layers.Layer):
    """A layer whose config has no dtype."""

    def __init__(self, name=None):
        super().__init__(name=name)

    def call(self, x):
        return x + 1.0

    def get_config(self):
        return {"name": self.name}


def build_everything():
    """Return a model of layers whose policies lie in different places of its config."""
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((4, 4, 1), name="image")
    x = layers.Rescaling(1 / 255.0, name="scale")(image)
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    inner = layers.Input((2, 2, 4))
    deep = layers.Dense(4, name="deep")(inner)
    x = tf_keras.Model(inner, layers.ReLU(name="last")(deep), name="block")(x)
    x = layers.Reshape((4, 4), name="flat")(x)
    x = layers.Bidirectional(layers.LSTM(3, name="memory"), name="both")(x)
    x = layers.Lambda(lambda t: t * 2.0, name="twice")(x)
    x = x + 1.0
    x = layers.Dense(3, name="logits")(Low(name="own")(x))
    return tf_keras.Model(image, tf.nn.softmax(x), name="net")


def policies(model):
    return {
        layer.name: layer.dtype_policy.name
        for layer in model._flatten_layers(include_self=False)
        if not isinstance(layer, tf_keras.Model)
    }


def test_layers_compute_in_16_bits_but_inputs_preprocessing_and_outputs_do_not():
    model = build_everything()
    assert [layer.name for layer in last_layers(model)][1:] == ["logits"]
    wrapped = wrap(model, conv=ramp(), deep=ramp())
    low = in_precision(wrapped, FLOAT16)
    found = policies(low)
    kept = {name for name, policy in found.items() if policy == "float32"}
    assert {"image", "scale", "logits"} <= kept
    assert {name for name in kept if "input" not in name and "softmax" not in name} == {
        "image", "scale", "logits",
    }  # fmt: skip
    assert all(weight.dtype == "float32" for weight in low.trainable_weights)
    assert low.get_layer("conv").layer.compute_dtype == "float16"
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(model(x), low(x), atol=2e-2)
    assert low(x).dtype == tf.float32
    stripped = strip_model(low)
    assert stripped.get_config() == strip_model(wrapped).get_config()
    assert policies(stripped) == policies(model)
    np.testing.assert_array_equal(model(x), stripped(x))


def test_custom_layers_that_stay_in_float32_are_named():
    inputs = layers.Input((4,), name="x")
    x = layers.Dense(4, name="fc")(inputs)
    x = Low(gives=False, name="half")(Closed("closed")(x))
    model = tf_keras.Model(inputs, layers.Dense(2, name="out")(x), name="net")
    with pytest.warns(UserWarning, match="stay in float32") as told:
        low = in_precision(wrap(model, fc=ramp()), FLOAT16)
    assert [str(one.message) for one in told] == [
        "net: these layers stay in float32: closed (Closed), made (Dense); for mixed_float16, a"
        " custom layer must return the dtype in get_config (super().get_config() does), pass it to"
        " super().__init__, and give its dtype policy to the layers that it makes"
    ]
    assert policies(low) | {"fc": ""} == policies(model) | {"fc": "", "half": FLOAT16}


@pytest.mark.parametrize("policy", [FLOAT16, "float64"])
def test_a_tflite_file_of_another_precision_computes_in_float32(policy):
    x = inputs = layers.Input((6, 6, 1), name="image", dtype=policy.removeprefix("mixed_"))
    x = layers.Rescaling(0.5, name="scale", dtype=policy)(x)
    x = layers.Conv2D(4, 3, name="conv", dtype=policy)(x)
    x = layers.Dense(3, name="fc", dtype=policy)(layers.Flatten(dtype=policy)(x))
    model = tf_keras.Model(inputs, x, name="net")
    kernel = model.get_layer("fc").kernel
    kernel.assign(tf.where(tf.range(64)[:, None] < 40, tf.zeros_like(kernel), kernel))
    made = to_tflite(model)  # compared with the model
    zeros = zeros_of(TfliteFile(made.content))
    assert [int(flags.sum()) for flags in zeros[64 * 3]] == [40 * 3]
    assert model.get_layer("conv").compute_dtype == policy.removeprefix("mixed_")


def test_a_layer_that_stays_in_16_bits_is_named_before_tensorflow_lite_converts():
    inputs = layers.Input((4,), name="x")
    x = Fixed(name="half")(layers.Dense(4, name="fc")(inputs))
    model = tf_keras.Model(inputs, layers.Dense(2, name="out")(x), name="net")
    with pytest.raises(OutputError) as fault:
        to_tflite(model, place="net.tflite")
    assert str(fault.value) == (
        "net.tflite: cannot be written for TensorFlow Lite: layer 'inside' computes in float16, and"
        " the model cannot be copied in float32 (the copy of 'inside' still computes in float16);"
        " build the model in float32, or save it as .keras"
    )


def test_an_operation_that_fails_in_16_bits_is_told_before_training():
    inputs = layers.Input((4,), name="x")
    x = layers.Dense(4, name="fc")(inputs)
    x = x + tf.cast(x, tf.float32)  # of two dtypes, if x is a float16
    model = tf_keras.Model(inputs, layers.Dense(2, name="out")(x), name="net")
    with pytest.raises(TrainingError) as fault:
        in_precision(wrap(model, fc=ramp()), FLOAT16)
    text = str(fault.value)
    assert text.startswith("net: mixed precision: the model cannot be built with mixed_float16 (")
    assert text.endswith("); train it without")


OPTIONS = {"epochs": 3, "batch_size": 8, "checkpoint_every": "1 steps", "seed": 3}
RULES = """
version: 1
schedules:
  ramp: {curve: polynomial, from: 0, begin: 0 epochs, end: 2 epochs, every: 1 step}
rules:
  - id: fc
    match: {name: fc}
    prune: {sparsity: 0.75, schedule: ramp}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a model, its data, and a run in mixed_float16."""
    folder = tmp_path_factory.mktemp("precision")
    tf_keras.utils.set_random_seed(5)
    stack = [
        layers.Input((6,), name="x"),
        layers.Dense(8, activation="relu", name="fc"),
        layers.Dropout(0.2, name="drop"),
        layers.Dense(3, activation="softmax", name="kind"),
    ]
    model = tf_keras.Sequential(stack, name="one")
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.save(folder / "one.keras")
    model.save(folder / "one.h5")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(32, 6)).astype("float32"), rng.integers(0, 3, 32)
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train("one.keras", RULES, "d.npz", "whole", mixed_precision=FLOAT16, keep=20, **OPTIONS)
        yield folder


@pytest.fixture(autouse=True)
def in_place(request, monkeypatch):
    if "place" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("place"))


def checkpoints(run):
    return sorted((run / "checkpoints").iterdir())


def test_masked_weights_are_zero_in_every_checkpoint_and_checkpoints_load(place):
    counts = []
    for checkpoint in checkpoints(place / "whole"):
        model = load_model(checkpoint / "model.keras")
        assert policies(model) == {
            "x": "float32", "fc": FLOAT16, "drop": FLOAT16, "kind": "float32",
        }  # fmt: skip
        assert isinstance(model.optimizer, LossScaleOptimizer)
        weight, mask, _ = find_wrappers(model)["fc"].pruning_vars[0]
        assert not np.any(weight.numpy()[~mask.numpy()])
        counts.append(int(np.sum(~mask.numpy())))
    assert (counts[0], counts[-1], len(counts)) == (0, 36, 13)
    assert counts == sorted(counts)


def test_an_interrupted_run_goes_on_bit_for_bit(place):
    for name, stop in (("mid", 6), ("first", 2)):
        options = {**OPTIONS, "mixed_precision": FLOAT16}
        train("one.keras", RULES, "d.npz", name, stop_after_step=stop, **options)
        if name == "first":  # and from the beginning
            for checkpoint in checkpoints(place / name):
                for file in checkpoint.iterdir():
                    file.unlink()
                checkpoint.rmdir()
        resume(name)
        assert_same_bits(place / "whole/model.keras", place / name / "model.keras")
        lines = [(place / one / "metrics.jsonl").read_text() for one in (name, "whole")]
        assert lines[0] == lines[1]
    assert read_run_file("whole/run.yaml", {})["on.precision"] == FLOAT16
    assert read_record(place / "whole/run.json").config["compiling"]["mixed_precision"] == FLOAT16


def test_original_and_result_are_measured_in_the_precision_of_the_original(place):
    result = resume("whole")
    original = tf_keras.models.load_model("one.keras")
    with np.load("d.npz") as found:
        test = found["x_test"], found["y_test"]
        assert result.original_metrics == pytest.approx(
            original.evaluate(*test, return_dict=True, verbose=0), abs=1e-6
        )
        shown = run_command("strip", "whole", "-o", "sparse.keras", "--keep-optimizer", "--force")
        assert shown.code == 0, shown.err
        sparse = tf_keras.models.load_model("sparse.keras")
        assert result.stripped_metrics == pytest.approx(
            sparse.evaluate(*test, return_dict=True, verbose=0), abs=1e-6
        )
    assert sparse.get_config() == original.get_config()
    assert type(sparse.optimizer) is type(original.optimizer)
    listed = json.loads(run_command("runs", "whole", "--format", "json").out)["runs"][0]
    assert listed["settings"]["mixed_precision"] == FLOAT16
    assert listed["metrics"]["val_loss"] == result.stripped_metrics["loss"]
    ended = json.loads((place / "whole/result.json").read_text())
    assert ended["stripped_metrics"] == result.stripped_metrics
    assert result.final_metrics["val_loss"] == result.stripped_metrics["loss"]
    assert result.metrics["val_loss"] != result.stripped_metrics["loss"]
    verified = run_command("verify", "whole", "--plan", "whole/plan.json")
    assert verified.code == 0, verified.out
    trained, first = (
        describe_architecture(read_graph(one)) for one in ("whole/model.keras", "one.keras")
    )
    assert trained == first
    assert "config.dtype  float32 -> mixed_float16" in run_command("diff", "one.keras", "whole").out
    assert "0 reconfigured" in run_command("diff", "one.keras", "sparse.keras").out


def test_bfloat16_has_no_loss_scale_and_h5_files_keep_the_policy(place):
    result = train("one.h5", RULES, "d.npz", "brain", mixed_precision=BFLOAT16, **OPTIONS)
    model = load_model(result.model)
    assert policies(model)["fc"] == BFLOAT16
    assert not isinstance(model.optimizer, LossScaleOptimizer)
    on = train(result.model, None, "d.npz", "on", mixed_precision=BFLOAT16, **OPTIONS)
    original = tf_keras.models.load_model("one.h5")
    assert strip_model(load_model(on.model)).get_config() == original.get_config()
    with pytest.raises(TrainingError) as fault:
        train(result.model, None, "d.npz", "never", mixed_precision=FLOAT16, **OPTIONS)
    assert str(fault.value) == (
        f"{result.model}: mixed precision: the model was trained in mixed_bfloat16, got"
        " mixed_float16; strip it first (graphprune strip), or go on with mixed_bfloat16"
    )


@pytest.mark.parametrize("policy", [FLOAT16, BFLOAT16])
def test_stripping_keeps_a_loss_scale_that_the_user_had_set(tmp_path, policy):
    stack = [layers.Input((6,)), layers.Dense(4, name="fc"), layers.Dense(2)]
    model = tf_keras.Sequential(stack, name="scaled")
    model.compile(LossScaleOptimizer(tf_keras.optimizers.SGD(), initial_scale=64.0), "mse")
    model.optimizer.build(model.trainable_variables)
    save_model(in_precision(wrap(model, fc=ramp()), policy), tmp_path / "low.keras")
    save_model(strip_model(load_model(tmp_path / "low.keras")), tmp_path / "stripped.keras")
    stripped = tf_keras.models.load_model(tmp_path / "stripped.keras")
    assert policies(stripped)["fc"] == "float32"
    assert stripped.optimizer.get_config() == model.optimizer.get_config()


def test_models_with_policies_of_their_own_and_unknown_policies_are_refused_early(place):
    inputs = layers.Input((6,), name="x")
    x = layers.Dense(8, name="fc", dtype=BFLOAT16)(inputs)
    model = tf_keras.Model(inputs, layers.Dense(3, name="b")(x), name="low")
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save("low.keras")
    given = ("--data", "d.npz", "--epochs", "3", "--run", "never", "--mixed-precision")
    shown = run_command("train", "low.keras", "-r", "builtin:dense-90", *given, FLOAT16)
    assert shown.code == 1
    assert shown.err.splitlines()[-1] == (
        "graphprune: low.keras: mixed precision: layer 'fc' has the dtype policy mixed_bfloat16,"
        " and only float32 models take mixed_float16; leave the setting out, and the model trains"
        " with its own policies"
    )
    shown = run_command("train", "one.keras", "-r", "builtin:dense-90", *given, "float16")
    assert shown.code == 1
    assert "--mixed-precision" in shown.err
    assert "mixed_float16" in shown.err
    assert not (place / "never").exists()


def test_a_dry_run_trains_one_batch_in_mixed_precision(place):
    result = train(
        "one.keras", RULES, "d.npz", "never", mixed_precision=FLOAT16, dry_run=True, **OPTIONS
    )
    assert result.status == "checked"
    assert not (place / "never").exists()
