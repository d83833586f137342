"""The TensorFlow toolkit as an oracle: same weights and sparsity, same mask, where magnitudes do not tie. It runs in its own process, with its own tf.keras."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from graphprune.sparsity.counts import kept_count
from graphprune.tf.mask_update import select_mask

pytestmark = pytest.mark.tf

SPARSITIES = (0.1, 0.5, 0.625, 0.9)
PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

weights = np.load(sys.argv[1])
masks = []
for sparsity in map(float, sys.argv[3:]):
    pruning = pruning_impl.Pruning(lambda: tf.constant(0), lambda: [], pruning_schedule.ConstantSparsity(sparsity, 0), (1, 1), "AVG")
    masks.append(pruning._update_mask(tf.constant(weights))[1].numpy() != 0)
np.save(sys.argv[2], masks)
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorflow_model_optimization") is None, reason="tensorflow_model_optimization is not installed")
def test_masks_equal_those_of_tfmot(tmp_path):
    weights = np.random.default_rng(3).normal(size=(80, 25)).astype("float32")
    np.save(tmp_path / "weights.npy", weights)
    arguments = [tmp_path / "weights.npy", tmp_path / "masks.npy", *map(str, SPARSITIES)]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], env=os.environ | {"TF_USE_LEGACY_KERAS": "1"}, check=True, capture_output=True)
    for sparsity, expected in zip(SPARSITIES, np.load(tmp_path / "masks.npy"), strict=True):
        np.testing.assert_array_equal(select_mask(weights, kept_count(weights.size, sparsity))[0], expected)
