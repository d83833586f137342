"""The folder of a training run: its inputs, for `graphprune resume DIR`, and its results.

    DIR/run.json                what the run was asked to do
    DIR/run.yaml                the same as a run file, for people and for `graphprune train`
    DIR/plan.json               the plan, when the run began with one
    DIR/rules/                  copies of the rule files
    DIR/original.graph.json     the layer graph of the model that the run began with
    DIR/original.keras          that model, where it was a live one
    DIR/checkpoints/            see `graphprune.runs.checkpoints`
    DIR/metrics.jsonl           one line per epoch
    DIR/tensorboard/            events, if requested
    DIR/model.keras or .h5      the trained, wrapped model
    DIR/best.keras or .h5       the model of the best checkpoint, if the run was to keep it
    DIR/result.json             how the run ended; a run without it is not finished
    DIR/failure.json            the error that ended it, see `graphprune.runs.run_status`
    DIR/.lock                   held by the process that trains

Files and the folder itself are written atomically, with all that a start needs. Their content is
untrusted input: each file has its hash, and no link is followed out of the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from graphprune.documents import to_json
from graphprune.errors import CheckpointError, OutputError
from graphprune.files import copy_whole, write_whole
from graphprune.runs import new_run
from graphprune.runs.records import (
    FORMAT,
    Damage,
    Record,
    hash_file,
    is_own,
    make_mark,
    open_regular,
    read_record,
    write_record,
)
from graphprune.runs.run_files import (
    BESTS,
    CHECKPOINTS,
    GRAPH,
    METRICS,
    MODELS,
    PLAN,
    RESULT,
    RULES,
    RUN,
    SETTINGS,
    clear_leftovers,
    is_folder,
)
from graphprune.runs.run_options import ORIGINAL, RunOptions, RunResult

_FROM_A_COPY = "restore the file from a backup, or start a new run in another folder"


@dataclass(frozen=True, slots=True)
class MetricsMark:
    """How much of `metrics.jsonl` a checkpoint has seen: its first `size` bytes, their sha256."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A training run on disk."""

    path: Path

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a training run."""
        return new_run.has_run(self.path)

    @property
    def is_replaced(self) -> bool:
        """Whether another run replaces this one as soon as a process holds the lock."""
        return new_run.is_replaced(self.path)

    @property
    def has_result(self) -> bool:
        """Whether there is a `result.json`, damaged or not."""
        return os.path.lexists(self.path / RESULT)

    @property
    def began(self) -> float:
        """When the run was made, in seconds since 1970."""
        return (self.path / RUN).stat().st_mtime

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def metrics(self) -> Path:
        """The file with one line per epoch."""
        return self.path / METRICS

    @property
    def plan(self) -> Path:
        """The file with the plan; there is none where the model was wrapped before."""
        return self.path / PLAN

    def check_is_run(self) -> None:
        """Raise unless the folder is a training run.

        Raises:
            CheckpointError: there is no such folder, or it holds no run.
        """
        if self.path.is_file():
            raise CheckpointError(
                "is a file; give the folder that graphprune train --run made", place=self.path
            )
        if not self.path.is_dir():
            raise CheckpointError(
                f"no such folder; start a run with graphprune train --run {self.path}",
                place=self.path,
            )
        if not self.is_run:
            raise CheckpointError(
                "no run.json; this is not a training run, start one with graphprune train",
                place=self.path,
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this run, and remove what a killed process left.

        Raises:
            CheckpointError: another process is training here, or the run's folders are links.
        """
        new_run.clear_siblings(self.path)
        with new_run.run_locked(self.path):
            new_run.finish_replacement(self.path)
            self._check_places()
            clear_leftovers(self.path)
            yield

    def check_free(self, *, force: bool) -> str:
        """Refuse a folder that holds something; see `graphprune.runs.new_run.check_free`."""
        return new_run.check_free(self.path, force=force)

    @contextmanager
    def created(
        self,
        options: RunOptions,
        *,
        plan: Mapping[str, Any] | None,
        graph: Mapping[str, Any],
        rule_files: Mapping[str, bytes],
        run_file: str,
        found: str,
        force: bool,
        original: Path | None = None,
    ) -> Iterator[None]:
        """Create the run, in place of the earlier one that `check_free` found, and hold its lock.

        The folder appears whole. The file `original`, if there is one, is copied into it.

        Raises:
            OutputError: the folder is taken, or cannot be written.
            CheckpointError: another process created a run there, or is training there.
        """
        first = {**_first_files(plan, graph, rule_files), SETTINGS: run_file.encode()}
        files = {name: sha256(content).hexdigest() for name, content in first.items()}
        if original is not None:
            files[ORIGINAL] = hash_file(original)
        config = {**asdict(options), "files": files}
        try:
            Record(RUN, FORMAT, config, "", "").parse(RunOptions)
        except Damage as fault:
            raise OutputError(
                f"this run cannot be recorded, {fault}; change that setting", place=self.path
            ) from fault

        def write(folder: Path) -> None:
            for name, content in first.items():
                (folder / name).parent.mkdir(exist_ok=True)
                write_whole(folder / name, content)
            if original is not None:
                copy_whole(original, folder / ORIGINAL)
            write_whole(folder / METRICS, b"")
            write_record(folder / RUN, config, mark=make_mark)

        with new_run.new_run(
            self.path, write, (*options.written_models, *files), found=found, force=force
        ):
            self._check_places()
            clear_leftovers(self.path)
            yield

    def read_options(self) -> RunOptions:
        """Return what the run was asked to do.

        Raises:
            CheckpointError: the folder is not a training run, or `run.json` is damaged.
        """
        return self.read_run()[0]

    def read_run(self) -> tuple[RunOptions, bool]:
        """Return what the run was asked to do, and whether this user made the run on this machine.

        Raises:
            CheckpointError: the folder is not a training run, or `run.json` is damaged.
        """
        self.check_is_run()
        try:
            record = read_record(self.path / RUN, sealed_since=2)
            return record.parse(RunOptions), is_own(record)
        except Damage as fault:
            raise CheckpointError(f"damaged, {fault}; {_FROM_A_COPY}", place=self.path) from fault

    def write_result(self, result: Mapping[str, Any], run_id: str) -> None:
        """Record that the run is finished, and its result."""
        write_record(
            self.path / RESULT,
            {**result, "model_sha256": hash_file(self.path / result["model"]), "run_id": run_id},
        )

    def read_result(self, options: RunOptions) -> RunResult | None:
        """Return the result of the run, or None if it is not finished.

        Raises:
            Damage: `result.json` is damaged, or of another run.
            CheckpointError: a newer graphprune wrote it.
        """
        record = self._find_result()
        if record is None:
            return None
        result = record.parse(RunResult)
        if (result.run_id, result.model, result.steps) != (
            options.run_id,
            options.model_name,
            options.steps,
        ):
            raise Damage(f"{RESULT} belongs to another run")
        return result

    def find_model(self, options: RunOptions, result: RunResult) -> Path | None:
        """Return the trained model of a finished run, or None where it was deleted.

        Raises:
            CheckpointError: the file has changed since the run wrote it.
        """
        path = self.path / result.model
        try:
            found = hash_file(path)
        except Damage as fault:
            if not path.is_symlink() and not path.exists():
                return None
            raise CheckpointError(
                f"damaged, {fault}; {self._write_again(options)}", place=self.path
            ) from fault
        if result.model_sha256 and found != result.model_sha256:
            raise CheckpointError(
                f"damaged, {path.name} has changed since the run wrote it;"
                f" {self._write_again(options)}",
                place=self.path,
            )
        return path

    def need_model(self) -> Path:
        """Return the trained model of the run after verifying its hash.

        Raises:
            CheckpointError: the run is damaged, or not finished.
        """
        options = self.read_options()
        try:
            result = self.read_result(options)
        except Damage as fault:
            raise CheckpointError(
                f"damaged, {fault}; graphprune resume {self.path} writes it again", place=self.path
            ) from fault
        if result is None:
            raise CheckpointError(
                f"this training run is not finished; continue with graphprune resume {self.path}",
                place=self.path,
            )
        model = self.find_model(options, result)
        if model is None:
            raise CheckpointError(
                f"damaged, {result.model} is missing; graphprune resume {self.path}"
                " writes it again",
                place=self.path,
            )
        return model

    def find_changed_files(self, options: RunOptions) -> tuple[str, ...]:
        """Return messages about changed files that the run began with.

        A resume from a checkpoint does not need these files.
        """
        faults = []
        for name, made in options.files.items():
            try:
                if hash_file(self.path / name) != made:
                    raise Damage(f"{name} has changed since it was written")
            except Damage as fault:
                faults.append(f"{self.path}: damaged, {fault}; it is not needed to resume")
        return tuple(faults)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one epoch's line to `metrics.jsonl`."""
        write_whole(self.metrics, self._metrics_bytes() + json.dumps(line).encode() + b"\n")

    def mark_metrics(self) -> MetricsMark:
        """Return what a checkpoint records of `metrics.jsonl`."""
        content = self._metrics_bytes()
        return MetricsMark(len(content), sha256(content).hexdigest())

    def cut_metrics(self, step: int, mark: MetricsMark | None) -> str | None:
        """Remove the lines of epochs that ended after `step`, so that none is written twice.

        `mark` is what the checkpoint there recorded, None in format 1. Returns what is wrong if the
        lines up to there are not those that the run wrote.
        """
        content = self._metrics_bytes()
        if mark is not None and sha256(content[: mark.size]).hexdigest() == mark.sha256:
            kept, fault = content[: mark.size], None
        else:
            kept = b"".join(line + b"\n" for line in content.splitlines() if _ends_by(line, step))
            told = (
                f"{self.metrics}: truncated or edited, its lines up to step {step} are not those"
                " that the run wrote; training continues and appends to them"
            )
            fault = None if mark is None else told
        write_whole(self.metrics, kept)
        return fault

    def last_metrics(self) -> dict[str, Any]:
        """Return the last epoch's line; empty before the first."""
        lines = self._metrics_bytes().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    def _metrics_bytes(self) -> bytes:
        try:
            with open_regular(self.metrics) as stream:
                return stream.read()
        except Damage:
            return b""

    def _find_result(self) -> Record | None:
        if not self.has_result:
            return None
        return read_record(self.path / RESULT, sealed_since=2)

    def _write_again(self, options: RunOptions) -> str:
        return (
            f"move it away, then graphprune resume {self.path} writes {options.model_name} again"
            " from the last checkpoint"
        )

    def _check_places(self) -> None:
        """Refuse links and folders in the way, before training rather than after it."""
        for name in (CHECKPOINTS, RULES):
            if (self.path / name).is_symlink():
                raise CheckpointError(
                    "is a symbolic link, but a run's files must be in its own folder;"
                    " put the folder itself here",
                    place=self.path / name,
                )
        for name in (METRICS, RESULT, *MODELS, *BESTS):
            if is_folder(self.path / name):
                raise CheckpointError(
                    "is a folder, but the run needs a file there; move it away",
                    place=self.path / name,
                )


def _first_files(
    plan: Mapping[str, Any] | None, graph: Mapping[str, Any], rule_files: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return the contents of the JSON files and rule files that a run begins with, by name."""
    files = {GRAPH: to_json(graph, allow_nan=True).encode()} | {
        f"{RULES}/{name}": content for name, content in rule_files.items()
    }
    return files if plan is None else {**files, PLAN: to_json(plan).encode()}


def _ends_by(line: bytes, step: int) -> bool:
    try:
        return int(json.loads(line)["step"]) <= step
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
