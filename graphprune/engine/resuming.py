"""Where a run resumes, and checks that its data, plan and original model are unchanged."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from graphprune.engine.file_data import FileData, recorded_data
from graphprune.engine.run_record import GivenObjects, RunData, first_state, other_versions
from graphprune.engine.training_result import TrainingResult
from graphprune.errors import CheckpointError, DataError
from graphprune.plan import Plan, plan_sha256, read_plan
from graphprune.runs.checkpoints import Checkpoint, RunState
from graphprune.runs.records import Damage, hash_file
from graphprune.runs.resume_point import Tell, find_finished, find_original_fault, find_start
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import GIVEN, RunOptions

DATA = "data"
"""The name in messages of data given as Python objects: that of the argument."""

Data = TypeVar("Data", bound=RunData)
Given = TypeVar("Given", bound=GivenObjects)


@dataclass(frozen=True, slots=True)
class Resumption:
    """An unfinished run and the checkpoint to resume from.

    Attributes:
        options: What the run was asked to do.
        checkpoint: The checkpoint to resume from; None to start from the beginning.
    """

    options: RunOptions
    checkpoint: Checkpoint | None

    def state(self, versions: Mapping[str, str], tell: Tell) -> RunState:
        """Return the state to resume from, with current `versions`; `tell` if they changed."""
        if self.checkpoint is None:
            return first_state(self.options, versions)
        for message in other_versions(self.checkpoint, versions):
            tell(message)
        return replace(
            self.checkpoint.state,
            versions=versions,
            model_sha256=self.options.model_sha256,
            data_sha256=self.options.data_sha256,
        )


class Warnings:
    """Collects the warnings of a resumed run, and passes each on at once."""

    def __init__(self, on_warning: Tell | None) -> None:
        self._on_warning, self._told = on_warning, list[str]()

    def tell(self, message: str) -> None:
        """Add a warning."""
        self._told.append(message)
        if self._on_warning is not None:
            self._on_warning(message)

    @property
    def told(self) -> tuple[str, ...]:
        """The warnings so far."""
        return tuple(self._told)


def find_result(folder: RunFolder) -> TrainingResult | None:
    """Return the result of a finished run, without its lock: the folder may be read-only.

    None if it is not finished, or can only be checked under the lock.

    Raises:
        CheckpointError: the folder is not a run, or the trained model is not what the run wrote.
    """
    if folder.is_replaced:
        return None
    options = folder.read_options()
    finished = find_finished(folder, options, lambda message: None)
    return None if finished is None else TrainingResult.of_finished(folder.path, finished)


def find_resumption(
    folder: RunFolder, plan: Plan | None, *, trust_run: bool, tell: Tell
) -> TrainingResult | Resumption:
    """Return the result of a finished run or the resumption of an unfinished one; needs the lock.

    Args:
        folder: The run.
        plan: Must be the plan that the run was made from, if given.
        trust_run: Whether the user trusts a run that was made elsewhere.
        tell: Called with warnings.

    Raises:
        CheckpointError: the folder is not a run, no checkpoint is intact, another plan was given,
            or the run is not trusted.
    """
    options, is_own = folder.read_run()
    check_plan(folder, options, plan)
    finished = find_finished(folder, options, tell)
    if finished is not None:
        return TrainingResult.of_finished(folder.path, finished)
    checkpoint = find_start(folder, options, tell)
    if not is_own:
        check_trusted(folder, options, trust_run=trust_run, tell=tell)
    return Resumption(options, checkpoint)


def arrays_by_kind(checkpoint: Checkpoint | None) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the arrays of a checkpoint by kind and name; empty without a checkpoint."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for path, array in ({} if checkpoint is None else checkpoint.arrays).items():
        kind, _, name = path.partition("/")
        found.setdefault(kind, {})[name] = array
    return found


def check_trusted(folder: RunFolder, options: RunOptions, *, trust_run: bool, tell: Tell) -> None:
    """Refuse to run code or write elsewhere for a run that this user did not make here.

    Raises:
        CheckpointError: it names a function, or a folder outside the run, and `trust_run` is false.
    """
    asks = []
    if options.calls_function:
        asks.append(f"calls the function {options.data} for its data")
    if options.data_files is not None and options.data_files.parse is not None:
        asks.append(f"calls the function {options.data_files.parse} for its data")
    called = (*options.compiling.named_objects, *options.fitting.callbacks)
    if called:
        asks.append(f"imports {', '.join(called)}")
    if _has_events_elsewhere(folder, options):
        asks.append(f"writes TensorBoard events to {options.tensorboard}")
    if asks and not trust_run:
        raise CheckpointError(
            "was made on another machine, by another user or by an earlier"
            f" graphprune, and resuming it {' and '.join(asks)}; if you trust it, add --trust-run"
            " (in Python: trust_run=True)",
            place=folder.path,
        )
    if not asks:
        source = "given in Python" if options.is_data_given else f"read from {options.data}"
        tell(
            f"{folder.path}: was made on another machine, by another user or by an earlier"
            f" graphprune; its training data is {source}"
        )


def _has_events_elsewhere(folder: RunFolder, options: RunOptions) -> bool:
    """Return whether TensorBoard events go outside the run's folder, by path or through a link."""
    if options.tensorboard is None:
        return False
    home, events = os.path.realpath(folder.path), folder.path / options.tensorboard
    places = [
        os.path.realpath(place) for place in (events, events / "train", events / "validation")
    ]
    return any(not Path(place).is_relative_to(home) for place in places)


def check_plan(folder: RunFolder, options: RunOptions, plan: Plan | None) -> None:
    """Refuse any plan other than the one the run was made from.

    Raises:
        CheckpointError: it is another plan.
    """
    given = options.plan_sha256 if plan is None else plan_sha256(plan)
    if given != options.plan_sha256:
        made = options.plan_sha256[:4] or "no plan"
        raise CheckpointError(
            f"made from plan {made}, this plan is {given[:4]}; resume without rules,"
            " or apply the new rules to a copy first",
            place=folder.path,
        )


def check_data_source(folder: RunFolder, options: RunOptions, given: object | None) -> None:
    """Refuse to resume if data must be given and is not, or the reverse.

    Data that was given in Python must be given again; a run that reads its own takes none.

    Raises:
        DataError: `given` is None and must not be, or the reverse.
    """
    if options.is_data_given and given is None:
        details = options.data.removeprefix(GIVEN).removeprefix(": ")
        raise DataError(
            f"its training data was given in Python ({details}) and cannot be read"
            " again; resume in Python with the same data:"
            f" graphprune.resume({str(folder.path)!r}, data=...)",
            place=folder.path,
        )
    if given is not None and not options.is_data_given:
        raise DataError(
            f"the run in {folder.path} reads its data from {options.data}; leave data out",
            place=DATA,
        )


def read_same_data(
    folder: RunFolder,
    options: RunOptions,
    given: str | Given | None,
    tell: Tell,
    read: Callable[[str | FileData | Given], Data],
) -> Data:
    """Return the data that the run began with.

    Args:
        folder: The run.
        options: What it was asked to do.
        given: The same data again, if it was given as Python objects.
        tell: Called with warnings.
        read: Reads what `options.data` names, or what is given, as the run did when it began.

    Raises:
        DataError: the data is missing or has changed.
    """
    check_data_source(folder, options, given)
    if given is not None:
        return _same_given_data(folder, options, given, tell, read)
    data = read(recorded_data(options))
    if data.sha256 != options.data_sha256:
        raise DataError(
            f"has changed since the run in {folder.path} began; put the old file"
            " back, or start a new run",
            place=options.data,
        )
    if data.steps_per_epoch != options.steps_per_epoch:
        raise DataError(
            f"has {data.steps_per_epoch} steps in an epoch, the run in"
            f" {folder.path} began with {options.steps_per_epoch}; start a new run",
            place=options.data,
        )
    if options.first_batch_sha256 and data.first_batch_sha256() != options.first_batch_sha256:
        tell(
            f"{options.data}: its first batch is not the one that the run began with, so the"
            " function gives other samples, or in another order; the rest of the run will differ"
        )
    return data


def _same_given_data(
    folder: RunFolder,
    options: RunOptions,
    given: str | Given,
    tell: Tell,
    read: Callable[[str | FileData | Given], Data],
) -> Data:
    other = DataError(
        f"is not what the run in {folder.path} began with ({options.data}); give the same"
        " data again, or start a new run",
        place=DATA,
    )
    is_arrays = options.batch_size is not None
    if isinstance(given, str) or given.is_arrays != is_arrays:
        raise other
    data = read(given)
    if (data.sha256, data.steps_per_epoch) != (options.data_sha256, options.steps_per_epoch):
        raise other
    if options.first_batch_sha256 != data.first_batch_sha256():
        tell(
            f"{DATA}: its first batch is not the one that the run in {folder.path} began with, so"
            " it holds other samples, or in another order; the rest of the run will differ"
        )
    return data


def read_first_plan(folder: RunFolder, options: RunOptions) -> Plan | None:
    """Return the plan that the run began with; None if its model was already wrapped.

    Raises:
        CheckpointError: `plan.json` is damaged.
    """
    name = folder.plan.name
    if name not in options.files and (options.files or not folder.plan.exists()):
        return None
    try:
        if options.files and hash_file(folder.plan) != options.files[name]:
            raise Damage(f"{name} has changed since it was written")
    except Damage as fault:
        raise CheckpointError(
            f"damaged, {fault}, and a start from the beginning needs it; put it back"
            " from a copy, or start a new run in another folder",
            place=folder.path,
        ) from fault
    plan = read_plan(folder.plan)
    check_plan(folder, options, plan)
    return plan


def check_original(folder: RunFolder, options: RunOptions) -> None:
    """Refuse to restart from any model other than the one the run began with.

    Raises:
        CheckpointError: that model is missing or has changed.
    """
    fault = find_original_fault(folder.path, options)
    if fault is not None:
        raise CheckpointError(
            f"{fault}, and the run in {folder.path} has no checkpoint to resume from; put the old"
            " model back, or start a new run"
        )
