"""What the records say of Keras 3's layer classes, held against live models of Keras 3."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run_command
from keras3_prunable import PRUNABLE

import graphprune
from graphprune.archive import read_archive
from graphprune.errors import RuleError
from graphprune.graph import (
    find_tensor_shapes,
    graph_from_json_config,
    graph_to_config,
    locate_weights,
    read_graph,
)
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS
from graphprune.graph.out_of_reach import QUANTIZED, describe_out_of_reach, find_out_of_reach

pytestmark = pytest.mark.tf

HALF = {"sparsity": "50%", "schedule": {"curve": "step", "begin": "0 steps"}}
PLAIN = """\
version: 1
rules:
- id: dense
  match: {type: Dense}
  prune: {sparsity: 50%, schedule: {curve: step, begin: 0 steps}}
"""

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
        addressed = [
            (layer.address, tensor)
            for layer in graph.layers.values()
            if facts["layer"] in (layer.address, layer.holder)
            for tensor in layer.tensors
        ]
        tensors = [tensor for _, tensor in addressed]
        found = [
            (
                bare(kind, tensor.name),
                list(tensor.shape),
                float(np.sum(located.read(address, tensor.name).astype("float64"))),
            )
            for address, tensor in addressed
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


def marks_of(graph: graphprune.LayerGraph) -> dict[str, list[list[Any]]]:
    return {
        address: [[one.name, list(one.shape), one.prunable] for one in layer.tensors]
        for address, layer in graph.layers.items()
    }


def test_a_live_model_has_the_graph_of_its_file(zoo: Path) -> None:
    for sample, facts in facts_of(zoo).items():
        graph = graphprune.read_graph(zoo / f"{sample}.keras")
        assert marks_of(graph) == facts["graph"]["layers"], sample
        assert graph.sha256 == facts["graph"]["sha256"], sample
    for path in sorted((zoo / "own").glob("*.keras")):
        live = json.loads(path.with_suffix(".json").read_text())
        graph = graphprune.read_graph(path)
        assert marks_of(graph) == live["layers"], path.stem
        assert list(graph.layers) == list(live["layers"]), path.stem
        assert graph.sha256 == live["sha256"], path.stem


def test_layers_inside_custom_layers_have_the_path_at_which_keras_saves_them(zoo: Path) -> None:
    graph = graphprune.read_graph(zoo / "own" / "block.keras")
    assert graph.is_connected
    found = {
        address: (layer.type, layer.holder, [tensor.name for tensor in layer.prunable])
        for address, layer in graph.layers.items()
        if layer.holder is not None
    }
    kernel = ["kernel"]
    assert found == {
        "block.d": ("Dense", "block", kernel),
        "block.emb": ("Embedding", "block", ["embeddings"]),
        "block.lstm.cell": ("LSTMCell", "block", ["kernel", "recurrent_kernel"]),
        "block.mha.key_dense": ("EinsumDense", "block", kernel),
        "block.mha.output_dense": ("EinsumDense", "block", kernel),
        "block.mha.query_dense": ("EinsumDense", "block", kernel),
        "block.mha.value_dense": ("EinsumDense", "block", kernel),
        "block.steps.dense": ("Dense", "block", kernel),
        "block.steps.dense_1": ("Dense", "block", kernel),
        "block.table.container.dense": ("Dense", "block", kernel),
        "block.table.inner.d": ("Dense", "block", kernel),
        "block.table.inner.norm": ("LayerNormalization", "block", []),
        "each.layer.d": ("Dense", "each", kernel),
        "each.layer.norm": ("LayerNormalization", "each", []),
        "model.layer.layers.dense": ("Dense", "model", kernel),
        "tower.layers.dense": ("Dense", "tower", kernel),
        "tower.layers.inner.d": ("Dense", "tower", kernel),
        "tower.layers.inner.norm": ("LayerNormalization", "tower", []),
    }
    assert graph.layer("block.mha.query_dense").tensors[0].axes == ("in", "out_1", "out_2")


def test_a_model_without_layers_in_its_config_has_nodes_and_no_edges(zoo: Path) -> None:
    for name in ("net", "compiled", "tower"):
        graph = graphprune.read_graph(zoo / "own" / f"{name}.keras")
        assert not graph.is_connected
        assert not graph.network.edges
        assert graph.flow.number_of_nodes() == 0
        assert {layer.holder for layer in graph.layers.values()} == {""}
    assert list(graph.layers) == ["layers.dense", "layers.inner.d", "layers.inner.norm"]
    config = graph_to_config(graph)
    assert graph_from_json_config(json.loads(json.dumps(config))) == graph
    block = graphprune.read_graph(zoo / "own" / "block.keras")
    assert graph_from_json_config(json.loads(json.dumps(graph_to_config(block)))) == block
    assert not graphprune.diff_models(zoo / "own" / "net.keras", zoo / "own" / "net.keras").added


def test_commands_say_that_connections_are_unknown(zoo: Path, tmp_path: Path) -> None:
    net, said = str(zoo / "own" / "net.keras"), "does not describe its layers"
    rules = tmp_path / "r.yaml"
    rules.write_text(PLAIN)
    assert said in run_command("layers", net).out
    told = json.loads(run_command("layers", net, "--format", "json").out)
    assert told["model"]["connected"] is False
    assert said in run_command("plan", net, "-r", str(rules)).out
    assert said in run_command("diff", net, str(zoo / "own" / "tower.keras")).out
    assert said in run_command("graph", net, "-o", str(tmp_path / "g.svg")).err
    rules.write_text(PLAIN.replace("type: Dense", "type: Dense, before: {type: Dense}"))
    refused = run_command("plan", net, "-r", str(rules))
    assert (refused.code, refused.err.count("error[model/invalid]")) == (1, 1)
    assert "'before' needs the connections of the layers" in refused.err
    block = str(zoo / "own" / "block.keras")
    explained = run_command("explain", block, "-r", str(rules), "--layer", "block.d")
    assert "is inside block, whose connections the file does not have" in explained.out


def test_rules_teach_weights_inside_a_custom_layer_by_their_path(zoo: Path) -> None:
    rules = {
        "version": 1,
        "layers": {
            "zoo>Block": {"prunable": {"0": ["in", "out"], "steps.dense.kernel": ["a", "b"]}}
        },
        "rules": [{"id": "own", "match": {"name": ["block", "block.steps.dense"]}, "prune": HALF}],
    }
    plan = graphprune.make_plan(zoo / "own" / "block.keras", rules)
    pruned = {
        change.address: [(one.name, one.axes) for one in change.tensors]
        for change in plan.changes
        if change.after is not None
    }
    assert pruned == {
        "block": [("0", ("in", "out"))],
        "block.steps.dense": [("kernel", ("a", "b"))],
    }
    rules["layers"]["zoo>Block"]["prunable"] = {"steps.dense.kernl": ["in", "out"]}
    with pytest.raises(RuleError, match=r"has no weight 'steps.dense.kernl'"):
        graphprune.make_plan(zoo / "own" / "block.keras", rules)


def test_quantized_layers_say_why_they_cannot_be_pruned(zoo: Path) -> None:
    graph = graphprune.read_graph(zoo / "own" / "quantized.keras")
    reasons = {layer.address: layer.reason for layer in find_out_of_reach(graph)}
    assert reasons["heads.dense"] == reasons["block.mha.query_dense"] == QUANTIZED
    assert {one.name: one.dtype for one in graph.layer("heads.dense").tensors} == {
        "kernel": "int8",
        "bias": "float32",
        "kernel_scale": "float32",
    }
    graph = graphprune.read_graph(zoo / "Dense_int8.keras")
    (said,) = describe_out_of_reach(find_out_of_reach(graph))
    assert said.endswith(f"(Dense) {QUANTIZED}.")


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
