"""Files that mean harm: one line each, at once, in bounded memory, and nothing in them is run."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import run_command
from hostile_files import REFUSED, controls, lambda_models, write_h5, write_keras

from graphprune.archive.allowed.refusals import check_loadable
from graphprune.errors import ArchiveError
from graphprune.graph import open_model_file
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
MEASURED = """
import json, resource, sys
from graphprune.cli.inputs import open_model
from graphprune.errors import GraphpruneError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
for path in sys.argv[1:]:
    said = ""
    try:
        open_model(path).zeros
    except GraphpruneError as fault:
        said = str(fault)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([path, peak - before, said]), flush=True)
"""
MAX_KILOBYTES = 400_000


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int, str]]:
    """Return path, peak of memory so far and message of each hostile file, which one process reads
    one after the other.
    """
    folder = tmp_path_factory.mktemp("hostile")
    paths = {str(make(folder / name)): name for name, (_, make) in REFUSED.items()}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *paths],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    return {
        paths[path]: (path, kilobytes, said)
        for path, kilobytes, said in map(json.loads, done.stdout.splitlines())
    }


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_refused_in_one_line_in_little_memory(
    refusals: dict[str, tuple[str, int, str]], name: str
) -> None:
    path, kilobytes, said = refusals[name]
    assert said.startswith(path)
    assert "\n" not in said
    assert REFUSED[name][0] in said
    assert kilobytes < MAX_KILOBYTES


@pytest.mark.parametrize(
    "command",
    [
        ("layers",),
        ("plan", "-r", "builtin:dense-90"),
        ("diff", MODEL),
        ("lint", "builtin:dense-90", "--model"),
    ],
)
def test_names_with_controls_are_shown_escaped(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = controls(tmp_path / "m.keras")
    done = (
        run_command(*command, path)
        if command[-1] == "--model"
        else run_command(command[0], path, *command[1:])
    )
    shown = done.out + done.err
    assert [char for char in shown if unicodedata.category(char)[0] == "C" and char != "\n"] == []
    assert not any(line.startswith("layers: 0") for line in shown.splitlines())


@pytest.mark.parametrize("write", [write_keras, write_h5])
@pytest.mark.parametrize("place", lambda_models())
def test_bytecode_is_seen_wherever_it_hides_and_never_run(
    tmp_path: Path, write: Callable[[Path, Any], Path], place: str
) -> None:
    model = open_model_file(write(tmp_path / "m", lambda_models()[place]))
    assert model.zeros is not None
    archive = model.need_archive()
    with pytest.raises(ArchiveError) as caught:
        check_loadable(archive, unsafe_lambda=False)
    assert str(caught.value) == f"{tmp_path}/m: {BYTECODE}"


BYTECODE = (
    "a Lambda layer holds Python bytecode, which loading would run; if you trust where the file"
    " comes from, pass --unsafe-lambda (unsafe_lambda=True in Python)"
)


@pytest.mark.parametrize(
    "arguments",
    [("strip", "-o", "out.keras"), ("apply", "-r", "builtin:dense-90", "-o", "out.keras")],
)
def test_bytecode_is_refused_before_anything_else_is_said(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = write_h5(tmp_path / "m.h5", lambda_models()["plain"])
    command, *options = arguments
    done = run_command(command, path, *options[:-1], tmp_path / options[-1])
    assert (done.code, done.out, done.err) == (1, "", f"graphprune: {path}: {BYTECODE}\n")
