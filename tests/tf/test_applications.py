"""Every architecture of tf_keras.applications is read without TensorFlow as what the live model is;
`--slow` runs all of them.
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from pathlib import Path

import pytest
import tf_keras
from live_models import all_weights, edges, output_shapes, walk

from graphprune.archive import read_archive
from graphprune.graph import LayerGraph, find_tensor_shapes, read_graph
from graphprune.graph.entries import canonical

pytestmark = pytest.mark.tf

QUICK = (
    "DenseNet121",
    "EfficientNetB0",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "RegNetY002",
)
EVERY = sorted(
    name
    for name, build in vars(tf_keras.applications).items()
    if inspect.isfunction(build) and "weights" in inspect.signature(build).parameters
)
ARCHITECTURES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in EVERY
]


def assert_graph_is_model(graph: LayerGraph, model: tf_keras.Model) -> None:
    live = dict(walk(model))
    assert set(graph.layers) == set(live)
    for address, layer in graph.layers.items():
        assert layer.type.rsplit(">", 1)[-1] == type(live[address]).__name__
        if layer.kind != "model":
            assert [tensor.shape for tensor in layer.tensors] == [
                tuple(variable.shape) for variable in all_weights(live[address])
            ]
    assert Counter(
        (source, facts["source_tensor"], target)
        for source, target, facts in graph.network.edges(data=True)
    ) == edges(model)
    assert graph.parameters == model.count_params()
    assert graph.prunable_weights > graph.parameters / 2


def rebuild(graph: LayerGraph, model: tf_keras.Model) -> tf_keras.Model:
    objects = {type(layer).__name__: type(layer) for _, layer in walk(model)}
    return type(model).from_config(graph.to_config()["config"], custom_objects=objects)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    tf_keras.backend.clear_session()
    model = getattr(tf_keras.applications, name)(weights=None)
    graphs = {}
    for format in ("keras", "h5"):
        path = tmp_path / f"model.{format}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(path)
        archive = read_archive(path)
        graphs[format] = read_graph(archive)
        path.unlink()
        assert graphs[format].to_config() == archive.config
        assert_graph_is_model(graphs[format], model)
    shapes = find_tensor_shapes(graphs["h5"])
    assert shapes.items() <= output_shapes(model).items()
    assert len(shapes) == len(output_shapes(model)) or name not in QUICK
    model.use_legacy_config = False
    assert graphs["keras"].sha256 == graphs["h5"].sha256
    assert canonical(rebuild(graphs["keras"], model).get_config()) == canonical(model.get_config())


def test_every_architecture_is_here() -> None:
    assert len(EVERY) >= 71
    assert {*QUICK} < {*EVERY}
