"""What `apply`, `prune` and `strip` show while TensorFlow and the model are loaded, and that a
wrong name of the output is told before.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from commands import run_command
from terminals import Terminal, graphprune

from graphprune.cli.progress import IMPORTING, LOADING, Display
from graphprune.shipped import shipped_file

pytestmark = pytest.mark.tf

MODEL = shipped_file("fixtures/digits-cnn.keras")
RULES = ("-r", "builtin:all-90")


class Recorder(Display):
    """A display without a terminal that keeps what it was told to show."""

    def __init__(self, stack: ExitStack):
        super().__init__(None, stack)
        self.said: list[str] = []

    def say(self, stage: str) -> None:
        self.said.append(stage)


@pytest.fixture
def said(monkeypatch):
    """What the commands say on the way."""
    made = []

    @contextmanager
    def live_display():
        with ExitStack() as stack:
            made.append(Recorder(stack))
            yield made[-1]

    for name in ("apply", "prune", "strip"):
        monkeypatch.setattr(f"graphprune.cli.{name}.live_display", live_display)
    return lambda: [stage for display in made for stage in display.said]


@pytest.mark.parametrize("name", ["apply", "prune", "strip"])
def test_each_stage_is_said(tmp_path, said, name):
    output = tmp_path / "out.keras"
    done = run_command(name, MODEL, *(() if name == "strip" else RULES), "-o", output)
    assert done.code == 0
    stages = [IMPORTING, LOADING, f"writing {output}"]
    assert said() == (stages if name == "strip" else [LOADING, *stages])


def test_the_time_of_measuring_is_said(tmp_path, said):
    options = ("-o", tmp_path / "out.keras", "--data", shipped_file("fixtures/digits.npz"))
    assert run_command("prune", MODEL, *RULES, *options).code == 0
    assert said()[-2:] == ["measuring accuracy", f"writing {tmp_path / 'out.keras'}"]


def test_a_terminal_shows_the_status_and_keeps_no_trace_of_it(tmp_path):
    command = graphprune("apply", MODEL, *RULES, "-o", "w.keras")
    seen = Terminal(command, 120, tmp_path).end()
    assert (seen.code, seen.cursor) == (0, True)
    assert any(IMPORTING in line for lines in seen.moments for line in lines)
    assert seen.lines[0].startswith("Plan: ")
    assert "wrote w.keras" in seen.lines
    assert not any(word in line for line in seen.lines for word in ("loading", "writing"))


@pytest.mark.parametrize("name", ["apply", "prune", "strip"])
def test_a_wrong_suffix_is_told_before_tensorflow_is_imported(monkeypatch, tmp_path, name):
    def fail(*_):
        raise AssertionError("too late")

    monkeypatch.setattr(f"graphprune.cli.{name}.import_quietly", fail)
    reads = "open_model" if name == "strip" else "open_to_load"
    monkeypatch.setattr(f"graphprune.cli.{name}.{reads}", fail)
    monkeypatch.chdir(tmp_path)
    done = run_command(name, MODEL, *(() if name == "strip" else RULES), "-o", "out.pt")
    told = {"apply": "a model is saved as .keras or .h5, got .pt; change the end of the name"}.get(
        name,
        "no model format has the suffix .pt; use .keras, .h5, .tflite, .onnx, or no suffix"
        " for a SavedModel folder",
    )
    assert (done.code, done.err) == (1, f"graphprune: out.pt: {told}\n")
    assert not list(Path().iterdir())
