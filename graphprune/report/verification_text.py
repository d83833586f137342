"""A model held against a plan, as text and as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphprune.diagnostics.terminal_text import Paint, escape_controls, plain
from graphprune.plan.verify import LayerDifference, TensorCheck, Verification
from graphprune.report.github import fenced_document
from graphprune.report.numbers import count_of, format_count, format_different
from graphprune.report.tables import Line, join_blocks, mark_rows, render_lines

DIFFERENCES = {
    "added": "is not in the plan's original model",
    "missing": "is missing",
    "settings": "has other settings than in the plan's original model",
    "inputs": "takes other tensors than in the plan's original model",
    "model": "the model's settings, inputs or outputs differ from the plan's original",
}
"""Each difference of the architecture in words, after the layer."""


def render_verification(
    found: Verification, *, brief: bool = False, width: int | None = None, paint: Paint = plain
) -> str:
    """Return one line a pruned tensor, marked with `!` if it is not as planned, and a summary.

    A tensor that could not be checked is marked with `?`.

    Args:
        found: What to show.
        brief: Only what is not as planned, or not checked.
        width: Columns of the terminal; longer lines are broken. Nothing is broken without it.
        paint: Adds colour.
    """
    blocks = [[Line(_head(found))], *_tables(found, brief=brief), [Line(summarize(found))]]
    return render_lines(join_blocks(blocks), width, paint)


def render_verification_github(found: Verification, *, brief: bool = False) -> str:
    """Return the same as Markdown: `!` is not as planned, `?` not checked."""
    lines = [line.text[2:].rstrip() for line in join_blocks(_tables(found, brief=brief))]
    return fenced_document("Model against plan", [_head(found)], lines, [summarize(found)])


def _head(found: Verification) -> str:
    return f"verify  {escape_controls(found.model)}  against  {escape_controls(found.plan)}"


def _tables(found: Verification, *, brief: bool) -> list[Sequence[Line]]:
    """Return the lines about tensors, and those about the architecture and other tensors."""
    shown = [check for check in found.checks if not (brief and check.is_as_planned)]
    others = [
        *(("!", *_difference_row(one)) for one in found.architecture.differences),
        *(
            ("!", one.address, f"{one.tensor} has {_not_finite(one.non_finite)}")
            for one in found.not_finite
        ),
    ]
    return [mark_rows([_row(check) for check in shown], right={3}), mark_rows(others)]


def _difference_row(difference: LayerDifference) -> tuple[str, str]:
    return difference.address or "model", DIFFERENCES[difference.what]


def _row(check: TensorCheck) -> tuple[str, ...]:
    if check.unchecked:
        return "?", check.address, check.tensor, "not checked", check.unchecked
    mark = " " if check.is_as_planned else "!"
    counted = f"{format_count(check.measured)} of {format_count(check.planned)} zeros"
    return mark, check.address, check.tensor, counted, "; ".join(_figures(check))


def _figures(check: TensorCheck) -> Iterator[str]:
    target, measured = format_different(check.planned / check.size, check.measured / check.size)
    yield f"target {target}, measured {measured}"
    yield from fault_texts(check)


def fault_texts(check: TensorCheck) -> Iterator[str]:
    """Yield the faults of a tensor in words, other than too few zeros."""
    if check.under_mask:
        yield f"{count_of(check.under_mask, 'non-zero weight')} under the mask"
    if "pattern" in check.faults and check.units is not None:
        units = check.units
        yield (
            f"{format_count(units.found)} of {format_count(units.wanted)} {units.unit} have the"
            " zeros of the pattern"
        )
    if check.non_finite:
        yield _not_finite(check.non_finite)
    if "all-zero" in check.faults:
        yield "all weights are zero"


def _not_finite(count: int) -> str:
    return f"{count_of(count, 'weight')} that {'is' if count == 1 else 'are'} NaN or infinite"


def summarize(found: Verification) -> str:
    """Return the last line: the outcome, the tensors, the zeros, and what was not checked."""
    total, told = len(found.checks), []
    tensors = count_of(total, "tensor")
    zeros = (
        f"{format_count(sum(check.measured for check in found.checks))} zeros of"
        f" {format_count(sum(check.planned for check in found.checks))} planned"
    )
    differing = len({one.address for one in found.architecture.differences})
    if differing:
        told.append(f"the architecture differs at {count_of(differing, 'place')}")
    if found.not_finite:
        told.append(f"{count_of(len(found.not_finite), 'other tensor')} with NaN or infinity")
    if found.unchecked:
        told.append(f"{count_of(len(found.unchecked), 'tensor')} not checked")
    if found.architecture.unchecked:
        told.append(f"architecture not checked: {found.architecture.unchecked}")
    if found.is_as_planned and not total:
        return "As planned: the plan prunes nothing."
    drift = len(found.drift)
    heads = {
        True: f"As planned: {tensors}, {zeros}",
        False: f"Drift: {format_count(drift)} of {tensors}; {zeros}",
        None: f"No drift found, but not all was checked: {tensors}, {zeros}",
    }
    return "; ".join([heads[found.is_as_planned], *told]) + "."
