import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from builders import build_graph
from drawings import siamese, siamese_zeros

from graphprune.graph import graph_from_config
from graphprune.report import render_graph_svg

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def boxes_of(element, left=0.0, top=0.0):
    """Yield (left, top, right, bottom, depth) of each box of a drawing, by its own group."""
    for child in element:
        if child.tag.endswith("}g"):
            x, y = map(
                float,
                re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", child.get("transform")).groups(),
            )
            rect = child.find("svg:rect", NAMES)
            if rect is not None:
                yield (
                    left + x,
                    top + y,
                    left + x + float(rect.get("width")),
                    top + y + float(rect.get("height")),
                    rect.get("class"),
                )
            yield from boxes_of(child, left + x, top + y)


def test_a_wrapped_siamese_model(check_golden):
    check_golden(render_graph_svg(siamese(), siamese_zeros()), "siamese.svg")


def test_the_same_model_gives_the_same_bytes():
    assert render_graph_svg(siamese(), siamese_zeros()) == render_graph_svg(
        siamese(), siamese_zeros()
    )


@pytest.mark.parametrize(
    "graph",
    [
        siamese(),
        build_graph(
            "in > a; in > b; in > c; in > d; a + b + c + d > add_1; a + d > add_2; add_1 + add_2 >"
            " cat > out"
        ),
        build_graph(
            "in > "
            + " > ".join(f"fc_a_rather_long_name_{index}_that_goes_on_and_on" for index in range(9))
        ),
    ],
    ids=["siamese", "wide", "long names"],
)
def test_no_box_covers_another_and_all_are_inside_the_drawing(graph):
    root = ET.fromstring(render_graph_svg(graph, {}))
    found = [box for box in boxes_of(root) if box[4] != "frame"]
    assert len(found) >= len(graph.layers) - len(graph.frames) + 1
    for index, (left, top, right, bottom, _) in enumerate(found):
        assert left >= 0
        assert top >= 0
        assert right <= float(root.get("width"))
        assert bottom <= float(root.get("height"))
        assert all(
            right <= a or c <= left or bottom <= b or d <= top for a, b, c, d, _ in found[:index]
        )


def test_hostile_names_stay_text():
    graph = build_graph("in > fc_1")
    root = ET.fromstring(
        render_graph_svg(
            replace(graph_from_config(graph.to_config()), name='<script>"&\x1b\x00\ud800')
        )
    )
    assert root.find("svg:title", NAMES).text == '<script>"&\\x1b\\x00\\ud800: layer graph'
    assert root.findall(".//svg:script", NAMES) == []


def test_a_bar_is_as_long_as_the_share_of_zeros():
    root = ET.fromstring(render_graph_svg(siamese(), siamese_zeros()))
    marked = next(
        group
        for group in root.iter(f"{{{NAMES['svg']}}}g")
        if group.find("svg:rect[@class='box marked']", NAMES) is not None
    )
    rail, zeros = (marked.find(f"svg:rect[@class='{kind}']", NAMES) for kind in ("rail", "zeros"))
    assert float(zeros.get("width")) / float(rail.get("width")) == pytest.approx(0.75, abs=0.01)
    assert "● wrapped by stem-75, target 75.0%" in [
        text.text for text in marked.findall("svg:text", NAMES)
    ]
