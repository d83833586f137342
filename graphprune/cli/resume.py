"""`graphprune resume`: go on with an interrupted training run, exactly."""

from __future__ import annotations

import click

from graphprune.cli.finish import check_stop, report_run, stoppable
from graphprune.cli.inputs import import_custom_objects
from graphprune.cli.lasting_output import lasting_output
from graphprune.cli.options import loading_options
from graphprune.cli.progress import shown_progress
from graphprune.tf.models.quiet import import_tensorflow


@click.command("resume")
@click.argument("run_folder", metavar="DIR")
@click.option("--stop-after", type=click.IntRange(min=1), metavar="STEP", help="Stop again right after this step, as if the process had been killed.")
@loading_options
def command(run_folder: str, stop_after: int | None, custom_objects: tuple[str, ...], unsafe_lambda: bool) -> None:
    """Go on with the training run in DIR from its newest whole checkpoint, to the same end as if it had never stopped.

    \b
        graphprune resume runs/a
    """  # noqa: D301 - click wants the real character
    with lasting_output(), stoppable(run_folder, is_new=False) as stop:
        import_tensorflow()
        from graphprune.tf.training.run import resume

        with shown_progress() as show:
            result = resume(
                run_folder,
                custom_objects=import_custom_objects(custom_objects),
                unsafe_lambda=unsafe_lambda,
                stop_after_step=stop_after,
                on_checkpoint=lambda checkpoint: click.echo(f"going on from {checkpoint}"),
                on_progress=show,
                stop=stop,
            )
        check_stop(result, stop)
        report_run(result)
