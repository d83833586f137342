import errno
import io
import json
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from runs.damage import rewrite

from graphprune import files
from graphprune.errors import CheckpointError, OutputError
from graphprune.files import file_sha256
from graphprune.runs import checkpoints
from graphprune.runs.best import Best
from graphprune.runs.checkpoints import RunState, find_checkpoint, read_checkpoint, write_checkpoint

STATE = RunState(
    step=4,
    epoch=1,
    batch=0,
    epochs=300,
    steps_per_epoch=4,
    batch_size=8,
    seed=11,
    schedule_units=("epoch", "step"),
    plan_sha256="3f2a" * 16,
    rules=(("prune.yaml", "91bc" * 16),),
    versions={"graphprune": "0.1.0", "tensorflow": "2.21.0", "tf_keras": "2.21.0"},
    run_id="5e" * 16,
)
ARRAYS = {"random/0": np.array([1, 2, 3]), "metrics/0": np.float32(0.1)}


def at(step):
    """Return the state after `step` steps."""
    return replace(STATE, step=step, epoch=step // 4, batch=step % 4)


def write(root, step, save_model=lambda path: path.write_bytes(b"weights"), **changes):
    return write_checkpoint(root, replace(at(step), **changes), ARRAYS, "model.keras", save_model)


def find(root):
    return find_checkpoint(root, STATE.run_id)


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    folder = write(tmp_path, 400)
    assert folder == tmp_path / "step-00000400"
    found = read_checkpoint(folder)
    assert (found.state, found.model.read_bytes()) == (at(400), b"weights")
    assert {name: (array.dtype, array.tolist()) for name, array in found.arrays.items()} == {
        name: (array.dtype, array.tolist()) for name, array in ARRAYS.items()
    }


def test_the_newest_three_stay(tmp_path):
    for step in (8, 9, 10, 11):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-00000009", "step-00000010", "step-00000011"]


def test_the_best_stays_beside_as_many_of_the_newest_as_are_asked_for(tmp_path):
    best = Best("val_loss", 0.25, 1, 2, at_target=True)
    for step in range(1, 8):
        changes = {} if step < 2 else {"best": best}
        save = lambda path: path.write_bytes(b"weights")  # noqa: E731
        write_checkpoint(
            tmp_path, replace(at(step), **changes), ARRAYS, "model.keras", save, keep=2
        )
    assert names(tmp_path) == ["step-00000002", "step-00000006", "step-00000007"]
    assert find(tmp_path)[0].state.best == best


def test_a_checkpoint_that_does_not_read_back_is_an_error_and_the_earlier_ones_stay(
    tmp_path, monkeypatch
):
    for step in (1, 2, 3):
        write(tmp_path, step)
    whole_folder = checkpoints.whole_folder

    @contextmanager
    def spoiled(path):
        with whole_folder(path) as part:
            yield part
        (path / "model.keras").write_bytes(b"weightz")

    monkeypatch.setattr(checkpoints, "whole_folder", spoiled)
    with pytest.raises(CheckpointError) as caught:
        write(tmp_path, 4)
    assert str(caught.value) == (
        f"{tmp_path}/step-00000004: damaged as soon as it was written, model.keras has changed"
        " since it was written; check the disk. Earlier checkpoints are intact"
    )
    assert names(tmp_path) == [f"step-0000000{step}" for step in (1, 2, 3, 4)]
    assert find(tmp_path)[0].state.step == 3


def fail(path):
    path.write_bytes(b"half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["model", "rename"])
def test_a_write_that_is_cut_off_leaves_the_checkpoints_as_they_were(tmp_path, monkeypatch, moment):
    for step in (1, 2, 3):
        write(tmp_path, step)
    if moment == "rename":
        monkeypatch.setattr(
            files, "_take_place", lambda temporary, folder: fail(temporary / "more")
        )
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 4, fail if moment == "model" else lambda path: path.write_bytes(b"weights"))
    assert names(tmp_path) == ["step-00000001", "step-00000002", "step-00000003"]


def test_what_a_killed_process_left_is_cleared_by_the_next_write(tmp_path):
    write(tmp_path, 1)
    for name in (".step-00000002.tmp", f".step-00000002.{'0' * 16}.graphprune-part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_bytes(b"half")
    assert find(tmp_path)[0].state.step == 1
    write(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_old_checkpoints_go_only_when_the_new_one_is_in_place(tmp_path, monkeypatch):
    for step in (1, 2, 3):
        write(tmp_path, step)
    seen = []
    monkeypatch.setattr(checkpoints, "_remove_others", lambda root, *more: seen.append(names(root)))
    write(tmp_path, 4)
    assert seen == [["step-00000001", "step-00000002", "step-00000003", "step-00000004"]]


def change_text(path, old, new):
    path.write_text(path.read_text().replace(old, new))


DAMAGE = {
    "model.keras has changed since it was written": (
        lambda folder: (folder / "model.keras").write_bytes(b"weightz")
    ),
    "model.keras is missing": lambda folder: (folder / "model.keras").unlink(),
    "state.npz has changed since it was written": lambda folder: (folder / "state.npz").write_bytes(
        b""
    ),
    "state.json is missing": lambda folder: (folder / "state.json").unlink(),
    "state.json is not JSON": lambda folder: (folder / "state.json").write_text('{"step":'),
    "state.json has changed since it was written": lambda folder: change_text(
        folder / "state.json", '"step": 3', '"step": 2'
    ),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_with_a_message(tmp_path, fault):
    for step in (1, 2, 3):
        write(tmp_path, step)
    DAMAGE[fault](tmp_path / "step-00000003")
    found, messages = find(tmp_path)
    assert found.state.step == 2
    assert messages == (f"{tmp_path}/step-00000003: damaged, {fault}; resuming from step 2",)


def test_a_run_without_checkpoints_starts_from_the_beginning(tmp_path):
    assert find_checkpoint(tmp_path / "checkpoints") == (None, ())
    (tmp_path / "checkpoints").mkdir()
    assert find_checkpoint(tmp_path / "checkpoints") == (None, ())


def test_damaged_checkpoints_alone_are_an_error_that_does_not_advise_force(tmp_path):
    root = tmp_path / "checkpoints"
    for step in (1, 2):
        (write(root, step) / "state.npz").unlink()
    with pytest.raises(CheckpointError) as caught:
        find(root)
    assert (
        str(caught.value) == f"{root}/step-00000002: damaged, state.npz is missing\n"
        f"{root}/step-00000001: damaged, state.npz is missing\n"
        f"{tmp_path}: no checkpoint is intact; restore one from a backup, or move {root} away:"
        f" then graphprune resume {tmp_path} starts from the beginning"
    )


def test_files_of_the_user_among_checkpoints_are_neither_taken_nor_removed(tmp_path):
    (tmp_path / "step-notes.txt").write_text("mine")
    for name in (
        "step-backup",
        "step-00000020.bak",
        "step-000000021",
        "step-٠٠٠٠٠٠٢٢",
        "step-00000030",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    copies = ["step-backup", "step-00000020.bak", "step-000000021", "step-٠٠٠٠٠٠٢٢"]
    for name in copies:
        shutil.copytree(write(tmp_path, 20), tmp_path / name, dirs_exist_ok=True)
    for step in (8, 9, 10, 11, 12):
        write(tmp_path, step)
    (tmp_path / "step-00000011" / "notes.txt").write_text("mine")
    assert find(tmp_path)[0].state.step == 12
    for step in (13, 14, 15):
        write(tmp_path, step)
    assert find(tmp_path)[0].state.step == 15
    assert [path.name for path in (tmp_path / "step-00000011").iterdir()] == ["notes.txt"]
    assert sorted(path.parent.name for path in tmp_path.rglob("notes.txt")) == sorted(
        [
            "step-backup",
            "step-00000020.bak",
            "step-000000021",
            "step-٠٠٠٠٠٠٢٢",
            "step-00000030",
            "step-00000011",
        ]
    )
    assert all((tmp_path / name / "state.json").exists() for name in copies)
    assert (tmp_path / "step-notes.txt").read_text() == "mine"


def test_a_file_of_the_user_stays_where_a_checkpoint_is_written_again(tmp_path):
    folder = write(tmp_path, 5)
    (folder / "notes.txt").write_text("mine")
    (folder / "state.json").write_text("{")
    write(tmp_path, 5)
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.keras",
        "notes.txt",
        "state.json",
        "state.npz",
    ]
    assert names(tmp_path) == ["step-00000005"]
    assert find(tmp_path)[0].state.step == 5


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (99_999_999, 100_000_000):
        write(tmp_path, step, epochs=100_000_000)
    assert find(tmp_path)[0].state.step == 100_000_000


def test_something_else_with_the_name_of_a_checkpoint_is_named(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "step-00000002").symlink_to(tmp_path / "step-00000001")
    with pytest.raises(CheckpointError) as caught:
        find(tmp_path)
    assert (
        str(caught.value)
        == f"{tmp_path}/step-00000002: has the name of a checkpoint but is not a folder; move it"
        " away, then resume"
    )


def test_a_checkpoint_of_another_run_is_refused_and_never_removed(tmp_path):
    for step in (1, 2, 3, 4):
        write(tmp_path, step)
    other = write(tmp_path / "other", 2, run_id="0f" * 16)
    shutil.rmtree(tmp_path / "step-00000002")
    shutil.move(other, tmp_path / "step-00000002")
    (tmp_path / "other").rmdir()
    with pytest.raises(CheckpointError) as caught:
        find(tmp_path)
    assert (
        str(caught.value)
        == f"{tmp_path}/step-00000002: is a checkpoint of another run (run_id {'0f' * 16}, this run"
        f" has {'5e' * 16}); move it away, then resume"
    )
    write(tmp_path, 5)
    write(tmp_path, 6)
    assert names(tmp_path) == ["step-00000002", "step-00000004", "step-00000005", "step-00000006"]


def test_a_checkpoint_of_a_newer_graphprune_is_an_error_and_stays(tmp_path):
    for step in (1, 2):
        write(tmp_path, step)
    rewrite(tmp_path / "step-00000002" / "state.json", format_version=99)
    with pytest.raises(CheckpointError) as caught:
        find(tmp_path)
    assert (
        str(caught.value)
        == f"{tmp_path}/step-00000002/state.json: has format 99 of a newer graphprune, this one"
        " reads up to 2; update graphprune"
    )
    write(tmp_path, 1)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def npz(path, content, *, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("random/0.npy", content)


def header(shape, dtype="|u1"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda path: npz(path, header((2**53,))),
            "an array claims 9,007,199,254,740,992 bytes of uint8",
        ),
        (
            lambda path: npz(path, header((1,), "|O") + b"pickle.."),
            "an array claims 8 bytes of object",
        ),
        (
            lambda path: npz(
                path, header((10**6,)) + bytes(10**6), compression=zipfile.ZIP_DEFLATED
            ),
            "its arrays are larger than the file",
        ),
        (lambda path: npz(path, b"\x93NUMPY\x09\x00"), "too short|unknown|unexpected|EOF"),
        (lambda path: path.write_bytes(b"PK"), "File is not a zip file"),
    ],
)
def test_arrays_that_claim_more_than_their_file_are_damage(tmp_path, make, why):
    folder = write(tmp_path, 1)
    make(folder / "state.npz")
    files = json.loads((folder / "state.json").read_text())["files"]
    rewrite(folder / "state.json", files={**files, "state.npz": file_sha256(folder / "state.npz")})
    with pytest.raises(CheckpointError, match=f"damaged, state.npz cannot be read \\(.*({why})"):
        read_checkpoint(folder)


WRONG_STATES = {
    "has no step": {"step": None},
    "has a wrong step: expected a whole number from 0, got -1": {"step": -1},
    "has a wrong step: expected a whole number from 0, got 1.5": {"step": 1.5},
    "has a wrong step: expected a whole number from 0, got '1'": {"step": "1"},
    "has a wrong seed: expected a whole number from 0, got true": {"seed": True},
    "has a wrong steps_per_epoch: expected a whole number from 1, got 0": {"steps_per_epoch": 0},
    "has a wrong plan_sha256: expected 64 hexadecimal digits or none, got 'x'": {
        "plan_sha256": "x"
    },
    "has a wrong schedule_units[0]: expected one of epoch, step, percent, got 'day'": {
        "schedule_units": ["day"]
    },
    "has a wrong rules[0]: expected a shorter list, got ['a', 'b', 'c']": {
        "rules": [["a", "b", "c"]]
    },
    "has no rules[0][1]": {"rules": [["a"]]},
    "has a wrong rules: expected a list, got 'a'": {"rules": "a"},
    "has a wrong versions: expected an object, got []": {"versions": []},
    "has a wrong versions.keras: expected a string, got 2": {"versions": {"keras": 2}},
    "is for step 2": {"step": 2},
    "says step 1 is batch 2 of epoch 0, which does not fit 300 epochs of 4 steps": {"batch": 2},
    "has the format_version 'x', which is not a whole number from 1": {"format_version": "x"},
    "has the format_version 0, which is not a whole number from 1": {"format_version": 0},
    "lists the files ../../x.keras, state.npz; they must be state.npz and one model": {
        "files": {"../../x.keras": "0" * 64, "state.npz": "0" * 64}
    },
    "lists the files none; they must be state.npz and one model": {"files": {}},
}


@pytest.mark.parametrize("why", WRONG_STATES)
def test_a_state_with_a_fitting_hash_and_wrong_values_is_damage(tmp_path, why):
    write(tmp_path, 1)
    rewrite(tmp_path / "step-00000001" / "state.json", **WRONG_STATES[why])
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "step-00000001")
    assert str(caught.value) == f"{tmp_path}/step-00000001: damaged, state.json {why}"


def test_the_end_of_an_epoch_before_its_validation_is_a_place_and_what_lies_behind_the_run_is_none(
    tmp_path,
):
    end = write(tmp_path, 4, epoch=0, batch=4, epochs=1)
    assert read_checkpoint(end).state.batch == 4
    for place in ({"batch": 5, "epoch": 0}, {"batch": 1, "epoch": 1}):
        behind = write(tmp_path, 5)
        rewrite(behind / "state.json", epochs=1, **place)
        with pytest.raises(
            CheckpointError,
            match=r"says step 5 is batch . of epoch ., which does not fit 1 epochs of 4 steps",
        ):
            read_checkpoint(behind)


def test_a_checkpoint_of_format_1_is_read(tmp_path):
    folder = write(tmp_path, 5, run_id="")
    since = ("run_id", "model_sha256", "data_sha256", "metrics_size", "metrics_sha256")
    rewrite(folder / "state.json", format_version=1, **dict.fromkeys(since))
    assert set(since).isdisjoint(json.loads((folder / "state.json").read_text()))
    assert find_checkpoint(tmp_path, "")[0].state == replace(at(5), run_id="")


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
    (tmp_path / "outside").write_bytes((folder / "state.npz").read_bytes())
    files = json.loads((folder / "state.json").read_text())["files"]
    files["../outside"] = files.pop("state.npz")
    rewrite(folder / "state.json", files=files)
    with pytest.raises(
        CheckpointError, match=r"state.json lists the files \.\./outside, model\.keras;"
    ):
        read_checkpoint(folder)


def test_a_full_disk_is_one_clear_line(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path, 1)
    with pytest.raises(OutputError) as caught:
        write(tmp_path, 2, full)
    text = str(caught.value)
    assert text.startswith(
        f"{tmp_path}/step-00000002: cannot be written: No space left on device ("
    )
    way_on = f"make room on the disk, then go on with: graphprune resume {tmp_path.parent}"
    assert text.endswith(f" bytes are free); earlier checkpoints are intact; {way_on}")
    assert names(tmp_path) == ["step-00000001"]
