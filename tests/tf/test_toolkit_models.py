"""Every layer that the TensorFlow toolkit (tfmot) wraps, pruned and trained by it: its files load,
train on and strip, its live models are understood.

The toolkit itself fails to train an ActivityRegularization and a Masking before an Embedding, so
these are not among them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphprune.graph.read import read_graph
from graphprune.sparsity.counts import kept_count
from graphprune.tf.models.loading import load_model
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import strip_pruning

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tf,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow_model_optimization") is None,
        reason="tensorflow_model_optimization is not installed",
    ),
]

FILES = [
    f"{name}{suffix}"
    for name in ("image", "sequence", "volume", "merges")
    for suffix in (".h5", ".keras")
] + ["recurrent.keras"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what `toolkit_models.py` leaves."""
    made = tmp_path_factory.mktemp("toolkit")
    program = Path(__file__).with_name("toolkit_models.py")
    subprocess.run(
        [sys.executable, program, made],
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1"},
        check=True,
        capture_output=True,
    )
    return made


@pytest.fixture(scope="module")
def facts(folder):
    return json.loads((folder / "facts.json").read_text())


def predictions(model, x):
    found = model.predict(x, verbose=0)
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("file", FILES)
def test_a_file_loads_trains_on_and_is_stripped(folder, file):
    x, *expected = np.load(folder / f"{file.partition('.')[0]}.npz").values()
    model = load_model(folder / file, unsafe_lambda=True)
    for one, other in zip(predictions(model, x), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    wrappers = find_wrappers(model)
    assert {int(wrapper.pruning_step) for wrapper in wrappers.values()} == {4}
    pruned = {address: wrapper.pruning.weights for address, wrapper in wrappers.items()}
    assert {
        address: layer.wrap.pruning.weights
        for address, layer in read_graph(folder / file).layers.items()
        if layer.wrap
    } == pruned
    model.fit(x, expected, batch_size=4, epochs=2, verbose=0, callbacks=[UpdatePruningStep()])
    kept = [
        (int(mask.numpy().sum()), mask.shape.num_elements())
        for wrapper in wrappers.values()
        for _, mask, _ in wrapper.pruning_vars
    ]
    assert kept == [(kept_count(size, 0.6), size) for _, size in kept]
    stripped = strip_pruning(model)
    assert not find_wrappers(stripped)
    for one, other in zip(predictions(stripped, x), predictions(model, x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", ["image", "sequence", "volume", "merges", "recurrent"])
def test_a_live_model_is_converted_and_stripped(folder, facts, name):
    found = facts[name]
    assert all(found["outputs"])
    assert found["own_names"]
    assert (found["steps"], found["optimizer"], found["same_graph"]) == ([4], 4, True)
    graph = read_graph(folder / f"{name}-converted.keras")
    assert found["wrapped"] == {
        address: list(layer.wrap.pruning.weights)
        for address, layer in graph.layers.items()
        if layer.wrap and layer.wrap.pruning.weights
    }


def test_what_the_files_leave_out_is_read_from_a_live_layer(facts):
    assert facts["patterns"] == {"live": "keep 2 of 4 along in (2 zeros in each 4)", "rules": 0.75}


def test_a_live_model_is_refused_where_graphprunes_own_wrappers_are_needed(facts):
    text = (
        "GraphError: prune_low_magnitude_d: this layer is in a pruning wrapper of"
        " tensorflow_model_optimization, which graphprune does not train; convert the model first:"
        " model = graphprune.prune_low_magnitude(model), which keeps masks, steps and schedules"
    )
    assert facts["refusals"] == dict.fromkeys(("collect", "fit", "pruner", "layer"), text)
