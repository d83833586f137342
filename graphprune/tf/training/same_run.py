"""What a resumed run must find as it was: data, plan and original model; and whose run it is."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import tensorflow as tf

from graphprune.errors import CheckpointError, DataError
from graphprune.plan import Plan, plan_sha256, read_plan
from graphprune.runs.records import Damage, hash_file
from graphprune.runs.resume_point import Tell, find_original_fault
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import GIVEN, RunOptions
from graphprune.tf.training.data import ArrayData, Data, read_data
from graphprune.tf.training.given_data import NAME, GivenArrays, GivenData, other_data


def check_trusted(folder: RunFolder, options: RunOptions, *, trust_run: bool, tell: Tell) -> None:
    """Refuse to run code, or to write elsewhere, because a run says so that this user did not make
    here.

    Raises:
        CheckpointError: it names a function or a folder elsewhere, and `trust_run` is not given.
    """
    asks = []
    if options.calls_function:
        asks.append(f"calls the function {options.data} for its data")
    if _has_events_elsewhere(folder, options):
        asks.append(f"writes TensorBoard events to {options.tensorboard}")
    if asks and not trust_run:
        raise CheckpointError(
            f"was made on another machine, by another user or by an earlier"
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
    """Return whether TensorBoard's events go out of the run's folder, by their path or through a
    link.
    """
    if options.tensorboard is None:
        return False
    home, events = os.path.realpath(folder.path), folder.path / options.tensorboard
    places = [
        os.path.realpath(place) for place in (events, events / "train", events / "validation")
    ]
    return any(not Path(place).is_relative_to(home) for place in places)


def check_plan(folder: RunFolder, options: RunOptions, plan: Plan | None) -> None:
    """Refuse a plan that is not the one that the run was made from.

    Raises:
        CheckpointError: it is another one.
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
    """Refuse to go on without the data that only the user can give again, or with some where the
    run reads its own.

    Raises:
        DataError: `given` is None and must not be, or the reverse.
    """
    if options.is_data_given and given is None:
        details = options.data.removeprefix(GIVEN).removeprefix(": ")
        raise DataError(
            f"its training data was given in Python ({details}) and cannot be read"
            " again; go on in Python, with the same data:"
            f" graphprune.resume({str(folder.path)!r}, data=...)",
            place=folder.path,
        )
    if given is not None and not options.is_data_given:
        raise DataError(
            f"{NAME}: the run in {folder.path} reads its data from {options.data}; leave data out"
        )


def read_same_data(
    folder: RunFolder, options: RunOptions, replicas: int, tell: Tell, given: str | GivenData | None
) -> Data:
    """Return the data that the run began with; `given` is that which the user gives again.

    Raises:
        DataError: it is gone, or is other data.
    """
    check_data_source(folder, options, given)
    if given is not None:
        return _same_given_data(folder, options, replicas, tell, given)
    own_steps = options.steps_per_epoch if options.own_steps_per_epoch else None
    data = read_data(
        options.data,
        batch_size=options.batch_size,
        seed=options.seed,
        steps_per_epoch=own_steps,
        replicas=replicas,
    )
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
    if options.first_batch_sha256 and first_batch_sha256(data) != options.first_batch_sha256:
        tell(
            f"{options.data}: its first batch is not the one that the run began with, so the"
            " function gives other samples, or in another order; the rest of the run will differ"
        )
    return data


def _same_given_data(
    folder: RunFolder, options: RunOptions, replicas: int, tell: Tell, given: str | GivenData
) -> Data:
    other = other_data(folder.path, options.data)
    is_arrays = options.batch_size is not None
    if isinstance(given, str) or isinstance(given, GivenArrays) != is_arrays:
        raise other
    data = read_data(
        given,
        batch_size=options.batch_size,
        seed=options.seed,
        steps_per_epoch=options.steps_per_epoch if options.own_steps_per_epoch else None,
        replicas=replicas,
    )
    if (data.sha256, data.steps_per_epoch) != (options.data_sha256, options.steps_per_epoch):
        raise other
    if options.first_batch_sha256 != first_batch_sha256(data):
        tell(
            f"{NAME}: its first batch is not the one that the run in {folder.path} began with, so"
            " it holds other samples, or in another order; the rest of the run will differ"
        )
    return data


def first_batch_sha256(data: Data) -> str:
    """Return the hash of the first training batch of datasets or a Sequence; empty for arrays,
    which are hashed as a whole.

    It looks at the dataset once more, which changes the order of one that shuffles anew each time:
    `train` and `resume` look equally often.
    """
    if isinstance(data, ArrayData):
        return ""
    found = sha256()
    for batch in data.sample():
        for tensor in tf.nest.flatten(batch, expand_composites=True):
            array = np.asarray(tensor)
            content = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
            found.update(f"{array.dtype} {array.shape} {len(content)} ".encode() + content)
    return found.hexdigest()


def read_first_plan(folder: RunFolder, options: RunOptions) -> Plan | None:
    """Return the plan that the run began with; None where its model was wrapped before.

    Raises:
        CheckpointError: `plan.json` is damaged.
    """
    name = folder.plan.name
    if name not in options.files and (options.files or not folder.plan.exists()):
        return None
    try:
        if options.files and hash_file(folder.plan) != options.files[name]:
            raise Damage(f"{name} is not what was written")
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
    """Refuse to start again from another model than the one that the run began with.

    Raises:
        CheckpointError: that model is gone or has changed.
    """
    fault = find_original_fault(folder.path, options)
    if fault is not None:
        raise CheckpointError(
            f"{fault}, and the run in {folder.path} has no checkpoint to go on from; put the old"
            " model back, or start a new run"
        )
