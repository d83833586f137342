"""Drawings and pages of plans and diffs, without a browser."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from builders import build_graph
from drawings import changed_pair, hostile_pair, mixed_plan
from planned import plan_with

from graphprune.diff import diff_graphs, graph_diff_to_config
from graphprune.plan import make_plan, plan_to_config
from graphprune.report import render_diff_html, render_diff_svg, render_plan_html, render_plan_svg
from graphprune.report.drawing.diff_drawing import mark_diff, view_diff
from graphprune.report.drawing.layer_marks import STATUSES
from graphprune.report.drawing.plan_drawing import mark_plan
from graphprune.rules import parse_rules

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def script_of(page, name):
    return json.loads(
        re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[1]
    )


def diff_views(left, right):
    diff = diff_graphs(left, right)
    return view_diff(left, right, diff, mark_diff(left, right, diff))


def test_a_plan_as_a_drawing(check_golden):
    check_golden(render_plan_svg(*mixed_plan()), "plan.svg")


def test_the_panel_names_the_target_that_a_budget_gives_the_tensor_and_not_the_budgets():
    graph = build_graph("in > conv[3,3,8,8] > flatten > fc_1[512,64] > fc_2[64,10]")
    rules = parse_rules(
        "version: 1\n"
        "budgets: {net: {sparsity: 80%, allocate: erk}}\n"
        "rules: [{id: all, match: '*', prune: {budget: net, schedule: {curve: step, begin: 0"
        " steps}}}]\n",
        "p.yaml",
    )
    plan = make_plan(graph, rules)
    shares = {
        change.address: change.tensors[0].zeros_after / change.tensors[0].size
        for change in plan.changes
        if change.after is not None
    }
    told = {
        address: dict(mark.facts)["After"].partition(" ")[0]
        for address, mark in mark_plan(plan).marks.items()
        if "After" in dict(mark.facts)
    }
    assert told == {address: f"{share:.1%}" for address, share in shares.items()}
    assert len(set(told.values())) > 1
    assert "80.0%" not in told.values()


def test_a_diff_as_a_drawing(check_golden):
    left, right = changed_pair()
    check_golden(
        render_diff_svg(
            left, right, diff_graphs(left, right, left_path="a.keras", right_path="b.keras")
        ),
        "diff.svg",
    )


def test_the_marks_of_a_plan():
    marking = mark_plan(mixed_plan()[1])
    told = {
        address: (mark.sign, mark.status, mark.text, mark.before, mark.after)
        for address, mark in marking.marks.items()
    }
    assert told == {
        "fc_new": ("+", "wrap", "wrap by new", 0.0, 14 / 16),
        "fc_more": ("~", "retarget", "retarget by more", 0.5, 0.75),
        "fc_off": ("-", "unwrap", "unwrap by kept", 0.5, 0.5),
        "fc_kept": ("=", "keep", "kept dense by kept", 0.0, 0.0),
        "fc_free": ("?", "unclaimed", "no rule", 0.0, 0.0),
    }
    assert marking.legend == (
        ("+", "wrap", "wrap"), ("-", "unwrap", "unwrap"), ("~", "retarget", "retarget"),
        ("=", "keep", "keep dense"), ("?", "unclaimed", "unclaimed"),
    )  # fmt: skip


def test_the_marks_of_a_diff():
    left, right = changed_pair()
    marking = mark_diff(left, right, diff_graphs(left, right))
    assert {address: (mark.sign, mark.text) for address, mark in marking.marks.items()} == {
        "conv_1": ("~", "reconfigured"),
        "add_1": ("+", "added"),
        "fc_1": ("w", "wrapped by stem-75"),
        "fc_two": (">", "renamed from fc_2"),
    }
    assert {address: mark.sign for address, mark in marking.removed.items()} == {
        "old": "-",
        "old::in_old": "-",
        "old::fc_old": "-",
    }
    assert dict(marking.marks["conv_1"].facts)["Changed"] == "config.strides  [1, 1] -> [2, 2]"


def test_a_layer_of_which_only_the_sparsity_changed_has_a_mark_too():
    import numpy as np
    from memory_weights import MemoryWeights

    graph = build_graph("in > fc_1[2,2]")
    values = [
        MemoryWeights(
            {
                ("fc_1", "kernel"): np.array(kernel, np.float32),
                ("fc_1", "bias"): np.array(bias, np.float32),
            }
        )
        for kernel, bias in (([[1, 1], [1, 1]], [0, 0]), ([[0, 1], [1, 1]], [1, 1]))
    ]
    diff = diff_graphs(graph, graph, left_weights=values[0], right_weights=values[1])
    mark = mark_diff(graph, graph, diff).marks["fc_1"]  # of its kernel, although zeros left bias
    assert (mark.sign, mark.status, mark.text, mark.before, mark.after) == (
        "%",
        "changed",
        "sparsity changed",
        0.0,
        0.25,
    )


def test_what_was_removed_stands_where_it_was():
    views = diff_views(*changed_pair())
    root = views[""]
    name = {index: box.name for index, box in enumerate(root.boxes)}
    assert [box.name for box in root.boxes if box.is_gone] == ["old"]
    changes = {(name[wire.source], name[wire.target]): wire.change for wire in root.wires}
    assert (
        changes["relu_1", "old"],
        changes["old", "fc_1"],
        changes["relu_1", "add_1"],
        changes["in", "conv_1"],
    ) == ("removed", "removed", "added", "")
    assert [box.name for box in views["old (removed)"].boxes] == ["in_old", "fc_old", "fc_old"]


def test_a_removed_model_keeps_its_view_beside_another_layer_of_its_name():
    left = build_graph("in > same > fc_1[4,4]", models={"same": "in > fc_a[4,4]"})
    right = build_graph("in > same:Conv2D[3,3,4,4] > fc_1[4,4]")
    views = diff_views(left, right)
    assert [(box.name, box.kind, box.is_gone) for box in views[""].boxes if box.name == "same"] == [
        ("same", "layer", False),
        ("same", "model", True),
    ]
    assert "same (removed)" in views


def test_a_diff_of_equal_models_is_their_drawing_without_marks():
    graph = build_graph("in > fc_1[4,4]")
    text = render_diff_svg(graph, graph, diff_graphs(graph, graph))
    assert (
        re.findall(r'class="(?:box|end|frame) s-', text),
        "badge" in text.partition("</style>")[2],
    ) == ([], False)


def test_pages_hold_the_reports_themselves():
    graph, plan = mixed_plan()
    assert script_of(render_plan_html(graph, plan), "report") == plan_to_config(plan)
    left, right = changed_pair()
    diff = diff_graphs(left, right)
    assert script_of(render_diff_html(left, right, diff), "report") == json.loads(
        json.dumps(graph_diff_to_config(diff))
    )


@pytest.mark.parametrize("kind", ["plan", "diff"])
def test_hostile_names_stay_text(kind):
    left, right, hostile = hostile_pair()
    diff = diff_graphs(left, right, left_path=hostile, right_path=hostile)
    plan = plan_with(
        left,
        parse_rules("version: 1\nrules: [{id: r, match: {type: Dense}, keep: true}]", hostile),
        path=hostile,
    )
    svg = render_plan_svg(left, plan) if kind == "plan" else render_diff_svg(left, right, diff)
    page = render_plan_html(left, plan) if kind == "plan" else render_diff_html(left, right, diff)
    assert ET.fromstring(svg).findall(".//svg:img", NAMES) == []
    assert page.count("</script") == 3  # data, report, script
    for text in (svg, page):
        assert "<img" not in text
        assert not {"\u202e", "\x1b", "\x07"} & set(text)
    assert re.search(r"(src|href)\s*=\s*[\"'](?!x onerror)|@import|url\(h|fetch\(", page) is None


def contrast(one, other):
    def light(colour):
        parts = [part / 255 for part in bytes.fromhex(colour[1:])]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_can_be_read_on_both_papers(status):
    assert contrast(STATUSES[status].light, "#ffffff") >= 4.5
    assert contrast(STATUSES[status].dark, "#1d232b") >= 4.5


def test_a_name_longer_than_its_box_is_whole_in_the_tooltip():
    graph = build_graph(f"in > fc_{'a' * 80}[4,4]")
    svg = render_diff_svg(graph, replace(graph, name="other"), diff_graphs(graph, graph))
    assert f"Dense fc_{'a' * 80}" in svg
