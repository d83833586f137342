"""What the records say of Keras 3's layer classes, held against live models of Keras 3."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras3_prunable import PRUNABLE

import graphprune
from graphprune.archive import read_archive
from graphprune.graph import find_tensor_shapes, locate_weights, read_graph
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS

pytestmark = pytest.mark.tf

ZOO = Path(__file__).parents[1] / "keras3_zoo.py"
FOREIGN = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}
"""Classes that run functions or files of other libraries; no file may name them."""
WITHOUT_SAMPLE = {
    *("Layer", "InputLayer", "Wrapper", "RNN"),  # abstract, or in other samples
    *("CutMix", "MaxNumBoundingBoxes", "MixUp"),  # they take a dict of images and labels
    "Equalization",  # it gives the symbolic input itself, of which no model can be made
}
OTHER_NAMES = {"DepthwiseConv1D": "depthwise_kernel", "DepthwiseConv2D": "depthwise_kernel"}
"""What tf_keras calls the kernel, and so graphprune in files of both."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    done = subprocess.run(
        [sys.executable, ZOO, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def facts_of(zoo: Path) -> dict[str, dict[str, Any]]:
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted(zoo.glob("*.json"))
        if path.stem != "exported"
    }


def bare(kind: str, name: str) -> str:
    """Return Keras 3's name for the variable that graphprune calls `name`."""
    last = name.rsplit(".", 1)[-1]
    return "kernel" if OTHER_NAMES.get(kind) == last else last


def test_the_records_are_of_the_classes_that_keras_exports(zoo: Path) -> None:
    exported = json.loads((zoo / "exported.json").read_text())
    known = {name for name, record in BUILTIN_LAYERS.items() if 3 in record.versions}
    assert known == exported.keys() - FOREIGN
    assert {name.split("_")[0] for name in facts_of(zoo)} | WITHOUT_SAMPLE == known
    only_3 = {name for name in known if 2 not in BUILTIN_LAYERS[name].versions}
    assert {name: list(BUILTIN_LAYERS[name].bases) for name in only_3} == {
        name: exported[name] for name in only_3
    }


def test_every_weight_is_read_with_its_name_shape_values_and_mark(zoo: Path) -> None:
    for sample, facts in facts_of(zoo).items():
        kind, path = sample.split("_")[0], zoo / f"{sample}.keras"
        archive = read_archive(path)
        graph = read_graph(archive)
        located = locate_weights(archive, graph)
        tensors = graph.layer(facts["layer"]).tensors
        found = [
            (
                bare(kind, tensor.name),
                list(tensor.shape),
                float(np.sum(located.read(facts["layer"], tensor.name).astype("float64"))),
            )
            for tensor in tensors
        ]
        live = [(each["name"], each["shape"], each["sum"]) for each in facts["variables"]]
        assert sorted(found) == sorted(live), sample
        prunable = {bare(kind, tensor.name) for tensor in tensors if tensor.prunable}
        is_integer = "int8" in sample or "int4" in sample
        wanted = set() if is_integer else PRUNABLE.get(kind, set()) & {name for name, _, _ in live}
        assert prunable == wanted, sample
        for tensor in tensors:
            if tensor.prunable:
                assert len(tensor.axes) == len(tensor.shape), (sample, tensor.name)


def test_output_shapes_are_those_of_keras_where_they_are_known(zoo: Path) -> None:
    known = 0
    for sample, facts in facts_of(zoo).items():
        graph = graphprune.read_graph(zoo / f"{sample}.keras")
        shape = find_tensor_shapes(graph).get((facts["layer"], 0, 0))
        if shape is not None:
            wanted = facts["output"]  # Keras leaves a length open that `output_shape` does
            assert [
                None if length is None else found
                for found, length in zip(shape, wanted, strict=True)
            ] == wanted, sample
            known += 1
    assert known > 120


def test_names_say_which_layer_inside_holds_a_weight(zoo: Path) -> None:
    graph = graphprune.read_graph(zoo / "GroupQueryAttention_gated.keras")
    (layer,) = [each for each in graph.layers.values() if each.type == "GroupQueryAttention"]
    assert [(tensor.name, tensor.axes) for tensor in layer.tensors] == [
        ("query.kernel", ("in", "heads", "out")),
        ("key.kernel", ("in", "heads", "out")),
        ("gate.kernel", ("in", "heads", "out")),
        ("value.kernel", ("in", "heads", "out")),
        ("attention_output.kernel", ("heads", "in", "out")),
    ]
