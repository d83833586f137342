from types import SimpleNamespace

import click
import pytest

from graphprune.cli import finish
from graphprune.cli.finish import report_run, resumable


def test_ctrl_c_says_how_to_go_on_and_exits_130(tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(click.exceptions.Exit) as stop, resumable(str(tmp_path)):
        raise KeyboardInterrupt
    assert stop.value.exit_code == 130
    assert capsys.readouterr().err == f"\ngraphprune: stopped; go on with: graphprune resume {tmp_path}\n"


def test_ctrl_c_before_the_run_began_promises_nothing(tmp_path, capsys):
    with pytest.raises(click.exceptions.Exit), resumable(str(tmp_path / "none")):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "\ngraphprune: stopped\n"


LONGER = "train for more epochs, or let the schedule end earlier"
WHY = "since the loss gives no gradient there; leave out of the rules, or freeze, what gets none"


@pytest.mark.parametrize(
    ("still", "advice"),
    [
        ((), LONGER),
        (("other",), LONGER),
        (("fc", "out", "other"), f"no update reached fc, out, {WHY}"),
        (("fc",), f"no update reached fc, {WHY}; for the others, {LONGER}"),
    ],
)
def test_more_epochs_are_not_the_advice_for_layers_without_a_gradient(capsys, monkeypatch, still, advice):
    monkeypatch.setattr(finish, "tensor_rows", lambda _: [])
    monkeypatch.setattr(finish, "size_table", lambda _: None)
    monkeypatch.setattr(finish, "render_sizes_text", lambda _: "")
    missed = tuple(SimpleNamespace(address=address, name="kernel") for address in ("fc", "out"))
    result = SimpleNamespace(warnings=(), status="finished", run_dir="runs/a", model="m", missed=missed, standing_still=still)
    with pytest.raises(click.exceptions.Exit) as stop:
        report_run(result)
    assert stop.value.exit_code == 1
    assert capsys.readouterr().err == f"graphprune: runs/a: target missed by fc kernel, out kernel; {advice}\n"
