"""A model against a plan, as text."""

from __future__ import annotations

from collections.abc import Iterator

from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.plan.verify import TensorCheck, Verification
from graphprune.report.numbers import format_count, format_share
from graphprune.report.tables import align_rows


def render_verification(found: Verification, *, brief: bool = False) -> str:
    """Return one line a pruned tensor, those that are not as planned marked with `!`, and a summary
    line; `brief` shows the marked ones alone.
    """
    shown = found.drift if brief else found.checks
    table = align_rows([_row(check) for check in shown], right={3}, gaps={1: 1, 3: 2}, indent="  ")
    head = f"verify  {escape_controls(found.model)}  against  {escape_controls(found.plan)}"
    return "\n\n".join(part for part in (head, "\n".join(table), _summary(found)) if part) + "\n"


def _row(check: TensorCheck) -> tuple[str, ...]:
    mark = " " if check.is_as_planned else "!"
    target, measured = (
        format_share(check.planned / check.size),
        format_share(check.measured / check.size),
    )
    counted = f"{format_count(check.measured)} of {format_count(check.planned)} zeros"
    return (
        mark,
        check.address,
        check.tensor,
        counted,
        f"target {target}, measured {measured}{''.join(_under_mask(check))}",
    )


def _under_mask(check: TensorCheck) -> Iterator[str]:
    if check.under_mask:
        yield (
            f"; {format_count(check.under_mask)} non-zero"
            f" weight{'' if check.under_mask == 1 else 's'} under the mask"
        )


def _summary(found: Verification) -> str:
    total, drift = len(found.checks), len(found.drift)
    if not total:
        return "As planned: the plan prunes nothing."
    tensors = f"{format_count(total)} tensor{'' if total == 1 else 's'}"
    zeros = (
        f"{format_count(sum(check.measured for check in found.checks))} zeros of"
        f" {format_count(sum(check.planned for check in found.checks))} planned"
    )
    return (
        f"As planned: {tensors}, {zeros}."
        if not drift
        else f"Drift: {format_count(drift)} of {tensors}; {zeros}."
    )
