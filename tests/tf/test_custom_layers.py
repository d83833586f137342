"""Custom layers that rule files teach go the whole way; and example 3 on a stock MobileNetV2."""

import json
import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from planned import plan_with
from rule_examples import EXAMPLE_3
from tf_keras import layers

from graphprune.archive import read_archive
from graphprune.graph import (
    graph_to_config,
    locate_weights,
    measure_mask_faults,
    measure_zeros,
    read_graph,
)
from graphprune.rules import parse_rules, resolve_rules
from graphprune.sparsity.positions import Run
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.live_graph import graph_of_model
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.pruning.surgery import apply_plan, apply_rules, strip_model

pytestmark = pytest.mark.tf

MODULE = textwrap.dedent("""\
    import tf_keras


    @tf_keras.utils.register_keras_serializable(package="MyPkg")
    class LowRankDense(tf_keras.layers.Layer):
        def __init__(self, units, rank, **kwargs):
            super().__init__(**kwargs)
            self.units, self.rank = units, rank

        def build(self, shape):
            start = "glorot_uniform"
            self.u = self.add_weight(name="u", shape=(shape[-1], self.rank), initializer=start)
            self.offset = self.add_weight(name="offset", shape=(self.units,), initializer="zeros")
            self.v = self.add_weight(name="v", shape=(self.rank, self.units), initializer=start)

        def call(self, inputs):
            return inputs @ self.u @ self.v + self.offset

        def get_config(self):
            return {**super().get_config(), "units": self.units, "rank": self.rank}
    """)
RULES = """\
version: 1
layers:
  MyPkg>LowRankDense: {prunable: {u: [in, rank], v: [rank, out]}, weights: [u, offset, v]}
rules:
- id: factors
  match: {type: MyPkg>LowRankDense, weight: {name: v, out: {gte: 6}}}
  prune: {sparsity: 75%, schedule: {curve: step, begin: 0 steps}}
"""


COMMANDS = """
import sys
import tf_keras
from commands import run_command
for command in (
    "apply model.keras -r p.yaml -o wrapped.keras --custom-objects lowrank",
    "strip wrapped.keras -o out.keras --custom-objects lowrank",
):
    done = run_command(*command.split())
    assert done.code == 0, done.err
    del sys.modules["lowrank"], tf_keras.utils.get_custom_objects()["MyPkg>LowRankDense"]
"""


@pytest.fixture(scope="module")
def custom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mypkg")
    (folder / "lowrank.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    import lowrank

    yield folder, lowrank.LowRankDense
    sys.path.remove(str(folder))


def model_with(low_rank):
    tf_keras.utils.set_random_seed(3)
    x = layers.Input((8,))
    return tf_keras.Model(x, layers.Dense(2, name="end")(low_rank(12, 4, name="factors")(x)))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_custom_layer_that_rules_teach_is_planned_wrapped_trained_saved_and_stripped(
    custom, tmp_path, suffix
):
    _, low_rank = custom
    model = model_with(low_rank)
    model.save(tmp_path / f"model{suffix}")
    archive = read_archive(tmp_path / f"model{suffix}")
    graph = read_graph(archive)
    rules = parse_rules(RULES, "p.yaml")
    plan = plan_with(graph, rules, zeros=measure_zeros(locate_weights(archive, graph)))
    assert [(change.address, change.is_change) for change in plan.changes] == [
        ("factors", True),
        ("end", False),
    ]
    facts = [
        (tensor.name, tensor.axes, tensor.shape, tensor.zeros_before, tensor.zeros_after)
        for tensor in plan.changes[0].tensors
    ]
    assert facts == [("u", ("in", "rank"), (8, 4), 0, 24), ("v", ("rank", "out"), (4, 12), 0, 36)]

    wrapped = apply_plan(load_model(tmp_path / f"model{suffix}", {"LowRankDense": low_rank}), plan)
    wrapped.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    pruner = Pruner(wrapped)
    pruner.start(Run(steps_per_epoch=3, epochs=1))
    for step in range(3):
        wrapped.train_on_batch(np.full((4, 8), step + 1.0), np.ones((4, 2)))
        pruner.on_step()
    save_model(wrapped, tmp_path / f"wrapped{suffix}")

    saved = read_archive(tmp_path / f"wrapped{suffix}")
    assert set(measure_mask_faults(locate_weights(saved, read_graph(saved))).items()) == {
        (("factors", "u"), 0),
        (("factors", "v"), 0),
    }
    zeros = measure_zeros(locate_weights(saved, read_graph(saved)))
    assert (zeros["factors", "u"], zeros["factors", "v"]) == (24, 36)
    assert plan_with(read_graph(saved), rules, zeros=zeros).is_empty

    stripped = strip_model(load_model(tmp_path / f"wrapped{suffix}", {"LowRankDense": low_rank}))
    assert stripped.get_config() == model.get_config()
    assert np.count_nonzero(stripped.get_layer("factors").v.numpy() == 0) == 36
    inputs = np.ones((2, 8), "float32")
    np.testing.assert_array_equal(stripped(inputs).numpy(), wrapped(inputs).numpy())


def test_the_command_line_wraps_and_strips_a_taught_custom_layer(custom, server, tmp_path):
    folder, low_rank = custom
    model_with(low_rank).save(tmp_path / "model.keras")
    (tmp_path / "p.yaml").write_text(RULES)
    paths = {"PYTHONPATH": f"{folder}:{Path(__file__).parents[1]}"}
    done = server.run_program(COMMANDS, folder=tmp_path, env=os.environ | paths)
    assert done.code == 0, done.err
    assert read_graph(tmp_path / "out.keras") == read_graph(tmp_path / "model.keras")


def test_a_live_model_is_wrapped_by_the_names_of_its_variables(custom):
    _, low_rank = custom
    taught = RULES.replace(", weights: [u, offset, v]", "")
    wrapped = apply_rules(model_with(low_rank), parse_rules(taught, "p.yaml"))
    assert wrapped.get_layer("factors").pruning.weights == ("u", "v")


def test_example_3_fails_on_a_stock_mobilenet_and_says_what_is_nearest(tmp_path):
    tf_keras.backend.clear_session()  # names count from 1
    graph = graph_of_model(tf_keras.applications.MobileNetV2(alpha=0.35, weights=None))
    (tmp_path / "mobilenet.graph.json").write_text(json.dumps(graph_to_config(graph)))
    read = read_graph(tmp_path / "mobilenet.graph.json")
    found = [
        str(fault)
        for fault in resolve_rules(read, parse_rules(EXAMPLE_3, "prune.yaml")).diagnostics
        if fault.slug == "require/failed"
    ]
    assert (
        found[0]
        == "error[require/failed]: check 'stem-on-every-input': a path from the inputs forward"
        " meets no layer that matches stem: input_1 > Conv1 > bn_Conv1 > ... > out_relu >"
        " global_average_pooling2d > predictions\n"
        "  --> prune.yaml:44:5\n"
        "  help: nearest: Conv1 (Conv2D) holds 4 of 6 conditions; fails padding: valid (is"
        " same), fed_by ZeroPadding2D (is InputLayer)"
    )
    assert len(found) == 1
