import pickle
from pathlib import Path

import click

from graphprune.cli.faults import diagnose
from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import ArchiveError, DataError, OutputError


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
