"""`graphprune strip`: remove masks and wrappers, and write the result for Keras and for serving."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from graphprune.archive.archive import keras_of
from graphprune.archive.files import check_converted_formats
from graphprune.cli.data_options import DataOptions, measure_options
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
    keras_option,
    loading_options,
    outputs_option,
)
from graphprune.cli.outputs import check_exports, check_outputs_free
from graphprune.cli.planning import import_quietly, open_to_load
from graphprune.cli.progress import IMPORTING, LOADING, live_display
from graphprune.cli.serving_options import ServingOptions, serving_options, strict_option
from graphprune.conversion.quantized import has_quantizers, opened_plain
from graphprune.diff import diff_graphs
from graphprune.diff.first_difference import find_difference
from graphprune.errors import GraphError
from graphprune.graph import LayerGraph, ModelFile
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.from_config import graph_with_tensors
from graphprune.graph.precision import in_float32
from graphprune.sparsity.missed_targets import MissedTarget, explain_missed

_MOST_NAMED = 5


@click.command("strip")
@click.argument("model")
@outputs_option
@measure_options
@click.option(
    "--original",
    metavar="MODEL",
    help="Model to compare with [default: the original of the training run, else MODEL].",
)
@keep_optimizer_option
@serving_options
@strict_option
@keras_option
@loading_options
@format_option
@force_option
def command(
    model: str,
    outputs: tuple[str, ...],
    data: DataOptions | None,
    original: str | None,
    keep_optimizer: bool,
    serving: ServingOptions,
    strict: bool,
    keras: int | None,
    loading: LoadingOptions,
    format_: str | None,
    force: bool,
) -> None:
    """Remove masks and wrappers of MODEL: the original architecture, with sparse weights.

    MODEL is a pruned model, or the folder of a finished training run. Of a model in tfmot's
    quantization wrappers, the layers inside are written.

    \b
        graphprune strip runs/a -o sparse.keras
        graphprune strip wrapped.keras -o sparse.keras -o sparse.tflite
        graphprune strip wrapped.keras -o sparse.tflite --quantize int8 --data digits.npz
        graphprune strip wrapped.keras -o sparse.keras --keras 3

    The files are for serving: compressed, without compile settings and optimizer. A SavedModel
    folder is exported for serving; with --keep-optimizer, tf_keras loads it again. .tflite and
    .onnx files are run in a process of their own and compared with the model before they are
    written. The table shows what each file holds. A warning names layers with fewer zeros than
    their target.
    """  # noqa: D301 - click wants the real character
    model_file, origin = find_model_file(model), original or find_training_origin(model)
    check_outputs_free(outputs, force=force, inputs=[model, model_file, origin])
    check_exports(outputs)
    serving.check(outputs, has_data=data is not None)
    saved = open_model(model_file)
    is_quantized = has_quantizers(saved)
    if is_quantized:
        plain = str(click.get_current_context().with_resource(_without_quantizers(saved)))
        model_file, origin = plain, plain if origin in (model, model_file) else origin
    wrapped = replace(open_to_load(model_file, loading, checks_sums=True), path=model)
    version = keras_of(wrapped.need_archive())
    if keras not in (None, version):
        check_converted_formats(outputs)
    check_same_architecture(open_model(origin), wrapped)

    with live_display() as display:
        display.say(IMPORTING)
        import_quietly(version)
        from graphprune.cli.stripped_files import StrippedFiles, write_stripped
        from graphprune.dispatch import seam_of
        from graphprune.interface import load_model

        display.say(LOADING)
        pruned = load_model(wrapped, **loading_arguments(loading))
        missed = seam_of(version, "pruner").find_missed_targets(pruned)
        surgery = seam_of(version, "surgery")
        stripped = surgery.strip_model(pruned, compiled=keep_optimizer or data is not None)
        if not is_quantized and all(layer.wrap is None for layer in wrapped.graph.layers.values()):
            _warn(f"{model}: no layer is wrapped; it is written unchanged")
        help = _advise(model, model_file, loading)
        _tell_of_missing_zeros(wrapped, missed, help, strict=strict)
        files = StrippedFiles(
            outputs, keras or version, keep_optimizer=keep_optimizer, serving=serving
        )
        write_stripped(stripped, files, origin, data, loading, format_, display, missed=missed)


@contextmanager
def _without_quantizers(saved: ModelFile) -> Iterator[Path]:
    """Give a temporary file of a model without tfmot's quantization wrappers.

    Raises:
        ArchiveError: its checksums do not match, or tf_keras may not load what is in it.
    """
    saved.need_archive().check_checksums()
    _warn(
        f"{saved.path}: the quantization wrappers of tfmot are removed; the ranges that they"
        " learned are not in what is written"
    )
    import_quietly(2)
    with opened_plain(saved) as plain:
        yield plain


def _tell_of_missing_zeros(
    wrapped: ModelFile, missed: Sequence[MissedTarget], help: str, *, strict: bool
) -> None:
    """Warn of targets that are missed, and of masked weights that were not zero.

    Stripping sets the latter to zero.

    Raises:
        GraphError: the warning is to be an error.
    """
    if missed:
        text = f"{explain_missed(missed)}; {help}"
        if strict:
            raise GraphError(f"not stripped, {text}", "strip/incomplete", place=wrapped.path)
        _warn(f"{wrapped.path}: stripped, and {text}")
    faults = {key: count for key, count in (wrapped.mask_faults or {}).items() if count}
    if not faults:
        return
    total = sum(faults.values())
    named = [f"{layer} {name} {count:,}" for (layer, name), count in faults.items()]
    rest = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    which = f"({', '.join(named[:_MOST_NAMED])}{rest})"
    if strict:
        raise GraphError(
            f"{total:,} masked weights are not zero {which}; without --strict they are written as"
            " zeros",
            "strip/incomplete",
            place=wrapped.path,
        )
    _warn(
        f"{wrapped.path}: {total:,} masked weights were not zero {which}; they are zero in what is"
        " written"
    )


def _warn(text: str) -> None:
    click.echo(f"graphprune: warning: {text}", err=True)


def _advise(model: str, model_file: str, loading: LoadingOptions) -> str:
    """Return what to do about missed targets in a wrapped model or a finished training run."""
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
    graphs = (_with_numbers(in_float32(one.graph)) for one in (before, wrapped))
    difference = find_difference(
        diff_graphs(*graphs, left_path=before.path, right_path=wrapped.path)
    )
    if difference is not None:
        raise GraphError(
            f"is not the model that {wrapped.path} was pruned from: {difference}; "
            "graphprune diff shows all differences, --original names another model",
            place=before.path,
        )


def _with_numbers(graph: LayerGraph) -> LayerGraph:
    """Return the graph with numbered weights for custom layers; only wrappers know their names."""
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
