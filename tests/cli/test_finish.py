import click
import pytest

from graphprune.cli.finish import resumable


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
