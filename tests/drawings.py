"""A small model for drawings: a wrapped layer, a nested model that is called twice, two outputs, a
skip connection and known shapes.
"""

import json
from dataclasses import replace

from builders import build_graph
from planned import plan_with

from graphprune.graph import LayerGraph, graph_from_config
from graphprune.plan import Plan, make_plan, wrap_graph
from graphprune.rules import parse_rules

RULES = (
    "version: 1\n"
    "rules: [{id: stem-75, match: {name: fc_1}, prune: {sparsity: 75%, schedule: {curve: constant,"
    " begin: 0 steps}}}]"
)


def siamese() -> LayerGraph:
    graph = build_graph(
        "in_a > tower; in_b > tower; tower@0 + tower@1 > add_1 > fc_1[4,4] > relu_1; add_1 + relu_1"
        " > add_2 > fc_2[4,3]; add_2 > fc_3[4,2]",
        name="siamese",
        models={"tower": "in > fc_in[4,4]"},
    )
    return wrap_graph(graph, make_plan(graph, parse_rules(RULES, "stem.yaml")))


def siamese_zeros() -> dict[tuple[str, str], int]:
    return {
        ("fc_1", "kernel"): 12,
        ("fc_2", "kernel"): 0,
        ("fc_3", "kernel"): 4,
        ("tower::fc_in", "kernel"): 1,
    }


def _pruning(**sparsities: str) -> str:
    rule = (
        "  - {{id: {0}, match: {{name: fc_{0}}}, prune: {{sparsity: {1}, schedule: {{curve:"
        " constant, begin: 0 steps}}}}}}\n"
    )
    return "version: 1\nrules:\n" + "".join(
        rule.format(name, sparsity) for name, sparsity in sparsities.items()
    )


def mixed_plan() -> tuple[LayerGraph, Plan]:
    """A model, some of it wrapped, and a plan that does something else with each layer."""
    layers = ("new", "more", "off", "kept", "free")
    graph = build_graph("in > " + " > ".join(f"fc_{name}[4,4]" for name in layers), name="mixed")
    wrapped = wrap_graph(
        graph, make_plan(graph, parse_rules(_pruning(more="50%", off="50%"), "before.yaml"))
    )
    rules = parse_rules(
        _pruning(new="90%", more="75%")
        + "  - {id: kept, match: {name: [fc_kept, fc_off]}, keep: true}\n",
        "after.yaml",
    )
    zeros = {(f"fc_{name}", "kernel"): 8 if name in ("more", "off") else 0 for name in layers}
    return wrapped, plan_with(wrapped, rules, zeros=zeros, path="mixed.keras")


def changed_pair() -> tuple[LayerGraph, LayerGraph]:
    """Two models: a setting changed, a layer wrapped, one renamed, one added, and a nested model
    removed.
    """
    left = build_graph(
        "in > conv_1 > relu_1 > old > fc_1[4,4] > fc_2[4,3]",
        name="net",
        models={"old": "in_old > fc_old[4,4]"},
    )
    right = build_graph(
        "in > conv_1(strides=[2, 2]) > relu_1; conv_1 + relu_1 > add_1 > fc_1[4,4] > fc_two[4,3]",
        name="net",
    )
    return left, wrap_graph(right, make_plan(right, parse_rules(RULES, "stem.yaml")))


def hostile_pair() -> tuple[LayerGraph, LayerGraph, str]:
    """Two models whose names could harm a page, a drawing or a terminal; and the name."""
    hostile = "</script><img src=x onerror=alert(1)>'\"\u202e\x1b[2J\x07"
    configs = [
        build_graph(text).to_config()
        for text in ("in > fc_1[4,4] > fc_2[4,2]", "in > fc_1[4,4] > relu_2 > fc_2[4,2]")
    ]
    tensors = {hostile: [("kernel", (4, 4), "float32")], "fc_2": [("kernel", (4, 2), "float32")]}
    left, right = (
        graph_from_config(
            json.loads(json.dumps(config).replace('"fc_1"', json.dumps(hostile))), tensors=tensors
        )
        for config in configs
    )
    return replace(left, name=hostile), replace(right, name=hostile), hostile
