"""Models that a layer holds: their weights have the same names and order, whichever format holds
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import build_config
from saved_model_files import write_saved_model
from weight_files import write_h5, write_keras

from graphprune import diff_graphs
from graphprune.archive import read_archive
from graphprune.graph import locate_weights, read_graph

IN = "in(batch_input_shape=(None, 4))"


def held_in(config: dict[str, Any], holder: str, inner: dict[str, Any]) -> dict[str, Any]:
    """Return `config` with `inner` inside its layer `holder`."""
    next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == holder)[
        "config"
    ]["layer"] = inner
    return config


def dense(first: float) -> list[Any]:
    return [np.full((4, 4), first, "float32"), np.full(4, first, "float32")]


def tree(path: str, first: float) -> dict[str, Any]:
    kernel, bias = dense(first)
    found: dict[str, Any] = {"kernel": kernel, "bias": bias}
    for name in reversed(path.split("/")):
        found = {name: found}
    return found


def variables(**first: float) -> dict[str, Any]:
    return {
        f"{name}/{weight}:0": value
        for name, number in first.items()
        for weight, value in zip(("kernel", "bias"), dense(number), strict=True)
    }


def merged(*trees: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for other in trees:
        for name, value in other.items():
            found[name] = merged(found[name], value) if name in found else value
    return found


def plain(folder: Path) -> tuple[list[Path], str, list[str]]:
    config = held_in(
        build_config("in > td:TimeDistributed"), "td", build_config(f"{IN} > fc1 > fc2")
    )
    root = "layers/time_distributed/layer/layers"
    return (
        [
            write_keras(
                folder / "m.keras", config, {f"{root}/dense": dense(1), f"{root}/dense_1": dense(2)}
            ),
            write_h5(folder / "m.h5", config, {"td": variables(fc2=2, fc1=1)}),
            write_saved_model(
                folder / "m",
                config,
                merged(tree("layer-1/layer/layer-2", 2), tree("layer-1/layer/layer-1", 1)),
            ),
        ],
        "td",
        ["layer.fc1", "layer.fc2"],
    )


def nested_inside(folder: Path) -> tuple[list[Path], str, list[str]]:
    inner = build_config(f"{IN} > deep > fc2", models={"deep": f"{IN} > fc1"})
    config = held_in(
        build_config("in > td:TimeDistributed"),
        "td",
        {"class_name": "TimeDistributed", "config": {"name": "steps", "layer": inner}},
    )
    root = "layers/time_distributed/layer/layer/layers"
    return (
        [
            write_keras(
                folder / "m.keras",
                config,
                {f"{root}/functional/layers/dense": dense(1), f"{root}/dense": dense(2)},
            ),
            write_h5(folder / "m.h5", config, {"td": variables(fc2=2, fc1=1)}),
            write_saved_model(
                folder / "m",
                config,
                merged(
                    tree("layer-1/layer/layer/layer-2", 2),
                    tree("layer-1/layer/layer/layer-1/layer-1", 1),
                ),
            ),
        ],
        "td",
        ["layer.layer.deep::fc1", "layer.layer.fc2"],
    )


def inside_nested(folder: Path) -> tuple[list[Path], str, list[str]]:
    config = build_config("in > outer", models={"outer": "in > td:TimeDistributed"})
    outer = next(
        layer for layer in config["config"]["layers"] if layer["config"]["name"] == "outer"
    )
    held_in(
        outer,
        "td",
        held_in(
            build_config(f"{IN} > again:TimeDistributed > fc2"),
            "again",
            build_config(f"{IN} > fc1"),
        ),
    )
    root = "layers/functional/layers/time_distributed/layer/layers"
    return (
        [
            write_keras(
                folder / "m.keras",
                config,
                {
                    f"{root}/time_distributed/layer/layers/dense": dense(1),
                    f"{root}/dense": dense(2),
                },
            ),
            write_h5(folder / "m.h5", config, {"outer": variables(fc2=2, fc1=1)}),
            write_saved_model(
                folder / "m",
                config,
                merged(
                    tree("layer-1/layer-1/layer/layer-1/layer/layer-1", 1),
                    tree("layer-1/layer-1/layer/layer-2", 2),
                ),
            ),
        ],
        "outer::td",
        ["layer.again.layer.fc1", "layer.fc2"],
    )


def shared_inside(folder: Path) -> tuple[list[Path], str, list[str]]:
    inner = build_config(
        f"{IN} > left > right > fc2", models={"left": f"{IN} > fc1", "right": f"{IN} > fc1"}
    )
    for layer in inner["config"]["layers"][1:3]:
        layer["config"]["layers"][1]["shared_object_id"] = 7
    config = held_in(build_config("in > td:TimeDistributed"), "td", inner)
    root = "layers/time_distributed/layer/layers"
    return (
        [
            write_keras(
                folder / "m.keras",
                config,
                {f"{root}/functional/layers/dense": dense(1), f"{root}/dense": dense(2)},
            ),
            write_h5(folder / "m.h5", config, {"td": variables(fc1=1, fc2=2)}),
            write_saved_model(
                folder / "m",
                config,
                merged(tree("layer-1/layer/layer-1/layer-1", 1), tree("layer-1/layer/layer-3", 2)),
            ),
        ],
        "td",
        ["layer.left::fc1", "layer.fc2"],
    )


@pytest.mark.parametrize("write", [plain, nested_inside, inside_nested, shared_inside])
def test_a_held_model_has_the_same_weights_in_every_format(tmp_path, write):
    paths, address, layers = write(tmp_path)
    graphs = [read_graph(path) for path in paths]
    for path, graph in zip(paths, graphs, strict=True):
        assert [tensor.name for tensor in graph.layer(address).tensors] == [
            f"{layer}.{weight}" for layer in layers for weight in ("kernel", "bias")
        ]
        weights = locate_weights(read_archive(path), graph)
        assert [weights.read(address, f"{layer}.bias")[0] for layer in layers] == [1, 2]
    for graph in graphs[1:]:
        assert diff_graphs(graphs[0], graph).is_empty


def test_what_a_layer_has_beside_the_model_that_it_holds_comes_after_it(tmp_path):
    config = held_in(build_config("in > td:My>Steps"), "td", build_config(f"{IN} > fc1"))
    config["config"]["layers"][1]["class_name"] = "Steps"
    own = np.ones(3, "float32")
    graphs = [
        read_graph(
            write_keras(
                tmp_path / "m.keras",
                config,
                {"layers/steps/layer/layers/dense": dense(1), "layers/steps": [own]},
            )
        ),
        read_graph(
            write_h5(tmp_path / "m.h5", config, {"td": {"td/scale:0": own, **variables(fc1=1)}})
        ),
    ]
    assert [[tensor.name for tensor in graph.layer("td").tensors] for graph in graphs] == [
        ["layer.fc1.kernel", "layer.fc1.bias", "0"],
        ["layer.fc1.kernel", "layer.fc1.bias", "scale"],
    ]


def test_the_layer_that_both_directions_were_made_from_is_no_weight_of_them(tmp_path):
    cell = {
        "class_name": "Cell",
        "module": "mine",
        "registered_name": "My>Cell",
        "config": {"name": "cell"},
    }
    rnn = {
        "class_name": "RNN",
        "module": "keras.layers",
        "registered_name": None,
        "config": {"name": "rnn", "cell": cell},
    }
    config = held_in(build_config("in > both:Bidirectional"), "both", rnn)
    root = "layers/bidirectional"
    graph = read_graph(
        write_keras(
            tmp_path / "m.keras",
            config,
            {
                f"{root}/{part}/cell/net": [np.ones(3)]
                for part in ("layer", "forward_layer", "backward_layer")
            },
        )
    )
    assert [tensor.name for tensor in graph.layer("both").tensors] == [
        "backward_layer.cell.net.0",
        "forward_layer.cell.net.0",
    ]
