"""The entry point: find the command, report errors in one message, set the exit code."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

import click

import graphprune
from graphprune.diagnostics.terminal_text import escape_controls, shorten
from graphprune.errors import (
    EXIT_ERROR,
    EXIT_OK,
    EXIT_STOPPED,
    EXIT_USAGE,
    GraphpruneError,
    explain_refusal,
)

# Command name -> one line of help. The module graphprune.cli.NAME holds it as `command`, imported
# only when it is called: `--help` stays fast.
COMMANDS: dict[str, str] = {
    "layers": "Show the layers of a saved model as a table.",
    "graph": "Draw a saved model: HTML, SVG, DOT or JSON.",
    "lint": "Check rule files, alone or against a model.",
    "explain": "Explain why rules claim a layer or not.",
    "test": "Run rule tests: do rules still select the right layers?",
    "plan": "Show what rules would change in a model.",
    "apply": "Prepare the layers that rules select for pruning, and save the model.",
    "prune": "Zero the smallest weights, without training.",
    "train": "Train a model to its planned sparsity, with checkpoints.",
    "resume": "Continue an interrupted training run exactly.",
    "runs": "List training runs: settings, accuracy, sparsity, status.",
    "strip": "Remove masks and wrappers: the original architecture, sparse.",
    "shrink": "Remove dead channels: a smaller model with the same outputs.",
    "convert": "Convert a model from tf_keras to Keras 3, or back.",
    "diff": "Show what changed between two models.",
    "verify": "Check a model against a plan.",
    "bench": "Measure latency, size, memory and accuracy of models side by side.",
    "targets": "List what can use which zeros: runtimes, compilers, processors.",
    "schema": "Write the JSON Schema of rule files, plans, diffs or verifications.",
    "rules": "List the rule files that ship, or print one.",
    "demo": "Run all steps on a real model and real digits.",
}


JSON_LINES = ("train", "resume")
"""Commands whose JSON is one object a line."""
SYSTEM = "operating system"

Fault = click.ClickException | GraphpruneError | OSError


class LazyGroup(click.Group):
    """A group that imports the module of a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of a workflow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"graphprune.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the words name, and the other words; suggest a close name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = importlib.import_module("graphprune.suggestions").find_close(
                args[0], COMMANDS, count=1
            )
            ctx.fail(
                f"no command is called {args[0]!r}; "
                + (f"did you mean {close[0]!r}?" if close else "graphprune --help lists them")
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(graphprune.__version__)
def cli() -> None:
    """Prune saved Keras models by rules: plan, apply, train, resume, strip, and see every change.

    Start with `graphprune demo`, or with your own model:

    \b
        graphprune layers model.keras
        graphprune plan   model.keras -r builtin:all-90
        graphprune train  model.keras -r builtin:all-90 --data digits.npz --epochs 10 --run runs/a
        graphprune strip  runs/a -o sparse.keras
    """  # noqa: D301 - click wants the real character


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; faults are raised.

    With `standalone_mode=False`, click returns the code of an `Exit`.
    """
    code = cli.main(args=arguments, prog_name="graphprune", standalone_mode=False)
    return code if isinstance(code, int) else EXIT_OK


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning of graphprune as one line on stderr, and any other as Python does.

    Some of graphprune's own point at the line that called it, which is click's here.
    """
    homes = (str(graphprune.__file__), str(click.__file__))
    if any(Path(filename).is_relative_to(Path(home).parent) for home in homes):
        click.echo(f"graphprune: warning: {shorten(str(message))}", err=True)
    else:
        click.echo(
            warnings.formatwarning(message, category, filename, lineno, line), err=True, nl=False
        )


def tell_fault(fault: Fault, words: Sequence[str]) -> None:
    """Print a fault on stdout as JSON or for GitHub if that was asked for, else as text on stderr.

    A file named by `-o` is not written, so that nobody takes the fault for the report. If code of
    the user's failed, its traceback comes first, always on stderr.
    """
    if fault.__cause__ is not None and isinstance(fault, GraphpruneError):
        own = importlib.import_module("graphprune.engine.faults").render_own_traceback(fault)
        if own:
            click.echo("\n".join(map(escape_controls, own.split("\n"))), err=True)
    faults = (
        importlib.import_module("graphprune.cli.faults")
        if any(word.startswith("--format") for word in words)
        else None
    )
    format_ = None if faults is None else faults.find_machine_format(words)
    if faults is not None and format_ is not None:
        with suppress(OSError):  # stdout itself may be what cannot be written
            found = faults.diagnose(fault)
            if format_ == "json" and words[0] in JSON_LINES:
                click.echo(faults.render_line(found))
            else:
                click.echo(faults.render_document(found, format_), nl=False)
            return
    diagnostics = getattr(fault, "diagnostics", ())
    if diagnostics:
        outputs = importlib.import_module("graphprune.cli.outputs")  # only now: `--help` stays fast
        outputs.print_faults(diagnostics)
    else:
        click.echo(render_fault(fault), err=True)


def render_fault(fault: Fault) -> str:
    """Return a user's mistake as text for the terminal."""
    if isinstance(fault, click.ClickException):
        told = io.StringIO()
        fault.show(file=told)
        return shorten(told.getvalue()).removesuffix("\n")
    if isinstance(fault, OSError):
        text = f"{fault.filename or SYSTEM}: {explain_refusal(fault)}"
        return f"graphprune: {escape_controls(shorten(text))}"
    return "graphprune: " + "\n".join(escape_controls(line) for line in str(fault).split("\n"))


def main() -> NoReturn:
    """Run the command line and exit.

    The codes are 0 (done), 1 (wrong input), 2 (different, only with --detailed-exitcode), 3
    (training missed a target) and 64 (wrong usage).
    """
    click.UsageError.exit_code = EXIT_USAGE
    # before TensorFlow is imported: its start-up notes are not for users of a command line
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            sys.exit(run(sys.argv[1:]))
    except click.Abort:
        click.echo("graphprune: stopped", err=True)
        sys.exit(EXIT_STOPPED)
    except (click.ClickException, GraphpruneError, OSError) as fault:
        tell_fault(fault, sys.argv[1:])
        sys.exit(getattr(fault, "exit_code", EXIT_ERROR))
