"""Bytes and seconds of a checkpoint, and how long training stands still for it.

    python benchmarks/checkpoint_speed.py [--parameters 25000000] [--rounds 5]

Trains a pruned model with Adam in each Keras, in a process of its own, and prints medians:

- plain: `model.save` of the same model without pruning, optimizer included.
- waiting: a checkpoint that training waits for: copy, files, hashes, flush to disk, verification.
- standing still: what training waits for where the files are written in the background. Wanted is
  at most 15% of `waiting`.
- step: a training step alone, and one while a checkpoint is written.
- memory: the peak of the process above that before its first checkpoint.

Run it on an idle machine: the copy needs a core for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

KERASES = ("tf_keras", "keras on tensorflow", "keras on jax")
ALLOWED = 0.15
"""The share of a synchronous save for which training may stand still."""
WIDTH = 1000
RULES = """
version: 1
rules:
  - id: all
    match: {type: Dense}
    prune: {sparsity: 80%, schedule: {curve: constant, begin: 0 steps}}
"""


def main() -> None:
    """Measure every Keras, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parameters", type=int, default=25_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=KERASES, help="measure one Keras in this process")
    options = parser.parse_args()
    if options.only is not None:
        print(json.dumps(measure(options.only, options.parameters, options.rounds)))
        return
    print(
        f"{options.parameters:,} parameters, Adam, 80% pruned\n{'':<20} {'MB plain':>9} {'MB':>7}"
        f" {'plain s':>8} {'waiting s':>9} {'standing still s':>17} {'step s':>7} {'meanwhile':>9}"
        f" {'memory MB':>9}"
    )
    for keras in KERASES:
        print(row(keras, run_process(keras, options)), flush=True)


def row(keras: str, found: dict[str, float]) -> str:
    """Return the figures of one Keras as a line."""
    share = found["still"] / found["waiting"]
    return (
        f"{keras:<20} {found['plain_bytes'] / 1e6:9.1f} {found['bytes'] / 1e6:7.1f}"
        f" {found['plain']:8.2f} {found['waiting']:9.2f} {found['still']:9.3f}"
        f" {share:4.0%}{'  ' if share <= ALLOWED else ' !'} {found['step']:7.3f}"
        f" {found['meanwhile']:9.3f} {found['memory'] / 1e6:9.0f}"
    )


def run_process(keras: str, options: argparse.Namespace) -> dict[str, float]:
    """Measure in a fresh process."""
    legacy = keras == "tf_keras"
    backend = {} if legacy else {"KERAS_BACKEND": keras.rpartition(" ")[2]}
    arguments = ["--parameters", str(options.parameters), "--rounds", str(options.rounds)]
    done = subprocess.run(
        [sys.executable, __file__, "--only", keras, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(keras: str, parameters: int, rounds: int) -> dict[str, float]:
    """Return seconds and bytes of saves in one Keras."""
    if keras == "tf_keras":
        import tf_keras as library
    else:
        import keras as library
    import numpy as np

    import graphprune

    layers = max(1, parameters // (WIDTH * (WIDTH + 1)))
    model = library.Sequential(
        [library.layers.Input((WIDTH,)), *[library.layers.Dense(WIDTH) for _ in range(layers)]],
        name="net",
    )
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, WIDTH)).astype(np.float32)
    model.fit(x, x, batch_size=32, epochs=1, verbose=0)
    with TemporaryDirectory(prefix="graphprune-") as home:
        plain = Path(home, "plain.keras")
        seconds = [timed(lambda: model.save(plain)) for _ in range(rounds)]
        found = {"plain": statistics.median(seconds), "plain_bytes": plain.stat().st_size}
        plain.unlink()
        watch = Watch(rounds)
        watch.follow()
        graphprune.train(
            model, RULES, (x, x), Path(home, "run"), epochs=2 * rounds, batch_size=8, seed=0
        )
        last = sorted(Path(home, "run", "checkpoints").iterdir())[-1]
        size = sum(path.stat().st_size for path in last.iterdir())
    return found | watch.figures() | {"bytes": size}


class Watch:
    """Times the saves of a run: the first ones with training waiting, the others without."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.waiting: list[float] = []
        self.still: list[float] = []
        self.alone: list[float] = []
        self.meanwhile: list[float] = []
        self.before = self.peak = 0.0

    def follow(self) -> None:
        """Put clocks around the saves and steps of runs in this process."""
        from graphprune.engine.recorder import RunRecorder

        save, end = RunRecorder.save, RunRecorder.on_train_batch_end
        last = [0.0]

        def timed_save(recorder: Any, epoch: int, batch: int) -> None:
            recorder._writer.wait()
            self.before = self.before or peak_memory()
            if len(self.waiting) <= self.rounds:  # the first also waits for the disk to wake up
                self.waiting.append(
                    timed(lambda: (save(recorder, epoch, batch), recorder._writer.wait()))
                )
            else:
                self.still.append(timed(lambda: save(recorder, epoch, batch)))
            self.peak = peak_memory()
            last[0] = 0.0

        def timed_end(recorder: Any, batch: int, logs: Any = None) -> None:
            now = time.perf_counter()
            if last[0]:
                write = recorder._writer._write
                steps = self.alone if write is None or write.done() else self.meanwhile
                steps.append(now - last[0])
            end(recorder, batch, logs)
            last[0] = time.perf_counter()

        RunRecorder.save, RunRecorder.on_train_batch_end = timed_save, timed_end  # type: ignore[method-assign, assignment]

    def figures(self) -> dict[str, float]:
        """Return the medians."""
        return {
            "waiting": statistics.median(self.waiting[1:]),
            "still": statistics.median(self.still),
            "step": statistics.median(self.alone),
            "meanwhile": statistics.median(self.meanwhile or self.alone),
            "memory": self.peak - self.before,
        }


def peak_memory() -> float:
    """Return the largest size of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def timed(do: Any) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
