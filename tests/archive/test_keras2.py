from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from builders import build_config

from graphprune.archive import read_archive
from graphprune.archive.hdf5.file import open_with_texts
from graphprune.archive.keras2 import upgrade_config
from graphprune.errors import ArchiveError
from graphprune.graph import read_graph


def plain(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": config}


def write_old(
    path: Path, config: Any, groups: dict[str, dict[str, tuple[int, ...]]], version: str = "2.0.8"
) -> Path:
    """Write an `.h5` file as Keras 2.0.8 did: all texts as bytes."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = np.bytes_(json.dumps(config))
        file.attrs["keras_version"] = np.bytes_(version)
        file.attrs["backend"] = np.bytes_("theano")
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array(list(groups), "S")
        for name, weights in groups.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = np.array(list(weights), "S")
            for weight, shape in weights.items():
                group[weight] = np.ones(shape, "float32")
    return path


def test_a_sequential_config_that_is_a_bare_list(tmp_path: Path) -> None:
    first = plain(
        "Embedding",
        name="embedding_1",
        input_dim=9,
        output_dim=4,
        batch_input_shape=[None, 5],
        input_length=5,
    )
    config = plain("Sequential") | {
        "config": [first, plain("GRU", name="gru_1", units=3, implementation=0, use_bias=True)]
    }
    gru = {"gru_1/kernel:0": (4, 9), "gru_1/recurrent_kernel:0": (3, 9), "gru_1/bias:0": (9,)}
    archive = read_archive(
        write_old(
            tmp_path / "a.h5",
            config,
            {"embedding_1": {"embedding_1/embeddings:0": (9, 4)}, "gru_1": gru},
        )
    )
    graph = read_graph(archive)
    assert (archive.keras_version, graph.name, graph.type, list(graph.layers)) == (
        "2.0.8",
        "sequential_1",
        "Sequential",
        ["embedding_1_input", "embedding_1", "gru_1"],
    )
    assert [tensor.shape for tensor in graph.layer("gru_1").tensors] == [(4, 9), (3, 9), (9,)]
    assert graph.layer("gru_1").config["reset_after"] is False
    assert graph.to_config() == archive.config


@pytest.mark.parametrize(
    ("version", "expected"), [("2.0.2", "float32"), ("2.1.6", "int32"), ("", "int32")]
)
def test_an_embedding_of_keras_2_0_says_what_its_input_is(version: str, expected: str) -> None:
    embedding = plain("Embedding", name="e", input_dim=9, output_dim=4, dtype="int32")
    wrapped = plain("TimeDistributed", name="t", layer=embedding)
    first = plain("InputLayer", name="in", batch_input_shape=[None, 5], dtype="int32")
    upgraded = upgrade_config(
        plain("Sequential", name="s", layers=[first, wrapped]), "a.h5", version
    )
    of_input, of_wrapper = upgraded["config"]["layers"]
    assert of_wrapper["config"]["layer"]["config"]["dtype"] == expected
    assert of_input["config"]["dtype"] == "int32"


def test_reset_after_is_added_inside_wrappers_and_kept_where_it_is(tmp_path: Path) -> None:
    inside, kept = (
        plain("Bidirectional", layer=plain("GRU", units=3)),
        plain("GRU", units=3, reset_after=True),
    )
    upgraded = upgrade_config(plain("Sequential", name="s", layers=[inside, kept]), "a.h5")
    assert upgraded["config"]["layers"][0]["config"]["layer"]["config"]["reset_after"] is False
    assert upgraded["config"]["layers"][1] == kept


def test_attention_of_tensorflow_2_4_is_built_by_its_first_call() -> None:
    old = plain(
        "MultiHeadAttention",
        name="mha",
        num_heads=2,
        key_dim=4,
        value_dim=4,
        use_bias=True,
        output_shape=None,
        attention_axes=[1],
    )
    new = plain(
        "MultiHeadAttention",
        name="new",
        num_heads=2,
        key_dim=4,
        query_shape=[None, 5, 8],
        key_shape=[None, 7, 8],
        value_shape=[None, 7, 8],
    )
    upgraded = upgrade_config(plain("Functional", name="m", layers=[old, new]), "a.h5", "2.4.0")
    assert upgraded["config"]["layers"] == [
        plain(
            "MultiHeadAttention",
            **old["config"],
            query_shape=None,
            key_shape=None,
            value_shape=None,
        ),
        new,
    ]


def test_the_class_model_is_functional() -> None:
    entry = build_config("in > fc")
    assert upgrade_config(entry | {"class_name": "Model"}, "a.h5")["class_name"] == "Functional"
    assert upgrade_config({"class_name": "Model", "config": {}}, "a.h5")["class_name"] == "Model"


def test_todays_config_stays_as_it_is() -> None:
    config = build_config("in > inner > lstm > fc", models={"inner": "in > fc"})
    assert upgrade_config(config, "a.h5", "2.15.0", ["in", "inner", "lstm", "fc"]) == config


def old_siamese() -> dict[str, Any]:
    """Return what Keras 2.0 wrote of a Sequential tower, without InputLayer, that a Functional
    model calls twice: its calls count from 1.
    """
    dense = plain("Dense", name="dense_1", units=4, use_bias=True, batch_input_shape=[None, 4])
    layers = [
        plain("InputLayer", name=name, batch_input_shape=[None, 4])
        | {"name": name, "inbound_nodes": []}
        for name in ("a", "b")
    ]
    layers.append(
        {
            "class_name": "Sequential",
            "config": [dense],
            "name": "tower",
            "inbound_nodes": [[["a", 0, 0, {}]], [["b", 0, 0, {}]]],
        }
    )
    layers.append(
        plain("Add", name="add")
        | {"name": "add", "inbound_nodes": [[["tower", 1, 0, {}], ["tower", 2, 0, {}]]]}
    )
    model = {
        "name": "model_1",
        "layers": layers,
        "input_layers": [["a", 0, 0], ["b", 0, 0]],
        "output_layers": [["add", 0, 0], ["tower", 2, 0]],
    }
    return plain("Model", **model)


def test_calls_of_a_sequential_model_without_an_input_layer(tmp_path: Path) -> None:
    tower = {"dense_1/kernel:0": (4, 4), "dense_1/bias:0": (4,)}
    graph = read_graph(
        write_old(tmp_path / "a.h5", old_siamese(), {"a": {}, "b": {}, "tower": tower, "add": {}})
    )
    assert (graph.layer("tower::dense_1").calls, graph.outputs, graph.parameters) == (
        2,
        ("add", "tower"),
        20,
    )
    uses = [
        (source, facts["source_call"])
        for source, target, facts in graph.network.edges(data=True)
        if target == "add"
    ]
    assert uses == [("tower", 0), ("tower", 1)]


def test_nested_models_without_a_name_take_that_of_their_weights(tmp_path: Path) -> None:
    dense = plain("Dense", name="dense_1", units=4, use_bias=True, batch_input_shape=[None, 4])
    config = {
        "class_name": "Sequential",
        "config": [{"class_name": "Sequential", "config": [dense]}],
    }
    graph = read_graph(
        write_old(
            tmp_path / "a.h5",
            config,
            {"sequential_7": {"dense_1/kernel:0": (4, 4), "dense_1/bias:0": (4,)}},
        )
    )
    assert list(graph.layers) == [
        "sequential_7",
        "sequential_7::dense_1_input",
        "sequential_7::dense_1",
    ]
    assert graph.parameters == 20


@pytest.mark.parametrize(
    ("version", "layer", "written"),
    [
        ("1.2.2", plain("Dense", name="d", units=3), "1.2.2"),
        ("", plain("Dense", name="d", output_dim=3), "1"),
        ("", plain("Convolution2D", name="c", nb_filter=3), "1"),
    ],
)
def test_keras_1_is_refused(
    tmp_path: Path, version: str, layer: dict[str, Any], written: str
) -> None:
    path = write_old(
        tmp_path / "a.h5", {"class_name": "Sequential", "config": [layer]}, {}, version
    )
    with pytest.raises(ArchiveError) as caught:
        read_archive(path)
    assert (
        str(caught.value)
        == f"{path}: written by Keras {written}, whose layers differ; load it in Keras 2.0 to 2.2"
        " and save it again there"
    )


def test_a_file_is_opened_with_another_config_and_stays_as_it_is(tmp_path: Path) -> None:
    layers = [
        plain("Dense", name=f"dense_{number}", units=4, comment="x" * 200) for number in range(500)
    ]
    path = write_old(
        tmp_path / "a.h5",
        {"class_name": "Sequential", "config": [plain("Dense", name="d", units=4)]},
        {"d": {"d/kernel:0": (4, 4)}},
    )
    before, config = path.read_bytes(), plain("Sequential", name="s", layers=layers)
    with open_with_texts(str(path), {"model_config": json.dumps(config)}) as file:
        assert json.loads(file.attrs["model_config"]) == config
        assert file["model_weights/d/d/kernel:0"].shape == (4, 4)
    assert path.read_bytes() == before
