"""What pruning costs while a Keras 3 model trains; `training_speed.py --keras 3` runs it.

The first training step, tracing or compiling included, is measured in a process of its own for each
method. For the mean of the later steps one process holds all methods, which take short turns,
because a step of the same model takes up to 20% longer from one minute to the next. A block is ten
turns of each method, in which `updated` computes masks once; `pruned` computes masks before the
first step and never again.

Each block trains new models, whose optimizer has another name. TensorFlow orders the operations of
a step that is not compiled, as that of an LSTM is not, by their names and the number of variables,
and its executor keeps the last of the operations that become ready together on the thread that has
their input in its cache: with 16 names the step of an LSTM took 0.99 to 1.10 times that of the
plain model of the same name, and 1.00 times with one thread.

Each of the two has two columns: the processor time, and the time that a user waits, which means
something on a quiet machine only. The processor time means less where threads that wait for work
keep their cores busy, as those of PyTorch do. A column has the median, the median of the ratios to
the plain model in the same round or block, half the distance of the quartiles of these ratios, and
the ratio that the project wants to keep.
"""

from __future__ import annotations

import compileall
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import graphprune

METHODS = ("plain", "pruned", "updated")
TURN, TURNS = 10, 10
"""Measured steps of a turn, after one that begins it, and turns of each method in a block."""
WARM = TURN + TURN // 2
"""Steps before the first turn, so that the next mask update is due amid a turn."""
BLOCK = (1 + TURN) * TURNS
"""Steps from one mask update to the next."""
AT_LEAST = 90.0
"""Seconds that the blocks of a process take together; a slow model has one block."""
FIRST, LATER = ("first: processor", "first: elapsed"), ("later: processor", "later: elapsed")
"""The columns of the first step, in seconds, and of the later ones, in milliseconds."""
ALLOWED = {"plain": (0.0, 0.0), "pruned": (1.15, 1.05), "updated": (1.15, 1.15)}
"""The ratios that the project wants to keep, of the first and of the later steps; 0 for none."""


def compare(backend: str, models: list[str], repeats: int) -> None:
    """Print the figures of every model and method on one backend.

    The modules of graphprune are compiled before, as pip does when it installs them.
    """
    compileall.compile_dir(Path(graphprune.__file__).parent, quiet=1)
    titles = " ".join(f"{title:<31}" for title in (*FIRST, *LATER))
    print(f"{backend}\n{'model':<10} {'method':<8} {titles}")
    for model in models:
        found = measure(backend, model, repeats)
        for method in METHODS:
            columns = (
                column(found[method][title], found["plain"][title], unit, allowed)
                for both, unit, allowed in zip(
                    (FIRST, LATER), ("s", "ms"), ALLOWED[method], strict=True
                )
                for title in both
            )
            print(f"{model:<10} {method:<8} {' '.join(columns)}", flush=True)


def column(times: list[float], plain: list[float], unit: str, allowed: float) -> str:
    """Return the median, and its ratio to the plain model's, its spread, and the one wanted."""
    ratios = [time / other for time, other in zip(times, plain, strict=True)]
    spread = 0.0
    if len(ratios) > 1:
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
        spread = (high - low) / 2
    ratio = f"{statistics.median(ratios):4.2f} ±{spread:.2f} (≤ {allowed:.2f})"
    return f"{statistics.median(times):9.3f} {unit:<2} {ratio if allowed else '':<19}"


def measure(backend: str, model: str, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Return the times by method and column; every second round has the opposite order."""
    found: dict[str, dict[str, list[float]]] = {
        method: {title: [] for title in (*FIRST, *LATER)} for method in METHODS
    }
    for number in range(repeats):
        order = METHODS if number % 2 == 0 else METHODS[::-1]
        for method in order:
            for title, seconds in run_process(backend, "first", model, method).items():
                found[method][title].append(seconds)
        blocks = run_process(backend, "blocks", model, ",".join(order))
        for method in METHODS:
            for title, times in blocks[method].items():
                found[method][title] += times
    return found


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
    """One model that is trained with one method, turn by turn, by an optimizer of a given name."""

    def __init__(self, name: str, method: str, optimizer: str = "adam") -> None:
        import keras

        keras.utils.set_random_seed(1)
        self.model, self.batch = MODELS[name]()
        self.callbacks: list[Any] = []
        if method != "plain":
            end = 0 if method == "pruned" else -1
            schedule = graphprune.ConstantSparsity(0.9, 0, end, frequency=BLOCK)
            self.model = graphprune.prune_low_magnitude(self.model, schedule)
            self.callbacks = [graphprune.UpdatePruningStep(run=graphprune.Run())]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.Adam(name=optimizer), loss)
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


def measure_first(name: str, method: str) -> dict[str, float]:
    """Return the seconds of the first step on both clocks.

    A small model is trained before, because what the backend imports and starts at its first step
    would be counted for the plain model alone: pruning a model starts it too. Python does not look
    for garbage in the step, which takes 0.2 s for all that is imported, in the step of whichever
    method happens to allocate the object that starts it.
    """
    train_small()
    contestant = Contestant(name, method)
    gc.collect()
    gc.disable()
    start, first = contestant.train(1)
    return dict(zip(FIRST, np.subtract(first, start).tolist(), strict=True))


def train_small() -> None:
    """Train a model of one weight for a step."""
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("adam", "mse")
    model.fit(repeated((np.ones((1, 1)), np.ones((1, 1))), 1), verbose=0)


def measure_blocks(name: str, order: str) -> dict[str, dict[str, list[float]]]:
    """Return the mean milliseconds of a step in each block, by method and clock."""
    methods = order.split(",")
    found: dict[str, dict[str, list[float]]] = {
        method: {title: [] for title in LATER} for method in methods
    }
    begun = time.monotonic()
    for number in itertools.count():
        contestants = {method: Contestant(name, method, f"optimizer{number}") for method in methods}
        for method, milliseconds in measure_block(contestants).items():
            for times, mean in zip(found[method].values(), milliseconds, strict=True):
                times.append(mean)
        if time.monotonic() - begun > AT_LEAST:
            break
    return found


def measure_block(contestants: dict[str, Contestant]) -> dict[str, list[float]]:
    """Return the mean milliseconds of a step on each clock, by method."""
    for contestant in contestants.values():
        contestant.train(WARM)
    block = {method: np.zeros(2) for method in contestants}
    for _ in range(TURNS):
        for method, contestant in contestants.items():
            _, first, *_, last = contestant.train(1 + TURN)
            block[method] += np.subtract(last, first)
    return {method: (1000 * seconds / (TURN * TURNS)).tolist() for method, seconds in block.items()}


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
    random = np.random.default_rng(1)
    return random.normal(size=shape).astype("float32"), np.zeros(shape[:1], "int32")


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "mobilenet": mobilenet,
    "mlp": mlp,
    "lstm": lstm,
}
MEASURES: dict[str, Callable[[str, str], Any]] = {"first": measure_first, "blocks": measure_blocks}


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](*sys.argv[2:])))
