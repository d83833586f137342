"""`graphprune strip`: take the wrappers off, and write the result for Keras, TensorFlow Serving or TensorFlow Lite."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from graphprune.cli.inputs import find_model_file, find_training_origin, loading_arguments, open_model
from graphprune.cli.options import LoadingOptions, force_option, format_option, loading_options
from graphprune.cli.outputs import check_output_free, to_json
from graphprune.cli.sizes import size_columns
from graphprune.errors import GraphError
from graphprune.graph import LayerGraph, ModelFile
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.from_config import graph_with_tensors
from graphprune.plan import strip_graph
from graphprune.report import SizeTable, render_sizes_text, sizes_to_config
from graphprune.runs.run_options import Compiling
from graphprune.tf.models.quiet import import_tensorflow
from graphprune.tf.models.refusals import check_loadable


@click.command("strip")
@click.argument("model")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    required=True,
    metavar="OUT",
    help="A .keras, .h5 or .tflite file, or a folder for a SavedModel. May be repeated.",
)
@click.option("--data", metavar="DATA", help="Measure before and after on the test part of this data (.npz, or MODULE:FUNCTION).")
@click.option("--original", metavar="MODEL", help="The model to compare with [default: what the training run began with, else MODEL].")
@click.option("--reset-optimizer", is_flag=True, help="Leave the optimizer's state out: smaller files.")
@loading_options
@format_option
@force_option
def command(
    model: str,
    outputs: tuple[str, ...],
    data: str | None,
    original: str | None,
    reset_optimizer: bool,
    loading: LoadingOptions,
    format_: str | None,
    force: bool,
) -> None:
    """Take the wrappers off MODEL (a wrapped model, or the folder of a finished training run): the original architecture, sparse.

    \b
        graphprune strip runs/a -o sparse.keras
        graphprune strip wrapped.keras -o sparse.keras -o sparse.tflite
    """  # noqa: D301 - click wants the real character
    if len({str(Path(output).absolute()) for output in outputs}) < len(outputs):
        raise click.UsageError("two outputs have the same name")
    model_file, origin = find_model_file(model), original or find_training_origin(model)
    for output in outputs:
        check_output_free(output, force=force, inputs=[model, model_file, origin])
    wrapped = replace(open_model(model_file), path=model)
    archive = wrapped.need_archive()
    archive.check_checksums()
    check_loadable(archive, unsafe_lambda=loading.unsafe_lambda, unsafe_ops=loading.unsafe_ops)
    before = open_model(origin)
    archive_before = before.need_archive()
    check_same_architecture(before, wrapped)

    import_tensorflow()
    from graphprune.tf.models.export import check_export_suffix, write_model
    from graphprune.tf.models.loading import load_model
    from graphprune.tf.models.read_back import check_reads_back
    from graphprune.tf.models.saving import SUFFIXES
    from graphprune.tf.pruning.surgery import strip_model
    from graphprune.tf.training.compiling import compile_model
    from graphprune.tf.training.data import read_data
    from graphprune.tf.training.evaluation import measure_accuracy

    for output in outputs:
        check_export_suffix(output)
    arguments = loading_arguments(loading)
    stripped = strip_model(load_model(archive.path, **arguments))
    if all(layer.wrap is None for layer in wrapped.graph.layers.values()):
        click.echo(f"graphprune: warning: {model}: no layer is wrapped; it is written as it is", err=True)
    if reset_optimizer:
        compile_model(stripped, Compiling(reset_optimizer=True), model)
    accuracy_before = accuracy_after = None
    if data is not None:
        samples = read_data(data)
        accuracy_before = measure_accuracy(load_model(archive_before.path, **arguments), samples)
        accuracy_after = measure_accuracy(stripped, samples)
        if accuracy_after is None:
            click.echo(f"graphprune: warning: {model}: was compiled without a metric of accuracy, so none is shown", err=True)
    for output in outputs:
        if Path(output).suffix in SUFFIXES:
            check_reads_back(stripped, Path(output).suffix, output, partial(load_model, **arguments))
        write_model(stripped, output)
    files = [("before", archive_before.path, before, accuracy_before), *((Path(output).name, output, wrapped, accuracy_after) for output in outputs)]
    sizes = SizeTable(size_columns(files))
    click.echo(to_json(sizes_to_config(sizes)) if format_ == "json" else render_sizes_text(sizes), nl=False)
    for output in outputs:
        click.echo(f"wrote {output}", err=format_ == "json")


def check_same_architecture(before: ModelFile, wrapped: ModelFile) -> None:
    """Refuse to compare with a model of another architecture.

    Raises:
        GraphError: the two differ in more than wrappers and weights.
    """
    if _comparable(before.graph) != _comparable(wrapped.graph):
        raise GraphError(f"{before.path}: is not the model that {wrapped.path} was pruned from; graphprune diff shows what differs, --original names another")


def _comparable(graph: LayerGraph) -> LayerGraph:
    """Return the graph without wrappers, and the weights of custom layers by number: only a wrapper says how they are called."""
    custom = {address: layer for address, layer in graph.layers.items() if weights_of(layer.entry) is None}
    numbered = {address: [(str(index), tensor.shape, tensor.dtype) for index, tensor in enumerate(layer.tensors)] for address, layer in custom.items()}
    known = {address: [(tensor.name, tensor.shape, tensor.dtype) for tensor in layer.tensors] for address, layer in graph.layers.items()}
    return strip_graph(graph_with_tensors(graph, known | numbered))
