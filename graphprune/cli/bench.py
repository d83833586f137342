"""`graphprune bench`: latency, size, memory and accuracy of models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from graphprune.archive.archive import keras_of
from graphprune.cli.data_options import DataOptions, data_options
from graphprune.cli.inputs import find_model_file, loading_arguments, open_model
from graphprune.cli.options import (
    Choice,
    LoadingOptions,
    WholeNumber,
    force_option,
    format_option,
    loading_options,
    report_option,
)
from graphprune.cli.outputs import check_report_free, choose_format, print_report, terminal_width
from graphprune.cli.planning import import_quietly
from graphprune.cli.progress import Display, live_display
from graphprune.documents import to_json
from graphprune.errors import EXIT_ERROR, ArchiveError, OutputError
from graphprune.files import temporary_folder
from graphprune.graph.layer_graph import LayerGraph
from graphprune.report.bench import bench_to_config, render_bench_text
from graphprune.serving.bench import Candidate, bench_models
from graphprune.serving.bench_data import read_bench_data
from graphprune.serving.runtimes import RunnerSpec, Runtime, runtime_of
from graphprune.serving.timing import TURNS

_FORMS = {Runtime.LITERT: ".tflite", Runtime.ONNX: ".onnx"}
"""The form in which a runtime takes a Keras model."""


@click.command("bench")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@data_options(
    "Also measure accuracy, on the test or validation part of this data: an .npz,"
    " MODULE:FUNCTION, a .csv, a folder of images or TFRecord files, as train takes them. Arrays of"
    " several inputs or outputs are named x_test.NAME."
)
@click.option(
    "--threads",
    type=WholeNumber(min=1, max=1024),
    default=1,
    help="Threads of each runtime; for Keras, processor cores [default: 1].",
)
@click.option(
    "--runtime",
    type=Choice([str(runtime) for runtime in Runtime]),
    help="Convert Keras models to this runtime's form, and run that [default: as they are].",
)
@click.option(
    "--turns",
    type=WholeNumber(min=1, max=10_000),
    default=TURNS,
    help=f"How often each model takes its turn [default: {TURNS}].",
)
@click.option(
    "--seed",
    type=WholeNumber(min=0),
    default=0,
    help="Seed of the random sample, where there is no data [default: 0].",
)
@loading_options
@format_option
@report_option
@force_option
def command(
    models: tuple[str, ...],
    data: DataOptions | None,
    threads: int,
    runtime: str | None,
    turns: int,
    seed: int,
    loading: LoadingOptions,
    format_: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Measure latency, size, memory and accuracy of each MODEL, side by side.

    MODEL is a .tflite, .onnx, .keras or .h5 file, a SavedModel folder, or a finished training run.
    A folder that was exported for serving needs --unsafe-ops. Each runs in a process of its own, on
    one sample. They are warmed up and take turns; ratios compare with the first one that runs.

    \b
        graphprune bench dense.tflite sparse.tflite
        graphprune bench model.keras runs/a --runtime litert --data digits.npz

    The report says which layers ran sparse on this processor, and why others did not. Bench runs
    the models: give only files that you trust. The exit code is 1 if one of them does not run; if
    none does, there is no report.
    """  # noqa: D301 - click wants the real character
    inputs = [*models, *([data.path] if data else [])]
    check_report_free(output, force=force, inputs=inputs, format_=format_)
    asked = None if runtime is None else Runtime(runtime)
    chosen = [(model, *_choose(model, asked)) for model in models]
    with live_display() as display, temporary_folder() as folder:
        samples = None if data is None else read_bench_data(data.of_model(_find_graph(chosen)))
        candidates = [
            _candidate(place, file, run_in, Path(folder, str(index)), threads, loading, display)
            for index, (place, file, run_in) in enumerate(chosen)
        ]
        display.say("measuring")
        found = bench_models(candidates, samples, turns=turns, seed=seed)
    text = (
        to_json(bench_to_config(found))
        if choose_format(format_, output) == "json"
        else render_bench_text(found, terminal_width(output))
    )
    print_report(text, output)
    if any(model.fault is not None for model in found.models):
        raise click.exceptions.Exit(EXIT_ERROR)


def _choose(model: str, asked: Runtime | None) -> tuple[str, Runtime]:
    """Return the file of a model and what runs it.

    Raises:
        ArchiveError: there is no such model.
        OutputError: the runtime that was asked for does not run such files.
    """
    file = find_model_file(model)
    own = runtime_of(file)
    if asked is None or asked is own:
        return file, own
    if own is not Runtime.KERAS:
        raise OutputError(
            f"runs in {own}, not in {asked}; leave out --runtime, or give the Keras model",
            place=model,
        )
    return file, asked


def _find_graph(chosen: Sequence[tuple[str, str, Runtime]]) -> LayerGraph | None:
    """Return the graph of the first Keras model, whose inputs say how files of data are read.

    What cannot be read has a row with the reason, and exported SavedModels have no layers.
    """
    for _, file, _runtime in chosen:
        if runtime_of(file) is Runtime.KERAS:
            with suppress(ArchiveError):
                return open_model(file).graph
    return None


def _candidate(
    place: str,
    file: str,
    runtime: Runtime,
    folder: Path,
    threads: int,
    loading: LoadingOptions,
    display: Display,
) -> Candidate:
    """Return a model to measure, converted to the form of its runtime."""
    path = Path(file)
    if runtime in _FORMS and path.suffix != _FORMS[runtime]:
        display.say(f"converting {place}")
        folder.mkdir()
        path = folder / f"model{_FORMS[runtime]}"
        _convert(file, path, loading)
        place = f"{place} as {_FORMS[runtime]}"
    spec = RunnerSpec(
        runtime,
        path,
        threads,
        custom_objects=loading.custom_objects,
        unsafe_lambda=loading.unsafe_lambda,
        unsafe_ops=loading.unsafe_ops,
    )
    return Candidate(place, spec)


def _convert(file: str, target: Path, loading: LoadingOptions) -> None:
    """Write a Keras model in the form of a runtime, without pruning wrappers."""
    import_quietly(keras_of(open_model(file).need_archive()))
    from graphprune.dispatch import seam
    from graphprune.interface import load_model

    model = load_model(file, **loading_arguments(loading))
    stripped = seam(model, "surgery").strip_model(model, compiled=False)
    seam(model, "export").write_model(stripped, target)
