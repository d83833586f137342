"""Training runs that are killed or stopped again and again, and must end as if nothing had
happened.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fork_server import Child, ForkServer, wait_until

OPTIMIZERS = ("adam", "sgd-momentum", "rmsprop", "adamw", "legacy-adagrad")
SUFFIXES = (".keras", ".h5")
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
CHAIN = 5
"""So many times at most is one run interrupted before it may end."""


def build_optimizer(name: str):
    """Return one of the optimizers, each with other state."""
    import tf_keras
    from tf_keras import optimizers

    return {
        "adam": lambda: optimizers.Adam(0.01),
        "sgd-momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
        "rmsprop": lambda: optimizers.RMSprop(0.01),
        "adamw": lambda: optimizers.AdamW(0.01),
        "legacy-adagrad": lambda: tf_keras.optimizers.legacy.Adagrad(0.05),
    }[name]()


@dataclass
class Soak:
    """One kind of run, trained once without interruption, and what was seen of those that were
    interrupted.

    Attributes:
        home: A folder for the runs.
        train: The command line that begins a run, without the run's folder.
        seconds: How long the whole run takes.
        seen: How often what happened.
    """

    server: ForkServer
    home: Path
    random: random.Random
    train: tuple[str, ...]
    seconds: float = 0.0
    seen: Counter = field(default_factory=Counter)

    @property
    def whole(self) -> Path:
        return self.home / "whole"

    @property
    def run(self) -> Path:
        return self.home / "run"

    def train_whole(self) -> None:
        """Train without interruption; what the others are compared with."""
        self.server.run("--version")  # the server is there now
        begun = time.monotonic()
        done = self.server.run(*self.train, "--run", self.whole)
        assert done.code == 0, done.err
        self.seconds = time.monotonic() - begun

    def way_on(self) -> tuple[str, ...]:
        """Return the command line that goes on with the run, or begins it."""
        return (
            ("resume", str(self.run))
            if (self.run / "run.json").exists()
            else (*self.train, "--run", str(self.run))
        )

    def interrupt(self, moments, break_off) -> None:
        """Interrupt one run at each of `moments`, then let it end, and compare; one that ends
        before is compared as well, and another is begun.

        Args:
            moments: When to interrupt.
            break_off: Interrupts a run at such a moment; returns whether it came in time.
        """
        shutil.rmtree(self.run, ignore_errors=True)
        for moment in moments:
            while not break_off(self, moment):
                self.check_same()
                shutil.rmtree(self.run)
        if not (self.run / "result.json").exists():
            done = self.server.run(*self.way_on())
            assert done.code == 0, (done.err, sorted(self.run.rglob("*")))
        self.check_same()

    def check_same(self) -> None:
        """Fail unless the run ended as the whole one: weights, masks, slots of the optimizer,
        metrics; and left nothing half-written.
        """
        model = next(self.whole.glob("model.*")).name
        last = sorted((self.whole / "checkpoints").iterdir())[-1].relative_to(self.whole)
        for name in (model, "metrics.jsonl", last / model):
            assert (self.run / name).read_bytes() == (self.whole / name).read_bytes(), name
        assert read_result(self.run) == read_result(self.whole)
        with (
            np.load(self.run / last / "state.npz") as one,
            np.load(self.whole / last / "state.npz") as other,
        ):
            assert {name: array.tobytes() for name, array in one.items()} == {
                name: array.tobytes() for name, array in other.items()
            }
        assert half_written(self.run) == []
        self.seen["runs compared"] += 1


def read_result(run: Path) -> dict[str, Any]:
    """Return how a run ended, without what no two runs share: its id, and the hash over all."""
    return {
        key: value
        for key, value in json.loads((run / "result.json").read_bytes()).items()
        if key not in ("run_id", "sha256")
    }


def half_written(run: Path) -> list[Path]:
    """Return what has a temporary name in a run's folder, or beside it."""
    return [
        path
        for path in [*run.parent.glob(".*"), *run.rglob(".*")]
        if path.exists() and path != run / ".lock"
    ]


def build_soak(
    server: ForkServer, home: Path, suffix: str, optimizer: str, rng: random.Random
) -> Soak:
    """Save a wrapped model that is compiled with the optimizer, train it once, and return what
    interrupts such runs.
    """
    from run_builders import build_dense_model, build_setting, ramp, wrap

    home.mkdir()
    setting = build_setting(
        home, suffix, wrap(build_dense_model(build_optimizer(optimizer)), fc=ramp())
    )
    return _trained_whole(server, home, setting.model, setting.data, rng)


KERAS3_MODEL = """
import sys
import keras
import graphprune

keras.utils.set_random_seed(7)
stack = [
    keras.layers.Flatten(),
    keras.layers.Dense(8, name="fc"),
    keras.layers.Dropout(0.3),
    keras.layers.Dense(3, activation="softmax", name="predictions"),
]
model = keras.Sequential([keras.Input((4, 4, 1)), *stack], name="net")
loss = "sparse_categorical_crossentropy"
model.compile(sys.argv[2], loss, metrics=["accuracy"], run_eagerly=True)
schedule = graphprune.PolynomialDecay(0.1, 0.75, 0, 8, frequency=1)
graphprune.prune_low_magnitude(model, schedule).save(sys.argv[1])
"""


def build_keras3_soak(server: ForkServer, home: Path, optimizer: str, rng: random.Random) -> Soak:
    """Return what `build_soak` does, for a `.keras` file of Keras 3, which only the server's
    processes import.
    """
    from run_builders import write_data

    home.mkdir()
    model = str(home / "pruned.keras")
    done = server.run_program(KERAS3_MODEL, model, optimizer)
    assert done.code == 0, done.err
    return _trained_whole(server, home, model, write_data(home / "data.npz"), rng)


def _trained_whole(
    server: ForkServer, home: Path, model: str, data: str, rng: random.Random
) -> Soak:
    options = {"--epochs": "3", "--batch-size": "8", "--checkpoint-every": "3 steps"}
    words = itertools.chain.from_iterable(options.items())
    soak = Soak(server, home, rng, ("train", model, "--data", data, *words))
    soak.train_whole()
    return soak


def kill(soak: Soak, moment: str) -> bool:
    """Kill a command at a moment: `random`, within the write of a `checkpoint`, or within the
    `final` save.
    """
    child = soak.server.start(*soak.way_on())
    _wait_for(soak, child, moment)
    child.send(signal.SIGKILL)
    done = child.wait()
    if done.code != -signal.SIGKILL:
        assert done.code == 0, done.err
        soak.seen["ended before the kill"] += 1
        return False
    soak.seen["kills"] += 1
    if any(path.name.startswith(".") for path in (soak.run / "checkpoints").glob("*")):
        soak.seen["kills within the write of a checkpoint"] += 1
    if any(soak.run.glob(".model.*")):
        soak.seen["kills within the final save"] += 1
    return True


def _wait_for(soak: Soak, child: Child, moment: str) -> None:
    if moment == "random":
        time.sleep(soak.random.uniform(0, soak.seconds))
        return
    folder, pattern = (
        (soak.run / "checkpoints", ".*") if moment == "checkpoint" else (soak.run, ".model.*")
    )
    old = set(folder.glob(pattern))
    for _ in range(soak.random.randint(1, 3) if moment == "checkpoint" else 1):
        if not wait_until(lambda: set(folder.glob(pattern)) - old, child):
            return
        if moment == "checkpoint":
            time.sleep(soak.random.uniform(0, 0.02))


def send_signal(soak: Soak, moment: str) -> bool:
    """Send a signal to a command at a random moment: of a fork's whole time, or, `anew`, of the
    first seconds of a process.
    """
    number = soak.random.choice(list(CODES))
    child = (soak.server.start_anew if moment == "anew" else soak.server.start)(*soak.way_on())
    time.sleep(
        soak.random.choice([1, 1, 12]) * soak.random.random()
        if moment == "anew"
        else soak.random.uniform(0, soak.seconds)
    )
    listens = child.runs and child.listens
    child.send(number)
    done = child.wait()
    if done.code == 0:
        soak.seen["ended before the signal"] += 1
        return False
    soak.seen["signals"] += 1
    soak.seen["signals in the first seconds of a process"] += moment == "anew"
    if not listens and done.code == -number:
        soak.seen["signals before Python had begun graphprune"] += 1
        return True
    assert done.code == CODES[number], (number, done)
    assert "Traceback" not in done.err + done.out, done
    lines = [
        line
        for line in done.err.splitlines()
        if not line.startswith("graphprune: stopping after this step")
    ]
    assert [line.startswith("graphprune: stopped") for line in lines] == [True], done
    if "stopped after step" in done.err:
        soak.seen["signals that saved a checkpoint"] += 1
    soak.seen["lines that say how to go on"] += f"graphprune resume {soak.run}" in done.err
    return True


def spread(kinds: dict[str, int], rng: random.Random) -> list[list[str]]:
    """Return so many moments of each kind, mixed, in chains of at most CHAIN."""
    moments = [kind for kind, count in kinds.items() for _ in range(count)]
    rng.shuffle(moments)
    return [moments[start : start + CHAIN] for start in range(0, len(moments), CHAIN)]


RULES = """
version: 1
rules:
  - id: dense
    match: {name: fc}
    prune: {sparsity: 75%, schedule: {curve: linear, begin: 0 steps, end: 10 steps, every: 2 steps}}
"""


@dataclass
class Damaged:
    """A run that was never interrupted, and copies of it and of a stopped one, to be damaged.

    Attributes:
        home: Its folders: `whole`, and `stopped` after step 10 of 12.
    """

    server: ForkServer
    home: Path

    def check(self, damage) -> str:
        """Damage a copy, resume it, and fail unless that has its right outcome; return which that
        is.
        """
        whole, run = self.home / "whole", self.home / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole if damage.finished else self.home / "stopped", run)
        damage.do(run)
        done = self.server.run("resume", run)
        assert "Traceback" not in done.err, (damage.name, done)
        assert damage.says is None or damage.says in done.err, (damage.name, done)
        assert done.code == (1 if damage.outcome == "error" else 0), (damage.name, done)
        if damage.outcome == "error":
            return "refused with a message"
        assert (run / "model.keras").read_bytes() == (whole / "model.keras").read_bytes(), (
            damage.name
        )
        lines, wanted = (
            (folder / "metrics.jsonl").read_text().splitlines() for folder in (run, whole)
        )
        # what was lost or changed there stays so, and is told; what comes after it is right
        if damage.name.startswith("metrics.jsonl"):
            assert (lines[-1], len(lines) <= len(wanted)) == (wanted[-1], True), damage.name
            return "ended with the same bits, earlier lines of metrics told as damaged"
        assert lines == wanted, damage.name
        return "ended with the same bits"


def build_damaged(server: ForkServer, home: Path) -> Damaged:
    """Train a run to its end, and the same one to step 10."""
    from run_builders import build_dense_model, build_setting

    setting = build_setting(home, ".keras", build_dense_model(build_optimizer("adam")))
    (home / "prune.yaml").write_text(RULES)
    options = (
        "--data",
        setting.data,
        "--epochs",
        "3",
        "--batch-size",
        "8",
        "--checkpoint-every",
        "3 steps",
        "-r",
        home / "prune.yaml",
    )
    for name, more in (("whole", ()), ("stopped", ("--stop-after", "10"))):
        done = server.run("train", setting.model, *options, "--run", home / name, *more)
        assert done.code == 0, done.err
    return Damaged(server, home)
