"""Importing changes nothing outside; applying, training and stripping change nothing of the model
that they began with.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_zoo import build, sample

from graphprune.rules import read_rules
from graphprune.tf.pruning.addresses import addressed_layers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_low_magnitude, strip_pruning
from graphprune.tf.pruning.surgery import apply_rules

pytestmark = pytest.mark.tf

PROGRAM = """
import json, os, sys
before = dict(os.environ)
{imports}
names = {{*before, *os.environ}}
changed = sorted(name for name in names if before.get(name) != os.environ.get(name))
keras = sorted(name for name in sys.modules if name.partition(".")[0] == "keras")
print(json.dumps([changed, keras]))
"""
OURS = """
import graphprune
assert not {"tensorflow", "keras", "tf_keras"} & set(sys.modules)
for name in graphprune.__all__:
    getattr(graphprune, name)
"""
RULES = (
    'version: 1\nrules: [{id: all, match: "*", prune: {sparsity: 50%, schedule: {curve: step}}}]'
)


def run(program: str) -> str:
    return (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        .stdout.strip()
        .splitlines()[-1]
    )


def test_importing_sets_no_environment_variable_and_imports_no_more_keras_3_than_tensorflow():
    assert json.loads(run(PROGRAM.format(imports=OURS))) == json.loads(
        run(PROGRAM.format(imports="import tensorflow, tf_keras"))
    )


def snapshot(model: tf_keras.Model) -> dict[str, object]:
    """Return everything that can be seen of a model: identities, values, nodes, attributes."""

    def of_layer(layer):
        nodes = [
            (
                id(node),
                id(node.layer),
                [id(tensor) for tensor in tf.nest.flatten(node.keras_inputs)],
            )
            for node in layer._inbound_nodes
        ]
        outgoing = [id(node) for node in layer._outbound_nodes]
        attributes = {
            name: (
                (type(value), id(value))
                if isinstance(value, tf_keras.layers.Layer)
                else type(value)
            )
            for name, value in vars(layer).items()
        }
        constraints = [
            id(getattr(getattr(weight, "_variable", weight), "_constraint", None))
            for weight in layer.weights
        ]
        return (
            id(layer),
            layer.name,
            layer.trainable,
            layer.built,
            repr(layer.get_config()),
            nodes,
            outgoing,
            attributes,
            constraints,
        )

    weights = [
        (id(weight), weight.name, weight.dtype.name, weight.numpy().tobytes())
        for weight in model.weights
        if isinstance(weight, tf.Variable)
    ]
    optimizer = model.optimizer
    slots = [(id(variable), variable.numpy().tobytes()) for variable in optimizer.variables]
    layers = {address: of_layer(layer) for address, layer in addressed_layers(model)}
    own = {name: type(value) for name, value in vars(model).items()}
    return {
        "model": of_layer(model)[:7],
        "own": own,
        "weights": weights,
        "layers": layers,
        "optimizer": (id(optimizer), optimizer.get_config(), slots),
    }


@pytest.mark.parametrize("name", ["siamese", "residual"])
def test_the_source_model_stays_as_it_was(name, tmp_path):
    model = build(name)
    model.compile("adam", "mse", run_eagerly=True)
    x = sample(model)
    y = tf.nest.map_structure(np.zeros_like, model.predict(x, verbose=0))
    model.fit(x, y, verbose=0)
    (tmp_path / "r.yaml").write_text(RULES)
    before = snapshot(model)
    for wrapped in (
        prune_low_magnitude(model),
        apply_rules(model, read_rules(tmp_path / "r.yaml")),
    ):
        assert snapshot(model) == before
        wrapped.fit(x, y, verbose=0, callbacks=[UpdatePruningStep()])
        assert snapshot(model) == before
        between = snapshot(wrapped)
        strip_pruning(wrapped).fit(x, y, verbose=0)
        assert snapshot(wrapped) == between
        assert snapshot(model) == before
    model.get_layer(model.layers[-1].name)._extra = 1
    assert snapshot(model) != before
