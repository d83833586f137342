"""A full disk: every writer says the same in one message, leaves nothing half-written, and the run
goes on once there is room.
"""

import errno
import os
import re
import tempfile

import pytest
import tensorflow as tf
import tf_keras
from commands import run_command
from full_disk import fill, small_disk
from run_builders import assert_same_bits, build_model, build_setting, wrap

from graphprune.engine import recorder, training_loop
from graphprune.errors import WriteError
from graphprune.tf.models.export import write_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf
ROOM = r"\((needs more than [\d,]+ bytes, [\d,]+ are|[\d,]+ bytes are) free\)"


@pytest.fixture(scope="module")
def model():
    return tf_keras.Sequential([tf_keras.layers.Dense(100, input_shape=(100,))], name="net")


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "filler")


@pytest.mark.parametrize("name", ["o.keras", "o.h5", "o.tflite", "o"])
def test_every_format_of_a_model_is_refused_in_the_same_words(model, tmp_path, name):
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk, 16_000)
        with pytest.raises(WriteError) as caught:
            write_model(model, disk / name)
        way_on = "make room on the disk, or give another place"
        assert re.fullmatch(
            rf"{disk}/{name}: cannot be written: No space left on device {ROOM}; {way_on}",
            str(caught.value),
        )
        assert names(disk) == []
        (disk / "filler").unlink()
        (disk / "old").write_text("mine")


def test_temporary_files_without_room_are_told_with_their_place(model, tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk, 16_000)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(WriteError) as caught:
            write_model(model, tmp_path / "o.tflite")
        assert re.fullmatch(
            rf"{disk}: cannot be written: No space left on device {ROOM}; temporary files go"
            " there, or where TMPDIR says; make room on the disk, or give another place",
            str(caught.value),
        )
        assert names(disk) == []
    assert not (tmp_path / "o.tflite").exists()


def test_a_model_that_is_there_already_stays(model, tmp_path):
    with small_disk(tmp_path / "disk", "200k") as disk:
        for name in ("o.keras", "o"):
            write_model(model, disk / name)
        old = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
        fill(disk, 8_000)
        for name in ("o.keras", "o"):
            with pytest.raises(WriteError):
                write_model(model, disk / name)
        assert {
            path: path.read_bytes()
            for path in disk.rglob("*")
            if path.is_file() and path.name != "filler"
        } == old


def test_a_report_and_the_demo_are_refused_in_the_same_words(tmp_path):
    with small_disk(tmp_path / "disk", "16k") as disk:
        for arguments, name in [
            (("graph", "fixtures/digits-cnn.keras", "-o", disk / "g.html"), "g.html"),
            (("demo", disk / "demo"), "demo/original.keras"),
        ]:
            done = run_command(*arguments)
            text = (
                rf"graphprune: {disk}/{name}: cannot be written: No space left on device {ROOM};"
                r" make room on the disk, or give another place\n"
            )
            assert done.code == 1
            assert re.fullmatch(text, done.err)
        assert [path for path in disk.rglob("*") if path.is_file()] == []


def test_a_run_that_finds_the_disk_full_goes_on_once_there_is_room(tmp_path):
    setting = build_setting(tmp_path, model=wrap(build_model(run_eagerly=True)))
    whole = train(setting.model, None, setting.data, tmp_path / "whole", **setting.options)
    with small_disk(tmp_path / "disk", "1m") as disk:

        def fill_up(now):
            if now.step == 5 and not now.epoch_ended:
                fill(disk, 8_000)

        with pytest.raises(WriteError) as caught:
            train(
                setting.model,
                None,
                setting.data,
                disk / "run",
                on_progress=fill_up,
                **setting.options,
            )
        way_on = (
            "earlier checkpoints are intact; make room on the disk, then go on with: graphprune"
            f" resume {disk}/run"
        )
        assert re.fullmatch(
            rf"{disk}/run/checkpoints/step-00000006: cannot be written: No space left on device"
            rf" {ROOM}; {way_on}",
            str(caught.value),
        )
        assert names(disk / "run/checkpoints") == ["step-00000000", "step-00000003"]
        (disk / "filler").unlink()
        assert_same_bits(whole.model, resume(disk / "run").model)


def test_a_command_that_keeps_the_best_says_when_the_disk_is_full_and_goes_on(
    tmp_path, monkeypatch
):
    setting = build_setting(tmp_path, model=wrap(build_model(run_eagerly=True)))
    given = ("train", setting.model, "--data", setting.data, "--epochs", 3, "--batch-size", 8)
    given = (*given, "--seed", 11, "--keep", 1, "--keep-best", "val_loss", "--quiet", "--run")
    done = run_command(*given, tmp_path / "whole")
    assert done.code == 0, done.err
    for writer, name, call in (
        (recorder, "write_checkpoint", "checkpoints/step-00000004"),
        (training_loop, "copy_whole", "best.keras"),
    ):
        write, disk = getattr(writer, name), tmp_path / name

        def fill_and_write(*parts, write=write, disk=disk, call=call, **named):
            place = parts[0] / f"step-{parts[1].step:08}" if len(parts) > 2 else parts[1]
            if place == disk / "run" / call:
                fill(disk, 8_000)
            return write(*parts, **named)

        with small_disk(disk, "1m"), monkeypatch.context() as patch:
            patch.setattr(writer, name, fill_and_write)
            done = run_command(*given, disk / "run")
            assert done.code == 1
            assert re.search(
                rf"^graphprune: {disk}/run/{call}: cannot be written: No space left on device"
                rf" {ROOM}; .*graphprune resume ",
                done.err.splitlines()[-1],
            ), done.err
            assert not (disk / "run" / "best.keras").exists()
            (disk / "filler").unlink()
            patch.undo()
            done = run_command("resume", disk / "run", "--quiet")
            assert done.code == 0, done.err
            for model in ("model.keras", "best.keras"):
                assert_same_bits(tmp_path / "whole" / model, disk / "run" / model)


FAULTS = [
    tf.errors.ResourceExhaustedError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("for_training", [False, True])
def test_tensorflows_own_errors_say_the_same(
    model, tmp_path, monkeypatch, kind, number, for_training
):
    def refuse(*args, **options):
        raise kind(
            None, None, f"{args[0]}/variables/variables.data-00000-of-00001; {os.strerror(number)}"
        )

    monkeypatch.setattr(tf_keras.Sequential, "save", refuse)
    monkeypatch.setattr(tf_keras.export.ExportArchive, "write_out", refuse)
    with pytest.raises(WriteError) as caught:
        write_model(model, tmp_path / "o", for_training=for_training)
    assert str(caught.value).startswith(f"{tmp_path}/o: cannot be written: {os.strerror(number)}")
    assert names(tmp_path) == []
