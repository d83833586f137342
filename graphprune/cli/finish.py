"""How `train` and `resume` end: messages, the table of sizes, and the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphprune import signals
from graphprune.cli.inputs import find_training_origin, open_model
from graphprune.cli.options import LoadingOptions, ShownOptions
from graphprune.cli.progress import render_event
from graphprune.diff.sizes import measure_sizes, side_by_side
from graphprune.errors import EXIT_MISSED
from graphprune.graph import ModelFile
from graphprune.report import RejectedForm, SizeColumn, SizeTable, render_sizes_text
from graphprune.report.numbers import count_of, format_count, format_share
from graphprune.report.sizes import find_accuracy, sizes_to_config
from graphprune.report.tables import align_rows
from graphprune.runs.cluster import Cluster
from graphprune.runs.training_arguments import StopRequest

if TYPE_CHECKING:
    from graphprune.engine.progress import TensorProgress
    from graphprune.engine.training_result import TrainingResult


@dataclass(frozen=True, slots=True)
class Measured:
    """A written model: title, path, zeros, parameters, accuracy and form, None if unknown.

    `rejected` has the better forms that failed.
    """

    title: str
    path: str
    zeros: int | None
    parameters: int | None
    accuracy: float | None
    form: str | None = None
    rejected: tuple[RejectedForm, ...] = ()

    @classmethod
    def of_file(cls, title: str, path: str, weights: ModelFile, accuracy: float | None) -> Measured:
        """Return it with the zeros and parameters of `weights`, which has the same weights."""
        zeros = None if weights.zeros is None else sum(weights.zeros.values())
        return cls(title, path, zeros, weights.graph.parameters, accuracy)


def size_columns(files: Sequence[Measured]) -> tuple[SizeColumn, ...]:
    """Return the columns of the final table: the same with bytes, as they are and after gzip."""
    sizes = side_by_side(measure_sizes, *(file.path for file in files))
    return tuple(
        SizeColumn(
            file.title,
            size.raw,
            size.gzip,
            file.zeros,
            file.parameters,
            file.accuracy,
            file.form,
            file.rejected,
        )
        for size, file in zip(sizes, files, strict=True)
    )


NOTHING_GIVEN = LoadingOptions()
AS_TEXT = ShownOptions()


@contextmanager
def stoppable(
    run_folder: str, *, is_new: bool, loading: LoadingOptions = NOTHING_GIVEN
) -> Iterator[StopRequest]:
    """Yield the request that the first signal makes to stop a run.

    A second signal, or one outside training, ends the process at once.

    Args:
        run_folder: Where the run is, or will be.
        is_new: Whether the run begins: an earlier one in the folder is another.
        loading: How the command loads models, which the next one needs as well.
    """
    stop = StopRequest()
    before = _identity(run_folder) if is_new else None
    with signals.stopping(stop.ask, lambda: f"; {say_how_to_go_on(run_folder, before, loading)}"):
        yield stop


def say_how_to_go_on(
    run_folder: str, before: tuple[int, int] | None, loading: LoadingOptions = NOTHING_GIVEN
) -> str:
    """Return what to do after training in `run_folder` was stopped.

    `before` is the identity of an earlier run in that folder.
    """
    now = _identity(run_folder)
    if now is None:
        return "no run was begun"
    if now == before:
        return f"no run was begun, the earlier one in {run_folder} is unchanged"
    return f"go on with: {resume_command(run_folder, loading)}"


def _identity(run_folder: str) -> tuple[int, int] | None:
    """Return the identity of the run in a folder, or None without a run."""
    try:
        found = (Path(run_folder) / "run.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def resume_command(run_folder: str | Path, loading: LoadingOptions = NOTHING_GIVEN) -> str:
    """Return the command that continues a run, as it is typed.

    Example:
        >>> resume_command("my runs/a")
        "graphprune resume 'my runs/a'"
    """
    return f"graphprune resume {shlex.quote(str(run_folder))}{loading.typed}"


def end_run(
    result: TrainingResult,
    stop: StopRequest,
    loading: LoadingOptions,
    shown: ShownOptions,
    cluster: Cluster | None = None,
) -> None:
    """Say how the run ended and what to do next, and exit with its code.

    As JSON, that is one line on stdout, whatever ended it. Of several workers, the chief says it.
    """
    if cluster is not None and not cluster.is_chief:
        check_stop(result, stop, loading)
        if result.missed:
            raise click.exceptions.Exit(EXIT_MISSED)
        return
    if shown.is_json:
        click.echo(render_event("result", result_to_config(result)))
    check_stop(result, stop, loading)
    report_run(result, loading, shown)


def result_to_config(result: TrainingResult) -> dict[str, Any]:
    """Return how a run ended as JSON data; sizes are those of a finished run."""
    is_done = result.model is not None
    return {
        "status": result.status,
        "run": str(result.run_dir),
        "step": result.step,
        "steps": result.steps,
        "model": None if result.model is None else str(result.model),
        "metrics": dict(result.metrics),
        "original_metrics": dict(result.original_metrics),
        "stripped_metrics": dict(result.stripped_metrics),
        "stopped_early": result.stopped_early,
        "tensors": [asdict(tensor) for tensor in result.tensors],
        "best": None if result.best is None else asdict(result.best),
        "best_model": None if result.best_model is None else str(result.best_model),
        "missed": [{"address": one.address, "name": one.name} for one in result.missed],
        "sizes": sizes_to_config(size_table(result)) if is_done else [],
        "warnings": list(result.warnings),
    }


def check_stop(
    result: TrainingResult, stop: StopRequest, loading: LoadingOptions = NOTHING_GIVEN
) -> None:
    """If a signal stopped the run, say where it is and exit with the signal's code."""
    if not stop.asked:
        return
    if result.status == "interrupted":
        text = (
            f"stopped after step {result.step} of {result.steps}; go on with:"
            f" {resume_command(result.run_dir, loading)}"
        )
    else:
        text = (
            "stopped when the run was finished; see it with:"
            f" {resume_command(result.run_dir, loading)}"
        )
    signals.say(f"graphprune: {text}")
    raise click.exceptions.Exit(signals.EXIT_SIGNAL + signals.first_signal())


def report_run(
    result: TrainingResult, loading: LoadingOptions = NOTHING_GIVEN, shown: ShownOptions = AS_TEXT
) -> None:
    """Print how the run ended and what to do next; exit 3 if a tensor missed its target."""
    if shown.form == "text":
        click.echo(_report(result, loading, brief=shown.brief))
    if result.missed:
        names = ", ".join(f"{tensor.address} {tensor.name}" for tensor in result.missed)
        click.echo(
            f"graphprune: {result.run_dir}: target missed by {names}; {_advise(result)}", err=True
        )
        raise click.exceptions.Exit(EXIT_MISSED)


def _report(result: TrainingResult, loading: LoadingOptions, *, brief: bool) -> str:
    if result.model is None and result.status != "interrupted":
        return _say_measured(result)
    if result.status == "interrupted":
        return (
            f"stopped after step {result.step} of {result.steps}; go on with:"
            f" {resume_command(result.run_dir, loading)}"
        )
    lines = []
    if result.status == "already-finished":
        lines.append(f"{result.run_dir}: finished already, at step {result.step}; nothing to do")
    if result.stopped_early:
        lines.append(result.stopped_early)
    lines += [*(brief_rows(result) if brief else tensor_rows(result)), ""]
    did = "wrote" if result.status == "finished" else "the trained model is"
    run = shlex.quote(str(result.run_dir))
    return "\n".join(
        [
            *lines,
            render_sizes_text(size_table(result)),
            *([*drops, ""] if (drops := drop_rows(result)) else []),
            f"{did} {result.model}",
            *_best_lines(result),
            f"next: graphprune strip {run} -o sparse.keras{loading.typed}",
        ]
    )


def _best_lines(result: TrainingResult) -> list[str]:
    """Return a line on the best epoch, if the run kept it."""
    best = result.best
    if best is None or result.best_model is None:
        return []
    short = "" if best.at_target else ", before the target sparsity"
    return [
        f"best {best.metric} {best.value:.4g}: epoch {best.epoch}, step {best.step}{short};"
        f" {result.best_model}"
    ]


def _say_measured(result: TrainingResult) -> str:
    """Return what a dry run or a measurement found."""
    rows = [(name, f"{value:.4f}") for name, value in result.original_metrics.items()]
    lines = align_rows(rows, right={1})
    if result.status == "evaluated":
        return "\n".join(lines)
    said = f"model, rules, data and settings fit, for {result.steps} steps; nothing was written"
    return "\n".join([*(["the original on the test set:", *lines, ""] if lines else []), said])


def _advise(result: TrainingResult) -> str:
    """Return what helps against missed targets; more training does not help without a gradient."""
    still = [
        address
        for address in result.standing_still
        if any(tensor.address == address for tensor in result.missed)
    ]
    longer = "train for more epochs, or let the schedule end earlier"
    if not still:
        return longer
    why = (
        f"the loss gives no gradient for {', '.join(still)}; freeze such layers, or leave them out"
        " of the rules"
    )
    return (
        why
        if {tensor.address for tensor in result.missed} <= set(still)
        else f"{why}; for the others, {longer}"
    )


def size_table(result: TrainingResult) -> SizeTable:
    """Return the sizes and zeros of a run's original and trained model, and the accuracy."""
    columns = [
        ("before", find_training_origin(str(result.run_dir)), _accuracy(result.original_metrics)),
        ("after", str(result.run_dir), find_accuracy(result.final_metrics)),
    ]
    models = [(title, open_model(path), accuracy) for title, path, accuracy in columns]
    return SizeTable(
        size_columns(
            [
                Measured.of_file(title, model.need_archive().path, model, accuracy)
                for title, model, accuracy in models
            ]
        )
    )


def _accuracy(original: Mapping[str, Any]) -> float | None:
    """Return the accuracy of the original on the validation data; None if there is none."""
    return find_accuracy({f"val_{name}": value for name, value in original.items()})


def drop_rows(result: TrainingResult) -> list[str]:
    """Return one line a metric that the original and the trained model have: both, and the change.

    The trained model is measured in the original's precision.

    Metrics of each output have its name. Losses are left out, unless there is nothing else.
    """
    trained = result.final_metrics
    measured = {name: one for name, one in result.original_metrics.items() if "loss" not in name}
    rows = [
        (name, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
        for name, before in (measured or result.original_metrics).items()
        if isinstance(after := trained.get(f"val_{name}"), int | float)
    ]
    head = ("test set", "before", "after", "change")
    return align_rows([head, *rows], right={1, 2, 3}) if rows else []


def brief_rows(result: TrainingResult) -> list[str]:
    """Return one line for all tensors that met their targets, and one for each that did not."""
    met = len(result.tensors) - len(result.missed)
    zeros, size = (sum(getattr(one, name) for one in result.tensors) for name in ("zeros", "size"))
    share = format_share(zeros / max(1, size))
    whole = count_of(len(result.tensors), "tensor")
    return [f"{met} of {whole} met the target, {share} zeros", *_rows(result.missed)]


def tensor_rows(result: TrainingResult) -> list[str]:
    """Return one line a pruned tensor: zeros, measured sparsity, and whether the target was met."""
    return _rows(result.tensors)


def _rows(tensors: Sequence[TensorProgress]) -> list[str]:
    rows = [
        (
            tensor.address,
            tensor.name,
            f"{format_count(tensor.zeros)} of {format_count(tensor.size)}",
            format_share(tensor.zeros / tensor.size),
            (
                "target met"
                if tensor.zeros >= tensor.target_zeros
                else f"target {format_count(tensor.target_zeros)} missed"
            ),
        )
        for tensor in tensors
    ]
    return align_rows(rows, right={2, 3})
