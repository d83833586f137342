from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from builders import build_config, build_graph

from graphprune.errors import ArchiveError, GraphError
from graphprune.graph import graph_from_config, graph_from_json_config, graph_to_config, read_graph
from graphprune.shipped import shipped_file

GRAPH = build_graph("in > inner > fc > add; in > add", models={"inner": "in > fc"})


def test_a_graph_comes_back_equal_from_a_json_file(tmp_path: Path) -> None:
    for graph in (GRAPH, read_graph(shipped_file("fixtures/digits-cnn.keras"))):
        path = tmp_path / "g.json"
        path.write_text(json.dumps(graph_to_config(graph)))
        again = read_graph(path)
        assert again == graph
        assert again.to_config() == graph.to_config()
        assert {address: layer.tensors for address, layer in again.layers.items()} == {
            address: layer.tensors for address, layer in graph.layers.items()
        }
        assert graph_to_config(again) == graph_to_config(graph)


def test_numbers_that_json_does_not_have_are_objects(tmp_path: Path) -> None:
    odd = {"mask_value": -math.inf, "rates": [math.inf, {"$float": "NaN"}, {"$float": [1]}, 1e308]}
    config = build_config("in > fc")
    config["config"]["layers"][1]["config"] |= odd
    graph = graph_from_config(config, tensors={"fc": [("kernel", (4, 4), "float32")]})
    document = graph_to_config(graph)
    written = document["config"]["config"]["layers"][1]["config"]
    assert written["mask_value"] == {"$float": "-Infinity"}
    assert written["rates"] == [
        {"$float": "Infinity"},
        {"$float": ["NaN"]},
        {"$float": [[1]]},
        1e308,
    ]
    path = tmp_path / "g.json"
    path.write_text(json.dumps(document, allow_nan=False))
    assert read_graph(path).to_config() == config
    assert read_graph(path).sha256 == graph.sha256


def test_nan_comes_back_as_nan() -> None:
    config = build_config("in > fc")
    config["config"]["layers"][1]["config"]["rate"] = math.nan
    again = graph_from_json_config(
        json.loads(json.dumps(graph_to_config(graph_from_config(config)), allow_nan=False))
    )
    assert math.isnan(again.layer("fc").config["rate"])


def test_a_bare_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text(json.dumps(graph_to_config(GRAPH) | {"more": math.nan}))
    with pytest.raises(ArchiveError) as caught:
        read_graph(path)
    assert (
        str(caught.value)
        == f"{path}: its text is not JSON (it holds NaN, which JSON does not have); the file is"
        " damaged, save the model again"
    )


def test_the_document_says_what_it_is() -> None:
    document = graph_to_config(GRAPH)
    assert (document["format_version"], document["kind"], document["graph_sha256"]) == (
        "1.0",
        "graphprune.graph",
        GRAPH.sha256,
    )
    assert document["tensors"]["fc"] == [
        {"name": "kernel", "shape": [4, 4], "dtype": "float32"},
        {"name": "bias", "shape": [4], "dtype": "float32"},
    ]
    assert read_graph(document) == GRAPH


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"kind": "graphprune.plan"},
            (
                "no layer graph, kind must be 'graphprune.graph', got 'graphprune.plan'; export one"
                " with graphprune graph MODEL -o FILE.json"
            ),
        ),
        (
            {"format_version": "2.0"},
            (
                "format_version must be '1.0', got '2.0'; export the graph again with this version"
                " of graphprune"
            ),
        ),
        ({"more": 1}, "'more' is not known; export the graph again"),
        ({"config": []}, "config and tensors must be objects; export the graph again"),
        (
            {"tensors": {"gone": []}},
            "tensors of 'gone', which is no layer of the model; export the graph again",
        ),
        (
            {"tensors": {"fc": 1}},
            "the tensors of 'fc' must be a list, got int; export the graph again",
        ),
        (
            {"tensors": {"fc": [{"name": "k"}]}},
            (
                "a tensor of 'fc' must have name, shape and dtype, got \"{'name': 'k'}\"; export"
                " the graph again"
            ),
        ),
        (
            {"tensors": {"fc": [{"name": "k", "shape": [-1], "dtype": "float32"}]}},
            (
                "a tensor of 'fc' must have name, shape and dtype, got \"{'name': 'k', 'shape':"
                " [-1], 'dtype': 'float32'}\"; export the graph again"
            ),
        ),
    ],
)
def test_a_damaged_document_is_refused(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(GraphError) as caught:
        graph_from_json_config(graph_to_config(GRAPH) | change, "g.json")
    assert str(caught.value) == f"g.json: {fault}"


def test_an_edited_config_is_refused() -> None:
    document = graph_to_config(GRAPH)
    document["config"]["config"]["name"] = "other"
    with pytest.raises(
        GraphError,
        match=r"^g\.json: its config was changed after it was exported \(graph_sha256 says ",
    ):
        graph_from_json_config(document, "g.json")
