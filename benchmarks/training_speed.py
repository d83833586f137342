"""Print what pruning costs during training: plain Keras, tfmot and graphprune side by side.

    pip install '.[bench]' && python benchmarks/training_speed.py [--repeats 3] [--only MODEL ...]
    python benchmarks/training_speed.py --keras 3 --backend jax [--repeats 3] [--only MODEL ...]

`--keras 3` compares Keras 3 with and without pruning on one of its backends: see
`training_speed_keras3.py`. Of tf_keras there are these columns, medians over the rounds, each with
its ratio to the plain model's in the same round:

- first step: processor time of the first training step, tracing included, in a process of its own
  for each method.
- later steps: processor time of a step. One process holds all methods, which take turns of 10
  steps, so that a busy moment meets them all.
- with updates: the same as a mean over a turn, in which masks change once in 10 steps; ten times as
  often as they do by default.
- peak memory: of a process that trains 21 steps, and what it may be: the plain model's, the masks,
  and 10%; in parentheses, what it has without the model, after a training of three weights:
  TensorFlow and all else that is imported.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import training_speed_keras3

METHODS = ("plain", "tfmot", "graphprune")
TURN, TURNS = 10, 7
"""Steps of a turn, and turns of each method; the first turn traces and does not count."""
RAMP = TURN * TURNS


def main() -> None:
    """Run every model with every method, and print ratios to plain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", action="append", choices=MODELS)
    parser.add_argument("--keras", type=int, default=2, choices=(2, 3))
    parser.add_argument(
        "--backend", default="tensorflow", choices=("tensorflow", "jax", "torch"), help="of Keras 3"
    )
    parser.add_argument(
        "--measure", nargs=3, metavar=("WHAT", "MODEL", "METHOD"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.measure:
        what, name, method = options.measure
        print(json.dumps(MEASURES[what](name, method)))
        return
    if options.keras == 3:
        training_speed_keras3.compare(options.backend, options.only or [*MODELS], options.repeats)
        return
    print(
        f"{'model':<12} {'method':<11} {'first step':>18} {'later steps':>18} {'with updates':>18}"
        f" {'peak memory':>18}"
    )
    for model in options.only or MODELS:
        memory = {method: run_process("memory", model, method) for method in METHODS}
        rounds = [measure_round(model, number) for number in range(options.repeats)]
        for method in METHODS:
            columns = "".join(
                column(rounds, method, *column_of)
                for column_of in (("first", "s"), ("later", "ms"), ("mean", "ms"))
            )
            print(
                f"{model:<12} {method:<11}{columns}  {memory[method]['peak']:6.0f} MB"
                f" ({memory[method]['before']:.0f})",
                flush=True,
            )
        print(
            f"{model:<12} allowed"
            f" {1.1 * memory['plain']['peak'] + memory['graphprune']['masks']:71.0f} MB",
            flush=True,
        )


def column(rounds: list[dict[str, dict[str, float]]], method: str, name: str, unit: str) -> str:
    """Return the median and its ratio to the plain model's."""
    value = statistics.median(found[method][name] for found in rounds)
    ratio = statistics.median(found[method][name] / found["plain"][name] for found in rounds)
    return f" {value:10.3f} {unit:<2} {ratio:4.2f}"


def measure_round(model: str, number: int) -> dict[str, dict[str, float]]:
    """Return every figure of each method, measured once.

    In every second round the methods run in the opposite order.
    """
    found = {
        method: run_process("first", model, method)
        for method in (METHODS if number % 2 == 0 else METHODS[::-1])
    }
    turns = run_process("turns", model, "all")
    return {method: found[method] | turns[method] for method in METHODS}


def run_process(what: str, model: str, method: str) -> dict[str, Any]:
    """Measure in a fresh process."""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, model, method],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


class Contestant:
    """One model that is trained with one method, turn by turn."""

    def __init__(self, name: str, method: str) -> None:
        import tensorflow as tf
        import tf_keras

        tf_keras.utils.set_random_seed(1)
        self.wrap = WRAPS[method]()
        model, batch = (tiny if name == "tiny" else MODELS[name])()
        self.model, self.callbacks = self.wrap(model)
        self.model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        self.data = iter(tf.data.Dataset.from_tensors(batch).repeat())
        self.marks: list[float] = []
        self.clock = tf_keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: self.marks.append(time.process_time())
        )

    def train(self, steps: int) -> list[float]:
        """Return the processor time at the start and after each step with its callbacks."""
        self.marks = [time.process_time()]
        self.model.fit(
            self.data,
            steps_per_epoch=steps,
            epochs=1,
            verbose=0,
            callbacks=[*self.callbacks, self.clock],
        )
        return self.marks


def measure_first(name: str, method: str) -> dict[str, float]:
    """Return the seconds of processor time of the first step."""
    contestant = Contestant(name, method)
    start, first = contestant.train(1)
    return {"first": first - start}


def measure_memory(name: str, method: str) -> dict[str, float]:
    """Return the memory of a training process, in MB.

    The entries are its peak, what it needs without the model, and the masks.
    """
    Contestant("tiny", method).train(1)
    before = peak_memory()
    contestant = Contestant(name, method)
    contestant.train(2 * TURN + 1)
    masks = [
        weight
        for weight in contestant.model.weights
        if "mask_" in weight.name and weight.dtype.name == "bool"
    ]
    return {
        "peak": peak_memory(),
        "before": before,
        "masks": sum(mask.shape.num_elements() for mask in masks) / 1e6,
    }


def peak_memory() -> float:
    """Return the most memory that the process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure_turns(name: str) -> dict[str, dict[str, float]]:
    """Return the median and the mean milliseconds of processor time of a step with each method."""
    contestants = {method: Contestant(name, method) for method in METHODS}
    turns: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    for number in range(TURNS):
        for method, contestant in contestants.items():
            marks = contestant.train(TURN)
            if number:
                turns[method].append(
                    [1000 * (end - start) for start, end in itertools.pairwise(marks[1:])]
                )
    medians = {
        method: statistics.median(step for turn in found for step in turn)
        for method, found in turns.items()
    }
    return {
        method: {"later": medians[method], "mean": statistics.median(map(statistics.fmean, found))}
        for method, found in turns.items()
    }


def plain() -> Callable[[Any], tuple[Any, list[Any]]]:
    """Return the function that prepares nothing."""
    return lambda model: (model, [])


def tfmot() -> Callable[[Any], tuple[Any, list[Any]]]:
    """Return the function that wraps a model with the TensorFlow toolkit."""
    from tensorflow_model_optimization.python.core.sparsity.keras import (
        prune,
        pruning_callbacks,
        pruning_schedule,
    )

    ramp = pruning_schedule.PolynomialDecay(0.0, 0.9, 0, RAMP, frequency=TURN)
    return lambda model: (
        prune.prune_low_magnitude(model, pruning_schedule=ramp),
        [pruning_callbacks.UpdatePruningStep()],
    )


def graphprune() -> Callable[[Any], tuple[Any, list[Any]]]:
    """Return the function that wraps a model with graphprune."""
    import graphprune
    from graphprune.sparsity.positions import Run

    ramp = graphprune.PolynomialDecay(0.0, 0.9, 0, RAMP, frequency=TURN)
    # each turn is a part of the run
    callback = graphprune.UpdatePruningStep(run=Run(steps_per_epoch=RAMP, epochs=1))
    return lambda model: (graphprune.prune_low_magnitude(model, ramp), [callback])


WRAPS: dict[str, Callable[[], Callable[[Any], tuple[Any, list[Any]]]]] = {
    "plain": plain,
    "tfmot": tfmot,
    "graphprune": graphprune,
}


def mobilenet() -> tuple[Any, Any]:
    """Return MobileNetV2 at 96x96, and a batch of 16."""
    import tensorflow as tf
    import tf_keras

    model = tf_keras.applications.MobileNetV2(
        (96, 96, 3), weights=None, classes=10, classifier_activation=None
    )
    return model, (tf.random.normal((16, 96, 96, 3)), tf.zeros((16,), tf.int32))


def mlp() -> tuple[Any, Any]:
    """Return 784-1024-1024-10, and a batch of 128."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    model = tf_keras.Sequential(
        [
            layers.Input((784,)),
            layers.Dense(1024, "relu"),
            layers.Dense(1024, "relu"),
            layers.Dense(10),
        ]
    )
    return model, (tf.random.normal((128, 784)), tf.zeros((128,), tf.int32))


def lstm() -> tuple[Any, Any]:
    """Return an LSTM of 128 units over 28 steps of 28 numbers, and a batch of 128."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    model = tf_keras.Sequential([layers.Input((28, 28)), layers.LSTM(128), layers.Dense(10)])
    return model, (tf.random.normal((128, 28, 28)), tf.zeros((128,), tf.int32))


def tiny() -> tuple[Any, Any]:
    """Return three weights, and a batch of 1."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    return tf_keras.Sequential([layers.Input((3,)), layers.Dense(1, use_bias=False)]), (
        tf.zeros((1, 3)),
        tf.zeros((1,), tf.int32),
    )


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "mobilenet": mobilenet,
    "mlp": mlp,
    "lstm": lstm,
}
MEASURES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "first": measure_first,
    "memory": measure_memory,
    "turns": lambda name, _: measure_turns(name),
}


if __name__ == "__main__":
    main()
