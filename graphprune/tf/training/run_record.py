"""What a run records about itself: options, first state, rule files, versions."""

from __future__ import annotations

import secrets
from pathlib import Path

import tensorflow as tf
import tf_keras

import graphprune
from graphprune.archive import read_archive
from graphprune.errors import TrainingError
from graphprune.files import file_sha256, model_sha256
from graphprune.plan import Plan, plan_sha256
from graphprune.rules.text.files import find_rule_file
from graphprune.runs.checkpoints import Checkpoint, RunState
from graphprune.runs.run_options import Compiling, RunOptions
from graphprune.sparsity.positions import Position, Run, Unit, parse_position
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.training.data import ArrayData, Data
from graphprune.tf.training.given_data import GivenData
from graphprune.tf.training.origin import Origin


def run_options(
    origin: Origin,
    model: tf_keras.Model,
    plan: Plan | None,
    data: Data,
    given: str | GivenData,
    epochs: int,
    own_steps_per_epoch: bool,
    seed: int,
    checkpoint_every: int,
    asked: Compiling,
    tensorboard: str | Path | None,
    strategy: str,
    first_batch: str,
) -> RunOptions:
    """Return what `options.json` of a new run holds, for `model`, which is wrapped and compiled."""
    return RunOptions(
        model=origin.recorded,
        model_sha256=model_sha256(origin.file),
        model_name="model.h5" if read_archive(origin.file).format == "h5" else "model.keras",
        data=_describe_data(data, given),
        data_sha256=data.sha256,
        batch_size=data.batch_size if isinstance(data, ArrayData) else None,
        epochs=epochs,
        steps_per_epoch=data.steps_per_epoch,
        own_steps_per_epoch=own_steps_per_epoch,
        seed=seed,
        checkpoint_every=checkpoint_every,
        compiling=asked,
        plan_sha256=_wrapped_by(model) if plan is None else plan_sha256(plan),
        rules=() if plan is None else plan.rules,
        schedule_units=_schedule_units(model),
        version=graphprune.__version__,
        tensorboard=None if tensorboard is None else str(tensorboard),
        strategy=strategy,
        run_id=secrets.token_hex(16),
        first_batch_sha256=first_batch,
    )


def _describe_data(data: Data, given: str | GivenData) -> str:
    if not isinstance(given, str):
        return given.describe()
    return str(Path(given).absolute()) if isinstance(data, ArrayData) else given


def first_state(options: RunOptions) -> RunState:
    """Return the state of a run before its first step."""
    return RunState(
        step=0,
        epoch=0,
        batch=0,
        epochs=options.epochs,
        steps_per_epoch=options.steps_per_epoch,
        batch_size=options.batch_size,
        seed=options.seed,
        schedule_units=options.schedule_units,
        plan_sha256=options.plan_sha256,
        rules=options.rules,
        versions=versions(),
        run_id=options.run_id,
        model_sha256=options.model_sha256,
        data_sha256=options.data_sha256,
    )


def checkpoint_steps(every: Position | str, run: Run) -> int:
    """Return the distance between checkpoints in steps.

    Raises:
        TrainingError: it is no position, or shorter than a step.
    """
    try:
        steps = (every if isinstance(every, Position) else parse_position(every)).to_step(run)
    except ValueError as fault:
        raise TrainingError(f"checkpoint every: {fault}") from fault
    if not steps:
        raise TrainingError(f"checkpoint every: must be at least 1 step, got {every}")
    return steps


def _wrapped_by(model: tf_keras.Model) -> str:
    """Return the hash of the plan that the model was wrapped by; empty where there are several, or
    none is known.
    """
    plans = {wrapper.provenance.plan_sha256 for wrapper in find_wrappers(model).values()}
    return plans.pop() if len(plans) == 1 else ""


def _schedule_units(model: tf_keras.Model) -> tuple[Unit, ...]:
    schedules = [wrapper.pruning.schedule for wrapper in find_wrappers(model).values()]
    places = [
        place
        for schedule in schedules
        for place in (schedule.begin, schedule.end, schedule.every)
        if place is not None
    ]
    return tuple(sorted({place.unit for place in places}))


def rule_files(rules: tuple[tuple[str, str], ...]) -> dict[str, bytes]:
    """Return the rule files by a name each, as far as they are still there and unchanged."""
    found: dict[str, bytes] = {}
    for path, digest in rules:
        file = find_rule_file(path)
        if file.is_file() and file_sha256(file) == digest:
            found[file.name if file.name not in found else f"{len(found)}-{file.name}"] = (
                file.read_bytes()
            )
    return found


def versions() -> dict[str, str]:
    """Return the versions of the packages that a run depends on, by the package's name."""
    return {
        "graphprune": graphprune.__version__,
        "tensorflow": tf.__version__,
        "tf_keras": tf_keras.__version__,
    }


def other_versions(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return a warning where a checkpoint was written with other versions; nothing otherwise."""
    old = checkpoint.state.versions
    changed = [
        f"{name} {old.get(name)}, now {version}"
        for name, version in versions().items()
        if old.get(name) != version
    ]
    return (
        (
            (
                f"{checkpoint.folder}: written with {'; '.join(changed)}; the rest of the run may"
                " differ in the last bits"
            ),
        )
        if changed
        else ()
    )
