from __future__ import annotations

import gc

import pytest
from builders import build_config

from graphprune.archive import read_archive
from graphprune.archive.files import collector_paused
from graphprune.errors import ArchiveError
from graphprune.graph import read_graph


def test_the_collector_runs_again_after_reading_and_after_an_error(tmp_path):
    assert gc.isenabled()
    read_graph(build_config("in > fc"))
    assert gc.isenabled()
    with pytest.raises(ArchiveError):
        read_archive(tmp_path / "none.h5")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_reading_does_not_collect():
    seen = []

    class Spy(dict):
        def __contains__(self, key):
            seen.append(gc.isenabled())
            return super().__contains__(key)

    read_graph(Spy(build_config("in > fc")))
    assert seen
    assert not any(seen)
