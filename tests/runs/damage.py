"""Kinds of damage to the folder of a training run as a table, each with its right outcome; without
TensorFlow.

The table holds for any run with a plan, rules and checkpoints, so that tests of files and of whole
training runs can share it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.runs.records import digest


@dataclass(frozen=True)
class Damage:
    """One kind of damage.

    Attributes:
        name: What was done to which file.
        do: Does it to the folder of a run.
        outcome: `on` (resume goes on, to the same bits) or `error` (a CheckpointError).
        says: What the warning or the error must contain; None where nothing can be noticed.
        finished: Whether the run was finished before; otherwise it was stopped.
        start: Where resume goes on: `newest` checkpoint, the one `before`, the `beginning`, or
            nowhere, since it is `finished`.
    """

    name: str
    do: Callable[[Path], None]
    outcome: str
    says: str | None
    finished: bool = False
    start: str = "newest"


def rewrite(path: Path, **changes: Any) -> None:
    """Change keys of a sealed JSON file and seal it again, as somebody would who wants to be
    believed; None removes a key.
    """
    config = json.loads(path.read_text())
    sealed = {
        name: value
        for name, value in {**config, **changes}.items()
        if name != "sha256" and (value is not None or name not in changes)
    }
    made = digest({name: value for name, value in sealed.items() if name != "mark"})
    path.write_text(json.dumps({**sealed, "sha256": made}))


def steps(run: Path) -> list[Path]:
    """Return the folders of checkpoints, the newest first."""
    return sorted((run / "checkpoints").glob("step-????????"), reverse=True)


def delete(path: Path) -> None:
    """Remove a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def truncate(path: Path) -> None:
    """Cut a file in the middle."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    """Leave no byte of a file."""
    path.write_bytes(b"")


def to_folder(path: Path) -> None:
    """Put a folder in place of a file."""
    path.unlink()
    path.mkdir()


def to_link(path: Path) -> None:
    """Put a link to the file in its place."""
    aside = path.with_name(f"{path.name}.moved")
    path.rename(aside)
    path.symlink_to(aside)


def to_pipe(path: Path) -> None:
    """Put a named pipe in place of a file."""
    delete(path)
    os.mkfifo(path)


def to_file(path: Path) -> None:
    """Put a file in place of a folder."""
    delete(path)
    path.write_text("a file")


KINDS = {
    "deleted": delete,
    "truncated": truncate,
    "with a flipped bit": flip,
    "emptied": empty,
    "replaced by a folder": to_folder,
    "replaced by a link": to_link,
    "replaced by a pipe": to_pipe,
}


def of_file(
    name: str,
    outcome: str,
    *,
    finished: bool = False,
    start: str = "newest",
    **others: tuple[str, str],
) -> Iterator[Damage]:
    """Yield all kinds of damage of one file; `others` has (outcome, start) of kinds that differ, by
    the first word of the kind.
    """
    for kind, do in KINDS.items():
        found = others.get(kind.split()[-1], (outcome, start))

        def damage(run: Path, do: Callable[[Path], None] = do) -> None:
            do(
                steps(run)[0] / name.removeprefix("NEWEST/")
                if name.startswith("NEWEST/")
                else run / name
            )

        says = None if f"{name} {kind}" == "result.json deleted" else name.rpartition("/")[2]
        yield Damage(f"{name} {kind}", damage, found[0], says, finished, found[1])


def change(name: str, says: str, **changes: Any) -> Damage:
    """Return a run.json with other values and a hash that fits."""
    return Damage(
        f"run.json with {name}", lambda run: rewrite(run / "run.json", **changes), "error", says
    )


RUN_JSON = (
    change("a model name that leads elsewhere", "model_name", model_name="../../x.keras"),
    change("no steps between checkpoints", "checkpoint_every", checkpoint_every=0),
    change("a newer format", "newer graphprune", format_version=99),
    change("a format that is no number", "format_version", format_version="2"),
    change("a format that is true", "format_version", format_version=True),
    change("a text for a number", "epochs", epochs="3"),
    change("a fraction for a number", "steps_per_epoch", steps_per_epoch=1.5),
    change("a negative seed", "seed", seed=-1),
    change("too many epochs", "epochs", epochs=10**9),
    change("a batch of no samples", "batch_size", batch_size=0),
    change("no model", "has no model", model=None),
    change("a hash that is none", "model_sha256", model_sha256="abc"),
    change("a strategy of its own", "strategy", strategy="mirrored:os"),
    change("a path with a null byte", "data", data="/tmp/a\0b"),
    change("a file of the run that leads elsewhere", "files", files={"rules/..": "0" * 64}),
    change("another run's id", "another run", run_id="0" * 32),
    Damage(
        "run.json that lies about its hash",
        lambda run: edit(run / "run.json", seed=12),
        "error",
        "run.json has changed since it was written",
    ),
    Damage(
        "run.json that is nested without end",
        lambda run: (run / "run.json").write_text("[" * 10**6),
        "error",
        "run.json is not JSON",
    ),
    Damage(
        "run.json that is a list",
        lambda run: (run / "run.json").write_text("[]"),
        "error",
        "run.json is not a JSON object",
    ),
    Damage(
        "run.json with a huge number",
        lambda run: (run / "run.json").write_text("1" * 10**5),
        "error",
        "run.json is not JSON",
    ),
    Damage(
        "run.json that is too large",
        lambda run: os.truncate(run / "run.json", 2**30),
        "error",
        "run.json has 1,073,741,824 bytes",
    ),
)


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file without a new hash."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


CHECKPOINTS = (
    Damage(
        "the newest checkpoint deleted",
        lambda run: delete(steps(run)[0]),
        "on",
        None,
        start="before",
    ),
    Damage(
        "the newest checkpoint replaced by a link",
        lambda run: to_link(steps(run)[0]),
        "error",
        "is not a folder; move it away",
    ),
    Damage(
        "the newest checkpoint replaced by a pipe",
        lambda run: to_pipe(steps(run)[0]),
        "error",
        "is not a folder; move it away",
    ),
    Damage(
        "the newest checkpoint replaced by a file",
        lambda run: to_file(steps(run)[0]),
        "error",
        "is not a folder; move it away",
    ),
    Damage(
        "the newest checkpoint under a later step",
        lambda run: steps(run)[0].rename(run / "checkpoints/step-00009999"),
        "on",
        "state.json is for step",
        start="before",
    ),
    Damage(
        "a newer checkpoint format",
        lambda run: rewrite(steps(run)[0] / "state.json", format_version=3),
        "error",
        "newer graphprune",
    ),
    Damage(
        "a checkpoint of another run",
        lambda run: rewrite(steps(run)[0] / "state.json", run_id="0" * 32),
        "error",
        "checkpoint of another run",
    ),
    Damage(
        "a checkpoint of other data",
        lambda run: rewrite(steps(run)[0] / "state.json", data_sha256="0" * 64),
        "error",
        "data_sha256",
    ),
    Damage(
        "a checkpoint of another model",
        lambda run: rewrite(steps(run)[0] / "state.json", model_sha256="0" * 64),
        "error",
        "model_sha256",
    ),
    Damage(
        "a checkpoint of other rules",
        lambda run: rewrite(steps(run)[0] / "state.json", rules=[]),
        "error",
        "rules",
    ),
    Damage(
        "all checkpoints deleted",
        lambda run: delete(run / "checkpoints"),
        "on",
        None,
        start="beginning",
    ),
    Damage(
        "all checkpoints emptied",
        lambda run: [empty(path / "state.json") for path in steps(run)],
        "error",
        "no checkpoint is intact",
    ),
    Damage(
        "checkpoints replaced by a link",
        lambda run: to_link(run / "checkpoints"),
        "error",
        "checkpoints: is a symbolic link",
    ),
    Damage(
        "checkpoints replaced by a file",
        lambda run: to_file(run / "checkpoints"),
        "error",
        "checkpoints: is not a folder",
    ),
    Damage(
        "a user's notes among the checkpoints",
        lambda run: (run / "checkpoints/step-notes.txt").write_text("mine"),
        "on",
        None,
    ),
    Damage(
        "a user's copy of a checkpoint",
        lambda run: shutil.copytree(steps(run)[0], run / "checkpoints/step-backup"),
        "on",
        None,
    ),
    Damage(
        "a checkpoint that a killed process left",
        lambda run: (run / "checkpoints/.step-00009999.tmp").mkdir(),
        "on",
        None,
    ),
)
RESULTS = (
    Damage(
        "result.json of a newer format",
        lambda run: rewrite(run / "result.json", format_version=3),
        "error",
        "newer graphprune",
        True,
    ),
    Damage(
        "result.json of another run",
        lambda run: rewrite(run / "result.json", run_id="0" * 32),
        "on",
        "result.json belongs to another run",
        True,
    ),
    Damage(
        "result.json without tensors",
        lambda run: rewrite(run / "result.json", tensors=None),
        "on",
        "result.json has no tensors",
        True,
    ),
    Damage(
        "result.json that names another model",
        lambda run: rewrite(run / "result.json", model="../x.keras"),
        "on",
        "result.json has a wrong model",
        True,
    ),
    Damage(
        "result.json and checkpoints deleted",
        lambda run: (delete(run / "result.json"), delete(run / "checkpoints")),
        "error",
        "move model.keras away",
        True,
    ),
)

TABLE: tuple[Damage, ...] = (
    *of_file("run.json", "error"),
    *RUN_JSON,
    *of_file("plan.json", "on"),
    *of_file("original.graph.json", "on"),
    *of_file("rules/prune.yaml", "on"),
    *of_file("metrics.jsonl", "on", folder=("error", "newest")),
    *of_file("NEWEST/model.keras", "on", start="before", folder=("error", "newest")),
    *of_file("NEWEST/state.npz", "on", start="before", folder=("error", "newest")),
    *of_file("NEWEST/state.json", "on", start="before", folder=("error", "newest")),
    *CHECKPOINTS,
    *of_file("model.keras", "error", finished=True, deleted=("on", "newest")),
    *of_file("result.json", "on", finished=True, folder=("error", "newest")),
    *RESULTS,
)
