"""Layers inside layers: their classes, and models inside that rules cannot reach."""

import pytest
from builders import build_config, build_graph

from graphprune.errors import RuleError
from graphprune.graph import Layer, LayerGraph, Tensor, graph_from_config
from graphprune.plan import make_plan, plan_to_config
from graphprune.report import (
    layers_to_config,
    render_graph_dot,
    render_graph_html,
    render_layers_text,
    render_plan_github,
    render_plan_text,
)
from graphprune.report.drawing.graph_view import view_graph
from graphprune.report.drawing.page_data import Drawing, page_to_config
from graphprune.report.inner_layers import inner_type
from graphprune.rules import parse_rules
from graphprune.rules.resolving.explain import explain_layer

REASON = (
    "holds 752 weights inside the model 'net' that rules cannot reach; apply the rules to that"
    " model by itself"
)
SAYS = (
    "frames (TimeDistributed) holds 752 weights inside the model 'net' that rules cannot reach;"
    " apply the rules to that model by itself."
)
RULES = (
    "version: 1\n"
    "rules: [{id: all, match: '*', prune: {sparsity: 50%, schedule: {curve: constant, begin: 0"
    " steps}}}]"
)


def cell(kind: str) -> dict[str, object]:
    return {"class_name": kind, "config": {"units": 3}}


HELD = {
    "class_name": "Sequential",
    "config": {
        "name": "m",
        "layers": [
            *(
                {"class_name": kind, "config": {"name": name}}
                for kind, name in (("Conv2D", "a"), ("Dense", "b"), ("Dense", "c"))
            ),
            {
                "class_name": "Sequential",
                "config": {
                    "name": "inner",
                    "layers": [{"class_name": "Conv2D", "config": {"name": "a"}}],
                },
            },
            {"class_name": "Bidirectional", "config": {"name": "both", "layer": cell("LSTM")}},
        ],
    },
}


@pytest.mark.parametrize(
    ("kind", "config", "path", "expected"),
    [
        (
            "RNN",
            {
                "cell": {
                    "class_name": "StackedRNNCells",
                    "config": {"cells": [cell("LSTMCell"), cell("GRUCell")]},
                }
            },
            "cells.1",
            "GRUCell",
        ),
        ("StackedRNNCells", {"cells": [cell("LSTMCell")]}, "cells.0", "LSTMCell"),
        ("MultiHeadAttention", {}, "attention_output", "EinsumDense"),
        (
            "Bidirectional",
            {"layer": cell("LSTM"), "backward_layer": cell("GRU")},
            "backward_layer",
            "GRU",
        ),
        ("TimeDistributed", {"layer": HELD}, "layer.b", "Dense"),
        ("TimeDistributed", {"layer": HELD}, "layer.inner::a", "Conv2D"),
        ("TimeDistributed", {"layer": HELD}, "layer.both.forward_layer", "LSTM"),
        (
            "TimeDistributed",
            {"layer": {"class_name": "TimeDistributed", "config": {"layer": HELD}}},
            "layer.layer.c",
            "Dense",
        ),
        ("TimeDistributed", {"layer": HELD}, "layer.dense_2", ""),
        (
            "TimeDistributed",
            {"layer": {"class_name": "Bidirectional", "config": {"layer": cell("GRU")}}},
            "layer.backward_layer",
            "GRU",
        ),
        ("RNN", {"cell": "damaged"}, "cells.0", ""),
        ("RNN", {"cell": cell("LSTMCell")}, "cells.7", ""),
        (
            "TimeDistributed",
            {"layer": {"class_name": "Sequential", "config": {"layers": [7]}}},
            "layer.b",
            "",
        ),
        ("Mine", {}, "part", ""),
    ],
)
def test_the_class_of_a_layer_inside_is_that_of_the_config(kind, config, path, expected):
    assert (
        inner_type(
            Layer(
                "x",
                kind,
                {"class_name": kind, "config": config},
                tensors=(Tensor(f"{path}.kernel", (3, 4)),),
            ),
            path,
        )
        == expected
    )


def held() -> LayerGraph:
    config = build_config("in > frames:TimeDistributed > fc_1[5,2]")
    config["config"]["layers"][1]["config"]["layer"] = build_config(
        "in(batch_input_shape=(None, 8, 3)) > flatten_1 > fc_2(units=5)[24,5]"
    )
    tensors = {
        "frames": [
            ("layer.fc_2.kernel", (149, 5), "float32"),
            ("layer.fc_2.bias", (7,), "float32"),
        ],
        "fc_1": [("kernel", (5, 2), "float32")],
    }
    return graph_from_config(config, tensors=tensors)


def test_layers_say_that_rules_do_not_reach_a_model_inside_a_layer():
    lines = render_layers_text(held()).splitlines()
    assert lines[-2] == SAYS
    assert lines[2].split()[-1] == "notes"
    assert lines[4].endswith("  out of reach")
    told = [layer["out_of_reach"] for layer in layers_to_config(held())["layers"]]
    assert told == [None, {"model": "net", "weights": 752}, None]
    assert SAYS not in render_layers_text(held(), matched={"fc_1"})


@pytest.mark.parametrize("render", [render_plan_text, render_plan_github])
def test_plans_say_it_also_where_nothing_changes(render):
    kept = make_plan(
        held(), parse_rules("version: 1\nrules: [{id: none, match: '*', keep: true}]", "keep.yaml")
    )
    for plan in (make_plan(held(), parse_rules(RULES, "all.yaml")), kept):
        assert SAYS in render(plan).splitlines()


def test_drawings_say_it_in_the_box_and_in_the_panel():
    graph = held()
    box = page_to_config(Drawing(graph, view_graph(graph)))["frames"][0]["boxes"][1]
    assert (box["weights"][-1], box["held"]) == ("out of reach of rules", SAYS)
    assert '\\nout of reach of rules"' in render_graph_dot(graph)


def test_a_plain_layer_is_in_reach():
    assert "reach" not in render_layers_text(build_graph("in > fc_1"))


def test_the_plan_as_json_and_explain_give_the_reason():
    rules = parse_rules(RULES, "all.yaml")
    assert plan_to_config(make_plan(held(), rules))["out_of_reach"] == [
        {"address": "frames", "reason": REASON}
    ]
    assert explain_layer(held(), rules, "frames").result == REASON


def test_a_rule_that_matches_nothing_is_told_what_is_out_of_reach():
    rules = parse_rules(RULES.replace("'*'", "{type: Conv2D}"), "all.yaml")
    with pytest.raises(RuleError) as caught:
        make_plan(held(), rules)
    assert (
        caught.value.diagnostics[0].help
        == "the model's prunable layers are 1 Dense; out of reach: frames (TimeDistributed)"
        f" {REASON}; write 'expect: {{gte: 0}}' if none is fine"
    )


def unbuilt() -> LayerGraph:
    layers = [
        {"class_name": kind, "config": {"name": name, "units": 4}}
        for kind, name in (("Dense", "fc1"), ("Flatten", "flat"), ("Dense", "fc2"))
    ]
    return graph_from_config(
        {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}, tensors={}
    )


def test_a_model_that_was_never_built_is_said_and_its_figures_are_unknown():
    lines = render_layers_text(unbuilt(), {}).splitlines()
    assert lines[3].split() == ["fc1", "Dense", "-", "-", "-", "never", "built"]
    assert lines[-2:] == [
        (
            "The model was never built, so the weights and zeros of 2 layers are unknown; call it"
            " once on data or give it an Input, and save it again."
        ),
        "3 layers; parameters, prunable weights and zeros are unknown.",
    ]
    assert "3 layers; parameters, prunable weights and zeros are unknown" in render_graph_html(
        unbuilt(), {}
    )
    told = layers_to_config(unbuilt(), {})
    assert (
        told["model"]["never_built"],
        told["summary"]["zeros"],
        told["summary"]["parameters"],
    ) == (True, None, None)


def test_rules_on_a_model_that_was_never_built_say_how_to_mend_it():
    says = (
        "the model was never built, so its weights are unknown; call it once on data or give it an"
        " Input, and save it again"
    )
    with pytest.raises(RuleError) as caught:
        make_plan(unbuilt(), parse_rules(RULES, "all.yaml"))
    assert caught.value.diagnostics[0].help == f"{says}; write 'expect: {{gte: 0}}' if none is fine"
    rules = parse_rules(RULES.replace("'*',", "'*', expect: {gte: 0},"), "all.yaml")
    assert explain_layer(unbuilt(), rules, "fc1").result == says
    assert [
        layer["address"] for layer in plan_to_config(make_plan(unbuilt(), rules))["out_of_reach"]
    ] == ["fc1", "fc2"]


def test_rules_that_name_what_is_out_of_reach_are_told_why():
    rules = parse_rules(
        "version: 1\nrules: [{id: a, match: {name: [frames, 'frames::fc_2']}, keep: true}]",
        "p.yaml",
    )
    with pytest.raises(RuleError) as caught:
        make_plan(held(), rules)
    reason = SAYS.removesuffix(".")
    assert [(fault.slug, fault.help) for fault in caught.value.diagnostics] == [
        ("layer/not-prunable", reason),
        ("layer/unknown", reason),
    ]


def test_a_terminal_too_narrow_for_weights_has_no_lines_for_layers_inside():
    wide, narrow = (render_layers_text(held(), width=width) for width in (200, 60))
    assert "  .layer.fc_2" in wide
    assert ".layer.fc_2" not in narrow
    assert "frames" in narrow
