"""Print the processor time of reading models of 1,000, 10,000 and 100,000 layers.

    python benchmarks/read_speed.py [LAYERS ...]

The models are chains of Dense layers, written here as tf_keras would write them, without
TensorFlow. Reading is what `graphprune plan` does before it looks at a rule: config, index of all
tensors, layer graph.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from graphprune.archive import read_archive
from graphprune.graph import read_graph

SIZES = (1_000, 10_000, 100_000)
UNITS = 4
PART = 60_000
"""Bytes of an attribute that still fits in an HDF5 object header; Keras cuts longer lists of names
in parts.
"""


def main() -> None:
    """Write, read and time models of each size in both formats."""
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print(f"{'layers':>9}  format  config   index   graph   total  microseconds a layer")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            for path in (
                write_keras(Path(folder, "model.keras"), size),
                write_h5(Path(folder, "model.h5"), size),
            ):
                config, index, graph = time_reading(path)
                total = config + index + graph
                print(
                    f"{size:>9,}  {path.suffix:<6}  {config:6.2f}  {index:6.2f}  {graph:6.2f}  "
                    f"{total:6.2f}  {1e6 * total / size:6.0f}",
                    flush=True,
                )


def time_reading(path: Path) -> tuple[float, float, float]:
    """Return the processor times of three steps of reading.

    The steps are opening the archive, indexing its tensors, and building the graph.
    """
    marks = [time.process_time()]
    archive = read_archive(path)
    marks.append(time.process_time())
    assert archive.stored
    marks.append(time.process_time())
    graph = read_graph(archive)
    marks.append(time.process_time())
    assert len(graph.candidates()) == len(graph.layers) - 1
    return marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2]


def write_keras(path: Path, size: int) -> Path:
    """Write a `.keras` file."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for index in range(size):
            group = file.create_group(
                f"layers/dense_{index}/vars" if index else "layers/dense/vars"
            )
            group["0"], group["1"] = np.zeros((UNITS, UNITS), "float32"), np.zeros(UNITS, "float32")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.21.0"}))
        archive.writestr("config.json", json.dumps(chain(size)))
        archive.writestr("model.weights.h5", weights.getvalue())
    return path


def write_h5(path: Path, size: int) -> Path:
    """Write an `.h5` file."""
    names = ["in", *(f"dense_{index}" for index in range(size))]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.21.0"
        file.attrs["model_config"] = json.dumps(chain(size)).encode()
        root = file.create_group("model_weights")
        listed = np.array(names, "S")
        for number, part in enumerate(np.array_split(listed, listed.nbytes // PART + 1)):
            root.attrs[f"layer_names{number}"] = part
        for name in names:
            group = root.create_group(name)
            weights = (
                {}
                if name == "in"
                else {f"{name}/kernel:0": (UNITS, UNITS), f"{name}/bias:0": (UNITS,)}
            )
            group.attrs["weight_names"] = np.array([*weights], "S")
            for weight, shape in weights.items():
                group[weight] = np.zeros(shape, "float32")
    return path


def chain(size: int) -> dict[str, Any]:
    """Return the config of a model of `size` Dense layers in a row."""
    names = ["in", *(f"dense_{index}" for index in range(size))]
    layers = [
        _entry(
            "InputLayer",
            "in",
            {
                "batch_input_shape": [None, UNITS],
                "dtype": "float32",
                "sparse": False,
                "ragged": False,
            },
            [],
        )
    ]
    layers += [
        _entry("Dense", name, _dense(), [[[before, 0, 0, {}]]])
        for before, name in itertools.pairwise(names)
    ]
    config = {
        "name": "chain",
        "trainable": True,
        "layers": layers,
        "input_layers": [["in", 0, 0]],
        "output_layers": [[names[-1], 0, 0]],
    }
    return {
        "module": "keras",
        "class_name": "Functional",
        "config": config,
        "registered_name": None,
    }


def _entry(kind: str, name: str, config: dict[str, Any], nodes: list[Any]) -> dict[str, Any]:
    own = {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **config},
        "registered_name": None,
    }
    return {**own, "name": name, "inbound_nodes": nodes}


def _dense() -> dict[str, Any]:
    def initializer(kind: str, **config: Any) -> dict[str, Any]:
        return {
            "module": "keras.initializers",
            "class_name": kind,
            "config": config,
            "registered_name": None,
        }

    names = (
        "kernel_regularizer",
        "bias_regularizer",
        "activity_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )
    own = {
        "trainable": True,
        "dtype": "float32",
        "units": UNITS,
        "activation": "linear",
        "use_bias": True,
    }
    return {
        **own,
        "kernel_initializer": initializer("GlorotUniform", seed=None),
        "bias_initializer": initializer("Zeros"),
        **dict.fromkeys(names),
    }


if __name__ == "__main__":
    main()
