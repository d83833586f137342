"""Runs on disk as `train` leaves them, with a few bytes for each model; made without TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from graphprune.files import write_whole
from graphprune.runs.checkpoints import RunState, write_checkpoint
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import Compiling, RunOptions

STEPS, EVERY = 4, 3
OPTIONS = RunOptions(
    model="/models/net.keras",
    model_sha256="aa" * 32,
    model_name="model.keras",
    data="/data/digits.npz",
    data_sha256="bb" * 32,
    batch_size=8,
    epochs=3,
    steps_per_epoch=STEPS,
    own_steps_per_epoch=False,
    seed=11,
    checkpoint_every=EVERY,
    compiling=Compiling(learning_rate=0.1),
    plan_sha256="cc" * 32,
    rules=(("prune.yaml", "dd" * 32),),
    schedule_units=("epoch", "step"),
    version="0.1.0",
    run_id="5e" * 16,
)
TENSOR = {
    "address": "fc",
    "name": "kernel",
    "size": 4,
    "zeros": 2,
    "target_zeros": 2,
    "target": 0.5,
    "threshold": float("inf"),
}


def create(folder: Path, options: RunOptions = OPTIONS, *, found: str = "", force: bool = False):
    """Return the context in which the run in `folder` is made and locked."""
    return RunFolder(folder).created(
        options,
        plan={"kind": "plan"},
        graph={"kind": "graph"},
        rule_files={"prune.yaml": b"version: 1\n"},
        run_file="version: 1\n",
        found=found,
        force=force,
    )


def state_at(step: int, options: RunOptions = OPTIONS) -> RunState:
    """Return the state of the run after `step` steps."""
    return RunState(
        step=step,
        epoch=step // STEPS,
        batch=step % STEPS,
        versions={"graphprune": "0.1.0"},
        **options.facts(),
    )


def go_on(run: RunFolder, options: RunOptions, first: int, last: int) -> None:
    """Write what a run writes from step `first` to step `last`."""
    for step in range(first, last + 1):
        if step and step % STEPS == 0:
            run.append_metrics({"epoch": step // STEPS, "step": step, "loss": 0.5})
        if step % EVERY == 0:
            mark = run.mark_metrics()
            state = replace(
                state_at(step, options), metrics_size=mark.size, metrics_sha256=mark.sha256
            )
            write_checkpoint(
                run.checkpoints,
                state,
                {"random/0": np.arange(step)},
                options.model_name,
                lambda path: path.write_bytes(b"weights"),
            )
    if last == options.steps:
        write_whole(run.path / options.model_name, b"trained weights")
        result = {
            "step": last,
            "steps": last,
            "model": options.model_name,
            "metrics": run.last_metrics(),
            "tensors": [TENSOR],
        }
        run.write_result(result, options.run_id)


def make_run(folder: Path, options: RunOptions = OPTIONS, *, stop: int = 10) -> RunFolder:
    """Make a run that was stopped after `stop` steps; after 12 it is finished."""
    run = RunFolder(folder)
    with create(folder, options):
        go_on(run, options, 0, stop)
    return run
