"""Processes of this installation import its modules, and none that lies in their folder."""

import subprocess

from graphprune.child_process import child_command, child_environment


def test_a_module_in_the_current_folder_is_not_imported(tmp_path):
    (tmp_path / "platform.py").write_text("print('mine')")
    done = subprocess.run(
        child_command("platform"),
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() not in ("", "mine")


def test_the_environment_has_the_packages_of_this_process_and_more(monkeypatch):
    monkeypatch.setattr("sys.path", ["", "/packages", "relative"])
    found = child_environment(ANSWER="42")
    first, second = found["PYTHONPATH"].split(":")
    assert (first, second.endswith("/relative"), found["ANSWER"]) == ("/packages", True, "42")
