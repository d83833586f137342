"""Runs that an older graphprune made lack keys, and those of a newer one have another format: both
are told apart from damage.
"""

from __future__ import annotations

import ast
import json
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import pytest
from runs.made_runs import OPTIONS, create, state_at

from graphprune.errors import CheckpointError
from graphprune.runs.records import FORMAT, Damage, read_record, write_record
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions, RunResult

RESULT = RunResult(4, 4, "model.keras", {"loss": 0.5}, (), "ee" * 32, "5e" * 16)
RECORDS: dict[str, Any] = {"run.json": OPTIONS, "state.json": state_at(4), "result.json": RESULT}


def has_default(field: Any) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


WITH_DEFAULT = [
    (name, field.name)
    for name, record in RECORDS.items()
    for field in fields(record)
    if has_default(field)
]
WITHOUT_DEFAULT = [
    (name, field.name)
    for name, record in RECORDS.items()
    for field in fields(record)
    if not has_default(field)
]


def write_without(folder: Path, name: str, key: str) -> Path:
    """Write a record as a graphprune did that did not know `key`."""
    write_record(
        folder / name,
        {other: value for other, value in asdict(RECORDS[name]).items() if other != key},
    )
    return folder / name


@pytest.mark.parametrize(("name", "key"), WITH_DEFAULT)
def test_a_missing_key_with_a_default_takes_it(name: str, key: str, tmp_path: Path) -> None:
    kind = type(RECORDS[name])
    value = read_record(write_without(tmp_path, name, key)).parse(kind)
    field = next(field for field in fields(kind) if field.name == key)
    assert getattr(value, key) == (
        field.default_factory() if field.default is MISSING else field.default
    )


@pytest.mark.parametrize(("name", "key"), WITHOUT_DEFAULT)
def test_a_missing_key_without_a_default_is_named(name: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(Damage) as caught:
        read_record(write_without(tmp_path, name, key)).parse(type(RECORDS[name]))
    assert str(caught.value) == f"{name} has no {key}"


def rewrite(path: Path, **changes: Any) -> None:
    config = {
        key: value
        for key, value in json.loads(path.read_text()).items()
        if key not in ("sha256", "mark")
    }
    write_record(path, config | changes)


def made_run(folder: Path) -> RunFolder:
    with create(folder):
        pass
    return RunFolder(folder)


def test_a_run_of_a_newer_graphprune_is_said_to_be_newer(tmp_path: Path) -> None:
    run = made_run(tmp_path / "r")
    rewrite(run.path / "run.json", format_version=FORMAT + 1)
    with pytest.raises(CheckpointError) as caught:
        run.read_options()
    newer = (
        f"has format {FORMAT + 1} of a newer graphprune, this one reads up to {FORMAT}; update"
        " graphprune"
    )
    assert str(caught.value) == f"{run.path}/run.json: {newer}"


@pytest.mark.parametrize(
    "key", [field.name for field in fields(RunOptions) if not has_default(field)]
)
def test_a_damaged_run_is_not_to_be_started_over(key: str, tmp_path: Path) -> None:
    run = made_run(tmp_path / "r")
    config = {
        name: value
        for name, value in json.loads((run.path / "run.json").read_text()).items()
        if name not in ("sha256", "mark", key)
    }
    write_record(run.path / "run.json", config)
    with pytest.raises(CheckpointError) as caught:
        run.read_options()
    assert (
        str(caught.value)
        == f"{run.path}: damaged, run.json has no {key}; restore the file from a backup, or start a"
        " new run in another folder"
    )


def test_no_advice_about_damage_deletes_a_run() -> None:
    package = Path(__file__).parents[2] / "graphprune" / "runs"
    sources = [path.read_text(encoding="utf-8") for path in sorted(package.glob("*.py"))]
    assert sum(source.count("--force") for source in sources) == 2
    texts = [
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and "--force" in str(node.value)
    ]
    # advice where a folder holds a run, and the option itself
    assert texts == [", or pass --force to start over", "--force"]
