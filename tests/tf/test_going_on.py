"""A run can always be gone on with: without a checkpoint, without its result, after a kill, in a
folder from elsewhere; and only by its own files.
"""

import json
import os
import re
import shutil
import sys

import pytest
from commands import run_command
from planned import plan_with
from run_builders import (
    TOTAL,
    Setting,
    assert_same_bits,
    build_dense_model,
    build_setting,
    ramp,
    wrap,
    write_data,
)
from runs.damage import rewrite

from graphprune.errors import CheckpointError, OutputError
from graphprune.graph import read_graph
from graphprune.rules import read_rules
from graphprune.runs.run_folder import RunFolder
from graphprune.tf.models.saving import save_model
from graphprune.training import resume, train

pytestmark = pytest.mark.tf

RULES = """
version: 1
rules:
  - id: dense
    match: {name: fc}
    prune:
      sparsity: 75%
      schedule: {curve: linear, begin: 0 steps, end: 2 epochs, every: 1 step}
"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Return a folder with a model, data, rules, and two runs from a plan: `whole`, and `stopped`
    after step 7.
    """
    folder = tmp_path_factory.mktemp("begun")
    save_model(build_dense_model("adam"), folder / "net.keras")
    (folder / "prune.yaml").write_text(RULES)
    setting = Setting(str(folder / "net.keras"), write_data(folder / "data.npz"), folder)
    plan = plan_with(
        read_graph(setting.model), read_rules(folder / "prune.yaml"), path=setting.model
    )
    options = {**setting.options, "learning_rate": 0.02}
    assert (
        train(setting.model, plan, setting.data, folder / "whole", **options).status == "finished"
    )
    train(setting.model, plan, setting.data, folder / "stopped", stop_after_step=7, **options)
    return setting


def copy(begun, name, tmp_path):
    return shutil.copytree(begun.folder / name, tmp_path / "run")


def assert_same_end(begun, run, result):
    assert (result.status, result.step) == ("finished", TOTAL)
    assert_same_bits(begun.folder / "whole" / "model.keras", run / "model.keras")
    assert (run / "metrics.jsonl").read_text() == (
        begun.folder / "whole" / "metrics.jsonl"
    ).read_text()


def test_a_run_without_a_checkpoint_starts_from_the_beginning_to_the_same_end(begun, tmp_path):
    run, started = copy(begun, "stopped", tmp_path), []
    shutil.rmtree(run / "checkpoints")
    result = resume(run, on_checkpoint=started.append)
    assert (started, result.warnings, result.resumed_from) == ([None], (), None)
    assert_same_end(begun, run, result)


def test_a_start_from_the_beginning_needs_the_model_and_the_plan_as_they_were(begun, tmp_path):
    run = copy(begun, "stopped", tmp_path)
    shutil.rmtree(run / "checkpoints")
    model = tmp_path / "net.keras"
    rewrite(run / "run.json", model=str(model))
    way_on = (
        f"and the run in {run} has no checkpoint to resume from; put the old model back, or start a"
        " new run"
    )
    for make, why in [
        (lambda: None, "the model that the run began with is missing"),
        (lambda: os.mkfifo(model), "the model that the run began with is no longer a saved model"),
        (
            lambda: (model.unlink(), save_model(build_dense_model("sgd"), model)),
            "has changed since the run began with it",
        ),
    ]:
        make()
        with pytest.raises(CheckpointError) as caught:
            resume(run)
        assert str(caught.value) == f"{model}: {why}, {way_on}"
    (run / "plan.json").write_text("{}")
    with pytest.raises(CheckpointError) as caught:
        resume(run)
    assert (
        str(caught.value)
        == f"{run}: damaged, plan.json has changed since it was written, and a start from the"
        " beginning needs it; put it back from a copy, or start a new run in another folder"
    )


def test_a_deleted_model_and_a_damaged_result_are_written_again_from_the_last_checkpoint(
    begun, tmp_path
):
    run = copy(begun, "whole", tmp_path)
    (run / "model.keras").unlink()
    result = resume(run)
    again = "resuming from the last checkpoint, which writes it again"
    assert result.warnings == (f"{run}: damaged, model.keras is missing; {again}",)
    assert_same_end(begun, run, result)
    (run / "result.json").write_text("{")
    result = resume(run)
    assert result.warnings == (f"{run}: damaged, result.json is not JSON; {again}",)
    assert_same_end(begun, run, result)
    assert resume(run).status == "already-finished"


def test_a_trained_model_that_somebody_changed_is_not_overwritten(begun, tmp_path):
    run = copy(begun, "whole", tmp_path)
    (run / "model.keras").write_bytes(b"mine")
    for call in (lambda: resume(run), lambda: RunFolder(run).need_model()):
        with pytest.raises(CheckpointError) as caught:
            call()
        assert (
            str(caught.value)
            == f"{run}: damaged, model.keras has changed since the run wrote it; move it away, then"
            f" graphprune resume {run} writes model.keras again from the last checkpoint"
        )
    assert (run / "model.keras").read_bytes() == b"mine"


def test_a_checkpoint_of_another_run_is_refused(begun, tmp_path):
    run = copy(begun, "stopped", tmp_path)
    shutil.copytree(
        begun.folder / "whole/checkpoints/step-00000012", run / "checkpoints/step-00000012"
    )
    with pytest.raises(CheckpointError, match="step-00000012: is a checkpoint of another run"):
        resume(run)
    shutil.rmtree(run / "checkpoints/step-00000012")
    assert_same_end(begun, run, resume(run))


def test_cut_metrics_are_told_before_training_goes_on(begun, tmp_path):
    run, told = copy(begun, "stopped", tmp_path), []
    (run / "metrics.jsonl").write_text("")
    result = resume(run, on_warning=told.append, on_checkpoint=lambda _: told.append("training"))
    assert told == [
        (
            f"{run}/metrics.jsonl: truncated or edited, its lines up to step 6 are not those that"
            " the run wrote; training continues and appends to them"
        ),
        "training",
    ]
    assert result.status == "finished"


def test_a_run_of_format_1_goes_on_to_the_same_end(begun, tmp_path):
    run = copy(begun, "stopped", tmp_path)
    to_format_1(run)
    result = resume(run)
    assert result.warnings == (
        (
            f"{run}: was made on another machine, by another user or by an earlier graphprune; its"
            f" training data is read from {begun.data}"
        ),
    )
    assert_same_end(begun, run, result)


def to_format_1(run):
    """Write a run's files as graphprune did until 0.1.0."""
    config = json.loads((run / "run.json").read_text())
    new = ("sha256", "mark", "run_id", "first_batch_sha256", "files", "tensorboard", "strategy")
    asked = {name: value for name, value in config["compiling"].items() if value}
    old = {name: value for name, value in config.items() if name not in new} | {
        "format_version": 1,
        "compiling": asked,
    }
    (run / "run.json").write_text(json.dumps(old, indent=2))
    for path in (run / "checkpoints").glob("*/state.json"):
        rewrite(
            path,
            format_version=1,
            **dict.fromkeys(
                ("run_id", "model_sha256", "data_sha256", "metrics_size", "metrics_sha256")
            ),
        )
    (run / ".lock").unlink()


DATA = """
import pathlib, numpy as np, tensorflow as tf
CALLED = pathlib.Path({called!r})
STORED = np.load({data!r})
def load():
    CALLED.write_text("called")
    arrays = STORED["x_train"][::{order}], STORED["y_train"][::{order}]
    return tf.data.Dataset.from_tensor_slices(arrays).batch(8), None
"""


@pytest.fixture
def with_function(tmp_path, monkeypatch):
    """Return a run that was stopped, whose data comes from a function, and a way to change the
    order of that data.
    """
    setting = build_setting(tmp_path, model=wrap(build_dense_model("adam"), fc=ramp()))
    monkeypatch.chdir(tmp_path)
    called = tmp_path / "called"

    def write(order):
        sys.modules.pop("going_on_data", None)
        (tmp_path / "going_on_data.py").write_text(
            DATA.format(called=str(called), data=setting.data, order=order)
        )

    write(1)
    train(
        setting.model,
        None,
        "going_on_data:load",
        tmp_path / "run",
        epochs=3,
        checkpoint_every="3 steps",
        stop_after_step=7,
    )
    called.unlink()
    sys.dont_write_bytecode = True
    yield tmp_path / "run", called, write
    sys.dont_write_bytecode = False
    sys.modules.pop("going_on_data", None)


def test_a_data_function_of_a_run_from_elsewhere_is_called_only_when_the_user_says_so(
    with_function, tmp_path, monkeypatch
):
    run, called, _ = with_function
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another-user"))
    why = (
        f"{run}: was made on another machine, by another user or by an earlier graphprune, and"
        " resuming it calls the function going_on_data:load for its data; if you trust it, add"
        " --trust-run (in Python: trust_run=True)"
    )
    with pytest.raises(CheckpointError) as caught:
        resume(run)
    assert str(caught.value) == why
    done = run_command("resume", str(run))
    assert (done.code, done.out, done.err) == (1, "", f"graphprune: {why}\n")
    assert not called.exists()
    assert resume(run, trust_run=True).status == "finished"
    assert called.exists()


def test_a_mark_does_not_fit_another_data_function(with_function):
    run, called, _ = with_function
    rewrite(run / "run.json", data="os:abort")
    with pytest.raises(CheckpointError, match="calls the function os:abort for its data"):
        resume(run)
    assert not called.exists()


def test_a_function_that_gives_other_batches_is_told(with_function):
    run, _, write = with_function
    assert resume(run, stop_after_step=9).warnings == ()
    write(-1)
    assert resume(run).warnings == (
        (
            "going_on_data:load: its first batch is not the one that the run began with, so the"
            " function gives other samples, or in another order; the rest of the run will differ"
        ),
    )


def test_events_elsewhere_need_trust(begun, tmp_path):
    run = copy(begun, "stopped", tmp_path)
    (run / "linked").mkdir()
    (run / "linked" / "train").symlink_to(tmp_path)
    for events in ("../outside", str(tmp_path / "outside"), "linked"):
        rewrite(run / "run.json", tensorboard=events)
        with pytest.raises(
            CheckpointError,
            match=f"writes TensorBoard events to {re.escape(events)}; if you trust it",
        ):
            resume(run)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_what_cannot_be_recorded_is_refused_before_anything_is_written(tmp_path):
    setting = build_setting(tmp_path, model=wrap(build_dense_model("adam"), fc=ramp()))
    with pytest.raises(OutputError) as caught:
        train(
            setting.model, None, setting.data, tmp_path / "run", **{**setting.options, "seed": -1}
        )
    assert (
        str(caught.value)
        == f"{tmp_path}/run: this run cannot be recorded, run.json has a wrong seed: expected"
        " a whole number from 0, got -1; change that setting"
    )
    assert not (tmp_path / "run").exists()


def test_strip_and_verify_tell_a_changed_original_and_refuse_a_changed_model(begun, tmp_path):
    run, original = copy(begun, "whole", tmp_path), tmp_path / "net.keras"
    config = json.loads((run / "run.json").read_text())
    rewrite(run / "run.json", model=str(original))
    save_model(build_dense_model("sgd"), original)
    done = run_command("strip", str(run), "-o", str(tmp_path / "sparse.keras"))
    warning = (
        f"{original}: has changed since the run began with it; compared with the trained model of"
        f" {run} itself instead"
    )
    assert (done.code, f"graphprune: warning: {warning}\n" in done.err) == (0, True)
    assert done.err.count("warning") == 1
    rewrite(run / "run.json", model=config["model"])
    content = bytearray((run / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (run / "model.keras").write_bytes(content)
    for arguments in (
        ("strip", str(run), "-o", str(tmp_path / "other.keras")),
        ("verify", str(run), "--plan", str(run / "plan.json")),
    ):
        done = run_command(*arguments)
        assert (done.code, "model.keras has changed since the run wrote it" in done.err) == (
            1,
            True,
        )
