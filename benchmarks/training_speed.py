"""Print what pruning costs while a model trains: plain Keras, the peer (tfmot) and graphprune, side by side.

    pip install '.[bench]' && python benchmarks/training_speed.py [--repeats 3] [--only MODEL ...]

Each measurement is a process of its own. Columns: processor time of the first training step (tracing included), median time of the later steps, peak
memory of the process; each as a ratio to the plain model's in the same round, medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

METHODS = ("plain", "tfmot", "graphprune")
STEPS, WARM = 30, 5


def main() -> None:
    """Run every model with every method, and print ratios to plain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", action="append", choices=MODELS)
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "METHOD"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    print(f"{'model':<12} {'method':<11} {'first step':>18} {'later steps':>18} {'peak memory':>18}")
    for model in options.only or MODELS:
        rounds = [{method: run_process(model, method) for method in METHODS} for _ in range(options.repeats)]
        for method in METHODS:
            columns = "".join(column(rounds, method, name, unit) for name, unit in (("first", "s"), ("later", "s"), ("peak", "MB")))
            print(f"{model:<12} {method:<11}{columns}", flush=True)


def column(rounds: list[dict[str, dict[str, float]]], method: str, name: str, unit: str) -> str:
    """Return the median and its ratio to the plain model's."""
    value = statistics.median(found[method][name] for found in rounds)
    ratio = statistics.median(found[method][name] / found["plain"][name] for found in rounds)
    return f" {value:10.3f} {unit:<2} {ratio:4.2f}"


def run_process(model: str, method: str) -> dict[str, float]:
    """Measure in a fresh process."""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, __file__, "--measure", model, method], capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(name: str, method: str) -> dict[str, float]:
    """Return the seconds of processor time of the first step, the median seconds of later ones, and the peak memory in MB."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    model, batch = MODELS[name]()
    callbacks: list[Any] = []
    if method == "tfmot":
        from tensorflow_model_optimization.python.core.sparsity.keras import prune, pruning_callbacks, pruning_schedule

        ramp = pruning_schedule.PolynomialDecay(0.0, 0.9, 0, STEPS, frequency=10)
        model = prune.prune_low_magnitude(model, pruning_schedule=ramp)
        callbacks = [pruning_callbacks.UpdatePruningStep()]
    elif method == "graphprune":
        import graphprune

        model = graphprune.prune_low_magnitude(model, graphprune.PolynomialDecay(0.0, 0.9, 0, STEPS, frequency=10))
        callbacks = [graphprune.UpdatePruningStep()]
    model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    marks: list[tuple[float, float]] = []
    clock = tf_keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: marks.append((time.process_time(), time.perf_counter())))
    data = tf.data.Dataset.from_tensors(batch).repeat()
    begun = time.process_time()
    model.fit(data, steps_per_epoch=STEPS, epochs=1, verbose=0, callbacks=[*callbacks, clock])
    walls = [wall for _, wall in marks]
    later = [end - start for start, end in zip(walls[WARM:-1], walls[WARM + 1 :], strict=True)]
    return {"first": marks[0][0] - begun, "later": statistics.median(later), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def mobilenet() -> tuple[Any, Any]:
    """Return MobileNetV2 at 96x96, and a batch of 16."""
    import tensorflow as tf
    import tf_keras

    model = tf_keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10, classifier_activation=None)
    return model, (tf.random.normal((16, 96, 96, 3)), tf.zeros((16,), tf.int32))


def mlp() -> tuple[Any, Any]:
    """Return 784-1024-1024-10, and a batch of 128."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    model = tf_keras.Sequential([layers.Input((784,)), layers.Dense(1024, "relu"), layers.Dense(1024, "relu"), layers.Dense(10)])
    return model, (tf.random.normal((128, 784)), tf.zeros((128,), tf.int32))


def lstm() -> tuple[Any, Any]:
    """Return an LSTM of 128 units over 28 steps of 28 numbers, and a batch of 128."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    model = tf_keras.Sequential([layers.Input((28, 28)), layers.LSTM(128), layers.Dense(10)])
    return model, (tf.random.normal((128, 28, 28)), tf.zeros((128,), tf.int32))


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {"mobilenet": mobilenet, "mlp": mlp, "lstm": lstm}


if __name__ == "__main__":
    main()
