"""The live display of a run on terminals of two widths, and that nothing of it is left behind or
gets into a pipe.
"""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from commands import run_command
from terminals import Terminal

from graphprune.cli.progress import live_display
from graphprune.report.progress_lines import render_bar, render_epoch
from graphprune.runs.training_arguments import Progress

RUN = """
import sys, time, warnings, click
from graphprune import signals
from graphprune.cli.finish import stoppable
from graphprune.cli.progress import lasting_output
from graphprune.cli.progress import live_display
from graphprune.runs.training_arguments import Progress

signals.install()
stages, last = int(sys.argv[1]), int(sys.argv[2])
with lasting_output(), stoppable("none", is_new=True), live_display() as display:
    display.print("the plan")
    for stage in ["loading TensorFlow", "loading the model"][:stages]:
        display.say(stage)
        time.sleep(0.3)
    print("a data function prints", end="", flush=True)
    print(" its line")
    click.echo("graphprune: warning: " + "w" * 70, err=True)
    metrics = {"loss": 0.25, "accuracy": 0.9, "val_loss": 0.3, "val_accuracy": 0.91}
    for step in range(1, last + 1):
        epoch = (step + 9) // 10
        shown = dict(list(metrics.items())[:2])
        display.show(Progress(epoch, last // 10, step, last, shown, 0.5, 0.4))
        time.sleep(0.02)
        if step % 10 == 0:
            display.show(Progress(epoch, last // 10, step, last, metrics, 0.5, 0.5, True))
    print("a line without an end", end="", file=sys.stderr, flush=True)
    display.close()
    click.echo("the end")
"""
FULL = (
    "loss 0.2500  accuracy 0.9000  val_loss 0.3000  val_accuracy 0.9100  sparsity 50.0% (target"
    " 50.0%)"
)
EPOCHS = {
    80: [
        "epoch 1/2  step 10/20  loss 0.2500  accuracy 0.9000  …  sparsity 50.0%/50.0%",
        "epoch 2/2  step 20/20  loss 0.2500  accuracy 0.9000  …  sparsity 50.0%/50.0%",
    ],
    200: [f"epoch 1/2  step 10/20  {FULL}", f"epoch 2/2  step 20/20  {FULL}"],
}
WARNING = {
    80: ["graphprune: warning: " + "w" * 59, "w" * 11],
    200: ["graphprune: warning: " + "w" * 70],
}


@pytest.fixture
def start(light_server):
    """Starts the program in a terminal."""

    def run(columns, folder, *arguments, **options):
        command = [sys.executable, "-c", RUN, *map(str, arguments)]
        return Terminal(command, columns, folder, server=light_server, **options)

    return run


@pytest.mark.parametrize("columns", [80, 200])
def test_the_final_screen_has_the_lines_and_nothing_else(start, tmp_path, columns):
    seen = start(columns, tmp_path, 2, 20).end()
    assert (seen.code, seen.cursor) == (0, True)
    assert seen.lines == [
        "the plan",
        "a data function prints its line",
        *WARNING[columns],
        *EPOCHS[columns],
        "a line without an end",
        "the end",
    ]


@pytest.mark.parametrize("columns", [80, 200])
def test_the_live_line_is_one_line_with_step_time_and_sparsity(start, tmp_path, columns):
    seen = start(columns, tmp_path, 2, 20).end()
    last = [lines[-1] for lines in seen.moments if lines]
    assert any(line.endswith(" loading TensorFlow") for line in last)
    assert any(line.endswith(" loading the model") for line in last)
    bars = [line for line in last if "eta" in line]
    assert any("━" in line for line in bars)
    assert all(
        "/20  " in line and "sparsity 40.0%" in line and len(line) <= columns - 4
        for line in bars
        if "sparsity 50" not in line
    )
    for lines in seen.moments:
        assert sum("eta" in line or "loading" in line for line in lines) <= 1, lines


@pytest.mark.parametrize(("stages", "until"), [(2, "loading"), (0, "eta")])
def test_ctrl_c_leaves_a_clean_screen_and_the_cursor(start, tmp_path, stages, until):
    terminal = start(80, tmp_path, stages, 2000)
    terminal.wait_for(until)
    terminal.type("\x03")
    seen = terminal.end()
    assert (seen.code, seen.cursor) == (130, True)
    texts = [line for line in seen.lines if not line.startswith("epoch")]
    assert texts[0] == "the plan"
    assert texts[-1] == "graphprune: stopped by Ctrl-C; no run was begun"
    assert not any(mark in line for line in seen.lines for mark in ("eta", "loading", "━", "^C"))


def test_lines_in_a_pipe_are_whole_and_plain_while_the_terminal_shows_the_bar(start, tmp_path):
    with (tmp_path / "log.txt").open("w") as log:
        seen = start(80, tmp_path, 2, 20, stdout=log).end()
    assert (tmp_path / "log.txt").read_text().splitlines() == [
        "the plan",
        "a data function prints its line",
        *EPOCHS[200],
        "the end",
    ]
    assert seen.lines == [*WARNING[80], "a line without an end"]
    assert any("eta" in line for lines in seen.moments for line in lines)


def test_without_a_terminal_there_is_nothing_live(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RUN, "2", "20"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"FORCE_COLOR": "1"},
        check=True,
    )
    assert done.stdout.splitlines() == [
        "the plan",
        "a data function prints its line",
        *EPOCHS[200],
        "the end",
    ]
    assert done.stderr == f"{WARNING[200][0]}\na line without an end"


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines_alone(start, tmp_path, term):
    seen = start(80, tmp_path, 2, 20, env={"TERM": term}).end()
    assert seen.lines == [
        "the plan",
        "a data function prints its line",
        *WARNING[80],
        *EPOCHS[80],
        "a line without an endthe end",
    ]
    assert "\x1b" not in seen.raw


METRICS = {f"metric_{index}": index / 7 for index in range(9)}


@pytest.mark.parametrize("width", range(20, 240))
@pytest.mark.parametrize("metrics", [{}, {"loss": 0.25}, METRICS], ids=["none", "loss", "many"])
def test_lines_fit_and_keep_step_time_and_sparsity(width, metrics):
    now = Progress(7, 10, 1234, 2250, metrics, 0.8, 0.5)
    epoch, bar = render_epoch(now, width), render_bar(now, 83.0, width)
    assert max(len(epoch), len(bar)) <= width
    if width >= 50:
        assert "1234/2250" in epoch
        assert "sparsity 50.0%" in epoch
        assert "80.0%" in epoch
    if width >= 60:
        assert all(text in bar for text in ("1234/2250", "sparsity 50.0%", "80.0%", "eta 0:01:23"))


STEP = Progress(1, 2, 10, 20, {"loss": float("nan")}, 0.5, 0.4, epoch_ended=True)


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("text", "the plan\nepoch 1/2  step 10/20  loss nan  sparsity 40.0% (target 50.0%)\n"),
        ("quiet", ""),
        (
            "json",
            '{"event": "stage", "stage": "loading"}\n{"event": "plan", "changes": []}\n'
            '{"event": "epoch", "epoch": 1, "epochs": 2, "step": 10, "steps": 20, "metrics":'
            ' {"loss": null}, "target_sparsity": 0.5, "sparsity": 0.4}\n',
        ),
    ],
)
def test_stdout_gets_text_or_nothing_or_json(capsys, form, printed):
    with live_display(form) as display:
        display.say("loading")
        display.print("the plan")
        display.tell("plan", {"changes": []})
        display.show(replace(STEP, epoch_ended=False))
        display.show(STEP)
    assert capsys.readouterr() == (printed, "")


@pytest.mark.parametrize("command", ["train", "resume"])
def test_an_error_is_the_last_line_of_json(tmp_path, command):
    run = tmp_path / "none"
    options = ("--data", "d.npz", "--epochs", "1", "--run", run) if command == "train" else ()
    name = "none.keras" if command == "train" else run
    done = run_command(command, name, *options, "--format", "json")
    *_, line = done.out.splitlines()
    event = json.loads(line)
    assert (done.code, done.err, event["event"], event["kind"]) == (
        1,
        "",
        "error",
        "graphprune.diagnostics",
    )
    assert "no such file" in line or "no such folder" in line


def test_quiet_and_json_exclude_each_other(tmp_path):
    done = run_command("resume", tmp_path, "--quiet", "--format", "json")
    assert (done.code, "--quiet cannot be combined" in done.out) == (64, True)
