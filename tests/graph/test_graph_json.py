import json

import pytest
from builders import build_graph

from graphprune.errors import GraphError
from graphprune.graph import graph_from_json_config, graph_to_config


def test_a_graph_comes_back_equal_through_json():
    graph = build_graph("in > tower > fc_1", models={"tower": "in > fc_2"})
    config = json.loads(json.dumps(graph_to_config(graph)))
    assert graph_from_json_config(config) == graph
    assert config["tensors"] == {
        "tower::fc_2": [["kernel", [4, 4], "float32"], ["bias", [4], "float32"]],
        "fc_1": [["kernel", [4, 4], "float32"], ["bias", [4], "float32"]],
    }


def test_other_data_is_refused():
    with pytest.raises(GraphError) as caught:
        graph_from_json_config({"kind": "graphprune.plan", "format_version": "1.0"}, place="p.json")
    assert str(caught.value) == (
        "p.json: not a layer graph of format 1.0, got 'graphprune.plan', format '1.0'; write it with graphprune graph MODEL -o FILE.json"
    )


def test_damaged_data_is_refused():
    with pytest.raises(GraphError, match=r"p\.json: the layer graph is damaged"):
        graph_from_json_config({"kind": "graphprune.graph", "format_version": "1.0", "config": {}, "tensors": {"a": [3]}}, place="p.json")
