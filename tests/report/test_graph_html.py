import json
import re
from dataclasses import replace

from builders import build_graph
from drawings import siamese

from graphprune.graph import TensorMetrics
from graphprune.report import render_graph_html
from graphprune.report.drawing.graph_view import view_graph
from graphprune.report.drawing.page_data import Drawing, page_to_config


def graph_to_page(graph, metrics=None):
    return page_to_config(
        Drawing(
            graph,
            view_graph(
                graph,
                None if metrics is None else {key: found.zeros for key, found in metrics.items()},
            ),
            metrics,
        )
    )


def data_of(page):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    )


def test_the_page_asks_for_nothing_and_holds_its_data():
    page = render_graph_html(siamese())
    assert (
        re.search(r"(src|href)\s*=|@import|url\(|fetch\(|https?://(?!www\.w3\.org/2000/svg)", page)
        is None
    )
    assert "default-src 'none'" in page
    assert data_of(page)["model"]["name"] == "siamese"


def test_no_text_of_the_model_can_end_the_script_tag_or_reach_the_page_unescaped():
    hostile = "</script <!--<script><b>\u2028\x1b"
    page = render_graph_html(replace(build_graph("in > fc_1"), name=hostile))
    assert (page.count("<b>"), page.count("</script"), page.count("<!--")) == (0, 2, 0)
    assert data_of(page)["model"]["name"] == "</script <!--<script><b>\\u2028\\x1b"
    assert "<h1>&lt;/script &lt;!--&lt;script&gt;&lt;b&gt;\\u2028\\x1b</h1>" in page


def test_the_panel_of_a_wrapped_layer_has_its_rule_and_its_figures():
    metrics = {("fc_1", "kernel"): TensorMetrics(12, 1, -2.0, 4.0, 0.25, 1.5)}
    boxes = graph_to_page(siamese(), metrics)["frames"][0]["boxes"]
    layer = next(box for box in boxes if box["address"] == "fc_1")
    assert (layer["rule"], layer["mark"], layer["share"]) == (
        "stem-75: 75.0%, constant 0 steps",
        "wrapped by stem-75, target 75.0%",
        "75.0%",
    )
    assert layer["tensors"][0] == {
        "name": "kernel [in 4, out 4]",
        "dtype": "float32",
        "size": "16",
        "prunable": True,
        "zeros": "12 (75.0%)",
        "min": "-2",
        "max": "4",
        "mean": "0.25",
        "std": "1.5",
        "not finite": "1",
    }
    assert [boxes[end["box"]]["name"] for end in layer["inputs"] + layer["outputs"]] == [
        "add_1",
        "relu_1",
    ]


def test_a_nested_model_is_a_frame_of_its_own_and_its_two_calls_are_told():
    page = graph_to_page(siamese())
    tower = next(box for box in page["frames"][0]["boxes"] if box["kind"] == "model")
    assert [box["name"] for box in page["frames"][tower["frame"]]["boxes"]] == [
        "in",
        "fc_in",
        "fc_in",
    ]
    assert [end["note"] for end in tower["inputs"]] == ["call 1", "call 2"]


def test_a_long_setting_is_cut():
    graph = build_graph(f"in > fc_1(blob='{'A' * 5000}')")
    text = graph_to_page(graph)["frames"][0]["boxes"][1]["attributes"]["blob"]
    assert text == "A" * 400 + "… (5,000 characters)"
