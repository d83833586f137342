"""One worker of a run under `--strategy multiworker`, in a process of its own.

`python worker_cases.py CASES FOLDER ADDRESSES RANK` trains the cases named, in one process, and
prints one line of JSON: for each case what this worker saw.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tf_keras
from run_builders import BATCH, EPOCHS

from graphprune.errors import GraphpruneError
from graphprune.runs.training_arguments import StopRequest
from graphprune.training import resume, train

FOLDER, ADDRESSES, RANK = Path(sys.argv[2]), sys.argv[3].split(","), int(sys.argv[4])
CLUSTER = {"workers": ADDRESSES, "rank": RANK, "wait": 240}
OPTIONS = {"epochs": EPOCHS, "checkpoint_every": "3 steps", "seed": 11, "strategy": "multiworker"}
DATA = str(FOLDER / "data.npz")


class Look(tf_keras.callbacks.Callback):
    """Keeps the hashes of what this worker holds at the end, and may ask for a stop."""

    def __init__(self, stop: StopRequest | None = None) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._stop = stop

    def on_train_batch_end(self, batch, logs=None):
        if self._stop is not None and batch == 1:
            self._stop.ask()

    def on_train_end(self, logs=None):
        masks = [one for one in self.model.weights if "mask" in one.name]
        for name, variables in (("masks", masks), ("weights", self.model.trainable_variables)):
            content = b"".join(one.numpy().tobytes() for one in variables)
            self.found[name] = hashlib.sha256(content).hexdigest()
        self.found["count"] = str(len(masks))


def run(name: str, model: str = "plain", data: object = DATA, **more) -> dict:
    look = Look()
    batch_size = BATCH if data == DATA else None
    options = {**OPTIONS, **CLUSTER, "batch_size": batch_size, **more}
    result = train(
        str(FOLDER / f"{model}.keras"), None, data, FOLDER / name, callbacks=[look], **options
    )
    return {"status": result.status, "step": result.step, **look.found}


def again(name: str, **more) -> dict:
    look = Look()
    result = resume(FOLDER / name, callbacks=[look], trust_run=True, **CLUSTER, **more)
    start = None if result.resumed_from is None else result.resumed_from.name
    return {"status": result.status, "step": result.step, "from": start, **look.found}


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except GraphpruneError as fault:
        return str(fault)
    return "not refused"


def plain() -> dict:
    """A run that is cut in the middle of an epoch, and goes on."""
    return {"cut": run("plain", stop_after_step=7), "end": again("plain")}


def cut() -> dict:
    """A run that is cut, for a test that copies its folder."""
    return run("plain", stop_after_step=7)


def whole() -> dict:
    """Dropout, batch statistics and Adam: one run in one go, one cut and resumed."""
    more = {
        "keep_best": "val_accuracy",
        "early_stopping": "val_loss:9",
        "tensorboard": "tensorboard",
    }
    found = {
        "whole": run("whole", "wrapped", **more),
        "cut": run("cut", "wrapped", stop_after_step=7, **more),
    }
    return {**found, "resumed": again("cut")}


def summed() -> dict:
    """Two batches in an update; cut between two updates."""
    run("summed", gradient_accumulation=2, stop_after_step=4)
    return again("summed")


def tried() -> dict:
    """What is measured without training, and a run of one batch."""
    return {
        "checked": run("no", dry_run=True)["status"],
        "evaluated": run("no", evaluate=True)["status"],
    }


def service() -> dict:
    """Batches of `tf.data` service, whose addresses are in the file `service`."""
    return run("served", data="worker_data:service", steps_per_epoch=4)


def kinds() -> dict:
    """Data of other kinds, cut in the middle of the second epoch."""
    found = {}
    for name in ("shared", "own", "numbered"):
        run(name, data=f"worker_data:{name}", stop_after_step=7)
        found[name] = again(name)
    return found


def stopped() -> dict:
    """The last worker is asked to stop, and all stop at the same step."""
    stop = StopRequest()
    look = Look(stop if len(ADDRESSES) - 1 == RANK else None)
    result = train(
        str(FOLDER / "plain.keras"),
        None,
        DATA,
        FOLDER / "stopped",
        callbacks=[look],
        stop=stop,
        batch_size=BATCH,
        **OPTIONS,
        **CLUSTER,
    )
    return {"status": result.status, "step": result.step, "end": again("stopped")}


def refusals() -> list[str]:
    """What all workers refuse together."""
    return [
        refusal(lambda: run("no", seed=RANK)),
        refusal(lambda: run("no", data=str(FOLDER / f"data-{RANK}.npz"), batch_size=BATCH)),
        refusal(lambda: run("no", batch_size=7)),
        refusal(lambda: run("no", data="worker_data:by_file")),
        refusal(lambda: run("no", data="worker_data:odd")),
        refusal(lambda: run("no", data="worker_data:first_odd")),
    ]


def different_folders() -> str:
    """A resumed run whose folder is not shared."""
    name = "plain" if RANK == 0 else f"copy-{RANK}"
    return refusal(lambda: again(name))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    sys.path.insert(0, str(Path(__file__).parent))
    answer = {name: globals()[name]() for name in sys.argv[1].split(",")}
    sys.stdout.write(json.dumps(answer) + "\n")
