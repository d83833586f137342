from dataclasses import replace

from builders import build_graph
from drawings import siamese

from graphprune.graph import graph_from_config
from graphprune.report import render_graph_dot


def test_a_wrapped_siamese_model(check_golden):
    check_golden(render_graph_dot(siamese()), "siamese.dot")


def test_names_cannot_end_a_label_or_act_on_a_terminal():
    graph = build_graph("in > fc_1")
    hostile = replace(graph_from_config(graph.to_config()), name='a"];b\\\x1b\n')
    assert render_graph_dot(hostile).splitlines()[0] == r'digraph "a\"];b\\\\x1b\\n" {'


def test_a_nested_model_without_layers_is_a_plain_node():
    empty = {"class_name": "Sequential", "config": {"name": "empty", "layers": []}}
    text = render_graph_dot(
        graph_from_config({"class_name": "Sequential", "config": {"name": "m", "layers": [empty]}})
    )
    assert 'n0 [label="Sequential\\nempty", fillcolor="#3b4453"];' in text
    assert "subgraph" not in text
