"""Training with patterns, held against a loop in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from reference_masks import pattern_mask
from tf_keras import layers

from graphprune.sparsity.patterns import UNSTRUCTURED, Block, Channel, KeepOf
from graphprune.sparsity.positions import Position, Run
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import strip_pruning
from graphprune.tf.pruning.surgery import wrap_layers

pytestmark = pytest.mark.tf

RNG = np.random.default_rng(8)
STEPS, BATCH = 20, 4
X, Y = (
    RNG.normal(size=(STEPS * BATCH, 9)).astype("float32"),
    RNG.normal(size=(STEPS * BATCH, 6)).astype("float32"),
)
RAMP = Schedule("polynomial", end=Position(15, "step"), every=Position(4, "step"))
POINTS = Schedule(
    "points",
    points=((Position(2, "step"), 0.3), (Position(7, "step"), 0.5), (Position(14, "step"), 0.7)),
)
AXES = (("in", "out"),)
PRUNINGS = [
    Pruning(0.5, RAMP, ("kernel",), KeepOf(2, 4, "in"), pads=True, axes=AXES),
    Pruning(0.7, POINTS, ("kernel",), Block((("in", 2), ("out", 2)), "max"), pads=True, axes=AXES),
    Pruning(0.7, RAMP, ("kernel",), Channel("out"), axes=AXES),
    Pruning(0.6, RAMP, ("kernel",), shares=(0.65,)),
]
OTHERS = [
    Pruning(0.5, RAMP, ("kernel",), KeepOf(1, 2, "out"), axes=AXES),
    Pruning(0.7, RAMP, ("kernel",), Block((("in", 3), ("out", 1))), axes=AXES),
    Pruning(0.7, POINTS, ("kernel",), UNSTRUCTURED),
]
"""Patterns and schedules that PRUNINGS has in other combinations."""


def build(pruning):
    tf_keras.utils.set_random_seed(2)
    x = layers.Input((9,))
    model = wrap_layers(
        tf_keras.Model(x, layers.Dense(6, use_bias=False, name="d")(x)), {"d": pruning}
    )
    model.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    return model


def fit(model, steps):
    part = slice(steps.start * BATCH, steps.stop * BATCH)
    model.fit(
        X[part],
        Y[part],
        batch_size=BATCH,
        epochs=1,
        shuffle=False,
        verbose=0,
        callbacks=[UpdatePruningStep(), *watchers(model, steps.start)],
    )
    return model


def watchers(model, start):
    layer, seen = model.get_layer("d"), {}

    def note(batch, logs):
        mask, weights = layer.pruning_vars[0][1].numpy(), layer.layer.kernel.numpy()
        assert not weights[~mask].view(np.uint8).any()
        seen[start + batch + 1] = mask

    model.seen = seen
    return [tf_keras.callbacks.LambdaCallback(on_train_batch_end=note)]


def reference(pruning, weights):
    """Return the mask after each step and the weights in the end, of gradient descent on the mean
    squared error.
    """
    timetable = pruning.schedule.to_timetable(Run())
    mask, masks = np.ones_like(weights, bool), {}
    for step in range(STEPS + 1):
        if timetable.is_due(after=step - 1, step=step):
            share = timetable.sparsity_at(step, pruning.share_of("kernel"))
            mask = pattern_mask(weights, pruning.pattern, share, AXES[0], pads=pruning.pads)
            weights = np.where(mask, weights, 0)
        masks[step] = mask
        if step < STEPS:
            batch, wanted = (
                X[BATCH * step : BATCH * (step + 1)],
                Y[BATCH * step : BATCH * (step + 1)],
            )
            gradient = 2 * batch.T @ (batch @ weights - wanted) / wanted.size
            weights = np.where(mask, weights - np.float32(0.1) * gradient, 0)
    return masks, weights


@pytest.mark.parametrize(
    "pruning",
    [*PRUNINGS, *(pytest.param(pruning, marks=pytest.mark.slow) for pruning in OTHERS)],
    ids=lambda pruning: f"{pruning.pattern}, {pruning.schedule.curve}, {pruning.shares}",
)
def test_training_equals_the_reference_loop_and_survives_files(pruning, tmp_path):
    model = build(pruning)
    masks, weights = reference(pruning, model.get_layer("d").layer.kernel.numpy())
    half = fit(model, range(0, 9))
    for suffix in (".keras", ".h5"):
        save_model(half, tmp_path / f"half{suffix}")
    resumed = [load_model(tmp_path / f"half{suffix}") for suffix in (".keras", ".h5")]
    assert [other.get_layer("d").pruning for other in resumed] == [pruning, pruning]
    for early in range(1, 9):  # the callback writes the mask of a step after its update
        np.testing.assert_array_equal(model.seen[early], masks[early], err_msg=f"step {early}")
    fit(model, range(9, STEPS))
    for step in range(10, STEPS + 1):
        np.testing.assert_array_equal(model.seen[step], masks[step], err_msg=f"step {step}")
    kernel = model.get_layer("d").layer.kernel.numpy()
    np.testing.assert_allclose(kernel, weights, rtol=1e-4, atol=1e-6)
    for other in resumed:
        fit(other, range(9, STEPS))
        for one, same in zip(model.weights, other.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), same.numpy())
    stripped = strip_pruning(model)
    assert type(stripped.get_layer("d")) is layers.Dense
    np.testing.assert_array_equal(stripped.get_layer("d").kernel.numpy(), kernel)
    assert (
        kernel.size - np.count_nonzero(kernel) >= pruning.target_zeros("kernel", kernel.shape) > 0
    )


def test_a_convolution_keeps_two_of_four_inputs_at_each_place_of_its_window():
    tf_keras.utils.set_random_seed(2)
    image = layers.Input((6, 6, 8))
    pruning = Pruning(
        0.5, Schedule("constant"), ("kernel",), KeepOf(2, 4, "in"), axes=(("h", "w", "in", "out"),)
    )
    model = wrap_layers(tf_keras.Model(image, layers.Conv2D(5, 3, name="c")(image)), {"c": pruning})
    weights = model.get_layer("c").layer.kernel.numpy()
    model.compile("adam", "mse")
    model.fit(
        np.ones((4, 6, 6, 8), "float32"),
        np.ones((4, 4, 4, 5), "float32"),
        batch_size=2,
        verbose=0,
        callbacks=[UpdatePruningStep()],
    )
    mask = pattern_mask(weights, pruning.pattern, 0.5, ("h", "w", "in", "out"))
    kernel = model.get_layer("c").layer.kernel.numpy()
    np.testing.assert_array_equal(kernel != 0, mask)
    assert set(np.count_nonzero(kernel.reshape(3, 3, 2, 4, 5), axis=3).ravel()) == {2}
