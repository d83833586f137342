"""Gradients of several batches in one update, held against the algorithm in plain NumPy with one
batch of all their samples, and runs that are cut between two updates.
"""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from reference_training import BATCH, RATE, Reference, X, Y, small_model
from run_builders import assert_same_bits, everything
from tf_keras import layers
from tf_keras.mixed_precision import LossScaleOptimizer
from tf_zoo import pruning, wrap_all

from graphprune.runs.run_options import Compiling
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.surgery import strip_model
from graphprune.tf.training.compiling import compile_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf

EVERY = 3
WHOLE = [(X[at : at + EVERY * BATCH], Y[at : at + EVERY * BATCH]) for at in range(0, len(X), 12)]
PRUNING = {"end": 3, "every": 1}
RULES = {
    "version": 1,
    "rules": [
        {
            "id": "all",
            "match": {"type": ["Embedding", "Dense"]},
            "prune": {
                "sparsity": 0.5,
                "schedule": {"curve": "linear", "begin": "1 step", "end": "75%", "every": "1 step"},
            },
        }
    ],
}


@tf_keras.utils.register_keras_serializable("accumulation")
class Plain(tf_keras.optimizers.SGD):
    """A user's own optimizer, whose method has fewer arguments than Keras's."""

    def apply_gradients(self, grads_and_vars, name=None):
        return super().apply_gradients(grads_and_vars, name=name)


def accumulating(optimizer, **settings) -> tuple[tf_keras.Model, Reference]:
    """Return the small model, wrapped and compiled as for a run, and its reference."""
    model = small_model()
    reference = Reference(model.get_weights(), pruning("kernel", **PRUNING))
    model = wrap_all(model, **PRUNING)
    model.compile(optimizer, "mse", **settings)
    steps = settings.get("steps_per_execution", 1)
    asked = Compiling(gradient_accumulation=EVERY, steps_per_execution=steps)
    compile_model(model, asked, "small")
    return model, reference


def fit(model: tf_keras.Model, x: np.ndarray = X) -> None:
    model.fit(
        x, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[UpdatePruningStep()], epochs=1
    )


def check_equal(model: tf_keras.Model, reference: Reference) -> None:
    found = [model.get_layer(name) for name in "ab"]
    for layer, mask in zip(found, reference.masks, strict=True):
        np.testing.assert_array_equal(layer.pruning_vars[0][1].numpy(), mask)
        assert int(layer.pruning_step) == reference.step == int(model.optimizer.iterations)
        assert int(layer.last_update) == reference.last_update == 3
    weights = [weight for layer in found for weight in (layer.layer.kernel, layer.layer.bias)]
    for weight, expected in zip(weights, reference.weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(weight.numpy() == 0, expected == 0)


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (tf_keras.optimizers.SGD, {}),
        (Plain, {}),
        (tf_keras.optimizers.SGD, {"jit_compile": True, "steps_per_execution": EVERY}),
        (tf_keras.optimizers.legacy.SGD, {"run_eagerly": True}),
        pytest.param(tf_keras.optimizers.legacy.SGD, {"jit_compile": True}, marks=pytest.mark.slow),
        pytest.param(tf_keras.optimizers.SGD, {"run_eagerly": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_an_update_takes_the_mean_of_several_batches(make, settings):
    model, reference = accumulating(make(RATE), **settings)
    fit(model)
    reference.train(WHOLE)
    check_equal(model, reference)


@pytest.mark.parametrize(
    "make",
    [tf_keras.optimizers.SGD, pytest.param(tf_keras.optimizers.legacy.SGD, marks=pytest.mark.slow)],
)
def test_loss_scaling_skips_the_update_of_a_batch_that_is_not_finite_and_counts_it(make):
    model, reference = accumulating(LossScaleOptimizer(make(RATE), initial_scale=2.0**10))
    x = X.copy()
    x[4 * BATCH] = np.inf
    fit(model, x)
    reference.train(WHOLE[:1])
    reference.step += 1
    reference.look()
    reference.train(WHOLE[2:])
    check_equal(model, reference)
    assert float(model.optimizer.loss_scale) == 2.0**9


def test_compiling_again_does_not_accumulate_twice():
    model, reference = accumulating(tf_keras.optimizers.SGD(RATE), run_eagerly=True)
    compile_model(model, Compiling(gradient_accumulation=EVERY), "small")
    fit(model)
    reference.train(WHOLE)
    check_equal(model, reference)


def words() -> tf_keras.Model:
    """Return a classifier with sparse gradients and dropout, compiled to run eagerly."""
    tf_keras.utils.set_random_seed(7)
    stack = [
        layers.Embedding(11, 6, input_length=5, name="words"),
        layers.GlobalAveragePooling1D(),
        layers.Dropout(0.3),
        layers.Dense(3, activation="softmax", name="out"),
    ]
    model = tf_keras.Sequential(stack, name="net")
    model.build((None, 5))
    loss = "sparse_categorical_crossentropy"
    model.compile(tf_keras.optimizers.AdamW(0.05, clipnorm=0.1), loss, run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accumulation")
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 11, (48, 5)).astype("int32"), rng.integers(0, 3, 48)
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    save_model(words(), folder / "words.keras")
    return folder


@pytest.fixture(autouse=True)
def in_place(place, monkeypatch):
    monkeypatch.chdir(place)


OPTIONS = {
    "epochs": 2,
    "batch_size": 4,
    "gradient_accumulation": EVERY,
    "checkpoint_every": "5 steps",
    "seed": 3,
}


@pytest.fixture(scope="module")
def whole(place):
    """The result of a run that is not cut."""
    return train(place / "words.keras", RULES, str(place / "d.npz"), place / "whole", **OPTIONS)


def check_cut(place, whole, name, **more) -> None:
    train("words.keras", RULES, "d.npz", name, stop_after_step=14, **OPTIONS, **more)
    result = resume(name)
    assert result.resumed_from.name == "step-00000010", "updates are due after 9 and 12"
    assert_same_bits(whole.model, result.model)
    texts = [(run / "metrics.jsonl").read_text() for run in (place / name, whole.run_dir)]
    assert texts[0] == texts[1]
    assert not whole.missed


def test_a_run_that_is_cut_between_two_updates_goes_on_bit_for_bit(place, whole):
    check_cut(place, whole, "cut")


@pytest.mark.slow
def test_a_run_in_mixed_precision_goes_on_between_two_updates(place):
    more = {"mixed_precision": "mixed_float16"}
    whole = train("words.keras", RULES, "d.npz", "mixed-whole", **OPTIONS, **more)
    check_cut(place, whole, "mixed", **more)


def test_a_run_equals_one_with_larger_batches_and_its_curve_follows_updates(place):
    """Dropout draws other numbers for other batches, so there is none here."""
    model = words()
    model.layers[2].rate = 0.0
    save_model(model, place / "still.keras")
    asked = {
        "epochs": 1,
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "learning_rate": {"curve": "step", "from": 0.5, "warm_up": "2 steps", "at": {"75%": 0.1}},
    }
    one, other = (
        train("still.keras", RULES, "d.npz", f"still-{every}", **{**OPTIONS, **asked, **sizes})
        for every, sizes in (
            (3, {}),
            (1, {"batch_size": 12, "gradient_accumulation": 1, "checkpoint_every": "1 epoch"}),
        )
    )
    first, second = everything(one.model), everything(other.model)
    assert list(first) == list(second)
    for key, value in first.items():
        np.testing.assert_allclose(value, second[key], rtol=1e-4, atol=1e-6, err_msg=key)


def test_the_stripped_model_has_the_users_optimizer_and_loads_in_plain_keras(place, whole):
    stripped = strip_model(load_model(whole.model))
    save_model(stripped, place / "stripped.keras")
    again = tf_keras.models.load_model(place / "stripped.keras")
    assert type(again.optimizer) is tf_keras.optimizers.AdamW
    fresh = words().optimizer
    assert again.optimizer.get_config().keys() == fresh.get_config().keys()
    names = [variable.name for variable in again.optimizer.variables]
    assert not any("gradients" in name for name in names)
    assert int(again.optimizer.iterations) == 8
    for one, other in zip(again.optimizer.variables, stripped.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
