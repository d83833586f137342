from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import build_config
from weight_files import write_2_12, write_h5, write_keras

from graphprune.archive import read_archive
from graphprune.errors import ArchiveError, GraphError
from graphprune.graph import (
    locate_weights,
    measure_mask_faults,
    measure_zeros,
    read_graph,
    read_steps,
)
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule

KERNEL = np.array([[1, 0, 3, 4]] * 4, "float32")
MASK = np.array([[1, 0, 0, 1]] * 4, "bool")
STATE = [MASK, np.float32(1), np.int64(40), np.int64(30)]
STATE_NAMES = ["mask_kernel", "threshold_kernel", "pruning_step", "last_update"]


def wrapped_config() -> dict[str, Any]:
    config = build_config("in > fc > out")
    inner = {
        key: value
        for key, value in config["config"]["layers"][1].items()
        if key not in ("name", "inbound_nodes")
    }
    pruning = Pruning(0.5, Schedule(end=Position(4, "epoch")), ("kernel",)).to_config()
    wrapper = {
        "module": "graphprune.tf.pruning.wrapper",
        "class_name": "PruneLowMagnitude",
        "registered_name": "graphprune>PruneLowMagnitude",
    }
    config["config"]["layers"][1] |= {
        **wrapper,
        "config": {
            "name": "fc",
            "trainable": True,
            "layer": inner,
            "pruning": pruning,
            "provenance": {},
        },
    }
    return config


def wrapped_files(folder: Path, state: list[Any] | None = None) -> list[Path]:
    config, state = wrapped_config(), STATE if state is None else state
    plain = [KERNEL, np.zeros(4, "float32")]
    groups = {
        "layers/dense": plain,
        "layers/prune_low_magnitude/layer": plain,
        "layers/prune_low_magnitude": state,
    }
    named = {
        "fc/kernel:0": plain[0],
        "fc/bias:0": plain[1],
        **{f"fc/{name}:0": value for name, value in zip(STATE_NAMES, state, strict=True)},
    }
    return [
        write_keras(folder / "m.keras", config, groups),
        write_h5(
            folder / "m.h5",
            config,
            {"in": {}, "fc": named, "out": {"out/kernel:0": plain[0], "out/bias:0": plain[1]}},
        ),
    ]


def test_a_wrapped_layer_shows_its_own_tensors_and_hides_the_state(tmp_path: Path) -> None:
    for path in wrapped_files(tmp_path):
        archive = read_archive(path)
        graph = read_graph(archive)
        assert [tensor.name for tensor in graph.layer("fc").tensors] == ["kernel", "bias"]
        weights = locate_weights(archive, graph)
        assert list(weights.tensors["fc"]) == ["kernel", "bias", *STATE_NAMES]
        np.testing.assert_array_equal(weights.read("fc", "mask_kernel"), MASK)
        assert weights.read("fc", "mask_kernel").dtype == bool


def test_zeros_mask_faults_and_steps_are_measured(tmp_path: Path) -> None:
    for path in wrapped_files(tmp_path):
        archive = read_archive(path)
        graph = read_graph(archive)
        assert measure_zeros(locate_weights(archive, graph)) == {
            ("fc", "kernel"): 4,
            ("fc", "bias"): 4,
            ("out", "kernel"): 4,
            ("out", "bias"): 4,
        }
        assert measure_mask_faults(locate_weights(archive, graph)) == {("fc", "kernel"): 4}
        assert read_steps(locate_weights(archive, graph)) == {"fc": 40}


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    archive = read_archive(wrapped_files(tmp_path)[0])
    graph = read_graph(archive)
    with pytest.raises(GraphError) as caught:
        locate_weights(archive, graph).read("out", "pruning_step")
    assert (
        str(caught.value)
        == f"{archive.path}: layer 'out' has no tensor 'pruning_step'; it has kernel, bias"
    )


def test_a_mask_of_another_shape_is_named(tmp_path: Path) -> None:
    archive = read_archive(wrapped_files(tmp_path, [MASK[:2], *STATE[1:]])[1])
    with pytest.raises(ArchiveError) as caught:
        measure_mask_faults(locate_weights(archive, read_graph(archive)))
    assert (
        str(caught.value)
        == f"{archive.path}: the mask of 'kernel' in layer 'fc' has shape [2, 4], the weight [4,"
        " 4]; save the model again"
    )


def test_counters_of_a_wrapper_are_one_number(tmp_path: Path) -> None:
    for step, got in (
        (np.zeros(3, "int64"), "the shape [3] of int64"),
        (np.float32(np.nan), "the shape [] of float32"),
    ):
        for path in wrapped_files(tmp_path, [*STATE[:2], step, STATE[3]]):
            with pytest.raises(ArchiveError) as caught:
                read_graph(path)
            name = "2" if path.suffix == ".keras" else "fc/pruning_step:0"
            assert (
                str(caught.value)
                == f"{path}: the wrapper of layer 'fc' should hold one number as {name!r}, got"
                f" {got}; save the model again"
            )


def test_names_of_pruned_weights_are_texts(tmp_path: Path) -> None:
    config = wrapped_config()
    config["config"]["layers"][1]["config"]["pruning"]["weights"] = [{"kernel": 1}]
    path = write_keras(tmp_path / "a.keras", config, {})
    with pytest.raises(GraphError) as caught:
        read_graph(path)
    fault = "ValueError: weights must be a list of names, got [{'kernel': 1}]"
    assert (
        str(caught.value)
        == f"{path}: the pruning wrapper of layer 'fc' is damaged ({fault}); save the model again"
    )


def test_weights_that_do_not_fit_the_config_are_named(tmp_path: Path) -> None:
    config = build_config("in > fc")
    for path in (
        write_keras(tmp_path / "a.keras", config, {"layers/dense": [KERNEL]}),
        write_h5(tmp_path / "a.h5", config, {"fc": {"fc/kernel:0": KERNEL}}),
    ):
        with pytest.raises(ArchiveError) as caught:
            read_graph(path)
        assert (
            str(caught.value)
            == f"{path}: layer 'fc' (Dense) should hold kernel, bias, the file holds 1 tensor"
            " there, bias is missing; save the model again"
        )


@pytest.mark.parametrize(
    ("settings", "count", "said"),
    [
        (
            {
                "dtype": {
                    "module": "keras.dtype_policies",
                    "class_name": "QuantizedDTypePolicy",
                    "config": {"mode": "int8", "source_name": "float32"},
                }
            },
            3,
            (
                "is quantized to int8, with integers or scales for weights; prune a model before it"
                " is quantized, and give the one that was not"
            ),
        ),
        (
            {"lora_rank": 2},
            4,
            (
                "has LoRA weights of rank 2 beside its own; load and save the model with Keras"
                " 3.15, which merges them into the kernel"
            ),
        ),
        (
            {"lora_rank": None},
            3,
            "should hold kernel, bias, the file holds 3 tensors there; save the model again",
        ),
    ],
)
def test_what_keras_3_adds_to_a_layer_is_named(
    tmp_path: Path, settings: dict[str, Any], count: int, said: str
) -> None:
    config = build_config("in > fc")
    config["config"]["layers"][1]["config"] |= settings
    path = write_keras(
        tmp_path / "a.keras",
        config | {"module": "keras.src.models.functional"},
        {"layers/dense": [KERNEL] * count},
    )
    with pytest.raises(ArchiveError) as caught:
        read_graph(path)
    assert str(caught.value) == f"{path}: layer 'fc' (Dense) {said}"


def test_layers_of_one_class_are_numbered_in_the_order_of_the_model(tmp_path: Path) -> None:
    config = build_config("in > fc1 > inner > fc2", models={"inner": "in > fc1 > fc2"})
    groups = [
        "layers/dense",
        "layers/functional/layers/dense",
        "layers/functional/layers/dense_1",
        "layers/dense_1",
    ]
    path = write_keras(
        tmp_path / "a.keras",
        config,
        {group: [KERNEL + number, np.zeros(4)] for number, group in enumerate(groups)},
    )
    weights = locate_weights(read_archive(path), read_graph(path))
    assert [
        weights.read(address, "kernel")[0, 0]
        for address in ("fc1", "inner::fc1", "inner::fc2", "fc2")
    ] == [1, 2, 3, 4]


def test_a_layer_that_stands_in_two_models_is_stored_once(tmp_path: Path) -> None:
    config = build_config(
        "in > inner > both:Dense > last:Dense", models={"inner": "in > both:Dense"}
    )
    config["config"]["layers"][2]["shared_object_id"] = 140505385248208
    path = write_keras(
        tmp_path / "a.keras",
        config,
        {
            "layers/functional/layers/dense": [KERNEL, np.zeros(4)],
            "layers/dense": [KERNEL + 1, np.zeros(4)],
        },
    )
    weights = locate_weights(read_archive(path), read_graph(path))
    assert [
        weights.read(address, "kernel")[0, 0] for address in ("inner::both", "both", "last")
    ] == [1, 1, 2]


def test_a_model_that_stands_in_another_again_has_the_tensors_of_its_first_place(
    tmp_path: Path,
) -> None:
    """The layers of the second place are marked as shared, each once; two of them have one name."""
    config = build_config(
        "in > mid > again",
        models={
            "mid": "in > a:Dense > inner",
            "inner": "in > a:Dense",
            "again": "in > mid:Functional",
        },
    )
    mid, again = config["config"]["layers"][1:3]
    second = copy.deepcopy(mid)
    place = again["config"]["layers"][1]
    again["config"]["layers"][1] = second | {key: place[key] for key in ("name", "inbound_nodes")}
    mid["shared_object_id"] = again["config"]["layers"][1]["shared_object_id"] = 1
    for number, layer in enumerate(
        (*second["config"]["layers"], *second["config"]["layers"][2]["config"]["layers"])
    ):
        layer["shared_object_id"] = 2 + number
    groups = {
        "layers/functional/layers/dense": [KERNEL, np.zeros(4)],
        "layers/functional/layers/functional/layers/dense": [KERNEL + 1, np.zeros(4)],
    }
    path = write_keras(tmp_path / "a.keras", config, groups)
    weights = locate_weights(read_archive(path), read_graph(path))
    places = ("mid::a", "mid::inner::a", "again::mid::a", "again::mid::inner::a")
    assert [weights.read(address, "kernel")[0, 0] for address in places] == [1, 2, 1, 2]


def test_a_layer_that_was_never_built_has_no_tensors(tmp_path: Path) -> None:
    config = build_config("in > fc")
    dense = {
        key: value
        for key, value in config["config"]["layers"][1].items()
        if key not in ("name", "inbound_nodes")
    }
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [dense]},
        "registered_name": None,
    }
    assert (
        read_graph(write_keras(tmp_path / "a.keras", config, {"layers/other": [KERNEL]}))
        .layer("fc")
        .tensors
        == ()
    )


def test_a_layer_without_its_weights_in_a_model_that_was_built_is_refused(tmp_path: Path) -> None:
    path = write_keras(
        tmp_path / "a.keras", build_config("in > fc > fc2"), {"layers/dense": [KERNEL, KERNEL[0]]}
    )
    with pytest.raises(ArchiveError) as caught:
        read_graph(path)
    assert (
        str(caught.value)
        == f"{path}: layer 'fc2' (Dense) should hold kernel, bias, the file holds none of them; the"
        " file is damaged, save the model again"
    )


def test_layers_of_custom_classes_have_tensors_by_storage_name_and_none_prunable(
    tmp_path: Path,
) -> None:
    config = build_config("in > low:My>LowRank")
    config["config"]["layers"][1]["class_name"] = "LowRank"
    graph = read_graph(
        write_keras(
            tmp_path / "a.keras",
            config,
            {"layers/low_rank": [KERNEL], "layers/low_rank/inner/deep": [KERNEL]},
        )
    )
    assert [(tensor.name, tensor.prunable) for tensor in graph.layer("low").tensors] == [
        ("0", False),
        ("inner.deep.0", False),
    ]
    graph = read_graph(
        write_h5(tmp_path / "a.h5", config, {"low": {"low/u:0": KERNEL, "low/inner/v:0": KERNEL}})
    )
    assert [tensor.name for tensor in graph.layer("low").tensors] == ["u", "inner.v"]


def test_an_unregistered_class_named_like_a_builtin_is_not_taken_for_it(tmp_path: Path) -> None:
    config = build_config("in > fc")
    config["config"]["layers"][1] |= {"module": None, "registered_name": "Dense"}
    layer = read_graph(
        write_keras(tmp_path / "a.keras", config, {"layers/dense": [KERNEL, KERNEL, KERNEL]})
    ).layer("fc")
    assert [(tensor.name, tensor.prunable) for tensor in layer.tensors] == [
        ("0", False),
        ("1", False),
        ("2", False),
    ]


def test_equal_names_in_two_nested_models_are_told_apart_by_scope(tmp_path: Path) -> None:
    config = build_config(
        "in > outer > fc",
        models={"outer": "in > left > right", "left": "in > fc", "right": "in > fc"},
    )
    stored = {
        "right/fc/kernel:0": KERNEL + 1,
        "right/fc/bias:0": np.zeros(4),
        "left/fc/kernel:0": KERNEL,
        "left/fc/bias:0": np.zeros(4),
    }
    path = write_h5(
        tmp_path / "a.h5",
        config,
        {"outer": stored, "fc": {"fc/kernel:0": KERNEL, "fc/bias:0": np.zeros(4)}},
    )
    archive = read_archive(path)
    weights = locate_weights(archive, read_graph(archive))
    np.testing.assert_array_equal(weights.read("outer::left::fc", "kernel"), KERNEL)
    np.testing.assert_array_equal(weights.read("outer::right::fc", "kernel"), KERNEL + 1)


def test_a_layer_that_two_models_inside_a_nested_one_share_is_stored_once(tmp_path: Path) -> None:
    config = build_config(
        "in > outer",
        models={"outer": "in > left > right > other:Dense", "left": "in > fc", "right": "in > fc"},
    )
    stored = {
        "fc/kernel:0": KERNEL,
        "fc/bias:0": np.zeros(4),
        "other/kernel:0": KERNEL + 1,
        "other/bias:0": np.zeros(4),
    }
    path = write_h5(tmp_path / "a.h5", config, {"outer": stored})
    weights = locate_weights(read_archive(path), read_graph(path))
    assert [
        weights.read(address, "kernel")[0, 0]
        for address in ("outer::left::fc", "outer::right::fc", "outer::other")
    ] == [1, 1, 2]


def test_a_nested_weight_without_a_layer_name_is_named(tmp_path: Path) -> None:
    config = build_config("in > outer", models={"outer": "in > fc"})
    path = write_h5(tmp_path / "a.h5", config, {"outer": {"Variable:0": KERNEL}})
    with pytest.raises(ArchiveError) as caught:
        read_graph(path)
    assert (
        str(caught.value)
        == f"{path}: cannot tell which layer of the nested model 'outer' holds the weight"
        " 'Variable:0'; save the model as .keras instead"
    )


def test_a_keras_file_of_tensorflow_2_12(tmp_path: Path) -> None:
    archive = read_archive(write_2_12(tmp_path / "m.keras"))
    weights = locate_weights(archive, read_graph(archive))
    found = {
        address: float(weights.read(address, "kernel")[0, 0])
        for address, named in weights.tensors.items()
        if named
    }
    assert found == {
        "mid::fc0": 0,
        "mid::tower::fc1": 1,
        "mid::tower::fc2": 2,
        "tower::fc1": 1,
        "tower::fc2": 2,
        "tail::fc3": 3,
        "out": 4,
    }


@pytest.mark.parametrize(("version", "second"), [("2.13.1", "dense_2"), ("2.14.0", "dense_1")])
def test_keras_files_of_tensorflow_2_13_and_2_14_count_layers_in_two_ways(
    tmp_path: Path, version: str, second: str
) -> None:
    groups = {
        f"_layer_checkpoint_dependencies/{group}": [KERNEL + number, KERNEL[0]]
        for number, group in enumerate(("dense", second))
    }
    archive = read_archive(
        write_keras(tmp_path / "m.keras", build_config("in > fc > out"), groups, version)
    )
    weights = locate_weights(archive, read_graph(archive))
    assert [weights.read(address, "kernel")[0, 0] for address in ("fc", "out")] == [1, 2]
