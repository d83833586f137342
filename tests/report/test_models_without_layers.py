"""A model without layers, alone or inside another, is drawn and told in every form."""

import xml.etree.ElementTree as ET

import pytest

from graphprune.diff import diff_graphs
from graphprune.graph import graph_from_config
from graphprune.plan import make_plan
from graphprune.report import (
    render_diff_html,
    render_diff_svg,
    render_diff_text,
    render_graph_dot,
    render_graph_html,
    render_graph_svg,
    render_layers_text,
    render_plan_html,
    render_plan_svg,
    render_plan_text,
)
from graphprune.rules import parse_rules

RULES = "version: 1\nrules: [{id: a, match: '*', expect: {gte: 0}, keep: true}]\n"
EMPTY = {"class_name": "Sequential", "config": {"name": "inner", "layers": []}}
DENSE = {
    "class_name": "Dense",
    "config": {"name": "fc", "units": 3, "batch_input_shape": [None, 4]},
}
MODELS = {
    "sequential": EMPTY,
    "functional": {
        "class_name": "Functional",
        "config": {"name": "net", "layers": [], "input_layers": [], "output_layers": []},
    },
    "nested": {"class_name": "Sequential", "config": {"name": "net", "layers": [EMPTY]}},
    "beside a layer": {
        "class_name": "Sequential",
        "config": {"name": "net", "layers": [DENSE, EMPTY]},
    },
}


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
def test_it_is_drawn_and_told(config):
    graph = graph_from_config(config)
    plan, same = make_plan(graph, parse_rules(RULES, "p.yaml")), diff_graphs(graph, graph)
    for svg in (
        render_graph_svg(graph),
        render_plan_svg(graph, plan),
        render_diff_svg(graph, graph, same),
    ):
        assert ET.fromstring(svg).tag.endswith("svg")
    for html in (
        render_graph_html(graph),
        render_plan_html(graph, plan),
        render_diff_html(graph, graph, same),
    ):
        assert html.startswith("<!doctype html>")
    assert render_graph_dot(graph).startswith("digraph")
    assert render_plan_text(plan) == "No changes. The model already follows p.yaml.\n"
    assert render_diff_text(same).splitlines()[-1].startswith("No differences")


def test_its_table_says_so():
    assert render_layers_text(graph_from_config(EMPTY)).splitlines()[2] == "the model has no layers"


def test_it_differs_from_one_with_layers():
    empty, other = (
        graph_from_config(MODELS["sequential"]),
        graph_from_config(MODELS["beside a layer"]),
    )
    for left, right in ((empty, other), (other, empty)):
        assert ET.fromstring(render_diff_svg(left, right, diff_graphs(left, right))).tag.endswith(
            "svg"
        )
