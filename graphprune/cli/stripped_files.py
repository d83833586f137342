"""Write the models of `strip` and `prune`, with a table of what each written file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from graphprune.archive.files import MODEL_SUFFIXES
from graphprune.cli.data_options import DataOptions
from graphprune.cli.finish import Measured, size_columns
from graphprune.cli.inputs import loading_arguments, open_model
from graphprune.cli.options import LoadingOptions
from graphprune.cli.progress import Display
from graphprune.cli.serving_options import ServingOptions
from graphprune.conversion.convert import convert
from graphprune.dispatch import is_keras_3, seam
from graphprune.documents import to_json
from graphprune.engine.file_data import FileData
from graphprune.files import temporary_folder
from graphprune.graph.read import open_model_file
from graphprune.interface import load_model
from graphprune.report import RejectedForm, SizeTable, render_sizes_text, sizes_to_config
from graphprune.report.numbers import format_bytes
from graphprune.serving.predicting import open_predictor
from graphprune.serving.tflite_forms import TfliteRequest
from graphprune.serving.tflite_writing import MadeTflite
from graphprune.serving.written_zeros import count_written
from graphprune.sparsity.missed_targets import MissedTarget

DEFAULTS = ServingOptions()


@dataclass(frozen=True, slots=True)
class StrippedFiles:
    """What to write.

    Attributes:
        outputs: Files and folders, each in the format that its name says.
        keras: The Keras that is to read them: 2 for tf_keras, or 3.
        keep_optimizer: Write the compile settings and the optimizer's state too.
        serving: How `.tflite` files are stored.
    """

    outputs: tuple[str, ...]
    keras: int
    keep_optimizer: bool = False
    serving: ServingOptions = DEFAULTS


def write_stripped(
    stripped: Any,
    files: StrippedFiles,
    origin: str,
    data: DataOptions | None,
    loading: LoadingOptions,
    format_: str | None,
    display: Display,
    *,
    missed: Sequence[MissedTarget] = (),
) -> None:
    """Write a model without wrappers, and print what each file holds beside `origin`.

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
    writing = _Writing(stripped, files, loading, display)
    accuracy = None if data is None else writing.measure_original(path, data.of_model(before.graph))
    columns = [Measured.of_file("before", path, before, accuracy)]
    try:
        columns += [writing.write(output) for output in files.outputs]
    except BaseException:
        display.close()
        for output in writing.written:
            click.echo(f"wrote {output}", err=True)
        raise
    table = SizeTable(size_columns(columns))
    display.close()
    _print_table(table, files.outputs, missed, as_json=format_ == "json")


class _Writing:
    """The writing of one model to several files, and what is measured on each.

    Attributes:
        written: The files that are there, whole, also where a later one fails.
    """

    def __init__(
        self, stripped: Any, files: StrippedFiles, loading: LoadingOptions, display: Display
    ) -> None:
        self._stripped, self._files = stripped, files
        self._loading, self._display = loading, display
        self._served = stripped
        self.written: list[str] = []
        if getattr(stripped, "optimizer", None) is not None and not files.keep_optimizer:
            self._served = seam(stripped, "surgery").strip_model(stripped, compiled=False)
        self._evaluation: Any = None
        self._request = TfliteRequest(files.serving.quantize, files.serving.batch)

    def measure_original(self, origin: str, data: str | FileData) -> float | None:
        """Return the accuracy of the saved model `origin`; that of files is measured from now on.

        Raises:
            DataError: the data does not fit.
        """
        self._display.say("measuring accuracy")
        version = 3 if is_keras_3(self._stripped) else 2
        original = load_model(origin, **loading_arguments(self._loading), keras=version)
        is_compiled = getattr(self._stripped, "optimizer", None) is not None
        judge = self._stripped if is_compiled else original
        evaluation = seam(judge, "evaluation").Evaluation(judge, data)
        self._request = replace(self._request, samples=evaluation.samples())
        if evaluation.of_original(judge) is None:
            _warn(f"{origin}: was compiled without a metric of accuracy, so none is shown")
        else:
            self._evaluation = evaluation
        accuracy: float | None = evaluation.of_original(original)
        return accuracy

    def write(self, output: str) -> Measured:
        """Write one file, and return what it holds."""
        self._display.say(f"writing {output}")
        target = Path(output)
        made = self._write(target)
        self.written.append(output)
        counted = count_written(target)
        return Measured(
            target.name,
            output,
            None if counted is None else counted.zeros,
            None if counted is None else counted.parameters,
            self._measure_accuracy(target),
            None if made is None else str(made.form),
            () if made is None else rejected_forms(made),
        )

    def _write(self, target: Path) -> MadeTflite | None:
        """Write a file for a Keras; the model is converted if it is of the other one."""
        served, files, loading = self._served, self._files, loading_arguments(self._loading)
        saving = seam(served, "saving")
        if files.keras != (3 if is_keras_3(served) else 2):
            with temporary_folder() as folder:
                own = Path(folder, "own.keras")
                saving.save_model(served, own)
                convert(open_model_file(own), target, files.keras)
            return None
        if target.suffix in MODEL_SUFFIXES:
            saving.check_reads_back(
                served, target.suffix, str(target), lambda path: load_model(path, **loading)
            )
        made: MadeTflite | None = seam(served, "export").write_model(
            served, target, self._request, for_training=files.keep_optimizer
        )
        if made is not None and made.rejected:
            _warn(explain_fallback(target, made))
        if made is not None and made.slower is not None:
            _warn(explain_slower(target, made.slower, made.saved))
        return made

    def _measure_accuracy(self, target: Path) -> float | None:
        """Return the accuracy of a written file, run as it will be served."""
        if self._evaluation is None:
            return None
        found: float | None
        if target.suffix in MODEL_SUFFIXES or (target / "keras_metadata.pb").is_file():
            loaded = load_model(target, **loading_arguments(self._loading))
            found = self._evaluation.of_model(loaded)
        else:
            with open_predictor(target) as compute:
                found = self._evaluation.of_outputs(compute)
        return found


def rejected_forms(made: MadeTflite) -> tuple[RejectedForm, ...]:
    """Return the better forms that a `.tflite` file is not stored in."""
    return tuple(RejectedForm(str(one.form), one.reason) for one in made.rejected)


def explain_fallback(target: Path, made: MadeTflite) -> str:
    """Return why a `.tflite` file is not stored in the form that was asked for."""
    faults = "; ".join(f"{one.form}: {one.reason}" for one in rejected_forms(made))
    return f"{target}: stored as {made.form}, because better forms do not work ({faults})"


def explain_slower(target: Path, slower: float, saved: int) -> str:
    """Return that a sparse `.tflite` file takes more time, and why it is written all the same."""
    return (
        f"{target}: is {format_bytes(saved)} smaller without its zeros, and takes {slower:.1f}"
        " times as long here as with them; prune in blocks that LiteRT skips (graphprune targets),"
        " or measure on the device with graphprune bench"
    )


def _warn(text: str) -> None:
    click.echo(f"graphprune: warning: {text}", err=True)


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
