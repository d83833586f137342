"""What `train` and `resume` say when they return, and the exit code that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from graphprune.errors import EXIT_ERROR
from graphprune.report.numbers import format_count, format_share
from graphprune.report.tables import align_rows

if TYPE_CHECKING:
    from graphprune.tf.training_loop import TrainingResult


def report_run(result: TrainingResult) -> None:
    """Print how the run ended and what to do next; exit 1 when a tensor missed its target."""
    for warning in result.warnings:
        click.echo(f"graphprune: warning: {warning}", err=True)
    if result.status == "interrupted":
        click.echo(f"stopped after step {result.step} of {result.steps}; go on with: graphprune resume {result.run_dir}")
        return
    if result.status == "already-finished":
        click.echo(f"{result.run_dir}: finished already, at step {result.step}; nothing to do")
    click.echo("\n".join(tensor_rows(result)))
    click.echo(f"wrote {result.model}\nnext: graphprune strip {result.run_dir} -o sparse.keras")
    if result.missed:
        names = ", ".join(f"{tensor.address} {tensor.name}" for tensor in result.missed)
        click.echo(f"graphprune: {result.run_dir}: target missed by {names}; train for more epochs, or let the schedule end earlier", err=True)
        raise click.exceptions.Exit(EXIT_ERROR)


def tensor_rows(result: TrainingResult) -> list[str]:
    """Return one line a pruned tensor: zeros, measured sparsity, and whether the target was met."""
    rows = [
        (
            tensor.address,
            tensor.name,
            f"{format_count(tensor.zeros)} of {format_count(tensor.size)}",
            format_share(tensor.zeros / tensor.size),
            "target met" if tensor.zeros >= tensor.target_zeros else f"target {format_count(tensor.target_zeros)} missed",
        )
        for tensor in result.tensors
    ]
    return align_rows(rows, right={2, 3})
