from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from reference_masks import magnitude_mask
from tf_keras import layers
from tf_zoo import build, pruning, wrap_all

from graphprune.engine.progress import TensorProgress
from graphprune.errors import TrainingError
from graphprune.sparsity.counts import kept_count, zero_count
from graphprune.sparsity.positions import Position, Run
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.pruning.surgery import wrap_layers

pytestmark = pytest.mark.tf

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 6)).astype("float32"), RNG.normal(size=(48, 2)).astype("float32")
STEPS = 12


class Watch(tf_keras.callbacks.Callback):
    """Checks after every batch that masked weights are zero, and notes the masks' counts."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        for wrapper in find_wrappers(self.model).values():
            for weight, mask, _ in wrapper.pruning_vars:
                assert not weight.numpy()[~mask.numpy()].view(np.uint8).any()
                self.seen.append((int(wrapper.pruning_step.numpy()), int(mask.numpy().sum())))


def small(**kwargs) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(4)
    x = layers.Input((6,))
    model = tf_keras.Model(
        x,
        layers.Dense(2, name="b")(
            layers.Dense(5, activation="tanh", kernel_constraint="max_norm", name="a")(x)
        ),
    )
    return wrap_all(model, end=9, every=3, **kwargs)


def fit(model, optimizer, **settings):
    model.compile(optimizer, "mse", **settings)
    watch = Watch()
    model.fit(
        X,
        Y,
        batch_size=4,
        epochs=1,
        shuffle=False,
        verbose=0,
        callbacks=[UpdatePruningStep(), watch],
    )
    return watch


OPTIMIZERS = {
    "adam": lambda: tf_keras.optimizers.Adam(0.05),
    "momentum": lambda: tf_keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.01),
    "rmsprop": lambda: tf_keras.optimizers.RMSprop(0.05),
    "legacy": lambda: tf_keras.optimizers.legacy.Adam(0.05),
}
SETTINGS = [
    *((name, {}) for name in OPTIMIZERS),
    ("adam", {"steps_per_execution": 4}),
    ("adam", {"run_eagerly": True}),
    ("momentum", {"jit_compile": True}),
    ("legacy", {"jit_compile": True}),
]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_masked_weights_are_zero_after_every_step_and_counts_are_exact(name, settings):
    model = small()
    watch = fit(model, OPTIMIZERS[name](), **settings)
    timetable = pruning(end=9, every=3).schedule.to_timetable(Run())
    if "steps_per_execution" not in settings:
        due = {step: timetable.last_due(step) for step in range(1, STEPS + 1)}
        expected = [
            (step, kept_count(size, timetable.sparsity_at(due[step], 0.75)))
            for step in due
            for size in (30, 10)
        ]
        assert watch.seen == expected
    assert [
        (wrapper.pruning_step.numpy(), wrapper.last_update.numpy() >= 9)
        for wrapper in find_wrappers(model).values()
    ] == [(STEPS, True)] * 2
    assert [
        np.count_nonzero(wrapper.layer.kernel.numpy()) for wrapper in find_wrappers(model).values()
    ] == [kept_count(30, 0.75), kept_count(10, 0.75)]


def test_training_equals_a_reference_loop_in_numpy():
    tf_keras.utils.set_random_seed(2)
    x = layers.Input((6,))
    model = wrap_layers(
        tf_keras.Model(x, layers.Dense(2, use_bias=False, name="d")(x)),
        {"d": pruning("kernel", end=9, every=3)},
    )
    weights = model.get_layer("d").layer.kernel.numpy()
    model.compile(tf_keras.optimizers.SGD(0.1), "mse")
    model.fit(
        X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0, callbacks=[UpdatePruningStep()]
    )
    timetable = pruning(end=9, every=3).schedule.to_timetable(Run())
    mask = np.ones_like(weights, bool)
    for step in range(STEPS + 1):
        if timetable.is_due(after=step - 1, step=step):
            mask = magnitude_mask(weights, timetable.sparsity_at(step, 0.75))
            weights = np.where(mask, weights, 0)
        if step < STEPS:
            batch, wanted = X[4 * step : 4 * step + 4], Y[4 * step : 4 * step + 4]
            gradient = 2 * batch.T @ (batch @ weights - wanted) / wanted.size
            weights = np.where(mask, weights - np.float32(0.1) * gradient, 0)
    np.testing.assert_array_equal(model.get_layer("d").pruning_vars[0][1].numpy(), mask)
    np.testing.assert_allclose(
        model.get_layer("d").layer.kernel.numpy(), weights, rtol=1e-4, atol=1e-6
    )


def test_mixed_precision_prunes_the_float32_weights_and_counts_steps_as_the_optimizer_does():
    policy = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = small()
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(
            tf_keras.optimizers.SGD(0.05), initial_scale=2.0**20
        )
        watch = fit(model, optimizer)
    finally:
        tf_keras.mixed_precision.set_global_policy(policy)
    kernel, mask, _ = model.get_layer("a").pruning_vars[0]
    assert kernel.dtype == "float32"
    assert watch.seen
    assert float(optimizer.loss_scale) < 2.0**20, "steps were skipped"
    assert (
        int(model.get_layer("a").pruning_step.numpy()) == int(optimizer.iterations.numpy()) == STEPS
    )
    assert not kernel.numpy()[~mask.numpy()].any()


def test_a_layer_with_two_pruned_weights_counts_a_step_once():
    x = layers.Input((6, 2))
    model = wrap_all(tf_keras.Model(x, layers.SeparableConv1D(2, 3, name="s")(x)))
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(
        np.ones((8, 6, 2)),
        np.ones((8, 4, 2)),
        batch_size=1,
        verbose=0,
        callbacks=[UpdatePruningStep()],
    )
    assert int(model.get_layer("s").pruning_step.numpy()) == 8
    assert [int(mask.numpy().sum()) for _, mask, _ in model.get_layer("s").pruning_vars] == [2, 1]


def test_averaged_weights_are_pruned_when_training_ends():
    model = small()
    model.compile(tf_keras.optimizers.SGD(0.05, use_ema=True), "mse")
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[UpdatePruningStep()])
    assert np.count_nonzero(model.get_layer("a").layer.kernel.numpy()) == kept_count(30, 0.75)


def test_shared_layers_and_nested_models_count_a_step_once():
    model = wrap_all(build("siamese"))
    model.compile("adam", "mse", run_eagerly=True)
    data = (
        [np.ones((4, 5), "float32")] * 2,
        [np.ones((4, 1), "float32"), np.ones((4, 2), "float32")],
    )
    model.fit(*data, batch_size=2, epochs=4, verbose=0, callbacks=[UpdatePruningStep()])
    assert {
        address: int(wrapper.pruning_step.numpy())
        for address, wrapper in find_wrappers(model).items()
    } == {"tower::shared": 8, "head::h1": 8, "head::h2": 8, "aux": 8}


def test_a_custom_loop_calls_on_step_as_often_as_it_likes():
    model = small()
    pruner = Pruner(model)
    with pytest.raises(
        TrainingError,
        match=(
            r"^the pruner has not started; call start\(Run\(steps_per_epoch=\.\.\.,"
            r" epochs=\.\.\.\)\) before training$"
        ),
    ):
        pruner.on_step()
    pruner.start(Run())
    optimizer = tf_keras.optimizers.SGD(0.1)
    for step in range(10):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(X, training=True) - Y) ** 2)
        optimizer.apply_gradients(
            zip(
                tape.gradient(loss, model.trainable_variables),
                model.trainable_variables,
                strict=True,
            )
        )
        pruner.on_step()
        before = [wrapper.pruning_vars[0][1].numpy() for wrapper in pruner.wrappers.values()]
        pruner.on_step()
        np.testing.assert_equal(
            [wrapper.pruning_vars[0][1].numpy() for wrapper in pruner.wrappers.values()], before
        )
        assert pruner.step == step + 1
        assert pruner.is_finished == (step + 1 >= 9)
    kernel, _, threshold = model.get_layer("a").pruning_vars[0]
    assert pruner.tensors()[0] == TensorProgress(
        "a", "kernel", 30, 22, 22, 0.75, float(threshold.numpy())
    )
    assert pruner.tensors()[0].sparsity == 22 / 30
    assert pruner.total_sparsity() == (22 + zero_count(10, 0.75)) / 40
    assert np.abs(kernel.numpy()).max() > threshold.numpy()


def epochs(end: int) -> Pruning:
    return Pruning(
        0.5, Schedule(end=Position(end, "epoch"), every=Position(1, "step")), ("kernel",)
    )


def model_with(pruned: Pruning) -> tf_keras.Model:
    return wrap_layers(build("sequential"), {"d1": pruned})


def test_epochs_need_the_length_of_an_epoch():
    text = (
        "d1: end is 2 epochs, and the number of steps in an epoch is not known; give the run's"
        " length: UpdatePruningStep(run=Run(steps_per_epoch=..., epochs=...)) in fit, or"
        " pruner.start(Run(...)) in a custom loop"
    )
    with pytest.raises(TrainingError, match="^" + re.escape(text) + "$"):
        Pruner(model_with(epochs(2))).start(Run())


def test_a_run_that_is_too_short_warns_before_it_starts():
    text = (
        "schedule/never-reached: d1: the schedule reaches 50.0% at step 30 and the run ends at step"
        " 20; train for longer, or end the schedule earlier"
    )
    with pytest.warns(UserWarning, match="^" + re.escape(text) + "$"):
        Pruner(model_with(epochs(3))).start(Run(10, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pruner(model_with(epochs(2))).start(Run(10, 2))


def test_the_warning_names_the_target_that_a_budget_gives_the_tensor():
    with pytest.warns(UserWarning, match=r"d1: the schedule reaches 73\.0% at step 30 "):
        Pruner(model_with(replace(epochs(3), shares=(0.73,)))).start(Run(10, 2))


def test_a_run_that_is_resumed_ends_at_the_same_step():
    model = model_with(epochs(3))
    for wrapper in find_wrappers(model).values():
        wrapper.pruning_step.assign(5)
    with pytest.warns(UserWarning, match=r"at step 30 and the run ends at step 20; "):
        Pruner(model).start(Run(10, 2), done=5)


def test_the_update_at_step_0_happens_before_training():
    model = wrap_layers(
        build("sequential"), {"d1": Pruning(0.5, Schedule(curve="constant"), ("kernel",))}
    )
    Pruner(model).start(Run())
    assert (
        np.count_nonzero(model.get_layer("d1").layer.kernel.numpy()),
        int(model.get_layer("d1").last_update.numpy()),
    ) == (15, 0)


def test_a_frozen_layer_follows_the_steps_of_the_model():
    model = wrap_all(build("frozen"))
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(
        np.ones((8, 4)), np.ones((8, 2)), batch_size=1, verbose=0, callbacks=[UpdatePruningStep()]
    )
    assert int(model.get_layer("cold").pruning_step.numpy()) == 8
    assert np.count_nonzero(model.get_layer("cold").layer.kernel.numpy()) == 4


def test_an_embedding_needs_a_new_optimizer():
    words = layers.Input((3,), dtype="int32")
    model = wrap_all(tf_keras.Model(words, layers.Embedding(8, 4, name="e")(words)))
    model.compile(tf_keras.optimizers.legacy.Adam(), "mse")
    text = (
        "e: a legacy optimizer (Adam) cannot prune an Embedding, whose gradients are sparse; "
        "compile with tf_keras.optimizers.Adam, or give --optimizer adam to graphprune train"
    )
    with pytest.raises(TrainingError, match="^" + re.escape(text) + "$"):
        model.fit(np.ones((2, 3)), np.ones((2, 3, 4)), verbose=0, callbacks=[UpdatePruningStep()])
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(
        np.ones((8, 3)),
        np.ones((8, 3, 4)),
        batch_size=1,
        verbose=0,
        callbacks=[UpdatePruningStep()],
    )
    assert np.count_nonzero(model.layers[-1].layer.embeddings.numpy()) == 8


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_resumed_training_equals_uninterrupted_training(suffix, tmp_path):
    def run(model):
        model.fit(
            X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[UpdatePruningStep()]
        )

    model = small()
    model.compile(tf_keras.optimizers.Adam(0.05), "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(model)
        save_model(model, tmp_path / f"m{suffix}")
        resumed = load_model(tmp_path / f"m{suffix}")
        run(model)
        run(resumed)
    for one, other in zip(
        [*model.weights, *model.optimizer.variables],
        [*resumed.weights, *resumed.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
