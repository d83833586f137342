"""The workers that go on with a run, checked before TensorFlow is imported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from graphprune.engine.resuming_together import find_run_cluster
from graphprune.errors import CheckpointError, TrainingError

TWO = ["a:1", "b:2"]


def run_of(strategy: str):
    options = SimpleNamespace(strategy=strategy)
    return SimpleNamespace(path=Path("runs/a"), read_options=lambda: options)


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)


def test_a_run_goes_on_with_its_number_of_workers():
    found = find_run_cluster(run_of("multiworker:2x1"), TWO, 1)
    assert (found.workers, found.rank) == (("a:1", "b:2"), 1)
    assert find_run_cluster(run_of("mirrored:2"), None, None) is None


@pytest.mark.parametrize(
    ("strategy", "workers", "text"),
    [
        (
            "multiworker:4x1",
            TWO,
            "runs/a: began with 4 workers, got 2; give 4 workers with --workers and --rank, or set"
            " TF_CONFIG",
        ),
        (
            "none",
            TWO,
            "runs/a: began with 1 worker, got 2; resume it without --workers, --rank and TF_CONFIG",
        ),
    ],
)
def test_another_number_of_workers_is_refused(strategy, workers, text):
    with pytest.raises(CheckpointError) as caught:
        find_run_cluster(run_of(strategy), workers, 0)
    assert str(caught.value) == text


def test_a_run_on_several_machines_needs_the_workers():
    with pytest.raises(TrainingError, match="multiworker needs the workers; give --workers"):
        find_run_cluster(run_of("multiworker:2x1"), None, None)


def test_wrong_addresses_are_refused():
    with pytest.raises(TrainingError, match="must be HOST:PORT with a port from 1 to 65535"):
        find_run_cluster(run_of("multiworker:2x1"), ["a", "b:1"], 0)
