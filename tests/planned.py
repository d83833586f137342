"""Plans for layer graphs of which a test tells what a file would tell: zeros, steps, weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune import LayerGraph, Plan, RuleSet, Run
from graphprune.plan.make import plan_graph
from graphprune.rules.building.read import rule_set_of


def plan_with(
    graph: LayerGraph,
    rules: RuleSet | Mapping[str, Any],
    *,
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
    **facts: Any,
) -> Plan:
    """Return the plan for `graph` with these facts (see `plan_graph`)."""
    return plan_graph(graph, rule_set_of(rules), Run(steps_per_epoch, epochs), **facts)
