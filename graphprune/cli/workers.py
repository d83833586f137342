"""What the workers of a run print: the first one everything, the others one line each."""

from __future__ import annotations

import click

from graphprune.cli.progress import Form, render_event
from graphprune.runs.cluster import Cluster


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
