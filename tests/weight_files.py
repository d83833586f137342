"""Writes `.keras` and `.h5` files with a config and weights by group, without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_keras(path: Path, config: dict[str, Any], groups: dict[str, list[Any]]) -> Path:
    with h5py.File(path.with_suffix(".weights"), "w") as file:
        for group, values in groups.items():
            for number, value in enumerate(values):
                file[f"{group}/vars/{number}"] = value
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
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
