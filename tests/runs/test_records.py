import json
import os
import shutil

import pytest
from runs.damage import rewrite
from runs.made_runs import make_run

from graphprune.runs import records
from graphprune.runs.run_folder import RunFolder


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def is_own(run):
    return run.read_run()[1]


def test_a_run_is_its_makers_wherever_it_is_copied_to(tmp_path):
    run = make_run(tmp_path / "run")
    assert is_own(run)
    assert is_own(RunFolder(shutil.copytree(run.path, tmp_path / "copy")))


def test_the_key_is_the_users_alone(tmp_path, state):
    make_run(tmp_path / "run")
    key = state / "graphprune" / "run-key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    assert [path.name for path in key.parent.iterdir()] == ["run-key"]


@pytest.mark.parametrize(
    "change",
    [
        {"data": "os:abort"},
        {"model": "/etc/passwd"},
        {"files": {}},
        {"mark": None},
        {"mark": "0" * 64},
        {"mark": "é"},
        {"mark": 1},
    ],
)
def test_a_run_with_other_content_has_no_valid_mark(tmp_path, change):
    run = make_run(tmp_path / "run")
    rewrite(run.path / "run.json", **change)
    assert not is_own(run)


@pytest.mark.parametrize(
    "lose",
    [
        lambda key: key.unlink(),
        lambda key: key.write_bytes(os.urandom(32)),
        lambda key: key.chmod(0o644),
        lambda key: key.write_bytes(b""),
        lambda key: key.write_bytes(key.read_bytes() * 2),
        lambda key: (key.rename(key.with_name("other")), key.symlink_to("other")),
        lambda key: (key.unlink(), os.mkfifo(key)),
    ],
    ids=["gone", "another", "readable by others", "empty", "longer", "a link", "a pipe"],
)
def test_a_run_is_nobodys_where_the_key_is_not_the_one_and_secret(tmp_path, state, lose):
    run = make_run(tmp_path / "run")
    lose(state / "graphprune" / "run-key")
    assert not is_own(run)


def test_where_no_key_can_be_kept_a_run_is_made_without_a_mark(tmp_path, state):
    state.write_text("a file")
    run = make_run(tmp_path / "run")
    assert json.loads((run.path / "run.json").read_text())["mark"] == ""
    assert not is_own(run)


def test_a_relative_state_folder_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert records.make_mark("0" * 64)
    assert (tmp_path / "home/.local/state/graphprune/run-key").exists()


def test_a_key_of_another_user_is_not_taken(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not is_own(run)
