"""Writes `.keras` and `.h5` files with a config and weights by group, without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_keras(
    path: Path, config: dict[str, Any], groups: dict[str, list[Any]], version: str = ""
) -> Path:
    with h5py.File(path.with_suffix(".weights"), "w") as file:
        for group, values in groups.items():
            for number, value in enumerate(values):
                file[f"{group}/vars/{number}"] = value
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.write(path.with_suffix(".weights"), "model.weights.h5")
    return path


def write_h5(path: Path, config: dict[str, Any], groups: dict[str, dict[str, Any]]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array(list(groups), "S")
        for name, values in groups.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = np.array(list(values), "S")
            for weight, value in values.items():
                group[weight] = value
    return path


def write_2_12(path: Path) -> Path:
    """Write a `.keras` file as TensorFlow 2.12 did: `mid` holds `fc0` and `tower`, which stands
    behind it again, and then come `tail` and `out`.

    Each layer with weights takes two numbers of its class, also where it stands again, but is
    stored once.
    """

    def dense(name: str) -> dict[str, Any]:
        return {"class_name": "Dense", "config": {"name": name, "units": 4, "use_bias": False}}

    def model(name: str, *members: dict[str, Any]) -> dict[str, Any]:
        begin = {
            "class_name": "InputLayer",
            "config": {"name": f"{name}_input", "batch_input_shape": [None, 4], "dtype": "float32"},
        }
        return {"class_name": "Sequential", "config": {"name": name, "layers": [begin, *members]}}

    tower = model(
        "tower",
        dense("fc1"),
        {"class_name": "Dropout", "config": {"name": "drop", "rate": 0.5}},
        dense("fc2"),
    )
    layers: list[dict[str, Any]] = [
        {
            "class_name": "InputLayer",
            "config": {"name": "in", "batch_input_shape": [None, 4], "dtype": "float32"},
        }
    ]
    layers += [model("mid", dense("fc0"), tower), tower, model("tail", dense("fc3")), dense("out")]
    calls = [
        [],
        [["in", 0, 0, {}]],
        [["mid", 1, 0, {}]],
        [["tower", 1, 0, {}]],
        [["tail", 1, 0, {}]],
    ]
    placed = [
        layer | {"name": layer["config"]["name"], "inbound_nodes": [call] if call else []}
        for layer, call in zip(layers, calls, strict=True)
    ]
    functional = {
        "name": "m",
        "trainable": True,
        "layers": placed,
        "input_layers": [["in", 0, 0]],
        "output_layers": [["out", 0, 0]],
    }
    config = {
        "module": "keras.engine.functional",
        "class_name": "Functional",
        "config": functional,
        "registered_name": "Functional",
    }
    places = [
        "sequential dense",
        "sequential sequential dense",
        "sequential sequential dense_2",
        "sequential_4 dense",
        "dense",
    ]
    groups = {
        "/".join(f"_layer_checkpoint_dependencies/{part}" for part in place.split()): number
        for number, place in enumerate(places)
    }
    return write_keras(
        path,
        config,
        {group: [np.full((4, 4), number, "float32")] for group, number in groups.items()},
        "2.12.0",
    )
