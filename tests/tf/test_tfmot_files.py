"""Files that the TensorFlow toolkit pruned load, train on to their target, are saved again and stripped. It runs in its own process, with its own tf.keras."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tf_keras

from graphprune.errors import GraphError
from graphprune.sparsity.counts import kept_count
from graphprune.tf.addresses import find_wrappers
from graphprune.tf.callbacks import UpdatePruningStep
from graphprune.tf.keras_api import strip_pruning
from graphprune.tf.scope import prune_scope
from graphprune.tf.tfmot_config import convert_tfmot_config

pytestmark = pytest.mark.tf

X, Y = np.random.default_rng(0).normal(size=(40, 6)).astype("float32"), np.ones((40, 2), "float32")
PROGRAM = """
import sys
import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tf_keras import layers

x = layers.Input((6,))
model = tf_keras.Model(x, layers.Dense(2, name="b")(layers.Dense(5, activation="tanh", name="a")(x)))
schedule = tfmot.sparsity.keras.PolynomialDecay(0.2, 0.8, 0, 8, frequency=2)
model = tfmot.sparsity.keras.prune_low_magnitude(model, schedule)
model.compile("adam", "mse")
x, y = np.load(sys.argv[1]), np.ones((40, 2), "float32")
model.fit(x[:16], y[:16], batch_size=4, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
for path in sys.argv[2:]:
    model.save(path)
np.save(sys.argv[1], model.predict(x, verbose=0))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with one model as m.h5 and m.keras, four steps trained, and its outputs."""
    folder = tmp_path_factory.mktemp("tfmot")
    np.save(folder / "x.npy", X)
    arguments = [folder / "x.npy", folder / "m.h5", folder / "m.keras"]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], env=os.environ | {"TF_USE_LEGACY_KERAS": "1"}, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_toolkits_files_load_train_on_and_strip(files, suffix, tmp_path):
    with prune_scope():
        model = tf_keras.models.load_model(files / f"m{suffix}")
    np.testing.assert_allclose(model.predict(X, verbose=0), np.load(files / "x.npy"), atol=1e-6)
    wrappers = find_wrappers(model)
    assert {address: int(wrapper.pruning_step) for address, wrapper in wrappers.items()} == {"prune_low_magnitude_a": 4, "prune_low_magnitude_b": 4}
    before = model.get_layer("prune_low_magnitude_a").pruning_vars[0][1].numpy()
    assert 0 < before.sum() < before.size
    model.fit(X[16:], Y[16:], batch_size=4, verbose=0, callbacks=[UpdatePruningStep()])
    assert [np.count_nonzero(wrapper.layer.kernel.numpy()) for wrapper in wrappers.values()] == [kept_count(30, 0.8), kept_count(10, 0.8)]
    model.save(tmp_path / f"again{suffix}")
    with prune_scope():
        again = tf_keras.models.load_model(tmp_path / f"again{suffix}")
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert [int(wrapper.last_update) for wrapper in find_wrappers(again).values()] == [8, 8]
    stripped = strip_pruning(again)
    assert [layer.name for layer in stripped.layers[1:]] == ["a", "b"]
    np.testing.assert_array_equal(stripped.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            {"pruning_schedule": {"class_name": "Own", "config": {}}},
            "p: schedule 'Own' of the TensorFlow toolkit is not known; known are ConstantSparsity, PolynomialDecay",
        ),
        (
            {"pruning_schedule": {"class_name": "ConstantSparsity"}, "block_size": [4, 1]},
            "p: the TensorFlow toolkit pruned it in blocks or m by n, and only single weights are read; strip it there first",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(config, text):
    with pytest.raises(GraphError) as caught:
        convert_tfmot_config({"name": "p", **config}, tf_keras.layers.Dense(2))
    assert str(caught.value) == text
