"""Every model of `keras.applications`: planned, pruned, trained for a step, saved, stripped.

A line that begins with `#` tells the size, time and memory of a model.
"""

import gc
import inspect
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from commands import run_command
from keras3.child import Cases
from keras3.models import array
from keras3.training_cases import assert_exact
from peak_memory import peak_memory, reset_peak

import graphprune
from graphprune import ConstantSparsity, UpdatePruningStep

CASES = Cases()
SHARE, CLASSES = 0.9, 10
EVERY = sorted(
    name
    for name, build in vars(keras.applications).items()
    if inspect.isfunction(build)
    and "weights" in inspect.signature(build).parameters
    and not (keras.config.backend() == "torch" and name.startswith("NASNet"))  # Keras refuses it
)
SIZES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
"""The smallest images of models that do not take 32 × 32."""


def build(name):
    """Return a model with random weights for the smallest images that it takes."""
    size = SIZES.get(name, 32)
    kind = getattr(keras.applications, name)
    return kind(weights=None, input_shape=(size, size, 3), classes=CLASSES)


def planned(path):
    """Return how many tensors the shipped rules prune: all of a model but the last."""
    assert run_command("layers", path).code == 0
    done = run_command("plan", path, "-r", "builtin:all-90")
    assert done.code == 0, done.err
    plan = graphprune.make_plan(path, "builtin:all-90")
    assert plan.diagnostics == ()
    return sum(len(change.tensors) for change in plan.changes if change.is_change)


def outputs_of(model, x):
    return array(model(x, training=False))


def whole_way(model):
    """Prune a model, train it for a step, save, load and strip it; return the pruned tensors."""
    x = np.random.default_rng(2).random((1, *model.input_shape[1:])).astype("float32")
    y = np.eye(CLASSES, dtype="float32")[:1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        tensors = planned(path)
        config = str(model.get_config())
        eager = keras.config.backend() == "tensorflow"  # a step of a large graph is long in tracing
        model.compile("sgd", "categorical_crossentropy", run_eagerly=eager)
        pruned = graphprune.prune_low_magnitude(model, ConstantSparsity(SHARE, 0))
        pruned.fit(x, y, verbose=0, callbacks=[UpdatePruningStep()])
        assert_exact(pruned, SHARE)
        found = [one for held in graphprune.collect_prunable_layers(pruned) for one in held.tensors]
        assert len(found) == tensors + 1, (len(found), tensors)
        pruned.save(path)
        with graphprune.prune_scope():
            loaded = keras.models.load_model(path)
    assert_exact(loaded, SHARE)
    expected = outputs_of(pruned, x)
    np.testing.assert_array_equal(outputs_of(loaded, x), expected)
    del loaded
    stripped = graphprune.strip_pruning(pruned)
    assert str(stripped.get_config()) == config
    np.testing.assert_array_equal(outputs_of(stripped, x), expected)
    return len(found)


@CASES.each(EVERY, fast=())
def application(name):
    keras.backend.clear_session()
    gc.collect()
    reset_peak()
    start, cpu = time.monotonic(), time.process_time()
    model = build(name)
    tensors = whole_way(model)
    print(
        f"# {name:<18} {model.count_params():>11,} parameters, {tensors:3} tensors pruned,"
        f" {time.monotonic() - start:4.0f} s ({time.process_time() - cpu:4.0f} s of processor),"
        f" {peak_memory():6.0f} MB"
    )


if __name__ == "__main__":
    CASES.run()
