"""Which checkpoints a run keeps, the best one, and writes that fail in the background."""

import json

import pytest
from run_builders import build_dense_model, build_setting, ramp, wrap

from graphprune.engine import recorder
from graphprune.errors import CheckpointError, TrainingError
from graphprune.runs.checkpoints import read_checkpoint
from graphprune.training import resume, train

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    home = tmp_path_factory.mktemp("setting")
    return build_setting(home, model=wrap(build_dense_model("adam"), fc=ramp()))


def train_run(setting, folder, **changes):
    options = {**setting.options, "epochs": 6, "checkpoint_every": "2 epochs", **changes}
    return train(setting.model, None, setting.data, folder, **options)


def epochs_of(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def kept(setting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return train_run(setting, folder, keep=2, keep_best="val_loss:max")


def test_the_best_epoch_at_the_target_stays_and_is_written_at_the_end(kept):
    sparse = [line for line in epochs_of(kept.run_dir) if line["sparsity"] >= 0.75]
    best = max(sparse, key=lambda line: line["val_loss"])
    assert 2 <= len(sparse) < 6
    assert (kept.best.value, kept.best.epoch) == (best["val_loss"], best["epoch"])
    assert kept.best.at_target
    folder = kept.run_dir / "checkpoints" / f"step-{kept.best.step:08d}"
    assert kept.best_model == kept.run_dir / "best.keras"
    assert kept.best_model.read_bytes() == (folder / "model.keras").read_bytes()
    names = {path.name for path in folder.parent.iterdir()}
    # written every two epochs and at the best ones: the newest two and the best
    assert {folder.name, "step-00000024"} < names or folder.name == "step-00000024"
    assert len(names) in (2, 3)
    assert json.loads((kept.run_dir / "result.json").read_text())["best"]["step"] == kept.best.step


def test_a_resumed_run_knows_the_best_of_before(setting, kept, tmp_path):
    stopped = train_run(
        setting, tmp_path / "run", keep=2, keep_best="val_loss:max", stop_after_step=17
    )
    assert stopped.best is None
    whole = resume(tmp_path / "run")
    assert whole.best == kept.best
    assert whole.best_model.read_bytes() == kept.best_model.read_bytes()
    assert resume(tmp_path / "run").best == kept.best


def test_an_unknown_metric_is_refused_before_anything_is_written(setting, tmp_path):
    with pytest.raises(TrainingError) as caught:
        train_run(setting, tmp_path / "run", keep_best="val_acuracy")
    assert str(caught.value).endswith(
        "closest: 'val_accuracy'; available: loss, accuracy, val_loss, val_accuracy"
    )
    assert not (tmp_path / "run").exists()


def test_training_stops_at_the_step_after_a_write_that_failed(setting, tmp_path, monkeypatch):
    write, steps = recorder.write_checkpoint, []

    def fail(root, state, *arguments, **options):
        if state.step == 4:
            raise CheckpointError("damaged as soon as it was written", place=root)
        return write(root, state, *arguments, **options)

    monkeypatch.setattr(recorder, "write_checkpoint", fail)
    with pytest.raises(CheckpointError, match="damaged as soon as it was written"):
        train_run(
            setting,
            tmp_path / "run",
            checkpoint_every="1 epoch",
            on_progress=lambda now: steps.append(now.step),
        )
    assert max(steps) < 9, "the next checkpoint is at 8"
    failure = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert "damaged as soon as it was written" in failure["message"]
    monkeypatch.undo()
    assert resume(tmp_path / "run").status == "finished"


def test_a_copy_stays_that_of_its_step_while_training_goes_on(setting, tmp_path, monkeypatch):
    held = []

    def write_held(now=None):
        if held and (now is None or now.step % 4 == 3):
            held.pop()()

    monkeypatch.setattr(recorder.CheckpointWriter, "start", lambda self, task: held.append(task))
    monkeypatch.setattr(recorder.CheckpointWriter, "wait", lambda self: write_held())
    options = {"epochs": 2, "checkpoint_every": "4 steps"}
    train_run(setting, tmp_path / "late", **options, on_progress=write_held)
    monkeypatch.undo()
    train_run(setting, tmp_path / "soon", **options)
    for step in ("step-00000004", "step-00000008"):
        late, soon = (
            read_checkpoint(tmp_path / name / "checkpoints" / step) for name in ("late", "soon")
        )
        assert late.model.read_bytes() == soon.model.read_bytes()
        assert {name: array.tobytes() for name, array in late.arrays.items()} == {
            name: array.tobytes() for name, array in soon.arrays.items()
        }
