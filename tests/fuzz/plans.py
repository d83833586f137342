"""Plans that damaged files are held against."""

from __future__ import annotations

from builders import build_graph

from graphprune.plan import Plan, make_plan
from graphprune.rules import parse_rules

RULES = parse_rules(
    "version: 1\n"
    "rules:\n"
    "  - {id: all, match: '*', prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}}\n",
    "rules.yaml",
)
MAX_MESSAGE = 2_000


def plan_of(layers: str) -> Plan:
    """Return a plan that prunes all layers of a graph in the short form of `build_graph`."""
    return make_plan(build_graph(layers), RULES)
