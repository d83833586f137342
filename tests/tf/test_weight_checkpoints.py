"""Checkpoints of `model.save_weights` in TensorFlow's format, of this version and of an earlier
one, whose masks had names with dots.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from graphprune import ConstantSparsity, UpdatePruningStep, prune_low_magnitude
from graphprune.tf.pruning import wrapper

pytestmark = pytest.mark.tf


def wrapped():
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Bidirectional(layers.LSTM(2), input_shape=(4, 3)), layers.Dense(2)]
    )
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))
    pruned.compile("sgd", "mse")
    return pruned


def trained():
    model = wrapped()
    random = np.random.default_rng(0)
    x, y = random.random((4, 4, 3)), random.random((4, 2))
    model.fit(x, y, verbose=0, callbacks=[UpdatePruningStep()])
    return model


@pytest.mark.parametrize("version", ["this", "earlier"])
def test_weights_masks_and_steps_are_read(tmp_path, monkeypatch, version):
    with monkeypatch.context() as patch:
        if version == "earlier":
            patch.setattr(wrapper, "state_attribute", lambda name: name)
        model = trained()
        model.save_weights(tmp_path / "weights")
        kept = model.get_weights()
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "weights"))]
    mask = {"this": "mask_forward_layer__kernel", "earlier": "mask_forward_layer..kernel"}[version]
    assert any(f"/{mask}/" in name for name in names)
    loaded = wrapped()
    loaded.load_weights(tmp_path / "weights").assert_existing_objects_matched()
    assert sum(not weight.all() for weight in kept if weight.dtype == bool) == 5
    for wanted, found in zip(kept, loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
