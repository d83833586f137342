"""`graphprune train`: train a model to its planned sparsity, with checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from graphprune.cli.finish import end_run, stoppable
from graphprune.cli.inputs import loading_arguments
from graphprune.cli.options import (
    LoadingOptions,
    RealNumber,
    RuleOptions,
    ShownOptions,
    WholeNumber,
    allow_missed_option,
    force_option,
    keras_option,
    loading_options,
    model_and_rules,
    shown_options,
)
from graphprune.cli.outputs import print_warnings
from graphprune.cli.planning import (
    import_quietly,
    load_with_classes,
    open_to_load,
    opened_for,
    plan_for,
)
from graphprune.cli.progress import IMPORTING_KERAS, Display, lasting_output, live_display
from graphprune.graph import ModelFile
from graphprune.plan import Plan, check_reached, plan_to_config
from graphprune.quiet import import_tensorflow
from graphprune.runs.samples import check_samples, is_data_function
from graphprune.runs.training_arguments import parse_strategy
from graphprune.sparsity.positions import Run
from graphprune.training import keras_for, train

TENSORBOARD = "tensorboard"
"""The default folder of events, in the run's folder."""


@click.command("train")
@click.argument("model")
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help=(
        "An .npz with x_train, y_train [x_test, y_test], or MODULE:FUNCTION that returns (train,"
        " validation) datasets."
    ),
)
@click.option(
    "--run",
    "run_folder",
    required=True,
    metavar="DIR",
    help="A new folder for checkpoints, metrics, the plan and the trained model.",
)
@model_and_rules
@click.option(
    "--epochs", type=WholeNumber(1, 1_000_000), required=True, help="Passes over the data."
)
@click.option(
    "--batch-size", type=WholeNumber(min=1), help="Samples in a batch of an .npz [default: 32]."
)
@click.option(
    "--steps-per-epoch", type=WholeNumber(min=1), help="Steps in an epoch, for infinite datasets."
)
@click.option("--optimizer", help="Optimizer in place of the saved one: adam, sgd, ...")
@click.option("--learning-rate", type=RealNumber(), help="Learning rate in place of the saved one.")
@click.option("--loss", help="Loss in place of the saved one.")
@click.option(
    "--metrics", multiple=True, help="Metric in place of the saved ones. May be repeated."
)
@allow_missed_option
@click.option("--reset-optimizer", is_flag=True, help="Reset the optimizer state.")
@click.option(
    "--checkpoint-every",
    default="1 epoch",
    show_default=True,
    metavar="POSITION",
    help="Distance between checkpoints: '1 epoch', '500 steps', '10%'.",
)
@click.option(
    "--seed",
    type=WholeNumber(min=0),
    default=0,
    show_default=True,
    help="Seed for sample order and dropout.",
)
@click.option(
    "--tensorboard",
    is_flag=False,
    flag_value=TENSORBOARD,
    metavar="[DIR]",
    help=(
        "Write TensorBoard events (loss, metrics, sparsity of each tensor) into DIR [default:"
        " tensorboard in the run's folder]."
    ),
)
@click.option(
    "--strategy",
    default="none",
    show_default=True,
    metavar="NAME",
    help=(
        "'mirrored' trains on all GPUs, 'mirrored:N' on N of them (without a GPU, on N virtual CPU"
        " devices); each batch is divided among them."
    ),
)
@click.option(
    "--stop-after",
    type=WholeNumber(min=1),
    metavar="STEP",
    help="Stop after this step, as if the process had been killed; resume continues.",
)
@keras_option
@shown_options
@loading_options
@force_option
def command(
    model: str,
    data: str,
    run_folder: str,
    rules: RuleOptions,
    plan_file: str | None,
    epochs: int,
    batch_size: int | None,
    steps_per_epoch: int | None,
    optimizer: str | None,
    learning_rate: float | None,
    loss: str | None,
    metrics: tuple[str, ...],
    allow_missed: bool,
    reset_optimizer: bool,
    checkpoint_every: str,
    seed: int,
    tensorboard: str | None,
    strategy: str,
    stop_after: int | None,
    keras: int | None,
    shown: ShownOptions,
    loading: LoadingOptions,
    force: bool,
) -> None:
    """Train MODEL to its planned sparsity.

    Rules or a plan say what to prune, unless MODEL has its masks already.

    The folder DIR gets checkpoints, metrics.jsonl, the plan, and at the end model.keras (or .h5).
    After an interruption, `graphprune resume DIR` continues from the last checkpoint. A run that is
    too short for a target is refused before it begins. Exits 1 if a target was missed.

    \b
        graphprune train model.keras -r builtin:dense-90 --data digits.npz --epochs 10 --run runs/a
    """  # noqa: D301 - click wants the real character
    parse_strategy(strategy)
    with (
        lasting_output(),
        stoppable(run_folder, is_new=True, loading=loading) as stop,
        live_display(shown.form) as display,
        _opened(model, keras, loading, display) as saved,
    ):
        plan = _make_plan(saved, rules, plan_file, strategy, loading)
        if plan is not None:
            if not allow_missed:
                check_reached(plan, Run(steps_per_epoch, epochs))
            display.print(str(plan))
            display.tell("plan", plan_to_config(plan))
        if not is_data_function(data):
            check_samples(data)  # before TensorFlow is imported

        version = keras_for(saved)
        display.say(IMPORTING_KERAS[version])
        import_quietly(version)
        with closing(display):
            result = train(
                _to_begin_with(saved, keras, loading),
                plan,
                data,
                run_folder,
                epochs=epochs,
                batch_size=batch_size,
                steps_per_epoch=steps_per_epoch,
                optimizer=optimizer,
                learning_rate=learning_rate,
                loss=loss,
                metrics=metrics or None,
                reset_optimizer=reset_optimizer,
                checkpoint_every=checkpoint_every,
                seed=seed,
                tensorboard=_summaries_folder(tensorboard),
                strategy=strategy,
                stop_after_step=stop_after,
                allow_missed=allow_missed,
                force=force,
                on_progress=display.show,
                on_stage=display.say,
                stop=stop,
                **loading_arguments(loading),
            )
        end_run(result, stop, loading, shown)


@contextmanager
def _opened(
    model: str, keras: int | None, loading: LoadingOptions, display: Display
) -> Iterator[ModelFile]:
    """Give the saved model, converted if it is to be trained in the other Keras."""
    display.say("reading the model")
    with opened_for(open_to_load(model, loading), keras) as saved:
        yield saved


def _to_begin_with(saved: ModelFile, keras: int | None, loading: LoadingOptions) -> Any:
    """Return what the run begins with; it keeps the file of a live model, but not a converted one.

    So the model is loaded if a Keras is asked for.
    """
    if keras is None:
        return saved
    from graphprune.interface import load_model

    return load_model(saved, **loading_arguments(loading))


def _make_plan(
    saved: ModelFile,
    rules: RuleOptions,
    plan_file: str | None,
    strategy: str,
    loading: LoadingOptions,
) -> Plan | None:
    """Return the plan for the model; None without rules and plan file."""
    if strategy != "none" and keras_for(saved) == 2:
        _open_devices(strategy)
    if not (rules.files or rules.has_switches or plan_file is not None):
        return None
    plan = plan_for(saved, rules, plan_file, loaded=load_with_classes(saved, loading))
    print_warnings(plan.diagnostics, rules.files)
    return plan


def _summaries_folder(tensorboard: str | None) -> str | Path | None:
    if tensorboard is None or tensorboard == TENSORBOARD:
        return tensorboard
    return Path(tensorboard).absolute()


def _open_devices(strategy: str) -> None:
    """Make the strategy's devices, which is possible only before a model is loaded."""
    import_tensorflow()
    from graphprune.tf.training.strategies import open_spread

    open_spread(strategy)
