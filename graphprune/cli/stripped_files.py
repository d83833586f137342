"""Write the models of `strip` and `prune`, with a table that compares them with the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from graphprune.archive.files import MODEL_SUFFIXES
from graphprune.cli.finish import Measured, size_columns
from graphprune.cli.inputs import loading_arguments, open_model
from graphprune.cli.options import LoadingOptions
from graphprune.cli.progress import Display
from graphprune.documents import to_json
from graphprune.report import SizeTable, render_sizes_text, sizes_to_config
from graphprune.sparsity.missed_targets import MissedTarget
from graphprune.tf.models.export import write_model
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import check_reads_back
from graphprune.tf.pruning.live_graph import count_zeros
from graphprune.tf.pruning.surgery import strip_model
from graphprune.tf.training.data import read_data
from graphprune.tf.training.evaluation import measure_accuracy


def write_stripped(
    stripped: Any,
    outputs: tuple[str, ...],
    origin: str,
    data: str | None,
    loading: LoadingOptions,
    format_: str | None,
    display: Display,
    *,
    keep_optimizer: bool = False,
    missed: Sequence[MissedTarget] = (),
) -> None:
    """Write a model without wrappers, and print its size, sparsity and accuracy beside `origin`.

    Args:
        stripped: The live model to write.
        outputs: Files and folders, each in the format that its name says.
        origin: The saved model to compare with.
        data: What to measure accuracy on; None measures none.
        loading: How `origin` is loaded where its accuracy is measured.
        format_: `json` prints the table as JSON on stdout, and the rest on stderr.
        display: Says what is being done, until the table is printed.
        keep_optimizer: Write the compile settings and the optimizer's state too.
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
    if stripped.optimizer is not None and not keep_optimizer:
        served = strip_model(stripped, compiled=False)
    load = partial(load_model, **loading_arguments(loading))
    for output in outputs:
        display.say(f"writing {output}")
        suffix = Path(output).suffix
        if suffix in MODEL_SUFFIXES:
            check_reads_back(served, suffix, output, load)
        write_model(served, output)
    after = sum(count_zeros(stripped).values()), stripped.count_params(), accuracies[1]
    files = [
        Measured.of_file("before", path, before, accuracies[0]),
        *(Measured(Path(output).name, output, *after) for output in outputs),
    ]
    table = SizeTable(size_columns(files))
    display.close()
    _print_table(table, outputs, missed, as_json=format_ == "json")


def _measure(
    origin: str, stripped: Any, data: str, loading: LoadingOptions
) -> tuple[float | None, float | None]:
    """Return the accuracy of the saved model `origin` and of `stripped` on the data."""
    samples = read_data(data)
    original = load_model(origin, **loading_arguments(loading))
    return measure_accuracy(original, samples), measure_accuracy(stripped, samples)


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
