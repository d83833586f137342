"""Training runs of Keras 3 models on one backend: resumed bit for bit, refused in words."""

import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers
from keras3.child import Cases
from keras3.models import array, assert_same

import graphprune
from graphprune import PolynomialDecay, prune_scope, resume, train

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())
SAMPLES, STEPS, EPOCHS = 22, 3, 2
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(SAMPLES, 6)).astype("float32")
Y = RANDOM.integers(0, 3, size=SAMPLES)
DATA = ((X, Y), (X[:9], Y[:9]))


def net(dropout=0.3):
    inputs = keras.Input((6,), name="x")
    x = layers.Dense(12, activation="relu", name="a")(inputs)
    x = layers.BatchNormalization(name="norm")(layers.Dropout(dropout, name="drop")(x))
    return keras.Model(inputs, layers.Dense(3, name="b", dtype="float32")(x), name="net")


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def pruned(optimizer="adam", build=net):
    keras.utils.set_random_seed(8)
    model = build()
    model.compile(optimizer, loss(), metrics=["accuracy"])
    return graphprune.prune_low_magnitude(model, PolynomialDecay(0.1, 0.75, 0, 5, frequency=2))


def run(name, model, data=DATA, **options):
    settings = {"epochs": EPOCHS, "batch_size": 8, "checkpoint_every": "1 steps", "seed": 3}
    return train(model, None, data, FOLDER / name, **{**settings, **options})


def load(path):
    with prune_scope():
        return keras.models.load_model(path)


def state(path):
    """All that a run leaves in the model's file."""
    model = load(path)
    pruned_layers = graphprune.collect_prunable_layers(model)
    masks = [tensor.read_mask() for held in pruned_layers for tensor in held.tensors]
    steps = [np.array([held.read_step(), held.read_last_update()]) for held in pruned_layers]
    own = [one for one in model.optimizer.variables if "graphprune" not in one.name]
    seeds = [
        generator.state for layer in model._flatten_layers() for generator in layer._seed_generators
    ]
    return [*(array(one) for one in (*model.variables, *own, *seeds)), *masks, *steps]


def check_resumes(name, make, data=DATA, again=None, steps=STEPS * EPOCHS, **options):
    """Hold a run that is stopped at each step and resumed against one that is not stopped."""
    whole = run(f"{name}-whole", make(), data() if callable(data) else data, **options)
    assert whole.status == "finished"
    assert whole.step == steps
    assert not whole.missed
    lines = (FOLDER / f"{name}-whole" / "metrics.jsonl").read_text()
    for step in range(1, steps + 1):
        folder = f"{name}-{step}"
        stopped = run(
            folder, make(), data() if callable(data) else data, stop_after_step=step, **options
        )
        assert (stopped.status, stopped.step) == ("interrupted", step)
        keras.utils.set_random_seed(70 + step)
        result = resume(FOLDER / folder, data=data() if callable(data) else data)
        assert result.status == "finished"
        assert_same(state(whole.model), state(result.model))
        assert (FOLDER / folder / "metrics.jsonl").read_text() == lines
    return whole


@CASES
def a_run_stopped_at_each_step_goes_on():
    whole = check_resumes("adam", pruned)
    line = json.loads((FOLDER / "adam-whole" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(line)
    assert line["sparsity"] == 0.75
    for held in graphprune.collect_prunable_layers(load(whole.model)):
        for tensor in held.tensors:
            assert not tensor.read()[~tensor.read_mask()].any()
    assert "tf_keras" not in sys.modules


if __name__ == "__main__":
    CASES.run()
