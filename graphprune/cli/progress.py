"""How a training run looks while it goes on: a live bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from graphprune.runs.progress import Progress as Position

OnProgress = Callable[["Position"], None]


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """Yield a function that draws progress: each finished epoch as a line on stdout, and a bar on stderr when that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None, epoch="")

        def show(now: Position) -> None:
            bar.update(task, completed=now.step, total=now.steps, description=describe(now), epoch=f"{now.epoch}/{now.epochs}")
            if now.epoch_ended:
                click.echo(f"epoch {now.epoch:>{len(str(now.epochs))}}/{now.epochs}  step {now.step:>{len(str(now.steps))}}/{now.steps}  {describe(now)}")

        yield show


def describe(now: Position) -> str:
    """Return loss, metrics, target and measured sparsity as one line.

    Example:
        >>> from types import SimpleNamespace
        >>> describe(SimpleNamespace(metrics={"loss": 0.25, "val_accuracy": 0.98}, target_sparsity=0.5, sparsity=0.4999))
        'loss 0.2500  val_accuracy 0.9800  sparsity 50.0% (target 50.0%)'
    """
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in now.metrics.items())
    return f"{metrics}  sparsity {now.sparsity:.1%} (target {now.target_sparsity:.1%})"
