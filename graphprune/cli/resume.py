"""`graphprune resume`: go on with an interrupted training run, exactly."""

from __future__ import annotations

import click

from graphprune.cli.finish import report_run, resumable
from graphprune.cli.inputs import import_custom_objects
from graphprune.cli.options import WholeNumber, loading_options
from graphprune.cli.progress import shown_progress
from graphprune.tf.models.quiet import import_tensorflow


@click.command("resume")
@click.argument("run_folder", metavar="DIR")
@click.option("--stop-after", type=WholeNumber(min=1), metavar="STEP", help="Stop again right after this step, as if the process had been killed.")
@loading_options
def command(run_folder: str, stop_after: int | None, custom_objects: tuple[str, ...], unsafe_lambda: bool) -> None:
    """Go on with the training run in DIR from its newest whole checkpoint, to the same end as if it had never stopped.

    \b
        graphprune resume runs/a
    """  # noqa: D301 - click wants the real character
    import_tensorflow()
    from graphprune.tf.training.run import resume

    with resumable(run_folder), shown_progress() as show:
        result = resume(
            run_folder,
            custom_objects=import_custom_objects(custom_objects),
            unsafe_lambda=unsafe_lambda,
            stop_after_step=stop_after,
            on_checkpoint=lambda checkpoint: click.echo(f"going on from {checkpoint}"),
            on_progress=show,
        )
    report_run(result)
