"""The HTML page in a real headless browser; skipped where none is installed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import build_graph

from graphprune.graph import TensorMetrics, graph_from_config
from graphprune.graph.weights import measure_values
from graphprune.plan import make_plan, wrap_graph
from graphprune.report import render_graph_html
from graphprune.rules import parse_rules

pytestmark = pytest.mark.browser

RULES = (
    "version: 1\n"
    "rules: [{id: stem-75, match: {name: fc_1}, prune: {sparsity: 75%, schedule: {curve: constant,"
    " begin: 0 steps}}}]"
)
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def opened(open_html):
    return lambda graph, metrics=None: open_html(render_graph_html(graph, metrics))


def siamese():
    """A wrapped, shared layer and a nested model that is called twice."""
    graph = build_graph(
        "in_a > tower; in_b > tower; tower@0 + tower@1 > add_1 > fc_1[4,3] > fc_2[3,2]",
        name="siamese",
        models={"tower": "in > fc_in[4,4] > relu_in"},
    )
    wrapped = wrap_graph(graph, make_plan(graph, parse_rules(RULES, "stem.yaml")))
    values = {"fc_1": np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, -2, 4]], np.float32)}
    metrics = {
        (layer.address, tensor.name): (
            measure_values(values.get(layer.address, np.ones(tensor.shape, np.float32)))
            if tensor.prunable
            else TensorMetrics(0)
        )
        for layer in wrapped.layers.values()
        for tensor in layer.tensors
    }
    return wrapped, metrics


def test_the_page_draws_each_layer_of_the_model_and_no_box_covers_another(opened):
    page = opened(*siamese())
    assert page.one("h1").text == "siamese"
    assert sorted(page.names()) == ["add_1", "fc_1", "fc_2", "fc_2", "in_a", "in_b", "tower"]
    # one for each tensor: the sum takes those of both calls of the tower
    assert len(page.all("#stage svg .wire")) == 7
    places = [box.rect for box in page.all("#stage .box")]
    for index, a in enumerate(places):
        for b in places[:index]:
            assert (
                a["x"] + a["width"] <= b["x"]
                or b["x"] + b["width"] <= a["x"]
                or a["y"] + a["height"] <= b["y"]
                or b["y"] + b["height"] <= a["y"]
            )


def test_a_wrapped_layer_is_marked_by_its_border_and_by_words_and_has_a_bar_of_its_sparsity(opened):
    page = opened(*siamese())
    box = page.box("fc_1")
    assert "● wrapped by stem-75, target 75.0%" in box.text
    assert box.value_of_css_property(
        "border-top-width"
    ) == "2.5px" or "marked" in box.get_attribute("class")
    rail, fill = (
        box.find_element("css selector", ".bar i"),
        box.find_element("css selector", ".bar i b"),
    )
    assert fill.size["width"] / rail.size["width"] == pytest.approx(0.75, abs=0.02)
    assert "75.0% zeros" in box.text


def test_a_click_shows_the_panel_of_the_layer_with_its_figures(opened):
    page = opened(*siamese())
    assert not page.one("#panel").is_displayed()
    page.click(page.box("fc_1"))
    lines = page.panel().splitlines()
    assert lines[1:3] == ["fc_1", "Dense"]
    assert "Wrapped by stem-75: 75.0%, constant 0 steps" in lines
    assert "add_1 (Add)" in page.panel()
    assert "fc_2 (Dense)" in page.panel()
    start = lines.index("kernel [in 4, out 3]")
    assert lines[start + 1 : start + 7] == [
        "Values 12 float32, prunable",
        "zeros 9 (75.0%)",
        "min -2",
        "max 4",
        "mean 0.25",
        "std 1.29904",
    ]
    assert "units 3" in lines
    page.one("#panel .close").click()
    assert not page.one("#panel").is_displayed()


def test_find_lists_layers_and_a_hit_inside_a_closed_model_opens_it(opened):
    page = opened(*siamese())
    page.type("/")
    page.type("fc_in")
    assert [item.text.splitlines()[0] for item in page.all("#list button")] == ["tower::fc_in"]
    assert page.one("#found").text == "1 of 9 layers"
    page.one("#list button").click()
    assert page.box("fc_in").is_displayed()
    assert page.panel().splitlines()[1] == "fc_in"
    page.one("#find").clear()
    page.one("#find").send_keys("nothing like it")
    assert (page.one("#found").text, page.all("#list button")) == ("0 of 9 layers", [])


def test_enter_goes_from_hit_to_hit_and_shift_enter_back(opened):
    from selenium.webdriver import Keys

    page = opened(*siamese())
    page.type("/")
    page.type("fc_")
    told = []
    for keys in (
        Keys.ENTER,
        Keys.ENTER,
        Keys.ENTER,
        Keys.ENTER,
        Keys.SHIFT + Keys.ENTER + Keys.NULL,
    ):
        page.one("#find").send_keys(keys)
        told.append((page.panel().splitlines()[1], page.one("#found").text))
    assert told == [
        (name, f"{place} of 3 found")
        for name, place in (("fc_in", 1), ("fc_1", 2), ("fc_2", 3), ("fc_in", 1), ("fc_2", 3))
    ]
    page.one("#find").send_keys(Keys.ESCAPE)
    assert (page.one("#panel").is_displayed(), page.one("#found").text) == (False, "9 of 9 layers")


def test_the_table_lists_every_layer_and_its_rows_show_the_panel(opened):
    page = opened(*siamese())
    page.click(page.one("[data-view=table]"))
    assert not page.one("#canvas").is_displayed()
    names = [row.text.split()[0] for row in page.all("#table tbody tr")]
    assert names == [
        "in_a",
        "in_b",
        "tower",
        "tower::in",
        "tower::fc_in",
        "tower::relu_in",
        "add_1",
        "fc_1",
        "fc_2",
    ]
    page.one("#find").send_keys("fc_1")
    shown = [row for row in page.all("#table tbody tr") if row.is_displayed()]
    assert [row.text for row in shown] == [
        "fc_1 Dense kernel [in 4, out 3], bias [out 3] 15 75.0% wrapped by stem-75, target 75.0%"
    ]
    page.click(shown[0])
    assert page.panel().splitlines()[1] == "fc_1"
    page.click(page.one("[data-view=graph]"))
    assert "selected" in page.box("fc_1").get_attribute("class")


def test_a_nested_model_opens_and_closes_in_its_place(opened):
    page = opened(*siamese())
    before = page.box("tower").size["height"]
    toggle = page.box("tower").find_element("css selector", "button")
    toggle.click()
    assert toggle.get_attribute("aria-expanded") == "true"
    inner = page.all(".box.model .frame .box")
    assert [box.text.split()[0] for box in inner] == ["Input", "Dense", "ReLU", "Output"]
    outer = page.one(".box.model").rect
    assert all(
        box.rect["x"] >= outer["x"]
        and box.rect["x"] + box.rect["width"] <= outer["x"] + outer["width"]
        for box in inner
    )
    assert all(
        box.rect["y"] >= outer["y"]
        and box.rect["y"] + box.rect["height"] <= outer["y"] + outer["height"]
        for box in inner
    )
    toggle.click()
    assert (page.all(".box.model .frame"), page.box("tower").size["height"]) == ([], before)


def test_the_keyboard_alone_walks_selects_and_closes(opened):
    from selenium.webdriver import Keys

    page = opened(*siamese())
    page.browser.execute_script("document.querySelector('#stage .box').focus()")
    page.type(Keys.ARROW_RIGHT)
    page.type(Keys.ARROW_DOWN)
    page.type(Keys.ARROW_DOWN)
    page.type(Keys.ARROW_DOWN)
    page.type(Keys.ENTER)
    assert page.panel().splitlines()[1] == "fc_1"
    page.type(Keys.ESCAPE)
    assert not page.one("#panel").is_displayed()
    assert "fc_1" in page.browser.switch_to.active_element.text


def test_the_switches_show_and_hide_names_attributes_and_weights(opened):
    page = opened(*siamese())
    text = page.box("fc_2").text
    assert ("kernel [in 3, out 2]" in text, "fc_2" in text) == (True, True)
    for switch in page.all("[data-show=weights], [data-show=names]"):
        switch.click()
    boxes = "\n".join(box.text for box in page.all("#stage .box:not(.terminal)"))
    assert ("kernel" in boxes, "fc_2" in boxes) == (False, False)


def test_a_wide_model_begins_with_its_input_and_fits_when_asked(opened):
    branches = "; in > ".join(
        f"conv_branch_number_{index}_with_a_long_name > relu_{index}" for index in range(12)
    )
    page = opened(
        build_graph(
            f"in > {branches}; {' + '.join(f'relu_{index}' for index in range(12))} > cat_1"
        )
    )
    canvas, first = page.one("#canvas").rect, page.box("in").rect
    assert canvas["x"] < first["x"] < first["x"] + first["width"] < canvas["x"] + canvas["width"]
    assert page.box("conv_branch_number_11_with_a_long_name").is_displayed()  # names are never cut
    page.click(page.one("#zoom-fit"))
    # `rect` does not know zoom
    places = [
        page.browser.execute_script("return arguments[0].getBoundingClientRect()", box)
        for box in page.all("#stage .box")
    ]
    assert min(box["left"] for box in places) >= canvas["x"]
    assert max(box["right"] for box in places) <= canvas["x"] + canvas["width"]


def test_dark_and_light_have_other_colours(opened):
    page = opened(*siamese())
    colours = [page.one("body").value_of_css_property("background-color")]
    page.one("#theme").click()
    colours.append(page.one("body").value_of_css_property("background-color"))
    assert len(set(colours)) == 2


def test_hostile_names_are_shown_and_do_nothing(opened):
    graph = build_graph("in > fc_1[4,2]")
    config = json.loads(json.dumps(graph.to_config()).replace("fc_1", HOSTILE))
    page = opened(replace(graph_from_config(config), name=f"{HOSTILE}\x1b"))
    assert page.one("h1").text == f"{HOSTILE}\\x1b"
    assert page.box(HOSTILE).is_displayed()
    page.click(page.box(HOSTILE))
    assert page.panel().splitlines()[1] == HOSTILE
    assert page.all("img") == []


def test_a_model_of_a_thousand_layers_is_drawn_and_searched(opened):
    page = opened(
        build_graph(
            "in > "
            + " > ".join(
                f"{kind}_{index}" for index in range(350) for kind in ("conv", "bn", "relu")
            )
        )
    )
    assert len(page.all("#stage .box")) == 1052
    page.one("#find").send_keys("conv_349")
    page.one("#list button").click()
    assert page.panel().splitlines()[1] == "conv_349"


def test_a_page_opens_at_the_first_row_whatever_layer_the_file_names_first(opened):
    chain = "in_a > " + " > ".join(f"conv_{index}" for index in range(30))
    page = opened(build_graph(f"in_b > fc_late; {chain}; fc_late + conv_29 > add_1"))
    canvas, first = page.one("#canvas").rect, page.box("in_a").rect
    assert page.browser.execute_script(
        "return [document.getElementById('canvas').scrollTop, document.scrollingElement.scrollTop]"
    ) == [0, 0]
    assert canvas["x"] < first["x"] < first["x"] + first["width"] < canvas["x"] + canvas["width"]
    assert canvas["y"] < first["y"] < canvas["y"] + 60


def test_the_drawing_moves_with_the_mouse_and_zooms_with_keys_and_wheel(opened):
    from selenium.webdriver import ActionChains, Keys

    page = opened(build_graph("in > " + " > ".join(f"conv_{index}" for index in range(30))))
    canvas = page.one("#canvas")
    ActionChains(page.browser).move_to_element_with_offset(
        canvas, 300, 200
    ).click_and_hold().move_by_offset(0, -150).release().perform()
    assert page.browser.execute_script("return document.getElementById('canvas').scrollTop") == 150
    page.type("+")
    assert page.one("#zoom-reset").text == "125%"
    page.type("-")
    assert page.one("#zoom-reset").text == "100%"
    wheel = (
        "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -60, ctrlKey: true, clientX:"
        " 700, clientY: 400, bubbles: true, cancelable: true}))"
    )
    page.browser.execute_script(wheel, canvas)
    assert page.one("#zoom-reset").text == "122%"
    page.type("/")
    page.type("conv+-", Keys.ESCAPE)
    # signs that are typed into the find box zoom nothing
    assert page.one("#zoom-reset").text == "122%"


def test_paper_shows_a_graph_that_fits_and_the_table_of_one_that_does_not(opened):
    small = opened(build_graph("in > fc_1"))
    before = (
        "window.dispatchEvent(new Event('beforeprint')); return"
        " document.body.classList.contains('as-table')"
    )
    after = (
        "dispatchEvent(new Event('afterprint')); return"
        " [document.body.classList.contains('as-table'),"
        " document.getElementById('zoom-reset').textContent]"
    )
    assert (small.browser.execute_script(before), small.browser.execute_script(after)) == (
        False,
        [False, "100%"],
    )
    wide = opened(build_graph("in > " + "; in > ".join(f"fc_{index}" for index in range(30))))
    assert (wide.browser.execute_script(before), wide.browser.execute_script(after)) == (
        True,
        [False, "100%"],
    )
