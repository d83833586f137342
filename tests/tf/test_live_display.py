"""What `train`, `resume` and `demo` leave on a terminal: the lines that a pipe gets, cut to its
width, and no trace of the live line.
"""

import re
import shutil

import pytest
from commands import run_command
from terminals import Terminal, graphprune

from graphprune.report.progress_lines import GAP
from graphprune.shipped import shipped_file

pytestmark = pytest.mark.tf

MODEL, DATA = shipped_file("fixtures/digits-cnn.keras"), shipped_file("fixtures/digits.npz")
RULES = (
    "version: 1\n"
    "rules: [{id: dense, match: {name: hidden}, prune: {sparsity: 80%, schedule: {curve: step,"
    " begin: 0 steps}}}]\n"
)
TRAIN = (
    "train",
    MODEL,
    "-r",
    "p.yaml",
    "--data",
    DATA,
    "--epochs",
    2,
    "--batch-size",
    64,
    "--run",
    "run",
)
LIVE = ("eta ", "loading", "tracing", "reading", "checking", "━", "^C")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with rules, a run that was stopped after step 30, and what train and resume print
    into pipes.
    """
    home = tmp_path_factory.mktemp("home")
    (home / "p.yaml").write_text(RULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        done = run_command(*TRAIN)
        (home / "train.txt").write_text(done.out)
        assert (done.code, done.err) == (0, "")
        assert run_command(*TRAIN, "--stop-after", 30, "--force").code == 0
        shutil.copytree(home / "run", home / "stopped")
        done = run_command("resume", "run")
        (home / "resume.txt").write_text(done.out)
        assert (done.code, done.err) == (0, "")
    return home


def prepare(home, folder):
    """A folder of its own that looks the same to a command."""
    shutil.copytree(home / "stopped", folder / "run")
    shutil.copy(home / "p.yaml", folder)
    return folder


def on_screen(text, columns):
    """The lines of a report as a terminal shows them: an epoch's fits, all else is wrapped by the
    terminal.
    """
    lines = []
    for line in text.splitlines():
        if line.startswith("epoch ") and len(line) > columns:
            epoch, step, *metrics, last = line.split(GAP)
            short = re.sub(r" \(target (.*)\)", r"/\1", last)
            fewer = next(
                shown
                for count in range(len(metrics) - 1, -1, -1)
                if len(shown := GAP.join([epoch, step, *metrics[:count], "…", short])) <= columns
            )
            lines.append(fewer)
        else:
            lines += [
                line[at : at + columns].rstrip() for at in range(0, max(len(line), 1), columns)
            ]
    return lines


@pytest.mark.parametrize("columns", [80, pytest.param(200, marks=pytest.mark.slow)])
def test_train_leaves_the_lines_that_a_pipe_gets(home, server, tmp_path, columns):
    folder = prepare(home, tmp_path)
    seen = Terminal(graphprune(*TRAIN, "--force"), columns, folder, server=server).end()
    assert (seen.code, seen.cursor) == (0, True)
    assert seen.lines == on_screen((home / "train.txt").read_text(), columns)
    shown = [lines[-1] for lines in seen.moments if lines]
    assert any(line.endswith("tracing the training step") for line in shown)
    assert any("eta" in line for line in shown)


@pytest.mark.parametrize("columns", [80, pytest.param(200, marks=pytest.mark.slow)])
def test_resume_leaves_the_lines_that_a_pipe_gets(home, server, tmp_path, columns):
    folder = prepare(home, tmp_path)
    seen = Terminal(graphprune("resume", "run"), columns, folder, server=server).end()
    assert (seen.code, seen.cursor) == (0, True)
    assert seen.lines == on_screen((home / "resume.txt").read_text(), columns)


@pytest.mark.parametrize(
    ("is_forked", "until", "told"),
    [(False, "loading TensorFlow", "stopped by Ctrl-C; "), (True, "  eta ", "stopped after step ")],
)
def test_ctrl_c_leaves_a_clean_screen(home, server, tmp_path, is_forked, until, told):
    terminal = Terminal(
        graphprune(*(1000 if word == 2 else word for word in TRAIN), "--force"),
        200,
        prepare(home, tmp_path),
        server=server if is_forked else None,  # a fork has TensorFlow already
    )
    terminal.wait_for(until)
    terminal.type("\x03")
    seen = terminal.end()
    assert (seen.code, seen.cursor) == (130, True)
    assert seen.lines[-1].startswith(f"graphprune: {told}")
    assert not any(mark in line for line in seen.lines for mark in LIVE), seen.lines
    assert [line.partition(" ")[0] for line in seen.lines if not line.startswith("epoch")][:2] == [
        "Plan:",
        "Zeros",
    ]


@pytest.mark.slow
def test_the_demo_has_each_epoch_once_and_nothing_live(tmp_path):
    seen = Terminal(graphprune("demo", "d"), 80, tmp_path).end()
    assert (seen.code, seen.cursor) == (0, True)
    epochs = [
        line.partition("  step ")[0]
        for line in seen.lines
        if line.startswith("epoch ") and "step" in line
    ]
    assert epochs == [f"epoch {number:>2}/10" for number in range(1, 11)]
    assert all(len(line) <= 80 for line in seen.lines if line.startswith("epoch"))
    assert not any(
        mark in line for line in seen.lines for mark in ("eta ", "━", "loading the model")
    )
    assert any("eta" in line for lines in seen.moments for line in lines)
