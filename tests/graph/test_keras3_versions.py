"""Files of Keras 3.3, 3.6 and 3.15 are read alike; `tests/keras3_versions/write.py` wrote them."""

from pathlib import Path

import pytest

import graphprune
from graphprune.errors import GraphError
from graphprune.graph.classes.inference import infer_entry

FOLDER = Path(__file__).parents[1] / "keras3_versions"
VERSIONS = ("3.3.3", "3.6.0", "3.15.1")


def facts_of(path):
    """What rules see of each layer."""
    return {
        address: (
            layer.type,
            [(one.name, one.shape, one.axes, one.prunable) for one in layer.tensors],
        )
        for address, layer in graphprune.read_graph(path).layers.items()
    }


@pytest.mark.parametrize("kind", ["functional", "subclassed"])
def test_each_version_is_read_alike(kind):
    first, *others = (facts_of(FOLDER / f"{kind}-{version}.keras") for version in VERSIONS)
    assert all(other == first for other in others)
    below = {address: names for address, (_, names) in first.items() if "block." in address}
    assert {
        address.rpartition("block.")[2]: [name for name, *_, prunable in names if prunable]
        for address, names in below.items()
    } == {
        "d": ["kernel"],
        "emb": ["embeddings"],
        "gru.cell": ["kernel", "recurrent_kernel"],
        "lstm.cell": ["kernel", "recurrent_kernel"],
        **{f"mha.{part}_dense": ["kernel"] for part in ("key", "output", "query", "value")},
        "steps.dense": ["kernel"],
        "steps.dense_1": ["kernel"],
        "table.batch_normalization": [],
        "table.layer_normalization": [],
    }


def test_the_class_of_a_layer_follows_from_name_and_weights():
    def kind(path, *shapes, name="", dtype="float32"):
        entry = infer_entry(path, name, shapes, [dtype] + ["float32"] * (len(shapes) - 1))
        return entry["class_name"]

    assert kind("a/dense_12", (8, 4)) == "Dense"
    assert kind("a/first", (8, 4), name="dense_3") == "Dense"
    assert kind("a/first", (8, 4)) == "?"
    assert kind("a/first", (8, 4), (4,)) == "Dense"
    assert kind("a/first", (8, 4), (8,)) == "?"
    assert kind("a/dense", (8, 4), (8,)) == "?"  # a user's own class of this name
    assert kind("a/first", (3, 3, 8, 4), (4,)) == "Conv2D"
    assert kind("a/first", (3, 3, 8, 2), (16,)) == "DepthwiseConv2D"
    assert kind("a/query_dense", (8, 2, 4)) == "EinsumDense"
    assert kind("a/ffw_linear", (8, 4)) == "Dense"
    assert kind("a/token_embedding", (30, 4)) == "Embedding"
    assert kind("a/position_embedding", (30, 4)) == "Embedding"
    # lists name layers by class, and KerasHub has a class of its own for this table
    assert kind("bert_backbone/layers/position_embedding_1", (30, 4)) == "?"
    assert kind("net/layers/relative_embedding", (30, 4)) == "?"
    assert kind("net/layers/dense_1", (30, 4)) == "Dense"
    assert kind("a/token_and_position_embedding_2/position_embedding", (30, 4)) == "?"
    assert kind("block/conv1", (3, 3, 8, 4), name="block_2_conv1") == "Conv2D"
    assert kind("vision/patch_embedding", (4, 4, 3, 8)) == "Conv2D"
    assert kind("a/cell", (3, 12), (4, 12), (2, 12)) == "GRUCell"
    assert kind("a/first", (8, 4), (4,), (4,), dtype="int8") == "Dense"
    assert kind("a/w", (8,)) == "?"


def test_shards_of_weights_are_no_model(tmp_path):
    shards = tmp_path / "m.weights.json"
    shards.write_text('{"metadata": {"total_size": 9}, "weight_map": {"/layers/dense/vars": []}}')
    with pytest.raises(GraphError, match="lists the files of a model's weights"):
        graphprune.read_graph(shards)
