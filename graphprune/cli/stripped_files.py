"""Write the models of `strip` and `prune`, with a table that compares them with the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from graphprune.archive.files import MODEL_SUFFIXES
from graphprune.cli.finish import Measured, size_columns
from graphprune.cli.inputs import loading_arguments, open_model
from graphprune.cli.options import LoadingOptions
from graphprune.cli.progress import Display
from graphprune.conversion.convert import convert
from graphprune.dispatch import is_keras_3, seam
from graphprune.documents import to_json
from graphprune.graph.read import open_model_file
from graphprune.interface import load_model
from graphprune.report import SizeTable, render_sizes_text, sizes_to_config
from graphprune.sparsity.missed_targets import MissedTarget


@dataclass(frozen=True, slots=True)
class StrippedFiles:
    """What to write.

    Attributes:
        outputs: Files and folders, each in the format that its name says.
        keras: The Keras that is to read them: 2 for tf_keras, or 3.
        keep_optimizer: Write the compile settings and the optimizer's state too.
    """

    outputs: tuple[str, ...]
    keras: int
    keep_optimizer: bool = False


def write_stripped(
    stripped: Any,
    files: StrippedFiles,
    origin: str,
    data: str | None,
    loading: LoadingOptions,
    format_: str | None,
    display: Display,
    *,
    missed: Sequence[MissedTarget] = (),
) -> None:
    """Write a model without wrappers, and print its size, sparsity and accuracy beside `origin`.

    Args:
        stripped: The live model to write.
        files: What to write, and for which Keras.
        origin: The saved model to compare with.
        data: What to measure accuracy on; None measures none.
        loading: How `origin` is loaded where its accuracy is measured.
        format_: `json` prints the table as JSON on stdout, and the rest on stderr.
        display: Says what is being done, until the table is printed.
        missed: Tensors that are less sparse than their target, for the JSON.

    Raises:
        GraphpruneError: the data does not fit, or an output cannot be written.
    """
    before = open_model(origin)
    path = before.need_archive().path
    accuracies: tuple[float | None, float | None] = (None, None)
    if data is not None:
        display.say("measuring accuracy")
        accuracies = _measure(path, stripped, data, loading)
        if accuracies[1] is None:
            text = f"{origin}: was compiled without a metric of accuracy, so none is shown"
            click.echo(f"graphprune: warning: {text}", err=True)
    served = stripped
    if getattr(stripped, "optimizer", None) is not None and not files.keep_optimizer:
        served = seam(stripped, "surgery").strip_model(stripped, compiled=False)
    for output in files.outputs:
        display.say(f"writing {output}")
        _write(served, output, files.keras, loading)
    zeros = sum(seam(stripped, "live").count_zeros(stripped).values())
    after = zeros, stripped.count_params(), accuracies[1]
    columns = [
        Measured.of_file("before", path, before, accuracies[0]),
        *(Measured(Path(output).name, output, *after) for output in files.outputs),
    ]
    table = SizeTable(size_columns(columns))
    display.close()
    _print_table(table, files.outputs, missed, as_json=format_ == "json")


def _write(served: Any, output: str, keras: int, loading: LoadingOptions) -> None:
    """Write a stripped model for a Keras, converted to it if it is of the other one."""
    suffix, saving = Path(output).suffix, seam(served, "saving")
    if keras != (3 if is_keras_3(served) else 2):
        with TemporaryDirectory(prefix="graphprune-") as folder:
            own = Path(folder, "own.keras")
            saving.save_model(served, own)
            convert(open_model_file(own), Path(output), keras)
        return
    if suffix in MODEL_SUFFIXES:
        load = partial(load_model, **loading_arguments(loading))
        saving.check_reads_back(served, suffix, output, load)
    seam(served, "export").write_model(served, output)


def _measure(
    origin: str, stripped: Any, data: str, loading: LoadingOptions
) -> tuple[float | None, float | None]:
    """Return the accuracy of the saved model `origin` and of `stripped` on the data."""
    evaluation, version = seam(stripped, "evaluation"), 3 if is_keras_3(stripped) else 2
    original = load_model(origin, **loading_arguments(loading), keras=version)
    before, after = evaluation.measure_accuracies([original, stripped], data)
    return before, after


def _print_table(
    table: SizeTable, outputs: Sequence[str], missed: Sequence[MissedTarget], *, as_json: bool
) -> None:
    """Print the table and what was written; all models but the first have the missed targets."""
    if as_json:
        columns = [
            {**column, "missed_targets": [asdict(tensor) for tensor in missed if index]}
            for index, column in enumerate(sizes_to_config(table))
        ]
        click.echo(to_json(columns), nl=False)
    else:
        click.echo(render_sizes_text(table), nl=False)
    for output in outputs:
        click.echo(f"wrote {output}", err=as_json)
