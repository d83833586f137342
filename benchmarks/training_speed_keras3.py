"""What pruning costs while a Keras 3 model trains; `training_speed.py --keras 3` runs it.

Columns, medians over the rounds, each with its ratio to the plain model's in the same round:

- first step: processor time of the first training step, tracing or compiling included, in a process
  of its own for each method.
- processor: mean processor time of a later step. One process holds all methods, which take turns of
  100 steps, so that a busy moment meets them all. `pruned` computes masks before the first step and
  never again; `updated` also computes them once in a turn.
- elapsed: mean time from the end of one of these steps to the end of the next, what a user waits.
  Its ratio means something on a quiet machine only. The ratio of processor time means less where
  threads that wait for work keep their cores busy, as those of PyTorch do.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

METHODS = ("plain", "pruned", "updated")
TURN = 100
"""Steps of a turn, and from one mask update to the next."""
TURNS, AT_LEAST = 3, 45.0
"""Turns of each method, and seconds that all of them take together."""
COLUMNS = {"first step": "s", "processor": "ms", "elapsed": "ms"}
"""The columns and their units."""
ALLOWED = {"pruned": (1.15, 1.05, 1.05), "updated": (1.15, 1.15, 1.15)}
"""The ratios that the project wants to keep, by column."""


def compare(backend: str, models: list[str], repeats: int) -> None:
    """Print the figures of every model and method on one backend."""
    titles = " ".join(f"{title:>26}" for title in COLUMNS)
    print(f"{backend}\n{'model':<10} {'method':<8} {titles}")
    for model in models:
        rounds = [measure_round(backend, model, number) for number in range(repeats)]
        for method in METHODS:
            columns = (
                column(rounds, method, index, unit) for index, unit in enumerate(COLUMNS.values())
            )
            print(f"{model:<10} {method:<8}{''.join(columns)}", flush=True)


def column(rounds: list[dict[str, list[float]]], method: str, index: int, unit: str) -> str:
    """Return the median, its ratio to the plain model's, and the ratio that is wanted."""
    value = statistics.median(found[method][index] for found in rounds)
    ratio = statistics.median(found[method][index] / found["plain"][index] for found in rounds)
    wanted = f"(≤ {ALLOWED[method][index]:.2f})" if method in ALLOWED else ""
    return f" {value:10.3f} {unit:<2} {ratio:4.2f} {wanted:<8}"


def measure_round(backend: str, model: str, number: int) -> dict[str, list[float]]:
    """Return the columns of each method; every second round takes them in opposite order."""
    order = METHODS if number % 2 == 0 else METHODS[::-1]
    first = {method: run_process(backend, "first", model, method) for method in order}
    later = run_process(backend, "turns", model, ",".join(order))
    return {method: [first[method], *later[method]] for method in METHODS}


def run_process(backend: str, what: str, model: str, method: str) -> Any:
    """Measure in a fresh process."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    done = subprocess.run(
        [sys.executable, Path(__file__), what, model, method],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    return json.loads(done.stdout.splitlines()[-1])


class Contestant:
    """One model that is trained with one method, turn by turn."""

    def __init__(self, name: str, method: str) -> None:
        import keras

        import graphprune

        keras.utils.set_random_seed(1)
        self.model, self.batch = MODELS[name]()
        self.callbacks: list[Any] = []
        if method != "plain":
            end = 0 if method == "pruned" else -1
            schedule = graphprune.ConstantSparsity(0.9, 0, end, frequency=TURN)
            self.model = graphprune.prune_low_magnitude(self.model, schedule)
            self.callbacks = [graphprune.UpdatePruningStep(run=graphprune.Run())]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile("adam", loss)
        self.marks: list[tuple[float, float]] = []
        self.clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: self.marks.append(clocks())
        )

    def train(self, steps: int) -> list[tuple[float, float]]:
        """Return the clocks at the start, and after each step with its callbacks."""
        data = repeated(self.batch, steps)
        self.marks = [clocks()]
        self.model.fit(data, verbose=0, callbacks=[*self.callbacks, self.clock])
        return self.marks


def clocks() -> tuple[float, float]:
    """Return the seconds of processor time, and those on the clock."""
    return time.process_time(), time.perf_counter()


def repeated(batch: Any, steps: int) -> Any:
    """Return a data set of `steps` times the same batch."""
    import keras

    class Repeated(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> Any:
            return batch

    return Repeated()


def measure_first(name: str, method: str) -> float:
    """Return the seconds of processor time of the first step."""
    start, first = Contestant(name, method).train(1)
    return first[0] - start[0]


def measure_turns(name: str, order: str) -> dict[str, list[float]]:
    """Return the median over turns of the mean milliseconds of a step, of each method and clock.

    A fast model gets more turns than a slow one.
    """
    contestants = {method: Contestant(name, method) for method in order.split(",")}
    found: dict[str, list[list[float]]] = {method: [] for method in contestants}
    for contestant in contestants.values():
        contestant.train(TURN)  # traces; ends where an update is due
    begun = time.monotonic()
    while min(map(len, found.values())) < TURNS or time.monotonic() - begun < AT_LEAST:
        for method, contestant in contestants.items():
            _, second, *_, last = contestant.train(TURN)
            steps = [
                1000 * (end - begin) / (TURN - 1) for begin, end in zip(second, last, strict=True)
            ]
            found[method].append(steps)
    return {
        method: [statistics.median(times) for times in zip(*turns, strict=True)]
        for method, turns in found.items()
    }


def mlp() -> tuple[Any, Any]:
    """Return 784-1024-1024-10, and a batch of 128."""
    import keras
    from keras import layers

    hidden = [layers.Dense(1024, "relu"), layers.Dense(1024, "relu")]
    return keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(10)]), batch(128, 784)


def mobilenet() -> tuple[Any, Any]:
    """Return MobileNetV2 at 96x96, and a batch of 16."""
    import keras

    model = keras.applications.MobileNetV2(
        (96, 96, 3), weights=None, classes=10, classifier_activation=None
    )
    return model, batch(16, 96, 96, 3)


def lstm() -> tuple[Any, Any]:
    """Return an LSTM of 128 units over 28 steps of 28 numbers, and a batch of 128."""
    import keras
    from keras import layers

    stack = [keras.Input((28, 28)), layers.LSTM(128), layers.Dense(10)]
    return keras.Sequential(stack), batch(128, 28, 28)


def batch(*shape: int) -> Any:
    """Return random inputs of this shape, and labels."""
    import numpy as np

    random = np.random.default_rng(1)
    return random.normal(size=shape).astype("float32"), np.zeros(shape[:1], "int32")


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "mobilenet": mobilenet,
    "mlp": mlp,
    "lstm": lstm,
}
MEASURES: dict[str, Callable[[str, str], Any]] = {"first": measure_first, "turns": measure_turns}


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](*sys.argv[2:])))
