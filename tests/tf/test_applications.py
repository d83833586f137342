"""Every architecture of tf_keras.applications is read without TensorFlow as what the live model is,
and a plan is made for it; `--slow` runs all of them, else two with fewer blocks.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
import tf_keras
from live_models import all_weights, edges, output_shapes, walk
from tf_keras.src.applications import densenet, efficientnet, regnet

from graphprune.archive import read_archive
from graphprune.archive.entries import canonical
from graphprune.graph import LayerGraph, find_tensor_shapes, read_graph
from graphprune.plan import make_plan
from graphprune.rules import read_rules
from graphprune.sparsity.counts import zero_count
from graphprune.tf.pruning.surgery import graph_of_model

pytestmark = pytest.mark.tf

OFTEN = ("DenseNet", "EfficientNet")
"""Two that have what the others have: concatenations, sums, gates, depthwise convolutions, and
layers that prepare images.
"""
QUICK = ("MobileNet",)
FEWER_BLOCKS: Mapping[str, Callable[[], tf_keras.Model]] = {
    "DenseNet": lambda: densenet.DenseNet([2, 1, 1, 2], weights=None),
    "EfficientNet": lambda: efficientnet.EfficientNet(1.0, 0.1, 64, weights=None),
    "RegNetY": lambda: regnet.RegNet([1, 1, 1, 2], [24, 56, 152, 368], 8, "Y", 64, weights=None),
}
"""Architectures with a few of their blocks; the layers and how they are joined stay those of the
whole ones.
"""
EVERY = sorted(
    name
    for name, build in vars(tf_keras.applications).items()
    if inspect.isfunction(build) and "weights" in inspect.signature(build).parameters
)
ARCHITECTURES = [
    pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow)
    for name in (*EVERY, *FEWER_BLOCKS)
]


@cache
def build(name: str) -> tf_keras.Model:
    """Return an architecture with random weights; no test changes its layers."""
    tf_keras.backend.clear_session()
    if name in FEWER_BLOCKS:
        return FEWER_BLOCKS[name]()
    return getattr(tf_keras.applications, name)(weights=None)


def assert_graph_is_model(graph: LayerGraph, model: tf_keras.Model) -> None:
    live = dict(walk(model))
    assert set(graph.layers) == set(live)
    for address, layer in graph.layers.items():
        assert layer.types[-1].rsplit(">", 1)[-1] == type(live[address]).__name__
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
    model = build(name)
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
    assert len(shapes) == len(output_shapes(model)) or name not in (*QUICK, *FEWER_BLOCKS)
    model.use_legacy_config = False
    assert graphs["keras"].sha256 == graphs["h5"].sha256
    assert canonical(rebuild(graphs["keras"], model).get_config()) == canonical(model.get_config())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_planned_by_shipped_rules(name: str) -> None:
    graph = graph_of_model(build(name))
    plan = make_plan(graph, read_rules("builtin:all-90"))
    assert plan.diagnostics == ()
    pruned = [tensor for change in plan.changes if change.is_change for tensor in change.tensors]
    assert len(pruned) >= len(plan.changes) - 1  # all but the last layer
    assert [tensor.zeros_after for tensor in pruned] == [
        zero_count(math.prod(tensor.shape), 0.9) for tensor in pruned
    ]


def test_every_architecture_is_here() -> None:
    assert len(EVERY) >= 71
    assert {*QUICK} < {*EVERY}
