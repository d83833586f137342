from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import build_config
from saved_model_files import entry, field, table, write_checkpoint, write_saved_model

from graphprune.archive import read_archive
from graphprune.errors import ArchiveError
from graphprune.graph import locate_weights, measure_zeros, read_graph

KERNEL, BIAS = np.arange(16, dtype="float32").reshape(4, 4), np.zeros(4, "float32")
TREE = {
    "layer-0": {},
    "layer-1": {
        "kernel": KERNEL,
        "bias": BIAS,
        "variables": {"0": KERNEL},
        "keras_api": {"x": BIAS},
    },
}


def refusal(path: Path) -> str:
    """Return what is said of a folder that is refused, without its path."""
    with pytest.raises(ArchiveError) as caught:
        locate_weights(archive := read_archive(path), read_graph(archive))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}")
    return text.removeprefix(f"{path}")


@pytest.mark.parametrize("old", [False, True])
def test_a_saved_model_gives_config_and_tensors(tmp_path: Path, old: bool) -> None:
    config = build_config("in > fc")
    archive = read_archive(write_saved_model(tmp_path / "m", config, TREE, old=old))
    graph = read_graph(archive)
    assert (archive.layout, archive.keras_version, archive.config["config"]) == (
        "savedmodel",
        "2.11.0",
        config["config"],
    )
    weights = locate_weights(archive, graph)
    assert [tensor.label() for tensor in graph.layer("fc").tensors] == [
        "kernel [in 4, out 4]",
        "bias [out 4]",
    ]
    np.testing.assert_array_equal(weights.read("fc", "kernel"), KERNEL)
    assert measure_zeros(locate_weights(archive, graph)) == {("fc", "kernel"): 1, ("fc", "bias"): 4}


def test_tuples_and_shapes_in_the_metadata_are_lists(tmp_path: Path) -> None:
    config = build_config("in > fc")
    config["config"]["layers"][0]["config"]["batch_input_shape"] = {
        "class_name": "__tuple__",
        "items": [None, {"class_name": "TensorShape", "items": [4]}],
    }
    archive = read_archive(write_saved_model(tmp_path / "m", config, TREE))
    assert archive.config["config"]["layers"][0]["config"]["batch_input_shape"] == [None, [4]]


def test_nested_and_shared_layers_are_found_by_position(tmp_path: Path) -> None:
    config = build_config("in > inner > fc2", models={"inner": "in > fc1"})
    fc1, fc2 = {"kernel": KERNEL, "bias": BIAS}, {"kernel": KERNEL + 1, "bias": BIAS}
    archive = read_archive(
        write_saved_model(
            tmp_path / "m",
            config,
            {"layer-0": {}, "layer-1": {"layer-0": {}, "layer-1": fc1}, "layer-2": fc2},
        )
    )
    weights = locate_weights(archive, read_graph(archive))
    assert [weights.read(address, "kernel")[0, 0] for address in ("inner::fc1", "fc2")] == [0, 1]


def sequential(name: str, *members: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(members)}}


def dense(name: str, **settings: Any) -> dict[str, Any]:
    return {
        "class_name": "Dense",
        "config": {"name": name, "units": 4, "use_bias": True, **settings},
    }


def test_the_input_layer_of_a_sequential_model_is_counted_where_tensorflow_2_1_counted_it(
    tmp_path: Path,
) -> None:
    config = sequential(
        "s",
        dense("fc1", batch_input_shape=[None, 4]),
        sequential("inner", dense("fc2", batch_input_shape=[None, 4])),
        dense("fc3"),
    )
    fc1, fc2, fc3 = ({"kernel": KERNEL + number, "bias": BIAS} for number in range(3))
    newer = {"layer-0": fc1, "layer-1": {"layer-0": fc2}, "layer-2": fc3}
    older = {
        "layer-0": {},
        "layer-1": fc1,
        "layer-2": {"layer-0": {}, "layer-1": fc2},
        "layer-3": fc3,
    }
    for name, tree in (("2.4", newer), ("2.1", older)):
        archive = read_archive(
            write_saved_model(tmp_path / name, config, tree, kind="_tf_keras_sequential", old=True)
        )
        weights = locate_weights(archive, read_graph(archive))
        assert [
            weights.read(address, "kernel")[0, 0] for address in ("fc1", "inner::fc2", "fc3")
        ] == [0, 1, 2]


def export(folder: Path, text: str) -> Path:
    """Write what `export_saved_model` of TensorFlow 1.15 does: the config as a text beside a model
    without Keras metadata.
    """
    write_checkpoint(folder, TREE)
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, field(7, field(1, b""))))
    (folder / "assets").mkdir()
    (folder / "assets" / "saved_model.json").write_text(text)
    return folder


def test_what_export_saved_model_wrote_has_its_config_beside_it(tmp_path: Path) -> None:
    config = build_config("in > fc")
    archive = read_archive(
        export(
            tmp_path / "m",
            json.dumps(
                config
                | {"class_name": "Model", "keras_version": "2.2.4-tf", "backend": "tensorflow"}
            ),
        )
    )
    weights = locate_weights(archive, graph := read_graph(archive))
    assert (archive.layout, archive.keras_version, graph.type) == (
        "savedmodel",
        "2.2.4-tf",
        "Functional",
    )
    np.testing.assert_array_equal(weights.read("fc", "kernel"), KERNEL)
    assert refusal(export(tmp_path / "cut", "{")).startswith(
        "/assets/saved_model.json: the model's config is"
    )


def test_weights_inside_a_layer_are_found_by_attribute(tmp_path: Path) -> None:
    config = build_config("in > lstm > low:My>Low")
    cell = {
        "kernel": np.ones((4, 16), "float32"),
        "recurrent_kernel": np.ones((4, 16), "float32"),
        "bias": np.ones(16, "float32"),
    }
    tree = {"layer-0": {}, "layer-1": {"cell": cell}, "layer-2": {"u": BIAS, "inner": {"v": BIAS}}}
    graph = read_graph(write_saved_model(tmp_path / "m", config, tree))
    assert [tensor.name for tensor in graph.layer("lstm").tensors] == [
        "kernel",
        "recurrent_kernel",
        "bias",
    ]
    assert [tensor.name for tensor in graph.layer("low").tensors] == ["u", "inner.v"]


def test_a_weight_that_a_wrapper_holds_as_its_own_is_found_there(tmp_path: Path) -> None:
    config = build_config("in > sn:Dense")
    entry = config["config"]["layers"][1]
    inner = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "fc", "units": 4, "use_bias": True},
        "registered_name": None,
    }
    entry |= {
        "class_name": "SpectralNormalization",
        "config": {"name": "sn", "power_iterations": 1, "layer": inner},
    }
    tree = {
        "layer-0": {},
        "layer-1": {
            "kernel": KERNEL,
            "vector_u": np.ones((1, 4), "float32"),
            "layer": {"bias": BIAS},
        },
    }
    graph = read_graph(write_saved_model(tmp_path / "m", config, tree))
    assert sorted(tensor.name for tensor in graph.layer("sn").tensors) == [
        "layer.bias",
        "layer.kernel",
        "vector_u",
    ]


def test_a_saved_model_without_keras(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(field(1, 1) + field(2, field(7, field(1, b""))))
    expected = (
        ": is a SavedModel without Keras metadata (tf.saved_model.save writes such), so its layers"
        " are unknown; give what model.save() wrote, or save the model with"
        " model.save('model.keras')"
    )
    assert refusal(tmp_path) == expected


def test_what_model_export_wrote(tmp_path: Path) -> None:
    for attribute in ("serve", "_endpoint_names"):
        root = field(1, field(2, attribute.encode()))
        (tmp_path / "saved_model.pb").write_bytes(field(2, field(7, field(1, root))))
        with pytest.raises(ArchiveError) as caught:
            read_archive(tmp_path)
        assert caught.value.slug == "model/exported"
        assert str(caught.value) == (
            f"{tmp_path}: is what model.export() writes to serve a model, and holds no layers;"
            " give the .keras file of the model, prune it, and export it again"
        )


def test_a_subclassed_model(tmp_path: Path) -> None:
    config = {"class_name": "Sub", "config": {}}
    expected = (
        ": the model's class is 'Sub', whose layers are not in the file; rebuild it as a Functional"
        " or Sequential model and save it again"
    )
    assert (
        refusal(write_saved_model(tmp_path / "m", config, TREE, kind="_tf_keras_model")) == expected
    )


def test_a_missing_weight(tmp_path: Path) -> None:
    tree = {"layer-0": {}, "layer-1": {"kernel": KERNEL}}
    expected = ": layer 'fc' (Dense) has no tensor 'bias' in the checkpoint; save the model again"
    assert refusal(write_saved_model(tmp_path / "m", build_config("in > fc"), tree)) == expected


KEY = "layer-1/kernel/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        (
            {"extra": {KEY: entry(1, (10**6, 10**6), 0, 64)}},
            (
                f"{KEY!r} claims 4,000,000,000,000 bytes and holds 64; the file is damaged, save"
                " the model again"
            ),
        ),
        (
            {"extra": {KEY: entry(99, (4, 4), 0, 64)}},
            f"{KEY!r} has the type 99, which is not numeric; save the model again",
        ),
        ({"extra": {KEY: b"\xff"}}, "damaged (a number is cut off); save or copy the model again"),
        (
            {"objects": field(1, field(1, field(1, 7) + field(2, "layer-0")))},
            "names object 7, but has only 1; the file is damaged, save the model again",
        ),
        (
            {"objects": field(1, field(1, field(1, 0) + field(2, "layer-0")))},
            "layers are nested too deep or in a cycle; the file is damaged, save the model again",
        ),
        ({"objects": b""}, "holds no objects; save the model again"),
    ],
)
def test_an_index_that_lies(tmp_path: Path, checkpoint: dict[str, Any], expected: str) -> None:
    assert (
        refusal(write_saved_model(tmp_path / "m", build_config("in > fc"), TREE, **checkpoint))
        == f"/variables/variables.index: {expected}"
    )


def test_values_beyond_the_end_of_the_shard(tmp_path: Path) -> None:
    folder = write_saved_model(
        tmp_path / "m", build_config("in > fc"), TREE, extra={KEY: entry(1, (4, 4), 10**9, 64)}
    )
    archive = read_archive(folder)
    with pytest.raises(ArchiveError) as caught:
        measure_zeros(locate_weights(archive, read_graph(archive)))
    assert "a tensor should end at byte 1,000,000,064, the file has" in str(caught.value)


def test_a_flipped_bit_in_the_index_is_seen(tmp_path: Path) -> None:
    index = (
        write_saved_model(tmp_path / "m", build_config("in > fc"), TREE)
        / "variables"
        / "variables.index"
    )
    data = bytearray(index.read_bytes())
    data[30] ^= 1
    index.write_bytes(data)
    assert (
        refusal(tmp_path / "m")
        == "/variables/variables.index: damaged (the checksum of a block is wrong); save or copy"
        " the model again"
    )


def test_a_flipped_bit_in_a_tensor_is_seen_when_it_is_read(tmp_path: Path) -> None:
    shard = (
        write_saved_model(tmp_path / "m", build_config("in > fc"), TREE)
        / "variables"
        / "variables.data-00000-of-00001"
    )
    data = bytearray(shard.read_bytes())
    data[70] ^= 1
    shard.write_bytes(data)
    archive = read_archive(tmp_path / "m")
    graph = read_graph(archive)
    with pytest.raises(ArchiveError) as caught:
        measure_zeros(locate_weights(archive, graph))
    key = "layer-1/bias/.ATTRIBUTES/VARIABLE_VALUE"
    assert (
        str(caught.value)
        == f"{shard}: the checksum of {key!r} is wrong; the file is damaged, save or copy the model"
        " again"
    )


def test_a_flipped_bit_in_the_objects_is_seen(tmp_path: Path) -> None:
    shard = (
        write_saved_model(tmp_path / "m", build_config("in > fc"), TREE)
        / "variables"
        / "variables.data-00000-of-00001"
    )
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    fault = (
        "the checksum of '_CHECKPOINTABLE_OBJECT_GRAPH' is wrong; the file is damaged, save or copy"
        " the model again"
    )
    assert refusal(tmp_path / "m") == f"/variables/variables.data-00000-of-00001: {fault}"


@pytest.mark.parametrize(("compression", "kind"), [(1, "with snappy"), (9, "in the unknown way 9")])
def test_a_compressed_index_is_refused(tmp_path: Path, compression: int, kind: str) -> None:
    index = (
        write_saved_model(tmp_path / "m", build_config("in > fc"), TREE)
        / "variables"
        / "variables.index"
    )
    index.write_bytes(table({b"": b""}, bytes([compression])))
    fault = f"a block is compressed {kind}, which TensorFlow never does"
    assert (
        refusal(tmp_path / "m")
        == f"/variables/variables.index: damaged ({fault}); save or copy the model again"
    )


@pytest.mark.parametrize(
    "name",
    [
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "keras_metadata.pb",
        "saved_model.pb",
    ],
)
def test_a_cut_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    path = write_saved_model(tmp_path / "m", build_config("in > fc"), TREE) / name
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(tmp_path / "m").startswith(f"/{name}: ")


def test_keras_metadata_without_the_model_beside_it(tmp_path: Path) -> None:
    graph = write_saved_model(tmp_path / "m", build_config("in > fc"), TREE) / "saved_model.pb"
    for data in (b"", field(1, 1), field(1, 1) + field(2, b"")):
        graph.write_bytes(data)
        assert (
            refusal(tmp_path / "m")
            == "/saved_model.pb: holds no graph; the SavedModel is damaged, save or copy the model"
            " again"
        )
    graph.unlink()
    assert (
        refusal(tmp_path / "m")
        == "/saved_model.pb: no such file; the SavedModel is not complete, save or copy it again"
    )


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "m", build_config("in > fc"), TREE)
    (folder / "variables" / "variables.index").unlink()
    assert (
        refusal(folder)
        == "/variables/variables.index: no such file; the SavedModel is not complete, save or copy"
        " it again"
    )


@pytest.mark.parametrize("first", [0, 1])
def test_tensorflow_2_1_numbers_the_input_of_a_sequential_model_too(
    tmp_path: Path, first: int
) -> None:
    """The objects of a checkpoint as TensorFlow 2.1 (from 1) and 2.4 (from 0) wrote them: the last
    layer tells which it is, also where it is a model.
    """
    dense = [
        {"class_name": "Dense", "config": {"name": name, "units": 4}} for name in ("a", "b", "c")
    ]
    start = {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": [None, 4]}}
    inner = {
        "class_name": "Sequential",
        "config": {"name": "inner", "layers": [start, dense[1], dense[2]]},
    }
    config = {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [start, dense[0], inner]},
    }
    values = [
        {"kernel": np.full((4, 4), number, "float32"), "bias": np.zeros(4, "float32")}
        for number in range(3)
    ]
    head = {"layer-0": {}} if first else {}
    nested = head | {f"layer-{first}": values[1], f"layer-{first + 1}": values[2]}
    path = write_saved_model(
        tmp_path / "m",
        config,
        head | {f"layer-{first}": values[0], f"layer-{first + 1}": nested},
        kind="_tf_keras_sequential",
    )
    archive = read_archive(path)
    weights = locate_weights(archive, read_graph(archive))
    assert [weights.read(address, "kernel")[0, 0] for address in ("a", "inner::b", "inner::c")] == [
        0,
        1,
        2,
    ]
