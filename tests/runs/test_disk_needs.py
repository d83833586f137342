import os
import re

import pytest

from graphprune.errors import WriteError
from graphprune.runs.disk_needs import DiskNeeds, estimate_checkpoint

SLOTS = [
    ("adam", 2),
    ("SGD", 0),
    ({"class_name": "SGD", "config": {"momentum": 0.9}}, 1),
    ({"class_name": "Custom>Adam", "config": {"amsgrad": True}}, 3),
    ({"name": "rmsprop", "momentum": 0.5, "centered": True}, 3),
    ({"class_name": "Mine", "config": {}}, 2),
    (None, 2),
]


@pytest.mark.parametrize(("optimizer", "slots"), SLOTS)
def test_an_estimate_counts_what_the_optimizer_holds(optimizer, slots):
    size = estimate_checkpoint(8_000_000, optimizer)
    assert size == pytest.approx(8_000_000 * 4 * (1 + slots) + 1_000_000, rel=0.01)
    more = estimate_checkpoint(8_000_000, optimizer, accumulates=True)
    assert more == size + 8_000_000 * 4


def test_a_run_that_does_not_fit_is_refused_with_what_it_takes(tmp_path):
    disk = os.statvfs(tmp_path)
    size = disk.f_blocks * disk.f_frsize
    DiskNeeds(size // 100, keep=3, keeps_best=False)
    with pytest.raises(WriteError) as caught:
        DiskNeeds(size, keep=3, keeps_best=True).check(tmp_path / "run")
    assert re.fullmatch(
        rf"{tmp_path}/run: cannot be written: No space left on device \(needs more than"
        rf" {6 * size:,} bytes, [\d,]+ are free\); the run takes up to {6 * size:,} bytes: 3"
        r" checkpoints, the best one, and 2 models at the end; --keep 2 takes less; make room on"
        r" the disk, or give another place",
        str(caught.value),
    )
    DiskNeeds(1, keep=1, keeps_best=False).check(tmp_path / "run")


def test_what_the_run_has_written_counts_as_free(tmp_path, monkeypatch):
    monkeypatch.setattr("graphprune.runs.disk_needs.free_bytes", lambda path: 1000)
    step = tmp_path / "checkpoints" / "step-00000004"
    step.mkdir(parents=True)
    with pytest.raises(WriteError):
        DiskNeeds(500, keep=3, keeps_best=False).check(tmp_path)
    (step / "model.keras").write_bytes(bytes(1000))
    DiskNeeds(500, keep=3, keeps_best=False).check(tmp_path)
