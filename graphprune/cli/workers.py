"""What the workers of a run print: the first one everything, the others one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from graphprune.cli.progress import Form, render_event
from graphprune.errors import EXIT_WORKER
from graphprune.runs.cluster import Cluster
from graphprune.runs.training_arguments import StopRequest

if TYPE_CHECKING:
    from graphprune.engine.training_result import TrainingResult


def form_of_worker(form: Form, cluster: Cluster | None) -> Form:
    """Return what stdout of this process gets of the run's progress: nothing, but at the chief."""
    return form if cluster is None or cluster.is_chief else "quiet"


def tell_cluster(cluster: Cluster, form: Form) -> None:
    """Say which worker this is, and which ones it waits for."""
    if form == "json":
        found = {"rank": cluster.rank, "workers": list(cluster.workers), "wait": cluster.wait}
        click.echo(render_event("worker", found))
    elif form == "text":
        shown = "" if cluster.is_chief else "; worker 0 prints the progress"
        click.echo(
            f"{cluster.name_of(cluster.rank)}: waiting up to {cluster.wait} s for"
            f" {cluster.others()}{shown}"
        )


def check_stop_of_another(
    result: TrainingResult, stop: StopRequest, cluster: Cluster | None, stop_after: int | None
) -> None:
    """If another worker was asked to stop, say so and exit with the code of a lost worker.

    A program that starts workers again then starts all of them.
    """
    is_own = cluster is None or stop.asked or stop_after is not None
    if is_own or result.status != "interrupted":
        return
    click.echo(
        f"graphprune: {result.run_dir}: another worker was asked to stop, so the run stopped after"
        f" step {result.step}; continue with graphprune resume on every worker",
        err=True,
    )
    raise click.exceptions.Exit(EXIT_WORKER)
