"""`graphprune strip`: take the wrappers off, and write the result for Keras, TensorFlow Serving or
TensorFlow Lite.
"""

from __future__ import annotations

import shlex
from dataclasses import replace

import click

from graphprune.archive.files import check_export_suffix
from graphprune.cli.inputs import (
    find_model_file,
    find_training_origin,
    loading_arguments,
    open_model,
)
from graphprune.cli.options import (
    LoadingOptions,
    force_option,
    format_option,
    keep_optimizer_option,
    loading_options,
    measure_option,
    outputs_option,
)
from graphprune.cli.outputs import check_outputs_free
from graphprune.cli.progress import IMPORTING, LOADING, live_display
from graphprune.diff import diff_graphs
from graphprune.diff.first_difference import find_difference
from graphprune.errors import GraphError
from graphprune.graph import LayerGraph, ModelFile
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.from_config import graph_with_tensors
from graphprune.sparsity.missed_targets import explain_missed
from graphprune.tf.models.quiet import import_tensorflow
from graphprune.tf.models.refusals import check_loadable


@click.command("strip")
@click.argument("model")
@outputs_option
@measure_option
@click.option(
    "--original",
    metavar="MODEL",
    help="The model to compare with [default: what the training run began with, else MODEL].",
)
@keep_optimizer_option
@loading_options
@format_option
@force_option
def command(
    model: str,
    outputs: tuple[str, ...],
    data: str | None,
    original: str | None,
    keep_optimizer: bool,
    loading: LoadingOptions,
    format_: str | None,
    force: bool,
) -> None:
    """Take the wrappers off MODEL (a wrapped model, or the folder of a finished training run): the
    original architecture, sparse.

    \b
        graphprune strip runs/a -o sparse.keras
        graphprune strip wrapped.keras -o sparse.keras -o sparse.tflite

    The files are for serving: without compile settings and optimizer, as model.save(...,
    include_optimizer=False) writes them. A warning names the layers that have fewer zeros than
    their target.
    """  # noqa: D301 - click wants the real character
    model_file, origin = find_model_file(model), original or find_training_origin(model)
    check_outputs_free(outputs, force=force, inputs=[model, model_file, origin])
    for output in outputs:
        check_export_suffix(output)
    wrapped = replace(open_model(model_file), path=model)
    archive = wrapped.need_archive()
    archive.check_checksums()
    check_loadable(archive, unsafe_lambda=loading.unsafe_lambda, unsafe_ops=loading.unsafe_ops)
    check_same_architecture(open_model(origin), wrapped)

    with live_display() as display:
        display.say(IMPORTING)
        import_tensorflow()
        from graphprune.cli.stripped_files import write_stripped
        from graphprune.tf.models.loading import load_model
        from graphprune.tf.pruning.missed_targets import find_missed_targets
        from graphprune.tf.pruning.surgery import strip_model

        display.say(LOADING)
        pruned = load_model(archive.path, **loading_arguments(loading))
        missed = find_missed_targets(pruned)
        stripped = strip_model(pruned, compiled=keep_optimizer or data is not None)
        if all(layer.wrap is None for layer in wrapped.graph.layers.values()):
            click.echo(
                f"graphprune: warning: {model}: no layer is wrapped; it is written as it is",
                err=True,
            )
        if missed:
            click.echo(
                f"graphprune: warning: {model}: stripped, and {explain_missed(missed)};"
                f" {_advise(model, model_file, loading)}",
                err=True,
            )
        write_stripped(
            stripped,
            outputs,
            origin,
            data,
            loading,
            format_,
            display,
            keep_optimizer=keep_optimizer,
            missed=missed,
        )


def _advise(model: str, model_file: str, loading: LoadingOptions) -> str:
    """Return what to do about missed targets in a wrapped model, or in the model of a finished
    training run.
    """
    if model != model_file:
        return "train for more epochs, or let the schedules end earlier, and strip then"
    train = f"graphprune train {shlex.quote(model)} --data DATA --epochs N --run DIR{loading.typed}"
    return (
        f"train it first, with {train}, or prune without training, with graphprune prune MODEL -r"
        " RULES -o OUT"
    )


def check_same_architecture(before: ModelFile, wrapped: ModelFile) -> None:
    """Refuse to compare with a model of another architecture.

    Raises:
        GraphError: the two differ in more than wrappers and weights.
    """
    graphs = (_with_numbers(before.graph), _with_numbers(wrapped.graph))
    difference = find_difference(
        diff_graphs(*graphs, left_path=before.path, right_path=wrapped.path)
    )
    if difference is not None:
        raise GraphError(
            f"{before.path}: is not the model that {wrapped.path} was pruned from: {difference}; "
            "graphprune diff shows all differences, --original names another model"
        )


def _with_numbers(graph: LayerGraph) -> LayerGraph:
    """Return the graph with the weights of custom layers by number: only a wrapper says what they
    are called.
    """
    custom = {
        address: layer for address, layer in graph.layers.items() if weights_of(layer.entry) is None
    }
    numbered = {
        address: [
            (str(index), tensor.shape, tensor.dtype) for index, tensor in enumerate(layer.tensors)
        ]
        for address, layer in custom.items()
    }
    known = {
        address: [(tensor.name, tensor.shape, tensor.dtype) for tensor in layer.tensors]
        for address, layer in graph.layers.items()
    }
    return graph_with_tensors(graph, known | numbered)
