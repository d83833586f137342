"""What a training command says when a signal stops it."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from graphprune import signals
from graphprune.cli import finish
from graphprune.cli.finish import (
    NOTHING_GIVEN,
    check_stop,
    end_run,
    report_run,
    say_how_to_go_on,
    stoppable,
)
from graphprune.cli.options import ShownOptions
from graphprune.engine.progress import TensorProgress
from graphprune.engine.training_result import TrainingResult
from graphprune.report import SizeColumn, SizeTable
from graphprune.runs.best import Best
from graphprune.runs.training_arguments import StopRequest

pytestmark = pytest.mark.tf


def stopped_request():
    stop = StopRequest()
    with stop.listening():
        stop.ask()
    return stop


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("interrupted", "stopped after step 7 of 12; go on with: graphprune resume 'my runs/a'"),
        (
            "finished",
            "stopped when the run was finished; see it with: graphprune resume 'my runs/a'",
        ),
    ],
)
def test_a_run_that_a_signal_stopped_says_where_it_stands_and_exits_with_the_code_of_the_signal(
    capsys, monkeypatch, status, text
):
    monkeypatch.setattr(signals, "first_signal", lambda: 15)
    with pytest.raises(click.exceptions.Exit) as caught:
        check_stop(TrainingResult(Path("my runs/a"), status, 7, 12, None, {}), stopped_request())
    assert (caught.value.exit_code, capsys.readouterr().err) == (143, f"graphprune: {text}\n")


def test_a_run_that_was_not_stopped_goes_on_to_its_report(capsys):
    check_stop(TrainingResult(Path("runs/a"), "finished", 12, 12, None, {}), StopRequest())
    assert capsys.readouterr() == ("", "")


def test_a_signal_before_the_run_began_promises_nothing(tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert say_how_to_go_on(str(run), None) == "no run was begun"
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert say_how_to_go_on(str(run), None) == f"go on with: graphprune resume {run}"
    said = []
    monkeypatch.setattr(
        signals,
        "stopping",
        lambda ask, describe: said.append(describe) or StopRequest().listening(),
    )
    with stoppable(str(run), is_new=True):
        assert said[0]() == f"; no run was begun, the earlier one in {run} is unchanged"
        (run / "run.json").unlink()
        (run / "another").write_text("{}")
        (run / "run.json").write_text("{}")
        assert said[0]() == f"; go on with: graphprune resume {run}"
    with stoppable(str(run), is_new=False):
        assert said[1]() == f"; go on with: graphprune resume {run}"


LONGER = "train for more epochs, or let the schedule end earlier"
WHY = "freeze such layers, or leave them out of the rules"


@pytest.mark.parametrize(
    ("still", "advice"),
    [
        ((), LONGER),
        (("other",), LONGER),
        (("fc", "out", "other"), f"the loss gives no gradient for fc, out; {WHY}"),
        (("fc",), f"the loss gives no gradient for fc; {WHY}; for the others, {LONGER}"),
    ],
)
def test_more_epochs_are_not_the_advice_for_layers_without_a_gradient(
    capsys, monkeypatch, still, advice
):
    monkeypatch.setattr(finish, "tensor_rows", lambda _: [])
    monkeypatch.setattr(finish, "size_table", lambda _: None)
    monkeypatch.setattr(finish, "render_sizes_text", lambda _: "")
    missed = tuple(SimpleNamespace(address=address, name="kernel") for address in ("fc", "out"))
    result = SimpleNamespace(
        warnings=(),
        status="finished",
        run_dir="runs/a",
        model="m",
        missed=missed,
        standing_still=still,
        stopped_early="",
        original_metrics={},
        final_metrics={},
        best=None,
        best_model=None,
    )
    with pytest.raises(click.exceptions.Exit) as stop:
        report_run(result)
    assert stop.value.exit_code == 3
    assert (
        capsys.readouterr().err
        == f"graphprune: runs/a: target missed by fc kernel, out kernel; {advice}\n"
    )


def tensor(name, zeros):
    return TensorProgress("fc", name, 8, zeros, 6, 0.75, 0.1)


def finished(*tensors):
    return TrainingResult(
        Path("runs/a"), "finished", 12, 12, Path("runs/a/m.keras"), {"loss": 0.5}, tensors
    )


SIZES = SizeTable((SizeColumn("after", 900, 300),))
NEXT = "wrote runs/a/m.keras\nnext: graphprune strip runs/a -o sparse.keras\n"


@pytest.fixture
def end(capsys, monkeypatch):
    """Returns the exit code, stdout and stderr of a run's end."""
    monkeypatch.setattr(finish, "size_table", lambda _: SIZES)

    def run(result, shown, stop=None):
        code = 0
        try:
            end_run(result, stop or StopRequest(), NOTHING_GIVEN, shown)
        except click.exceptions.Exit as exit:
            code = exit.exit_code
        return code, *capsys.readouterr()

    return run


def test_a_brief_end_has_one_line_for_tensors_that_met_their_targets(end):
    code, out, _ = end(finished(tensor("a", 6), tensor("b", 7)), ShownOptions(brief=True))
    assert (code, out.split("\n\n")[0]) == (0, "2 of 2 tensors met the target, 81.2% zeros")
    assert out.endswith(NEXT)
    code, out, err = end(finished(tensor("a", 6), tensor("b", 2)), ShownOptions(brief=True))
    assert out.splitlines()[:2] == [
        "1 of 2 tensors met the target, 50.0% zeros",
        "fc  b  2 of 8  25.0%  target 6 missed",
    ]
    assert (code, err.startswith("graphprune: runs/a: target missed by fc b; ")) == (3, True)


def test_the_end_has_what_the_original_and_the_trained_model_reach_by_output(end):
    measured = {"loss": 0.9, "kind_accuracy": 0.75, "size_mae": 2.0}
    metrics = {"loss": 0.5, "val_loss": 0.4, "val_kind_accuracy": 0.7, "val_size_mae": 2.5}
    result = replace(finished(tensor("a", 6)), original_metrics=measured, metrics=metrics)
    early = replace(result, stopped_early="stopped early after epoch 3 of 9: ...")
    _, out, _ = end(early, ShownOptions())
    assert out.startswith("stopped early after epoch 3 of 9: ...\nfc  a")
    table = out.partition("test set")[2].splitlines()
    assert table[:4] == [
        "       before   after   change",
        "kind_accuracy  0.7500  0.7000  -0.0500",
        "size_mae       2.0000  2.5000  +0.5000",
        "",
    ]


def test_a_quiet_end_tells_only_of_missed_targets(end):
    assert end(finished(tensor("a", 6)), ShownOptions(quiet=True)) == (0, "", "")
    code, out, err = end(finished(tensor("a", 5)), ShownOptions(quiet=True))
    assert (code, out, "target missed by fc a" in err) == (3, "", True)


def test_an_end_as_json_is_one_line_whatever_ended_the_run(end, monkeypatch):
    code, out, _ = end(finished(tensor("a", 5)), ShownOptions(is_json=True))
    event = json.loads(out)
    assert (code, out.count("\n")) == (3, 1)
    assert (event["event"], event["status"], event["model"]) == (
        "result",
        "finished",
        "runs/a/m.keras",
    )
    assert event["missed"] == [{"address": "fc", "name": "a"}]
    assert (event["tensors"][0]["zeros"], event["sizes"][0]["raw"]) == (5, 900)
    monkeypatch.setattr(signals, "first_signal", lambda: 15)
    result = TrainingResult(Path("runs/a"), "interrupted", 7, 12, None, {})
    code, out, err = end(result, ShownOptions(is_json=True), stopped_request())
    assert (code, json.loads(out)["status"], "stopped after step 7" in err) == (
        143,
        "interrupted",
        True,
    )


@pytest.mark.parametrize(
    ("at_target", "short"), [(True, ""), (False, ", before the target sparsity")]
)
def test_the_report_names_the_best_epoch_and_its_model(at_target, short):
    best = Best("val_accuracy", 0.98765, 4, 180, at_target)
    result = SimpleNamespace(best=best, best_model="runs/a/best.keras")
    assert finish._best_lines(result) == [
        f"best val_accuracy 0.9877: epoch 4, step 180{short}; runs/a/best.keras"
    ]
