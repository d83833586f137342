"""The pages of plans and diffs in a real headless browser."""

import json

import pytest
from builders import build_graph
from drawings import changed_pair, hostile_pair, mixed_plan
from planned import plan_with

from graphprune.diff import diff_graphs
from graphprune.graph.weights import measure_values
from graphprune.plan import plan_to_config
from graphprune.report import render_diff_html, render_plan_html
from graphprune.report.drawing.layer_marks import STATUSES
from graphprune.rules import parse_rules

pytestmark = pytest.mark.browser


def colour(box):
    return tuple(
        int(part)
        for part in (
            box.value_of_css_property("border-left-color")
            .removeprefix("rgba(")
            .removeprefix("rgb(")
            .rstrip(")")
            .split(",")[:3]
        )
    )


def rgb(status):
    return tuple(bytes.fromhex(STATUSES[status].light[1:]))


def signs(page):
    """Return the sign of each box that has one, by name; boxes inside an open model count for
    themselves.
    """
    found = {}
    for box in page.all("#stage .box"):
        name = box.find_element("css selector", ".name, .row-name").get_attribute("textContent")
        for sign in box.find_elements("css selector", ":scope > .sign, :scope > .head > .sign"):
            found[name] = sign.text
    return found


def test_each_layer_of_a_plan_has_a_sign_a_border_and_words(open_html):
    graph, plan = mixed_plan()
    page = open_html(render_plan_html(graph, plan))
    page.browser.execute_script("document.documentElement.dataset.theme = 'light'")
    assert signs(page) == {
        "fc_new": "+",
        "fc_more": "~",
        "fc_off": "-",
        "fc_kept": "=",
        "fc_free": "?",
    }
    for name, status in (
        ("fc_new", "wrap"),
        ("fc_more", "retarget"),
        ("fc_off", "unwrap"),
        ("fc_kept", "keep"),
        ("fc_free", "unclaimed"),
    ):
        assert colour(page.box(name)) == rgb(status)
    assert "wrap by new" in page.box("fc_new").text
    assert [item.text for item in page.all("#legend li")] == [
        "+ wrap",
        "- unwrap",
        "~ retarget",
        "= keep dense",
        "? unclaimed",
    ]


def test_the_bar_and_the_panel_tell_before_and_after(open_html):
    graph, plan = mixed_plan()
    page = open_html(
        render_plan_html(graph, plan, {("fc_more", "kernel"): measure_values(plan_values())})
    )
    box = page.box("fc_more")
    assert "50.0% → 75.0% zeros" in box.text
    rail = box.find_element("css selector", ".bar i").size["width"]
    widths = [
        box.find_element("css selector", f".bar .{part}").size["width"] / rail
        for part in ("before", "after")
    ]
    assert widths == pytest.approx([0.5, 0.75], abs=0.04)
    page.click(box)
    lines = page.panel().splitlines()
    for line in (
        "Action retarget",
        "Rule more",
        "zeros before 8 (50.0%)",
        "zeros after 12 (75.0%)",
        "min 0",
        "max 15",
        "mean 7.5",
    ):
        assert line in lines


def plan_values():
    import numpy as np

    return np.arange(16, dtype=np.float32).reshape(4, 4)


def test_the_page_holds_the_plan_itself(open_html):
    graph, plan = mixed_plan()
    page = open_html(render_plan_html(graph, plan))
    assert json.loads(
        page.browser.execute_script("return document.getElementById('report').textContent")
    ) == plan_to_config(plan)


def test_a_diff_draws_what_came_what_went_and_what_changed(open_html):
    left, right = changed_pair()
    page = open_html(render_diff_html(left, right, diff_graphs(left, right)))
    page.browser.execute_script("document.documentElement.dataset.theme = 'light'")
    for name, status in (
        ("conv_1", "reconfigured"),
        ("fc_1", "wrapped"),
        ("fc_two", "renamed"),
        ("add_1", "added"),
        ("old", "removed"),
    ):
        assert colour(page.box(name)) == rgb(status)
    page.click(page.one("#expand-all"))
    assert signs(page) == {
        "conv_1": "~",
        "fc_1": "w",
        "fc_two": ">",
        "add_1": "+",
        "old": "-",
        "in_old": "-",
        "fc_old": "-",
    }
    assert page.box("fc_old").value_of_css_property("border-left-style") == "dashed"
    assert (len(page.all(".wire.added")), len(page.all(".wire.removed"))) == (3, 4)
    page.click(page.box("fc_old"))
    assert page.panel().splitlines()[1:6] == ["fc_old", "-Dense", "DIFF", "Status removed", "LAYER"]
    page.click(page.box("fc_two"))
    assert "Paired by equal structure" in page.panel().splitlines()


def test_the_table_of_a_diff_lists_removed_layers_too(open_html):
    left, right = changed_pair()
    page = open_html(render_diff_html(left, right, diff_graphs(left, right)))
    page.click(page.one("[data-view=table]"))
    rows = {
        row.text.split()[1]: row.text.split()[0]
        for row in page.all("#table tbody tr")
        if len(row.text.split()) > 2
    }
    assert (rows["old::fc_old"], rows["add_1"], rows["fc_1"]) == ("-", "+", "w")


@pytest.mark.parametrize("kind", ["plan", "diff"])
def test_hostile_names_are_shown_and_do_nothing(open_html, kind):
    left, right, hostile = hostile_pair()
    plan = plan_with(
        left,
        parse_rules(
            "version: 1\nrules: [{id: r, match: {type: Dense}, keep: true}]", "</script>\u202e.yaml"
        ),
        path="</script>\u202e.keras",
    )
    page = open_html(
        render_plan_html(left, plan)
        if kind == "plan"
        else render_diff_html(
            left, right, diff_graphs(left, right, left_path=hostile, right_path=hostile)
        )
    )
    assert page.all("img, script:not([id]) ~ script") == []
    shown = next(name for name in page.names() if name.startswith("</script>"))
    page.click(page.box(shown))
    assert page.panel().splitlines()[1] == shown
    assert not {"\u202e", "\x1b", "\x07"} & set(page.one("body").get_attribute("textContent"))


def test_a_layer_in_a_circle_of_two_orders_is_drawn(open_html):
    left, right = (
        build_graph("in > fc_1[4,4] > fc_2[4,4] > fc_3[4,2]"),
        build_graph("in > fc_2[4,4] > fc_1[4,4] > fc_3[4,2]"),
    )
    page = open_html(render_diff_html(left, right, diff_graphs(left, right)))
    assert sorted(page.names()) == ["fc_1", "fc_2", "fc_3", "fc_3", "in"]
