"""`graphprune resume`: go on with an interrupted training run, exactly."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from graphprune.cli.finish import end_run, stoppable
from graphprune.cli.inputs import loading_arguments
from graphprune.cli.options import (
    LoadingOptions,
    ShownOptions,
    WholeNumber,
    loading_options,
    rank_option,
    shown_options,
)
from graphprune.cli.planning import import_quietly
from graphprune.cli.progress import IMPORTING_KERAS, lasting_output, live_display
from graphprune.cli.workers import check_stop_of_another, form_of_worker, tell_cluster
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.engine.resuming_together import find_run_cluster
from graphprune.runs.cluster import WAIT
from graphprune.runs.run_file import check_flags
from graphprune.runs.run_folder import RunFolder
from graphprune.training import keras_of_run, resume


@click.command("resume")
@click.argument("run_folder", metavar="DIR")
@click.option(
    "--stop-after",
    type=WholeNumber(min=1),
    metavar="STEP",
    help="Stop again after this step, as if the process had been killed.",
)
@click.option(
    "--trust-run",
    is_flag=True,
    help=(
        "Call the data function that DIR names even if the run was made on another machine. It can"
        " do anything."
    ),
)
@click.option(
    "--workers",
    metavar="HOST:PORT,...",
    help="The addresses of all workers; without it, TF_CONFIG names them.",
)
@rank_option
@click.option(
    "--wait",
    type=WholeNumber(min=1),
    default=WAIT,
    show_default=True,
    metavar="SECONDS",
    help="Seconds to wait for the other workers.",
)
@shown_options
@loading_options
def command(
    run_folder: str,
    stop_after: int | None,
    trust_run: bool,
    workers: str | None,
    rank: int | None,
    wait: int,
    shown: ShownOptions,
    loading: LoadingOptions,
) -> None:
    """Continue the training run in DIR from its newest complete checkpoint.

    The result is the same as that of a run that was never stopped.

    A run on several workers goes on with the same command on each of them.

    Without a checkpoint it starts from the beginning. Deleted result files of a finished run are
    written again.

    \b
        graphprune resume runs/a
    """  # noqa: D301 - click wants the real character
    addresses = None if workers is None else check_flags({"on.workers": workers})["on.workers"]
    cluster = find_run_cluster(RunFolder(Path(run_folder)), addresses, rank, wait)
    with (
        lasting_output(),
        stoppable(run_folder, is_new=False, loading=loading) as stop,
        live_display(form_of_worker(shown.form, cluster)) as display,
    ):
        keras = keras_of_run(run_folder)
        display.say(IMPORTING_KERAS[keras])
        import_quietly(keras)
        if cluster is not None:
            tell_cluster(cluster, shown.form)
        with closing(display), display.own_code():
            result = resume(
                run_folder,
                stop_after_step=stop_after,
                trust_run=trust_run,
                workers=addresses,
                rank=rank,
                wait=wait,
                on_checkpoint=lambda checkpoint: display.print(_say_start(run_folder, checkpoint)),
                on_progress=display.show,
                on_stage=display.say,
                on_warning=lambda message: click.echo(
                    escape_controls(f"graphprune: warning: {message}"), err=True
                ),
                stop=stop,
                **loading_arguments(loading),
            )
        end_run(result, stop, loading, shown, cluster)
        check_stop_of_another(result, stop, cluster, stop_after)


def _say_start(run_folder: str, checkpoint: Path | None) -> str:
    if checkpoint is None:
        return f"{run_folder}: has no checkpoint, starting from the beginning"
    return f"going on from {checkpoint}"
