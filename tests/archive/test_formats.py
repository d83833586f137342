"""A new format takes its module and one record: everything that reads and plans goes by these."""

from __future__ import annotations

import pytest
from commands import run_command
from one_file import RECORD, write_one_file

from graphprune import diff_models, make_plan
from graphprune.archive import formats, read_archive
from graphprune.errors import ArchiveError
from graphprune.shipped import shipped_file

FIXTURES = ("digits-cnn.keras", "digits-cnn-keras3.keras")


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, RECORD))


@pytest.mark.parametrize("name", FIXTURES)
def test_a_format_that_is_added_is_read_and_planned(name, tmp_path):
    model, other = shipped_file(f"fixtures/{name}"), tmp_path / "named like nothing"
    write_one_file(other, model)
    assert diff_models(other, model).is_empty
    assert read_archive(other).keras_version == read_archive(model).keras_version
    plan = make_plan(other, "builtin:all-90")
    assert plan.changes
    assert plan.changes == make_plan(model, "builtin:all-90").changes
    assert run_command("layers", other).out == run_command("layers", model).out


def test_a_file_of_no_known_format_is_refused(tmp_path, monkeypatch):
    other = tmp_path / "m.one"
    write_one_file(other, shipped_file(f"fixtures/{FIXTURES[0]}"))
    monkeypatch.setattr(formats, "FORMATS", formats.FORMATS[:-1])
    with pytest.raises(ArchiveError, match="whatever its name; graphprune reads"):
        read_archive(other)
