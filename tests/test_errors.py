import pickle
from pathlib import Path

import click

from graphprune.cli.faults import diagnose
from graphprune.cli.main import render_fault
from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import ArchiveError, DataError, OutputError
from graphprune.rules.text.files import read_text


def test_an_error_begins_with_its_place_and_has_both_as_values():
    fault = ArchiveError("damaged zip: cut off", place=Path("runs/a: b.keras"))
    assert (str(fault), fault.place, fault.text) == (
        "runs/a: b.keras: damaged zip: cut off",
        "runs/a: b.keras",
        "damaged zip: cut off",
    )
    assert vars(pickle.loads(pickle.dumps(fault))) == vars(fault)


def test_a_diagnostic_has_the_place_of_the_error_whatever_the_text_says():
    placed = OutputError("exists already", "output/exists", place="a: b.keras")
    assert diagnose(placed) == (Diagnostic("output/exists", "exists already", Where("a: b.keras")),)
    assert diagnose(DataError("m.keras: is what the text says")) == (
        Diagnostic("data/invalid", "m.keras: is what the text says"),
    )
    assert diagnose(click.UsageError("m.keras: no")) == (
        Diagnostic("usage/invalid", "m.keras: no"),
    )


def test_a_path_without_permission_says_what_to_do():
    fault = PermissionError(13, "Permission denied", "closed/net.keras")
    text = (
        "Permission denied; change the permissions of the folders on this path, or give another one"
    )
    assert render_fault(fault) == f"graphprune: closed/net.keras: {text}"
    assert diagnose(fault) == (Diagnostic("system/failed", text, Where("closed/net.keras")),)


def test_a_rule_file_without_permission_says_what_to_do(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert read_text(Path("r.yaml"), "r.yaml", "rule file", str) == Diagnostic(
        "file/unreadable",
        "cannot be opened: Permission denied",
        Where("r.yaml"),
        "change its permissions, or give another one",
    )
