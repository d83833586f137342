"""The checks of a rule file that ask about the finished plan."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.graph import LayerGraph
from graphprune.plan.changes import LayerChange, TensorChange
from graphprune.rules.matchers.matches import Matches, Zeros
from graphprune.rules.resolving.run_checks import check_result
from graphprune.rules.values.checks import Check, CheckOutcome, ResultIs


def check_finished(
    graph: LayerGraph, checks: Sequence[Check], changes: Sequence[LayerChange], zeros: Zeros | None
) -> tuple[CheckOutcome, ...]:
    """Return what comes of the checks on `changes`; a tensor that the plan leaves alone keeps its
    measured zeros, and has none where nobody measured.
    """
    if not any(isinstance(check.condition, ResultIs) for check in checks):
        return ()
    sizes = {
        change.address: (
            sum(map(_zeros_when_finished, change.tensors)),
            sum(tensor.size for tensor in change.tensors),
        )
        for change in changes
    }
    return check_result(Matches(graph, zeros), checks, sizes)


def _zeros_when_finished(tensor: TensorChange) -> int:
    return tensor.zeros_after if tensor.zeros_after is not None else tensor.zeros_before or 0
