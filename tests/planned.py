"""Plans for layer graphs of which a test tells what a file would tell: zeros, steps, weights."""

from __future__ import annotations

from typing import Any

from graphprune import LayerGraph, Plan, RuleSet, Run
from graphprune.plan.make import plan_graph


def plan_with(
    graph: LayerGraph,
    rules: RuleSet,
    *,
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
    **facts: Any,
) -> Plan:
    """Return the plan for `graph` with these facts (see `plan_graph`)."""
    return plan_graph(graph, rules, Run(steps_per_epoch, epochs), **facts)
