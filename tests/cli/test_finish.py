"""What a training command says when a signal stops it."""

from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from graphprune import signals
from graphprune.cli import finish
from graphprune.cli.finish import check_stop, report_run, say_how_to_go_on, stoppable
from graphprune.engine.training_result import TrainingResult
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
    )
    with pytest.raises(click.exceptions.Exit) as stop:
        report_run(result)
    assert stop.value.exit_code == 1
    assert (
        capsys.readouterr().err
        == f"graphprune: runs/a: target missed by fc kernel, out kernel; {advice}\n"
    )
