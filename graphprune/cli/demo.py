"""`graphprune demo`: the whole story on a real model and real digits, through the same commands
that a user types.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import click

from graphprune import signals
from graphprune.cli.main import run
from graphprune.cli.options import force_option
from graphprune.cli.outputs import echo
from graphprune.errors import EXIT_ERROR, OUTPUT_EXISTS, OutputError
from graphprune.files import write_whole
from graphprune.shipped import shipped_file

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
@force_option
def command(folder: str, force: bool) -> None:
    """Prune a digit classifier that ships with graphprune, in DIR: read, plan, wrap, train,
    interrupt, resume, strip, compare.

    \b
        graphprune demo
        graphprune demo my-demo
    """  # noqa: D301 - click wants the real character
    started = time.monotonic()
    home = prepare_folder(Path(folder), force=force)
    original, wrapped, run_folder = (
        str(home / "original.keras"),
        str(home / "wrapped.keras"),
        str(home / RUN_FOLDER),
    )
    sparse, tflite, digits = (
        str(home / "sparse.keras"),
        str(home / "sparse.tflite"),
        str(home / "digits.npz"),
    )

    tell(
        "1. The model: a digit classifier, read from the file alone. TensorFlow is not loaded,"
        " nothing in the file is run."
    )
    call("layers", original)
    tell("2. The plan: what the rules would change, and what they leave alone.")
    call("rules", "conv-80-dense-90")
    call("plan", original, "-r", RULES, "-o", str(home / "plan.json"))
    call("plan", original, "-r", RULES)
    if "tensorflow" in sys.modules:
        raise AssertionError("a command that must not load TensorFlow has loaded it")
    tell(
        "3. Wrap the selected layers in a clone, and train it. TensorFlow loads now, which takes a"
        " few seconds."
    )
    call("apply", original, "--plan", str(home / "plan.json"), "-o", wrapped)
    call("plan", wrapped, "-r", RULES)
    tell(f"   Training is cut off after step {STOP_AFTER}, as if the power had failed.")
    call(
        "train",
        wrapped,
        "--data",
        digits,
        "--epochs",
        EPOCHS,
        "--batch-size",
        "32",
        "--checkpoint-every",
        "50 steps",
        "--run",
        run_folder,
        "--stop-after",
        STOP_AFTER,
        *(["--force"] if Path(run_folder).exists() else []),
    )
    tell(
        "4. Resume in a new process: weights, masks, optimizer state and the order of the data go"
        " on exactly where they were."
    )
    call_in_new_process("resume", run_folder)
    tell("5. Strip: the original architecture, sparse, ready to serve.")
    call("strip", run_folder, "--original", original, "-o", sparse, "-o", tflite, "--data", digits)
    tell("6. What changed, from the original to the result.")
    call("diff", original, sparse)
    tell(closing_words(home, time.monotonic() - started))


def prepare_folder(home: Path, *, force: bool) -> Path:
    """Return the folder with the shipped model and digits in it; of an earlier demo there, `force`
    removes just what that demo wrote.

    Raises:
        OutputError: something is there already, and `force` was not given; or there is more than a
            demo's files.
    """
    if home.exists():
        if not force:
            raise OutputError(
                f"{home}: exists already; give another folder, or --force to run the demo there"
                " again",
                OUTPUT_EXISTS,
            )
        others = (
            []
            if not home.is_dir()
            else sorted(path.name for path in home.iterdir() if path.name not in OWN_FILES)
        )
        if others or not home.is_dir():
            raise OutputError(
                f"{home}: holds more than an earlier demo ({', '.join(others) or 'it is a file'}),"
                " so --force does not touch it; give another folder"
            )
        for name in OWN_FILES - {RUN_FOLDER}:
            (home / name).unlink(missing_ok=True)
    write_whole(home / "original.keras", shipped_file("fixtures/digits-cnn.keras").read_bytes())
    write_whole(home / "digits.npz", shipped_file("fixtures/digits.npz").read_bytes())
    return home


def tell(text: str) -> None:
    """Print one step's heading."""
    click.echo()
    echo(text, partial(click.style, bold=True))


def call(*arguments: str) -> None:
    """Run a command of graphprune in this process, shown as a user would type it."""
    click.echo()
    echo(f"$ graphprune {shlex.join(arguments)}", partial(click.style, fg="cyan"))
    sys.stdout.flush()
    check_code(run(list(arguments)), arguments)


def call_in_new_process(*arguments: str) -> None:
    """Run a command of graphprune in a new Python process, shown as a user would type it."""
    click.echo()
    echo(f"$ graphprune {shlex.join(arguments)}", partial(click.style, fg="cyan"))
    sys.stdout.flush()
    with (
        subprocess.Popen([sys.executable, "-m", "graphprune", *arguments]) as process,
        signals.stopping(partial(hand_on_signal, process), str),
    ):
        code = process.wait()
    check_code(code, arguments)


def hand_on_signal(process: subprocess.Popen[bytes]) -> bool:
    """Send the signal that came to a command in another process, which ends as it does for its own;
    return whether it runs.
    """
    if process.poll() is not None:
        return False
    process.send_signal(signals.first_signal())
    return True


def check_code(code: int, arguments: tuple[str, ...]) -> None:
    """Refuse to go on after a command that failed; one that a signal stopped has said all, and its
    code is this command's.
    """
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
    """Return where everything is, and what to try next."""
    return f"""Done in {seconds:.0f} s. Everything is in {home}/:
  original.keras            the model as it was
  plan.json                 the plan, also the input of apply and train
  wrapped.keras             the wrapped clone, before training
  run/                      the training run: checkpoints/, metrics.jsonl, model.keras
  sparse.keras              the result, for Keras
  sparse.tflite             the result, for TensorFlow Lite
  digits.npz                1,797 handwritten digits

Next, with a model of your own:
  graphprune layers MODEL                    what can be pruned
  graphprune plan   MODEL -r builtin:all-90  what the rules would do (graphprune rules lists more)
  graphprune train  MODEL -r builtin:all-90 --data data.npz --epochs 10 --run runs/a"""
