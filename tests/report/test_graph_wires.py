"""What a drawing writes beside its arrows: one arrow for each tensor that a call takes."""

import re
import xml.etree.ElementTree as ET

import pytest
from builders import build_graph

from graphprune.graph import LayerGraph, graph_from_config
from graphprune.report import render_graph_dot, render_graph_svg
from graphprune.report.drawing.graph_view import view_graph
from graphprune.report.drawing.graph_wires import MOST_ALIKE
from graphprune.report.drawing.page_data import Drawing, page_to_config


def siamese() -> LayerGraph:
    text = (
        "left:InputLayer(batch_input_shape=(None, 4)) > tower;"
        " right:InputLayer(batch_input_shape=(None, 4)) > tower"
    )
    text += (
        "; tower@0 + tower@1 > minus:Subtract; tower@0 > shared:Dense(units=2)[3,2]; tower@1 >"
        " shared"
    )
    return build_graph(text, name="siamese", models={"tower": "in > fc_in(units=3)[4,3]"})


def layer(kind: str, name: str, inbound: list[object], **config: object) -> dict[str, object]:
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": inbound,
    }


def model(*layers: dict[str, object], inputs: list[str], outputs: list[str]) -> LayerGraph:
    ends = {
        "input_layers": [[name, 0, 0] for name in inputs],
        "output_layers": [[name, 0, 0] for name in outputs],
    }
    return graph_from_config(
        {"class_name": "Functional", "config": {"name": "m", "layers": list(layers), **ends}}
    )


def seq2seq() -> LayerGraph:
    return model(
        layer("InputLayer", "x", [], batch_input_shape=[None, 6, 8]),
        layer("InputLayer", "y", [], batch_input_shape=[None, 5, 8]),
        layer("LSTM", "encoder", [[["x", 0, 0, {}]]], units=32, return_state=True),
        layer(
            "LSTM",
            "decoder",
            [[["y", 0, 0, {}], ["encoder", 0, 1, {}], ["encoder", 0, 2, {}]]],
            units=32,
            return_sequences=True,
        ),
        inputs=["x", "y"],
        outputs=["decoder"],
    )


def attention() -> LayerGraph:
    return model(
        layer("InputLayer", "q", [], batch_input_shape=[None, 7, 16]),
        layer("InputLayer", "v", [], batch_input_shape=[None, 9, 16]),
        layer("InputLayer", "m", [], batch_input_shape=[None, 7, 9]),
        layer(
            "MultiHeadAttention",
            "cross",
            [[["q", 0, 0, {"value": ["v", 0, 0], "attention_mask": ["m", 0, 0]}]]],
            num_heads=2,
            key_dim=4,
        ),
        layer(
            "MultiHeadAttention",
            "self",
            [[["cross", 0, 0, {"value": ["cross", 0, 0], "key": ["cross", 0, 0]}]]],
            num_heads=2,
            key_dim=4,
        ),
        inputs=["q", "v", "m"],
        outputs=["self"],
    )


CASES = {
    "siamese": (
        siamese,
        {
            ("left", "tower"): ["?×4 (call 1)"],
            ("right", "tower"): ["?×4 (call 2)"],
            ("tower", "minus"): ["?×3 (of call 1, input 0)", "?×3 (of call 2, input 1)"],
            ("tower", "shared"): ["?×3 (of call 1, call 1)", "?×3 (of call 2, call 2)"],
            ("minus", "0: minus"): ["?×3"],
            ("shared", "1: shared"): ["?×2 (of call 1)"],
            ("shared", "2: shared"): ["?×2 (of call 2)"],
        },
    ),
    "seq2seq": (
        seq2seq,
        {
            ("x", "encoder"): ["?×6×8"],
            ("y", "decoder"): ["?×5×8"],
            ("encoder", "decoder"): [
                "?×32 (output 1, initial_state.0)",
                "?×32 (output 2, initial_state.1)",
            ],
            ("decoder", "decoder"): ["?×5×32"],
        },
    ),
    "attention": (
        attention,
        {
            ("q", "cross"): ["?×7×16 (query)"],
            ("v", "cross"): ["?×9×16 (value)"],
            ("m", "cross"): ["?×7×9 (attention_mask)"],
            ("cross", "self"): ["?×7×16 (query)", "?×7×16 (value)", "?×7×16 (key)"],
            ("self", "self"): ["?×7×16"],
        },
    ),
}


INSIDE = {"siamese": ["?×4", "?×3"]}
"""What stands on the arrows in a nested model."""


def told(ends: list[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    labels: dict[tuple[str, str], list[str]] = {}
    for source, target, label in ends:
        labels.setdefault((source, target), []).append(label)
    return labels


@pytest.mark.parametrize("name", CASES)
def test_each_tensor_has_an_arrow_with_its_shape_and_what_it_is_taken_as_in_the_page_s_data(name):
    make, expected = CASES[name]
    graph = make()
    frame = page_to_config(Drawing(graph, view_graph(graph)))["frames"][0]
    name_of = [box["name"] for box in frame["boxes"]]
    assert (
        told(
            [
                (name_of[wire["source"]], name_of[wire["target"]], wire["label"])
                for wire in frame["wires"]
            ]
        )
        == expected
    )


@pytest.mark.parametrize("name", CASES)
def test_the_svg_writes_the_label_of_every_arrow_and_draws_no_two_arrows_alike(name):
    make, expected = CASES[name]
    root = ET.fromstring(render_graph_svg(make()))
    labels = [
        text.text
        for text in root.iter("{http://www.w3.org/2000/svg}text")
        if text.get("class") == "shape"
    ]
    inside = INSIDE.get(name, [])
    assert sorted(labels) == sorted(
        [label for labels in expected.values() for label in labels] + inside
    )
    paths = [
        path.get("d")
        for path in root.iter("{http://www.w3.org/2000/svg}path")
        if path.get("class") == "wire"
    ]
    assert len(set(paths)) >= len(labels) - len(inside)


@pytest.mark.parametrize("name", CASES)
def test_the_dot_file_writes_the_label_of_every_arrow(name):
    make, expected = CASES[name]
    labels = re.findall(r' -> n\d+ \[label="(.*?)"', render_graph_dot(make()))
    inside = INSIDE.get(name, [])
    assert sorted(labels) == sorted(
        [label for labels in expected.values() for label in labels] + inside
    )


def test_layers_and_models_that_are_called_more_than_once_say_so_everywhere():
    graph = siamese()
    called = {box.name: box.calls_text for box in view_graph(graph)[""].boxes if box.calls_text}
    assert called == {"tower": "2 calls", "shared": "2 calls"}
    root = ET.fromstring(render_graph_svg(graph))
    assert [
        text.text
        for text in root.iter("{http://www.w3.org/2000/svg}text")
        if "calls" in text.get("class", "")
    ] == ["2 calls", "2 calls"]
    dot = render_graph_dot(graph)
    assert (
        'label="Functional tower, 2 calls"' in dot,
        'label="Dense\\nshared\\n2 calls\\nkernel [in 3, out 2]"' in dot,
    ) == (True, True)
    boxes = page_to_config(Drawing(graph, view_graph(graph)))["frames"][0]["boxes"]
    assert {box["name"]: box["called"] for box in boxes if box["called"]} == called


def test_very_many_tensors_between_two_layers_share_the_last_arrow():
    graph = build_graph(
        "in > "
        + "; in > ".join(["fc_1"] * 20)
        + "; "
        + " + ".join(f"fc_1@{call}" for call in range(20))
        + " > add_1"
    )
    notes = [wire.note for wire in view_graph(graph)[""].wires if wire.target == 2]
    assert (len(notes), notes[0], notes[-1]) == (MOST_ALIKE, "of call 1, input 0", "13 more")


def test_inputs_of_layers_whose_order_counts_are_numbered():
    dot = render_graph_dot(build_graph("in > fc1; in > fc2; fc1 + fc2 > cat; fc1 + fc2 > add"))
    labels = sorted(re.findall(r'label="([^"]*input[^"]*)"', dot))
    assert [label.partition("(")[2] for label in labels] == ["input 0)", "input 1)"]


def test_outputs_are_named_by_the_keys_of_the_model_s_dict():
    config = {
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": [
                layer("InputLayer", "x", [], batch_input_shape=[None, 4]),
                layer("Dense", "fc", [[["x", 0, 0, {}]]], units=2),
            ],
            "input_layers": [["x", 0, 0]],
            "output_layers": {"digit": ["fc", 0, 0], "parts": [["x", 0, 0]]},
        },
    }
    outputs = [
        box.name for box in view_graph(graph_from_config(config))[""].boxes if box.kind == "output"
    ]
    assert outputs == ["digit: fc", "parts.0: x"]
