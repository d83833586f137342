"""Models side by side: latency, size, memory, accuracy, and which layers run sparse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.report.numbers import count_of, format_bytes, format_share
from graphprune.report.tables import align_rows, render_lines, shorten_middle, to_lines

FORMAT_VERSION = "1.0"
KIND = "graphprune.bench"
_LISTED = 8
"""Layers that a line names."""
_NAME = 40
"""Characters of a layer's name."""


@dataclass(frozen=True, slots=True)
class BenchLatency:
    """The time of one run in seconds, and its ratio to that of the first model.

    Attributes:
        median, low, high: The median and the quartiles of all runs.
        ratio, ratio_low, ratio_high: The same of the ratio, over the turns.
        runs: Runs that were timed.
    """

    median: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    runs: int


@dataclass(frozen=True, slots=True)
class BenchLayer:
    """A layer with weights, and how it ran."""

    name: str
    operator: str
    zeros: float
    is_sparse: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BenchModel:
    """One model.

    Attributes:
        path: The file or folder.
        runtime: What ran it, with its version; empty if it did not run.
        raw, gzip: Bytes of the file, and after gzip.
        latency: How long it took; None if it did not run.
        memory: Bytes that it took at most, beyond the runtime.
        accuracy: Share of right answers, 0 to 1; None where it was not measured.
        difference: The largest difference of its outputs from those of the first model that runs,
            as a share of their largest value; None where inputs or outputs have other shapes.
        layers: Its layers with weights, where the runtime has sparse kernels.
        notes: What else is to be known: why accuracy was not measured, or nothing runs sparse.
        fault: Why it did not run.
    """

    path: str
    runtime: str
    raw: int
    gzip: int
    latency: BenchLatency | None = None
    memory: int | None = None
    accuracy: float | None = None
    difference: float | None = None
    layers: tuple[BenchLayer, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """The models, and how they were measured.

    Attributes:
        models: In the order in which they were given.
        processor: The processor of the machine.
        threads: Threads of the runtimes.
        inputs: What they ran on: `1 random sample (seed 0)`.
        turns: Turns of each model.
    """

    models: tuple[BenchModel, ...]
    processor: str
    threads: int
    inputs: str
    turns: int
    format_version: str = field(default=FORMAT_VERSION, init=False)


def bench_to_config(bench: Bench) -> dict[str, Any]:
    """Return the measurements as JSON data: seconds, bytes and shares."""
    return {"kind": KIND, **asdict(bench)}


def render_bench_text(bench: Bench, width: int | None = None) -> str:
    """Return the measurements as a table, with the layers that ran sparse below.

    Example:
        >>> latency = BenchLatency(0.0012, 0.0011, 0.0013, 1.0, 1.0, 1.0, 400)
        >>> model = BenchModel("a.tflite", "LiteRT 2", 2000, 900, latency, 3_000_000)
        >>> bench = Bench((model,), "aarch64", 1, "1 random sample (seed 0)", 20)
        >>> print(render_bench_text(bench), end="")
        aarch64; 1 thread; 1 random sample (seed 0); 20 turns of each model
        <BLANKLINE>
                  latency  half of all runs    ratio    size   gzip  memory
        a.tflite  1.20 ms  1.10 ms to 1.30 ms  1.00x  2.0 kB  900 B  3.0 MB
        <BLANKLINE>
        a.tflite: LiteRT 2
    """
    head = (
        f"{bench.processor}; {count_of(bench.threads, 'thread')}; {bench.inputs};"
        f" {count_of(bench.turns, 'turn')} of each model"
    )
    table = align_rows(list(_rows(bench)), right={1, 4, 5, 6, 7, 8})
    blocks = ["\n".join(_details(model)) for model in bench.models]
    return render_lines(to_lines("\n\n".join([head, "\n".join(table), *blocks])), width)


def _rows(bench: Bench) -> Iterator[tuple[str, ...]]:
    ran = [model for model in bench.models if model.latency is not None]
    is_measured = any(model.accuracy is not None for model in bench.models)
    is_compared = any(model.difference is not None for model in bench.models)
    yield (
        "",
        "latency" if ran else "",
        "half of all runs" if ran else "",
        "ratio" if ran else "",
        *("size", "gzip"),
        "memory" if ran else "",
        "accuracy" if is_measured else "",
        "outputs differ" if is_compared else "",
    )
    for model in bench.models:
        yield (
            model.path,
            *_latency_cells(model.latency),
            format_bytes(model.raw),
            format_bytes(model.gzip),
            "" if model.memory is None else format_bytes(model.memory),
            "" if model.accuracy is None else format_share(model.accuracy),
            "" if model.difference is None else _format_difference(model.difference),
        )


def _latency_cells(latency: BenchLatency | None) -> tuple[str, str, str]:
    if latency is None:
        return "", "", ""
    ratio = f"{latency.ratio:.2f}x"
    low, high = f"{latency.ratio_low:.2f}", f"{latency.ratio_high:.2f}"
    return (
        format_seconds(latency.median),
        f"{format_seconds(latency.low)} to {format_seconds(latency.high)}",
        ratio if low == high else f"{ratio} ({low} to {high})",
    )


def _format_difference(share: float) -> str:
    """Return a difference as percent, or as a multiple where it is larger than the outputs.

    Example:
        >>> _format_difference(0.012), _format_difference(490.3)
        ('1.2%', '490x')
    """
    return format_share(share) if share <= 1 else f"{share:,.3g}x"


def format_seconds(seconds: float) -> str:
    """Return a time with three digits and a unit.

    Example:
        >>> format_seconds(0.0000123), format_seconds(0.0456), format_seconds(1.5)
        ('12.3 us', '45.6 ms', '1.50 s')
    """
    for unit, length in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * length:
            return f"{_three_digits(seconds / length)} {unit}"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    decimals = sum(value < limit for limit in (9.995, 99.95))
    return f"{value:.{decimals}f}"


def _details(model: BenchModel) -> Iterator[str]:
    name = escape_controls(model.path)
    if model.fault is not None:
        yield f"{name}: does not run: {escape_controls(model.fault)}"
        return
    sparse = sum(layer.is_sparse for layer in model.layers)
    counted = (
        f"; {sparse} of {count_of(len(model.layers), 'layer')} with weights ran sparse"
        if model.layers
        else ""
    )
    yield f"{name}: {escape_controls(model.runtime)}{counted}"
    for reason, layers in _by_reason(model.layers).items():
        word = "sparse" if layers[0].is_sparse else "dense"
        yield f"  {word}: {reason}: {_listed(layers)}"
    yield from (f"  {escape_controls(note)}" for note in model.notes)


def _by_reason(layers: Sequence[BenchLayer]) -> dict[str, list[BenchLayer]]:
    groups: dict[str, list[BenchLayer]] = {}
    for layer in sorted(layers, key=lambda layer: not layer.is_sparse):
        groups.setdefault(layer.reason, []).append(layer)
    return groups


def _listed(layers: Sequence[BenchLayer]) -> str:
    shown = [
        f"{_shorten_name(layer.name)} ({format_share(layer.zeros)} zeros)"
        for layer in layers[:_LISTED]
    ]
    more = len(layers) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _shorten_name(name: str) -> str:
    """Return the name of weights without those of the operations that the converter fused.

    Example:
        >>> _shorten_name("net/dense/MatMul;net/dense/Relu;net/dense/BiasAdd")
        'net/dense/MatMul'
    """
    return escape_controls(shorten_middle(name.partition(";")[0], _NAME))
