"""`graphprune demo`: all steps on a real model and real digits, through the commands users type."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from graphprune import signals
from graphprune.cli.main import run
from graphprune.cli.options import Choice, force_option
from graphprune.cli.outputs import echo
from graphprune.errors import EXIT_ERROR, OUTPUT_EXISTS, GraphpruneError, OutputError
from graphprune.files import write_whole
from graphprune.shipped import shipped_file

MODELS = {"2": "fixtures/digits-cnn.keras", "3": "fixtures/digits-cnn-keras3.keras"}
RULES = "builtin:conv-80-dense-90"
EPOCHS = "10"
STOP_AFTER = "220"
RUN_FOLDER = "run"
OWN_FILES = frozenset(
    {
        "original.keras",
        "digits.npz",
        "plan.json",
        "wrapped.keras",
        "sparse.keras",
        "sparse.tflite",
        RUN_FOLDER,
    }
)


@click.command("demo")
@click.argument("folder", metavar="[DIR]", default="graphprune-demo")
@click.option(
    "--keras",
    type=Choice(MODELS),
    default="3",
    show_default=True,
    help="The Keras of the classifier: 3 (what `import keras` gives), or 2 for tf_keras.",
)
@force_option
def command(folder: str, keras: str, force: bool) -> None:
    """Prune a digit classifier that ships with graphprune, in the folder DIR.

    The demo reads, plans, prunes, trains, interrupts, resumes, strips and compares.

    \b
        graphprune demo
        graphprune demo my-demo
        graphprune demo --keras 2
    """  # noqa: D301 - click wants the real character
    started = time.monotonic()
    home = prepare_folder(Path(folder), MODELS[keras], force=force)
    show_plan(home)
    train_and_resume(home, keras)
    original, sparse = home / "original.keras", home / "sparse.keras"
    tell("5. Strip: the original architecture, sparse, ready to serve.")
    outputs: list[str | Path] = ["-o", sparse, "-o", home / "sparse.tflite"]
    data: list[str | Path] = ["--data", home / "digits.npz"]
    call("strip", home / RUN_FOLDER, "--original", original, *outputs, *data)
    tell("6. What changed, from the original to the result.")
    call("diff", original, sparse)
    tell(closing_words(home, time.monotonic() - started))


def show_plan(home: Path) -> None:
    """Show the model and what the rules would change, without TensorFlow."""
    original, plan = home / "original.keras", home / "plan.json"
    tell(
        "1. The model: a digit classifier, read from the file alone. TensorFlow is not loaded,"
        " nothing in the file is run."
    )
    call("layers", original)
    tell("2. The plan: what the rules would change, and what they would not.")
    call("rules", "conv-80-dense-90")
    call("plan", original, "-r", RULES, "-o", plan)
    call("plan", original, "-r", RULES)
    if "tensorflow" in sys.modules:
        raise AssertionError("a command that must not load TensorFlow has loaded it")


def train_and_resume(home: Path, keras: str) -> None:
    """Prune a clone, train it until it is cut off, and resume in a new process."""
    wrapped, run_folder = home / "wrapped.keras", home / RUN_FOLDER
    change = "Wrap the selected layers in a clone"
    if keras == "3":
        change = "Give the selected layers of a clone their masks"
    tell(f"3. {change}, and train it. Keras loads now, which takes a few seconds.")
    call("apply", home / "original.keras", "--plan", home / "plan.json", "-o", wrapped)
    call("plan", wrapped, "-r", RULES)
    tell(f"   Training is cut off after step {STOP_AFTER}, as if the power had failed.")
    length = ["--epochs", EPOCHS, "--batch-size", "32", "--checkpoint-every", "50 steps"]
    place: list[str | Path] = ["--run", run_folder, "--stop-after", STOP_AFTER]
    place += ["--force"] if run_folder.exists() else []
    call("train", wrapped, "--data", home / "digits.npz", *length, *place)
    tell(
        "4. Resume in a new process: weights, masks, optimizer state and the order of the data"
        " continue exactly where they were."
    )
    call_in_new_process("resume", run_folder)


def prepare_folder(home: Path, model: str, *, force: bool) -> Path:
    """Return the folder `home` with the shipped model (`model`) and digits in it.

    `force` removes the files of an earlier demo there, and no others.

    Raises:
        OutputError: something is there already, and `force` was not given; or there is more than a
            demo's files.
    """
    if home.exists():
        if not force:
            raise OutputError(
                "exists already; give another folder, or --force to run the demo there again",
                OUTPUT_EXISTS,
                place=home,
            )
        others = (
            []
            if not home.is_dir()
            else sorted(path.name for path in home.iterdir() if path.name not in OWN_FILES)
        )
        if others or not home.is_dir():
            raise OutputError(
                f"holds more than an earlier demo ({', '.join(others) or 'it is a file'}),"
                " so --force does not touch it; give another folder",
                place=home,
            )
        for name in OWN_FILES - {RUN_FOLDER}:
            (home / name).unlink(missing_ok=True)
    is_new = not home.exists()
    try:
        write_whole(home / "original.keras", shipped_file(model).read_bytes())
        write_whole(home / "digits.npz", shipped_file("fixtures/digits.npz").read_bytes())
    except (GraphpruneError, OSError):
        if is_new:
            shutil.rmtree(home, ignore_errors=True)
        raise
    return home


def tell(text: str) -> None:
    """Print one step's heading."""
    click.echo()
    echo(click.style(text, bold=True))


def call(*arguments: str | Path) -> None:
    """Run a command of graphprune in this process, shown as a user would type it."""
    words = show_command(arguments)
    check_code(run(words), words)


def call_in_new_process(*arguments: str | Path) -> None:
    """Run a command of graphprune in a new Python process, shown as a user would type it."""
    words = show_command(arguments)
    with (
        subprocess.Popen([sys.executable, "-m", "graphprune", *words]) as process,
        signals.stopping(partial(hand_on_signal, process), str),
    ):
        code = process.wait()
    check_code(code, words)


def show_command(arguments: Sequence[str | Path]) -> list[str]:
    """Print a command as a user would type it, and return its words."""
    words = [str(argument) for argument in arguments]
    click.echo()
    echo(click.style(f"$ graphprune {shlex.join(words)}", fg="cyan"))
    sys.stdout.flush()
    return words


def hand_on_signal(process: subprocess.Popen[bytes]) -> bool:
    """Send the signal that this command received to another process; return whether it runs."""
    if process.poll() is not None:
        return False
    process.send_signal(signals.first_signal())
    return True


def check_code(code: int, arguments: Sequence[str]) -> None:
    """Exit if a command failed or a signal stopped it, with the code of the signal."""
    if signals.first_signal():
        raise click.exceptions.Exit(signals.EXIT_SIGNAL + signals.first_signal())
    if code:
        click.echo(
            f"graphprune: graphprune {shlex.join(arguments)} ended with exit code {code}; see"
            " above",
            err=True,
        )
        raise click.exceptions.Exit(EXIT_ERROR)


def closing_words(home: Path, seconds: float) -> str:
    """Return the list of files, and what to try next."""
    return f"""Done in {seconds:.0f} s. Everything is in {home}/:
  original.keras            the model as it was
  plan.json                 the plan, also the input of apply and train
  wrapped.keras             the clone that is pruned, before training
  run/                      the training run: checkpoints/, metrics.jsonl, model.keras
  sparse.keras              the result, for Keras
  sparse.tflite             the result, for TensorFlow Lite
  digits.npz                1,797 handwritten digits

Next, with a model of your own:
  graphprune layers MODEL                    what can be pruned
  graphprune plan   MODEL -r builtin:all-90  what the rules would do (graphprune rules lists more)
  graphprune train  MODEL -r builtin:all-90 --data data.npz --epochs 10 --run runs/a"""
