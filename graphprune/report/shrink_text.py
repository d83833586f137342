"""What `shrink` removed, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphprune.report.numbers import count_of, format_bytes, format_count, format_share
from graphprune.report.tables import align_rows
from graphprune.shrink.summary import LayerChange, ShrinkSummary


def render_shrink_text(summary: ShrinkSummary, sizes: tuple[int, int]) -> str:
    """Return the report: costs before and after, smaller layers, folded constants, kept zeros.

    Args:
        summary: What was removed.
        sizes: The bytes of both files.
    """
    before, after = summary.before, summary.after
    whole = [
        ["", "before", "after", ""],
        _row("parameters", before.parameters, after.parameters),
        _row("multiply-adds", before.multiply_adds, after.multiply_adds),
        ["file", *map(format_bytes, sizes), _share(*sizes)],
    ]
    lines = align_rows(whole, right={1, 2, 3})
    if summary.layers:
        lines += ["", *_layer_lines(summary)]
    if summary.folded:
        told = ", ".join(f"{address} {weight}" for address, weight in summary.folded)
        lines += ["", f"took the constants of removed channels: {told}"]
    if summary.staying:
        lines += ["", "zero, and kept:", *_kept(summary)]
    return "\n".join(lines) + "\n"


def render_outlook(summary: ShrinkSummary) -> str:
    """Return what `shrink` will bring, as lines of a plan."""
    before, after = summary.before, summary.after
    whole = ", ".join(
        f"{_count(old)} -> {_count(new)} {name}"
        + (f" ({share})" if (share := _share(old, new)) else "")
        for name, old, new in (
            ("parameters", before.parameters, after.parameters),
            ("multiply-adds", before.multiply_adds, after.multiply_adds),
        )
    )
    lines = [f"With graphprune shrink after training: {whole}"]
    return "\n".join([*lines, *(_layer_lines(summary, "  ") if summary.layers else [])])


def _layer_lines(summary: ShrinkSummary, indent: str = "") -> list[str]:
    head = ["layer", "channels", "parameters", "", "multiply-adds", ""]
    rows = [head, *(_layer_row(layer) for layer in summary.layers)]
    return align_rows(rows, right={1, 2, 3, 4, 5}, indent=indent)


def _row(title: str, before: int | None, after: int | None) -> list[str]:
    return [title, _count(before), _count(after), _share(before, after)]


def _layer_row(layer: LayerChange) -> list[str]:
    before, after = layer.before, layer.after
    return [
        layer.address,
        f"-{format_count(layer.removed)}" if layer.removed else "",
        _count(after.parameters),
        _share(before.parameters, after.parameters),
        _count(after.multiply_adds) if before.multiply_adds != 0 else "",
        _share(before.multiply_adds, after.multiply_adds),
    ]


def _kept(summary: ShrinkSummary) -> Iterator[str]:
    rows: Sequence[Sequence[str]] = [
        [zeros.address, count_of(zeros.count, "channel"), str(zeros.reason)]
        for zeros in summary.staying
    ]
    yield from align_rows(rows, right={1}, indent="  ")


def _count(count: int | None) -> str:
    return "unknown" if count is None else format_count(count)


def _share(before: int | None, after: int | None) -> str:
    return format_share(after / before) if before and after is not None else ""
