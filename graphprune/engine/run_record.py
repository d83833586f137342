"""The record of a run: options, first state, rule files, versions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import graphprune
from graphprune.archive import read_archive
from graphprune.engine.file_data import FileData
from graphprune.engine.held import PrunedLayer
from graphprune.engine.train_request import TrainRequest
from graphprune.errors import TrainingError
from graphprune.files import file_sha256, model_sha256
from graphprune.plan import Plan, plan_sha256
from graphprune.rules.text.files import PREFIX, find_rule_file
from graphprune.runs.checkpoints import Checkpoint, RunState
from graphprune.runs.records import ModelName
from graphprune.runs.run_file import render_run_file
from graphprune.runs.run_options import RunOptions
from graphprune.sparsity.positions import Position, Run, Unit, parse_position


class RunData(Protocol):
    """The facts about training data that a run records."""

    @property
    def spec(self) -> str:
        """The name of the data in messages."""
        ...

    @property
    def batch_size(self) -> int | None:
        """Samples in a batch of arrays; None for data with batches of its own."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """The length of an epoch."""
        ...

    @property
    def test(self) -> Any:
        """What the run is validated with; None without validation data."""
        ...

    @property
    def is_weighted(self) -> bool:
        """Whether there are sample weights."""
        ...

    @property
    def sha256(self) -> str:
        """The hash of arrays; empty for data with batches of its own."""
        ...

    def first_batch_sha256(self) -> str:
        """Return the hash of the first training batch; empty for arrays, hashed as a whole.

        This iterates a dataset once more, which changes the order of one that reshuffles on each
        iteration; `train` and `resume` therefore iterate equally often.
        """
        ...


class GivenObjects(Protocol):
    """Training data that the user gave as Python objects."""

    @property
    def is_arrays(self) -> bool:
        """Whether they are arrays, rather than batches."""
        ...

    def describe(self) -> str:
        """Return their description for the run's record."""
        ...


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a new run begins with, as far as it is recorded.

    Attributes:
        file: The saved model that the run begins with.
        recorded: What the run records as its model.
        data: The data.
        given: What the data was read from, or given as.
        first_batch: What `data.first_batch_sha256()` returned.
        layers: The pruned layers of the model by address.
        plan: The plan that they were pruned by; None if they were already pruned.
        strategy: `none`, `mirrored:N` or `multiworker:NxM`.
        keras: 2 for tf_keras, or 3.
        backend: The backend of Keras.
        original_metrics: Loss and metrics of the original on the validation data.
    """

    file: Path
    recorded: str
    data: RunData
    given: str | GivenObjects
    first_batch: str
    layers: Mapping[str, PrunedLayer]
    plan: Plan | None
    strategy: str
    keras: int
    backend: str
    original_metrics: Mapping[str, Any]


def new_options(request: TrainRequest, begin: Beginning) -> RunOptions:
    """Return the contents of `options.json` of a new run.

    Args:
        request: What `train` was asked to do.
        begin: The model, the data and the Keras.

    Raises:
        TrainingError: the distance between checkpoints is not a position, or is below one step.
    """
    data, plan = begin.data, begin.plan
    return RunOptions(
        model=begin.recorded,
        model_sha256=model_sha256(begin.file),
        model_name=_model_name(begin),
        data=_describe_data(data, begin.given),
        data_files=begin.given.files if isinstance(begin.given, FileData) else None,
        data_sha256=data.sha256,
        batch_size=data.batch_size,
        epochs=request.epochs,
        steps_per_epoch=data.steps_per_epoch,
        own_steps_per_epoch=request.steps_per_epoch is not None,
        seed=request.seed,
        checkpoint_every=checkpoint_steps(
            request.checkpoint_every, Run(data.steps_per_epoch, request.epochs)
        ),
        keep=request.keep,
        keep_best=request.keep_best,
        compiling=request.compiling,
        plan_sha256=_pruned_by(begin.layers) if plan is None else plan_sha256(plan),
        rules=() if plan is None else plan.rules,
        schedule_units=_schedule_units(begin.layers),
        version=graphprune.__version__,
        tensorboard=None if request.tensorboard is None else str(request.tensorboard),
        strategy=begin.strategy,
        run_id=secrets.token_hex(16),
        first_batch_sha256=begin.first_batch,
        keras=begin.keras,
        backend=begin.backend,
        fitting=request.fitting,
        original_metrics=begin.original_metrics,
    )


def _model_name(begin: Beginning) -> ModelName:
    """Return the name of the run's model files; Keras 3 cannot keep masks in an `.h5` file."""
    is_h5 = begin.keras == 2 and read_archive(begin.file).layout == "h5"
    return "model.h5" if is_h5 else "model.keras"


def _describe_data(data: RunData, given: str | GivenObjects) -> str:
    if not isinstance(given, str):
        return given.describe()
    return given if data.batch_size is None else str(Path(given).absolute())


def facts_of(options: RunOptions) -> dict[str, str]:
    """Return what must be equal on all workers of a run, by its name in messages.

    Paths may differ, and so may the first batch of datasets that each worker reads for itself.
    """
    settings = asdict(options)
    facts = {
        "version of graphprune": options.version,
        "model": options.model_sha256,
        "data": options.data_sha256,
        "length of an epoch": str(options.steps_per_epoch),
        "plan": options.plan_sha256,
    }
    own = ("model", "data", "data_files", "rules", "first_batch_sha256", "run_id", "tensorboard")
    return facts | {name: repr(value) for name, value in settings.items() if name not in own}


def first_state(options: RunOptions, versions: Mapping[str, str]) -> RunState:
    """Return the state of a run before its first step."""
    return RunState(step=0, epoch=0, batch=0, versions=versions, **options.facts())


def checkpoint_steps(every: Position | str, run: Run) -> int:
    """Return the distance between checkpoints in steps.

    Raises:
        TrainingError: it is not a position, or shorter than a step.
    """
    try:
        steps = (every if isinstance(every, Position) else parse_position(every)).to_step(run)
    except ValueError as fault:
        raise TrainingError(f"checkpoint every: {fault}") from fault
    if not steps:
        raise TrainingError(f"checkpoint every: must be at least 1 step, got {every}")
    return steps


def _pruned_by(layers: Mapping[str, PrunedLayer]) -> str:
    """Return the hash of the plan that all layers were pruned by; empty if several or unknown."""
    plans = {layer.provenance.plan_sha256 for layer in layers.values()}
    return plans.pop() if len(plans) == 1 else ""


def _schedule_units(layers: Mapping[str, PrunedLayer]) -> tuple[Unit, ...]:
    schedules = [layer.pruning.schedule for layer in layers.values()]
    places = [
        place
        for schedule in schedules
        for place in (schedule.begin, schedule.end, schedule.every)
        if place is not None
    ]
    return tuple(sorted({place.unit for place in places}))


Copies = Mapping[str, tuple[str, bytes]]
"""Rule files by the name of the copy: the path of the original, and the content."""


def rule_copies(rules: tuple[tuple[str, str], ...]) -> Copies:
    """Return the rule files that still exist unchanged, each under its own name."""
    found: dict[str, tuple[str, bytes]] = {}
    for path, digest in rules:
        file = find_rule_file(path)
        if file.is_file() and file_sha256(file) == digest:
            name = file.name if file.name not in found else f"{len(found)}-{file.name}"
            found[name] = path, file.read_bytes()
    return found


def run_file_text(
    request: TrainRequest, options: RunOptions, copies: Copies, *, has_plan: bool
) -> str:
    """Return the run file of a new run, which repeats it in another folder.

    Its rules are the copies in the run's folder, and so is the plan where it was not made from rule
    files. What was given as a Python object has no key; a comment says so.
    """
    written = request.written_settings()
    notes = [
        "What this run was asked to do. To repeat it, or to change it:",
        "graphprune train run.yaml --run ANOTHER_FOLDER",
    ]
    written |= {"model": options.model, "data": options.data}
    if options.is_data_given:
        del written["data"]
        notes.append(f"{options.data}; add the key data")
    if request.given:
        notes.append(f"Given in Python, and not here: {', '.join(request.given)}.")
    names = {path: f"rules/{name}" for name, (path, _) in copies.items()}
    rules = written.pop("rules", [])
    if has_plan and rules and all(rule.startswith(PREFIX) or rule in names for rule in rules):
        written["rules"] = [rule if rule.startswith(PREFIX) else names[rule] for rule in rules]
    elif has_plan:
        changed = ("vars", "only", "off", "set")
        written = {key: value for key, value in written.items() if key not in changed}
        written["plan"] = "plan.json"
    return render_run_file(written, tuple(notes))


def other_versions(checkpoint: Checkpoint, versions: Mapping[str, str]) -> tuple[str, ...]:
    """Return a warning if a checkpoint was written with other versions than `versions`."""
    old = checkpoint.state.versions
    changed = [
        f"{name} {old.get(name)}, now {version}"
        for name, version in versions.items()
        if old.get(name) != version
    ]
    if not changed:
        return ()
    return (
        f"{checkpoint.folder}: written with {'; '.join(changed)}; the rest of the run may"
        " differ in the last bits",
    )
