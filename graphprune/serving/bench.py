"""Measures models in processes of their own: latency in turns, memory, size and accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.diff.sizes import measure_sizes, side_by_side
from graphprune.errors import DataError
from graphprune.report.bench import Bench, BenchLatency, BenchLayer, BenchModel
from graphprune.report.numbers import format_share
from graphprune.serving.bench_data import BenchData
from graphprune.serving.outputs import Arrays
from graphprune.serving.processor import Processor, read_processor
from graphprune.serving.running import Runner, open_runner, sample_inputs_of
from graphprune.serving.runtimes import RunnerError, RunnerSpec, Runtime
from graphprune.serving.sparse_layers import find_layer_runs
from graphprune.serving.timing import TURNS, Timing, time_in_turns

_BATCH = 32
"""Samples at a time where accuracy is measured, if the model leaves the batch open."""
_COMPUTES_WITH_ZEROS = {
    Runtime.ONNX: "onnxruntime computes with the zeros too: no layer runs sparse",
    Runtime.KERAS: "Keras computes with the zeros too: no layer runs sparse",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to measure.

    Attributes:
        path: What reports call it.
        spec: What runs, and whose size counts.
    """

    path: str
    spec: RunnerSpec


@dataclass
class _Measured:
    """A model while it is measured."""

    candidate: Candidate
    model: BenchModel
    runner: Runner | None = None
    error: RunnerError | None = None
    inputs: Arrays = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fail(self, error: RunnerError) -> None:
        """Keep why it does not run."""
        self.runner, self.error = None, error
        self.model = replace(
            self.model, fault=error.fault.reason, latency=None, memory=None, accuracy=None
        )


def bench_models(
    candidates: Sequence[Candidate],
    data: BenchData | None = None,
    *,
    turns: int = TURNS,
    seed: int = 0,
) -> Bench:
    """Return the measurements of some models; one that does not run has the reason.

    Args:
        candidates: The models; the first that runs is the one that ratios compare with.
        data: For accuracy, and the first sample for latency; None takes a random sample.
        turns: Turns of each model.
        seed: The seed of the random sample.

    Raises:
        ArchiveError: there is no such file.
        DataError: a model does not take the data.
        RunnerError: none of the models runs; it is the error of the first.
    """
    processor = read_processor()
    sizes = side_by_side(measure_sizes, *(each.spec.path for each in candidates))
    with ExitStack() as stack:
        all_measured = [
            _open(each, BenchModel(each.path, "", size.raw, size.gzip), stack)
            for each, size in zip(candidates, sizes, strict=True)
        ]
        _prepare(all_measured, data, seed)
        _compare(all_measured)
        _time(all_measured, turns)
        first = all_measured[0].error
        if first is not None and all(each.error is not None for each in all_measured):
            raise RunnerError(first.fault, all_measured[0].candidate.path)
        for each in all_measured:
            _measure_rest(each, data, processor)
    threads = candidates[0].spec.threads
    sample = f"1 random sample (seed {seed})" if data is None else f"1 sample of {data.spec}"
    models = tuple(replace(each.model, notes=tuple(each.notes)) for each in all_measured)
    return Bench(models, str(processor), threads, sample, turns)


def _open(candidate: Candidate, model: BenchModel, stack: ExitStack) -> _Measured:
    measured = _Measured(candidate, model)
    try:
        measured.runner = stack.enter_context(open_runner(candidate.spec))
        measured.model = replace(model, runtime=measured.runner.version)
    except RunnerError as error:
        measured.fail(error)
    return measured


def _prepare(models: Sequence[_Measured], data: BenchData | None, seed: int) -> None:
    for each in models:
        if each.runner is None:
            continue
        inputs = (
            sample_inputs_of(each.runner.inputs, 1, seed)
            if data is None
            else _inputs(each, data, 0, _batch_of(each.runner) or 1)
        )
        if not inputs:
            raise DataError(
                "the inputs of this model are not known before it is called; give samples with"
                " --data",
                place=each.candidate.path,
            )
        each.inputs = inputs
        try:
            each.runner.prepare(inputs)
        except RunnerError as error:
            each.fail(error)


def _compare(models: Sequence[_Measured]) -> None:
    """Compare the outputs of each model that runs with those of the first."""
    first: tuple[Arrays, Arrays] | None = None
    for each in models:
        if each.runner is None:
            continue
        try:
            outputs = each.runner.outputs(each.inputs)
        except RunnerError as error:
            each.fail(error)
            continue
        own = each.inputs, outputs
        if first is None:
            first = own
        elif _are_same(first[0], each.inputs):
            each.model = replace(
                each.model, difference=find_difference(*_paired(first[1], outputs))
            )


def _paired(one: Arrays, other: Arrays) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return the arrays of two models in one order.

    Formats list the same names in different orders; where they give other names, the order counts.

    Example:
        >>> _paired({"a": 1, "b": 2}, {"b": 3, "a": 4})
        ([1, 2], [4, 3])
        >>> _paired({"a": 1, "b": 2}, {"output_0": 3, "output_1": 4})
        ([1, 2], [3, 4])
    """
    names = list(one) if set(one) == set(other) else list(other)
    return list(one.values()), [other[name] for name in names]


def _are_same(one: Arrays, other: Arrays) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, *_paired(one, other)))


def find_difference(wanted: Sequence[NDArray[Any]], got: Sequence[NDArray[Any]]) -> float | None:
    """Return the largest difference of outputs, as a share of the largest wanted value.

    None for other shapes, and for outputs that are not numbers.

    Example:
        >>> find_difference([np.array([1.0, -4.0])], [np.array([1.0, -3.0])])
        0.25
    """
    if [array.shape for array in wanted] != [array.shape for array in got]:
        return None
    if any(array.dtype.kind not in "biuf" for array in (*wanted, *got)):
        return None
    largest = max((float(np.abs(array).max(initial=0)) for array in wanted), default=0.0)
    pairs = zip(wanted, got, strict=True)
    apart = max(
        (float(np.abs(a - b.astype(np.float64)).max(initial=0)) for a, b in pairs), default=0
    )
    return apart / largest if largest else apart


def _time(models: Sequence[_Measured], turns: int) -> None:
    """Time all models that run; one that fails while it is timed is left out of a new round."""
    while True:
        running = [(each, each.runner) for each in models if each.runner is not None]
        if not running:
            return
        try:
            timings = time_in_turns([runner for _, runner in running], turns)
        except RunnerError as error:
            for each, runner in running:
                if runner.spec.path == error.path:
                    each.fail(error)
            continue
        for (each, _), timing in zip(running, timings, strict=True):
            each.model = replace(each.model, latency=_to_latency(timing))
        return


def _to_latency(timing: Timing) -> BenchLatency:
    seconds, ratio = timing.seconds, timing.ratio
    return BenchLatency(
        *(seconds.median, seconds.low, seconds.high),
        *(ratio.median, ratio.low, ratio.high),
        timing.runs,
    )


def _measure_rest(each: _Measured, data: BenchData | None, processor: Processor) -> None:
    """Measure memory and accuracy, and find the layers that run sparse."""
    spec = each.candidate.spec
    if spec.runtime is not Runtime.LITERT:
        each.notes.append(_COMPUTES_WITH_ZEROS[spec.runtime])
    elif each.runner is not None:
        layers = find_layer_runs(spec.path, processor)
        each.model = replace(
            each.model,
            layers=tuple(
                BenchLayer(run.name, run.operator, run.zeros, run.is_sparse, run.reason)
                for run in layers
            ),
        )
    if each.runner is None:
        return
    try:
        each.model = replace(each.model, memory=each.runner.peak_memory())
        if data is not None:
            each.model = replace(each.model, accuracy=_measure_accuracy(each, each.runner, data))
    except RunnerError as error:
        each.fail(error)


def _measure_accuracy(each: _Measured, runner: Runner, data: BenchData) -> float | None:
    """Return the share of right answers; None, with a note, for what is not a classifier."""
    batch, right = _batch_of(runner) or _BATCH, Counter[str]()
    for start in range(0, len(data), batch):
        outputs = runner.outputs(_inputs(each, data, start, batch))
        try:
            right.update(data.count_right(outputs, start))
        except DataError as fault:
            each.notes.append(f"accuracy not measured: {fault.text}")
            return None
    if len(right) > 1:
        shares = (f"{name} {format_share(count / len(data))}" for name, count in right.items())
        each.notes.append(f"accuracy is the mean of {', '.join(shares)}")
    return sum(right.values()) / len(right) / len(data)


def _batch_of(runner: Runner) -> int | None:
    """Return the fixed batch size of a model; None where it is open."""
    return next((spec.shape[0] for spec in runner.inputs if spec.shape), None)


def _inputs(each: _Measured, data: BenchData, start: int, batch: int) -> Arrays:
    """Return a batch of samples; the first ones fill up the last batch."""
    assert each.runner is not None
    names = [spec.name for spec in each.runner.inputs] or ["input"]
    rows = data.rows(names, start, batch, each.candidate.path)
    data.check_shapes(rows, each.runner.inputs, each.candidate.path)
    return rows
