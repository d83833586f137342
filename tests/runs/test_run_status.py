"""`graphprune runs`, and unfinished runs as MODEL: made on disk without a Keras."""

import json
import shutil
from dataclasses import replace

import pytest
from commands import run_command
from runs.made_runs import OPTIONS, TENSOR, create, go_on, make_run

from graphprune.errors import CheckpointError, TrainingError
from graphprune.runs.records import hash_file, write_record
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import Compiling
from graphprune.runs.run_status import (
    clear_failure,
    find_runs,
    newest_model,
    summarize_run,
    write_failure,
)
from graphprune.shipped import shipped_file

TUNED = replace(
    OPTIONS,
    compiling=Compiling("adam", metrics={"heads": ("mae",)}, learning_rate=0.01),
    run_id="6f" * 16,
)


@pytest.fixture
def runs(tmp_path):
    """A folder with a run of each status, one of them deeper."""
    make_run(tmp_path / "finished", stop=12)
    make_run(tmp_path / "deep" / "interrupted", TUNED, stop=7)
    failed = make_run(tmp_path / "failed", stop=5)
    write_failure(failed.path, 6, TrainingError("the loss became nan", place=failed.path))
    (make_run(tmp_path / "damaged", stop=3).path / "run.json").write_text("{")
    missed = make_run(tmp_path / "missed", stop=11)
    with missed.locked():
        go_on(missed, OPTIONS, 12, 12)
        result = {**json.loads((missed.path / "result.json").read_text())}
        result["tensors"] = [{**TENSOR, "zeros": 1}]
        missed.write_result(
            {name: result[name] for name in ("step", "steps", "model", "metrics", "tensors")},
            OPTIONS.run_id,
        )
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_runs_are_found_in_order_and_not_inside_of_runs(runs):
    (runs / "notes").mkdir()
    names = [path.relative_to(runs).as_posix() for path in find_runs(runs)]
    assert names == ["damaged", "deep/interrupted", "failed", "finished", "missed"]
    assert find_runs(runs / "finished") == (runs / "finished",)


def test_each_status_is_told_with_its_step(runs):
    found = {path.name: summarize_run(path) for path in find_runs(runs)}
    assert {name: (run.status, run.step) for name, run in found.items()} == {
        "damaged": ("failed", 0),
        "interrupted": ("interrupted", 6),
        "failed": ("failed", 6),
        "finished": ("finished", 12),
        "missed": ("missed", 12),
    }
    assert found["missed"].missed == ("fc kernel",)
    assert found["damaged"].message == (
        "damaged, run.json is not JSON; restore the file from a backup, or start a new run in"
        " another folder"
    )


def test_a_run_that_a_process_trains_is_running_and_listing_does_not_disturb_it(tmp_path):
    with create(tmp_path / "a"):
        go_on(RunFolder(tmp_path / "a"), OPTIONS, 0, 4)
        write_failure(tmp_path / "a", 2, ValueError("of an earlier attempt"))
        assert summarize_run(tmp_path / "a").status == "running"
        assert summarize_run(tmp_path / "a").step == 4
    before = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert summarize_run(tmp_path / "a").status == "failed"
    clear_failure(tmp_path / "a")
    assert summarize_run(tmp_path / "a").status == "interrupted"
    assert sorted([*(p.name for p in (tmp_path / "a").iterdir()), "failure.json"]) == before


def test_a_failure_that_cannot_be_written_hides_no_error(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("graphprune.runs.run_status.write_record", full)
    write_failure(tmp_path, 3, ValueError("the cause"))
    assert not any(tmp_path.iterdir())


def test_a_damaged_failure_is_told_in_place_of_it(tmp_path):
    make_run(tmp_path / "a", stop=5)
    (tmp_path / "a" / "failure.json").write_text("[]")
    assert summarize_run(tmp_path / "a").message == "failure.json is not a JSON object"


def test_the_table_has_settings_that_a_run_has_and_why_runs_failed(runs, monkeypatch):
    monkeypatch.chdir(runs)
    done = run_command("runs", ".")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "run               status        step  epochs  batch  optimizer  rate  seed    loss  rules"
        "       data",
        "damaged           failed",
        "deep/interrupted  interrupted   6/12       3      8  adam       0.01    11  0.5000"
        "  prune.yaml  digits.npz",
        "failed            failed        6/12       3      8              0.1    11  0.5000"
        "  prune.yaml  digits.npz",
        "finished          finished     12/12       3      8              0.1    11  0.5000"
        "  prune.yaml  digits.npz",
        "missed            missed       12/12       3      8              0.1    11  0.5000"
        "  prune.yaml  digits.npz",
        "",
        "damaged: damaged, run.json is not JSON; restore the file from a backup, or start a new run"
        " in another folder",
        "failed: the loss became nan",
        "missed: target missed by fc kernel",
    ]


def test_the_table_fits_a_narrow_terminal(runs, monkeypatch):
    monkeypatch.setattr("graphprune.cli.runs.terminal_width", lambda: 60)
    monkeypatch.chdir(runs)
    table, told, *_ = run_command("runs", ".").out.split("\n\n")
    assert max(map(len, table.splitlines())) <= 60
    assert told.startswith("The terminal is too narrow for: ")


def test_runs_as_json(runs):
    document = json.loads(run_command("runs", runs, "--format", "json").out)
    assert document["kind"] == "graphprune.runs"
    found = {run["run"].rpartition("/")[2]: run for run in document["runs"]}
    assert found["damaged"]["settings"] is None
    interrupted = found["interrupted"]
    assert (interrupted["status"], interrupted["step"], interrupted["steps"]) == (
        "interrupted",
        6,
        12,
    )
    assert interrupted["settings"]["optimizer"] == "adam"
    assert interrupted["settings"]["metrics"] == {"heads": ["mae"]}
    assert interrupted["metrics"]["loss"] == 0.5
    assert found["missed"]["missed"] == ["fc kernel"]


def test_a_folder_without_runs_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_command("runs", tmp_path)
    assert (done.code, done.out) == (0, f"{tmp_path}: no training run in it\n")
    done = run_command("runs")
    assert (done.code, done.err) == (
        1,
        "graphprune: runs: no such folder; give a folder in which graphprune train made runs\n",
    )


def test_the_newest_intact_checkpoint_of_an_unfinished_run_is_its_model(tmp_path):
    run = make_run(tmp_path / "a", stop=10)
    newest = run.checkpoints / "step-00000009"
    said = []
    assert newest_model(run, said.append) == newest / "model.keras"
    (newest / "model.keras").write_bytes(b"other")
    assert newest_model(run, said.append) == run.checkpoints / "step-00000006" / "model.keras"
    assert said == [
        f"{run.path}: not finished; this is its checkpoint of step 9 of 12",
        f"{newest}: damaged, model.keras has changed since it was written",
        f"{run.path}: not finished; this is its checkpoint of step 6 of 12",
    ]
    shutil.rmtree(run.checkpoints)
    with pytest.raises(CheckpointError, match="is not finished and has no checkpoint yet"):
        newest_model(run, said.append)


def test_a_finished_run_is_its_trained_model(tmp_path):
    run = make_run(tmp_path / "a", stop=12)
    assert newest_model(run, print) == run.path / "model.keras"
    (run.path / "result.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"resume .* writes it again"):
        newest_model(run, print)


@pytest.mark.parametrize("command", ["diff", "layers"])
def test_a_command_reads_an_unfinished_run(tmp_path, command):
    run = make_run(tmp_path / "a", stop=7)
    model = shipped_file("fixtures/digits-cnn.keras")
    checkpoint = run.checkpoints / "step-00000006"
    shutil.copy(model, checkpoint / "model.keras")
    state = json.loads((checkpoint / "state.json").read_text())
    state["files"]["model.keras"] = hash_file(checkpoint / "model.keras")
    kept = {name: value for name, value in state.items() if name not in ("sha256", "mark")}
    write_record(checkpoint / "state.json", kept)
    done = run_command(command, *([model] if command == "diff" else []), run.path)
    assert (done.code, done.err) == (
        0,
        f"graphprune: note: {run.path}: not finished; this is its checkpoint of step 6 of 12\n",
    )
    # what is written from a run needs its end
    refused = run_command("strip", run.path, "-o", tmp_path / "out.keras")
    assert (refused.code, "is not finished; continue with" in refused.err) == (1, True)
