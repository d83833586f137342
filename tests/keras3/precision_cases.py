"""Runs of Keras 3 models in mixed precision: exact zeros, resumed bit for bit, stripped to the
precision of the original.
"""

import functools
import json
import re
import warnings

import keras
import numpy as np
from commands import run_command
from keras import layers
from keras3.child import Cases, refusal
from keras3.models import array, assert_same
from keras3.run_cases import DATA, FOLDER, RULES, check_resumes, compiled, load, pruned, run

import graphprune
from graphprune.errors import OutputError, TrainingError
from graphprune.keras3 import precision
from graphprune.keras3.export import to_tflite
from graphprune.keras3.precision import in_precision
from graphprune.runs.run_file import read_run_file

CASES = Cases()
FLOAT16, BFLOAT16 = "mixed_float16", "mixed_bfloat16"


class Low(layers.Layer):
    """A layer that gives its policy to the layer that it makes only if told so."""

    def __init__(self, *, gives=True, **kwargs):
        super().__init__(**kwargs)
        self.gives = gives
        self.dense = layers.Dense(4, name="made", dtype=self.dtype_policy if gives else None)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "gives": self.gives}


class Closed(layers.Layer):
    """A layer whose config has no dtype."""

    def __init__(self, name=None):
        super().__init__(name=name)

    def call(self, x):
        return x + 1.0

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {"name": self.name}


def everything(**own):
    """Return a model of layers whose policies lie in different places of its config."""
    keras.utils.set_random_seed(3)
    image = keras.Input((4, 4, 1), name="image")
    x = layers.Rescaling(1 / 255.0, name="scale")(image)
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    block = [keras.Input((2, 2, 4)), layers.Dense(4, name="deep"), layers.ReLU(name="last")]
    x = keras.Sequential(block, name="block")(x)
    x = layers.Reshape((4, 4), name="flat")(x)
    x = layers.TimeDistributed(layers.Dense(4, name="each"), name="times")(x)
    x = layers.Bidirectional(layers.LSTM(3, name="memory"), name="both")(x)
    x = keras.ops.tanh(x)
    x = Low(name="own", **own)(x)
    if own:
        x = Closed("closed")(x)
    return keras.Model(image, keras.ops.softmax(layers.Dense(3, name="logits")(x)), name="net")


def config(model):
    """Return the config, without numbers of the operation, which Keras 3.3 names anew."""
    text = json.dumps(model.get_config(), sort_keys=True)
    return re.sub(r'"softmax_[0-9]+"', '"softmax"', text)


def policies(model):
    return {
        layer.name: layer.dtype_policy.name
        for layer in model._flatten_layers(include_self=False)
        if not isinstance(layer, keras.Model | layers.InputLayer)
    }


def wrapped(model):
    schedule = graphprune.PolynomialDecay(0.1, 0.75, 0, 5, frequency=2)
    return graphprune.prune_low_magnitude(model, schedule)


def adds_casts():
    """Return whether this Keras adds Cast layers to models of several precisions."""
    inputs = keras.Input((2,))
    outputs = layers.Dense(1)(layers.Dense(1, dtype=FLOAT16)(inputs))
    return len(keras.Model(inputs, outputs).operations) > 3


def on_keras_without_casts(case):
    """Return a case that holds instead that models are refused, where Keras adds Cast layers."""

    @functools.wraps(case)
    def checked():
        if not adds_casts():
            return case()
        text = refusal(lambda: in_precision(wrapped(everything()), FLOAT16), TrainingError)
        assert text.startswith(f"net: mixed precision: Keras {keras.__version__} adds "), text
        assert text.endswith("use Keras 3.10 or newer, or train without"), text
        return None

    return checked


@CASES.fast_on("jax")
def layers_that_keras_adds_are_refused():
    model = wrapped(everything())
    found, counts = precision._count_operations, iter((14, 12))
    precision._count_operations = lambda model: next(counts)
    try:
        text = refusal(lambda: in_precision(model, FLOAT16), TrainingError)
    finally:
        precision._count_operations = found
    assert text == (
        f"net: mixed precision: Keras {keras.__version__} adds 2 Cast layers for mixed_float16,"
        " which strip cannot remove; use Keras 3.10 or newer, or train without"
    )


@CASES
@on_keras_without_casts
def layers_compute_in_16_bits_but_preprocessing_and_outputs_do_not():
    model = everything()
    pruned_one = wrapped(model)
    low = in_precision(pruned_one, FLOAT16)
    found = policies(low)
    assert {name for name, policy in found.items() if policy == "float32"} == {"scale", "logits"}
    assert all(weight.dtype == "float32" for weight in low.trainable_weights)
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 1)).astype("float32")
    outputs = low(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    np.testing.assert_allclose(array(model(x)), array(outputs), atol=2e-2)
    assert found["made"] == found["each"] == FLOAT16
    stripped = graphprune.strip_pruning(low)
    assert config(stripped) == config(graphprune.strip_pruning(pruned_one)) == config(model)
    np.testing.assert_array_equal(array(model(x)), array(stripped(x)))


@CASES.fast_on("jax")
@on_keras_without_casts
def layers_that_stay_in_float32_are_named():
    model = wrapped(everything(gives=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        in_precision(model, BFLOAT16)
    told = [str(one.message) for one in caught if one.category is UserWarning]
    assert told == [
        "net: these layers stay in float32: made (Dense), closed (Closed); for mixed_bfloat16, a"
        " custom layer must return the dtype in get_config (super().get_config() does), pass it to"
        " super().__init__, and give its dtype policy to the layers that it makes"
    ], told


class Fixed(layers.Layer):
    """A layer that makes one of float16, whatever its own dtype is."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4, name="inside", dtype="float16")

    def call(self, x):
        return self.dense(x)


@CASES.fast_on("jax")
def tflite_files_of_another_precision_compute_in_float32():
    x = inputs = keras.Input((6, 6, 1), name="image", dtype="float16")
    x = layers.Rescaling(0.5, name="scale", dtype=FLOAT16)(x)
    x = layers.Conv2D(4, 3, name="conv", dtype=FLOAT16)(x)
    x = layers.Dense(3, name="fc", dtype="float16")(layers.Flatten(dtype="float16")(x))
    model = keras.Model(inputs, x, name="net")
    assert to_tflite(model).content  # compared with the model
    assert model.get_layer("conv").compute_dtype == "float16"


@CASES.fast_on("jax")
def layers_that_stay_in_16_bits_are_named_before_tensorflow_lite_converts():
    inputs = keras.Input((4,), name="x")
    x = Fixed(name="half")(layers.Dense(4, name="fc")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="out")(x), name="net")
    assert refusal(lambda: to_tflite(model, place="net.tflite"), OutputError) == (
        "net.tflite: cannot be written for TensorFlow Lite: layer 'inside' computes in float16, and"
        " the model cannot be copied in float32 (the copy of 'inside' still computes in float16);"
        " build the model in float32, or save it as .keras"
    )


@CASES
@on_keras_without_casts
def runs_in_mixed_precision_go_on():
    whole = check_resumes(
        "low",
        compiled,
        stops=(3,),
        rules=RULES,
        mixed_precision=FLOAT16,
        checkpoint_every="1 steps",
        keep=20,
    )
    settings = read_run_file(str(FOLDER / "low-whole" / "run.yaml"), {})
    assert settings["on.precision"] == FLOAT16
    for checkpoint in sorted((FOLDER / "low-whole" / "checkpoints").iterdir()):
        model = load(checkpoint / "model.keras")
        assert policies(model) == {"a": FLOAT16, "drop": FLOAT16, "norm": FLOAT16, "b": "float32"}
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        for held in graphprune.collect_prunable_layers(model):
            for tensor in held.tensors:
                assert not np.any(tensor.read()[~tensor.read_mask()])
    plain = run("plain", compiled(), rules=RULES)
    assert whole.original_metrics == plain.original_metrics
    shown = run_command(
        "strip", str(FOLDER / "low-whole"), "-o", str(FOLDER / "low.keras"), "--keep-optimizer"
    )
    assert shown.code == 0, shown.err
    original = keras.models.load_model(FOLDER / "low-whole" / "original.keras")
    sparse = keras.models.load_model(FOLDER / "low.keras")
    assert sparse.get_config() == original.get_config()
    assert type(sparse.optimizer) is type(original.optimizer)
    found = sparse.evaluate(*DATA[1], verbose=0, return_dict=True)
    for name, value in whole.stripped_metrics.items():
        np.testing.assert_allclose(value, found[name], atol=1e-6)
    assert whole.stripped_metrics["loss"] != whole.metrics["val_loss"]


@CASES.fast_on("tensorflow")
@on_keras_without_casts
def runs_of_pruned_models_take_bfloat16_and_keep_it():
    whole = run("brain", pruned(), mixed_precision=BFLOAT16)
    model = load(whole.model)
    assert policies(model)["a"] == BFLOAT16
    assert not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    again = run("brain-on", model)
    assert policies(load(again.model))["a"] == BFLOAT16
    text = refusal(lambda: run("never", model, mixed_precision=FLOAT16), TrainingError)
    assert text == (
        "net: mixed precision: the model was trained in mixed_bfloat16, got mixed_float16; strip it"
        " first (graphprune strip), or go on with mixed_bfloat16"
    )
    assert_same(state_of(graphprune.strip_pruning(model)), state_of(model))


@CASES.fast_on("jax")
@on_keras_without_casts
def stripping_keeps_a_loss_scale_that_the_user_had_set():
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=64.0)
    for policy in (FLOAT16, BFLOAT16):
        low = in_precision(wrapped(compiled(scaling)), policy)
        low.save(FOLDER / "scaled.keras")
        stripped = graphprune.strip_pruning(load(FOLDER / "scaled.keras"))
        assert policies(stripped)["a"] == "float32"
        assert stripped.optimizer.initial_scale == 64.0
        assert stripped.optimizer.get_config() == scaling.get_config()


def state_of(model):
    return [array(one) for one in model.trainable_variables]


if __name__ == "__main__":
    CASES.run()
