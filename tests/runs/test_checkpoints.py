import errno
import json
from dataclasses import replace

import numpy as np
import pytest

from graphprune.errors import CheckpointError, OutputError
from graphprune.runs import checkpoints
from graphprune.runs.checkpoints import RunState, find_checkpoint, read_checkpoint, write_checkpoint

STATE = RunState(
    step=4,
    epoch=1,
    batch=0,
    epochs=3,
    steps_per_epoch=4,
    batch_size=8,
    seed=11,
    schedule_units=("epoch", "step"),
    plan_sha256="3f2a",
    rules=(("prune.yaml", "91bc"),),
    versions={"graphprune": "0.1.0", "tensorflow": "2.21.0", "tf_keras": "2.21.0"},
)
ARRAYS = {"random/0": np.array([1, 2, 3]), "metrics/0": np.float32(0.1)}


def write(root, step, save_model=lambda path: path.write_bytes(b"weights")):
    return write_checkpoint(root, replace(STATE, step=step), ARRAYS, "model.keras", save_model)


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    folder = write(tmp_path, 400)
    assert folder == tmp_path / "step-00000400"
    found = read_checkpoint(folder)
    assert (found.state, found.model.read_bytes()) == (replace(STATE, step=400), b"weights")
    assert {name: (array.dtype, array.tolist()) for name, array in found.arrays.items()} == {
        name: (array.dtype, array.tolist()) for name, array in ARRAYS.items()
    }


def test_the_newest_three_stay(tmp_path):
    for step in (8, 9, 10, 11):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-00000009", "step-00000010", "step-00000011"]


def fail(path):
    path.write_bytes(b"half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["model", "rename"])
def test_a_write_that_is_cut_off_leaves_the_checkpoints_as_they_were(tmp_path, monkeypatch, moment):
    for step in (1, 2, 3):
        write(tmp_path, step)
    if moment == "rename":
        monkeypatch.setattr(checkpoints, "_put_in_place", lambda temporary, folder: fail(temporary / "more"))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 4, fail if moment == "model" else lambda path: path.write_bytes(b"weights"))
    assert names(tmp_path) == ["step-00000001", "step-00000002", "step-00000003"]


def test_what_a_killed_process_left_is_cleared_by_the_next_write(tmp_path):
    write(tmp_path, 1)
    (tmp_path / ".step-00000002.tmp").mkdir()
    (tmp_path / ".step-00000002.tmp" / "model.keras").write_bytes(b"half")
    assert find_checkpoint(tmp_path, tmp_path)[0].state.step == 1
    write(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_old_checkpoints_go_only_when_the_new_one_is_in_place(tmp_path, monkeypatch):
    for step in (1, 2, 3):
        write(tmp_path, step)
    seen = []
    monkeypatch.setattr(checkpoints, "_remove_others", lambda root, step: seen.append(names(root)))
    write(tmp_path, 4)
    assert seen == [["step-00000001", "step-00000002", "step-00000003", "step-00000004"]]


def change_text(path, old, new):
    path.write_text(path.read_text().replace(old, new))


DAMAGE = {
    "model.keras is not what was written": lambda folder: (folder / "model.keras").write_bytes(b"weightz"),
    "model.keras is missing": lambda folder: (folder / "model.keras").unlink(),
    "state.npz is not what was written": lambda folder: (folder / "state.npz").write_bytes(b""),
    "state.json is missing": lambda folder: (folder / "state.json").unlink(),
    "state.json cannot be read": lambda folder: (folder / "state.json").write_text('{"step":'),
    "state.json is not what was written": lambda folder: change_text(folder / "state.json", '"step": 3', '"step": 2'),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_with_a_message(tmp_path, fault):
    for step in (1, 2, 3):
        write(tmp_path, step)
    DAMAGE[fault](tmp_path / "step-00000003")
    found, messages = find_checkpoint(tmp_path, tmp_path)
    assert found.state.step == 2
    assert messages == (f"{tmp_path}/step-00000003: damaged, {fault}; going on from the one before it",)


def test_no_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(tmp_path / "checkpoints", tmp_path)
    assert str(caught.value) == f"{tmp_path}: no checkpoint was written before the run stopped; start again with graphprune train --force"


def test_a_damaged_checkpoint_ahead_is_replaced_or_removed(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step)
    (tmp_path / "step-00000003" / "model.keras").write_bytes(b"bad")
    (tmp_path / "step-00000002" / "model.keras").write_bytes(b"bad")
    write(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    assert read_checkpoint(tmp_path / "step-00000002").state.step == 2


def test_a_state_that_names_files_elsewhere_is_damaged(tmp_path):
    folder = write(tmp_path, 1)
    config = json.loads((folder / "state.json").read_text())
    del config["sha256"]
    config["files"]["../outside"] = config["files"].pop("state.npz")
    (tmp_path / "outside").write_bytes((folder / "state.npz").read_bytes())
    (folder / "state.json").write_text(json.dumps({**config, "sha256": checkpoints._digest(config)}))
    with pytest.raises(CheckpointError, match=r"damaged, \.\./outside is missing"):
        read_checkpoint(folder)


def test_a_full_disk_is_one_clear_line(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path, 1)
    with pytest.raises(OutputError) as caught:
        write(tmp_path, 2, full)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/step-00000002: cannot be written: No space left on device (")
    way_on = f"make room on the disk, then go on with: graphprune resume {tmp_path.parent}"
    assert text.endswith(f" bytes are free); the checkpoints before are whole; {way_on}")
    assert names(tmp_path) == ["step-00000001"]
