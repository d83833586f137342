"""A small model for drawings: a wrapped layer, a nested model that is called twice, two outputs, a skip connection and known shapes."""

from builders import build_graph

from graphprune.graph import LayerGraph
from graphprune.plan import make_plan, wrap_graph
from graphprune.rules import parse_rules

RULES = "version: 1\nrules: [{id: stem-75, match: {name: fc_1}, prune: {sparsity: 75%, schedule: {curve: constant, begin: 0 steps}}}]"


def siamese() -> LayerGraph:
    graph = build_graph(
        "in_a > tower; in_b > tower; tower@0 + tower@1 > add_1 > fc_1[4,4] > relu_1; add_1 + relu_1 > add_2 > fc_2[4,3]; add_2 > fc_3[4,2]",
        name="siamese",
        models={"tower": "in > fc_in[4,4]"},
    )
    return wrap_graph(graph, make_plan(graph, parse_rules(RULES, "stem.yaml")))


def siamese_zeros() -> dict[tuple[str, str], int]:
    return {("fc_1", "kernel"): 12, ("fc_2", "kernel"): 0, ("fc_3", "kernel"): 4, ("tower::fc_in", "kernel"): 1}
