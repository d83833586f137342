"""The TensorFlow toolkit as an oracle: same weights and sparsity, same mask, where magnitudes do
not tie. It runs in its own process.
"""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from graphprune.sparsity.patterns import UNSTRUCTURED, Block, KeepOf, select_pattern_mask

pytestmark = pytest.mark.tf

SHARES = (0.1, 0.5, 0.625, 0.9)
PROGRAM = """
import json
import sys
import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

masks = {}
for name, (share, block, pool, zeros) in json.loads(sys.argv[3]).items():
    schedule = pruning_schedule.ConstantSparsity(share, 0)
    m_by_n = tuple(zeros) if zeros else None
    pruning = pruning_impl.Pruning(lambda: tf.constant(0), [], schedule, block, pool, m_by_n)
    weights = tf.constant(np.load(sys.argv[1])[name.split()[0]])
    masks[name] = pruning._maybe_update_block_mask(weights)[1].numpy() != 0
np.savez(sys.argv[2], **masks)
"""
AXES = {
    "dense": ("in", "out"),
    "uneven": ("in", "out"),
    "conv": ("h", "w", "in", "out"),
    "pointwise": ("h", "w", "in", "out"),
}
SHAPES = {"dense": (80, 25), "uneven": (83, 27), "conv": (3, 3, 8, 6), "pointwise": (1, 1, 24, 10)}
# The tensor, the share, and what the toolkit is told: block size, pooling, (zeros, length).
CASES = (
    [(name, share, [1, 1], "AVG", None) for name in SHAPES for share in SHARES]
    + [
        (name, share, block, pool, None)
        for name in ("dense", "pointwise")
        for share in SHARES
        for block in ([4, 1], [1, 5], [2, 5])
        for pool in ("AVG", "MAX")
    ]
    + [("uneven", share, [4, 2], pool, None) for share in SHARES for pool in ("AVG", "MAX")]
    + [
        (name, zeros / length, [1, 1], "AVG", [zeros, length])
        for name in ("dense", "conv", "pointwise")
        for zeros, length in ((2, 4), (1, 4), (1, 2), (4, 8))
    ]
    + [("uneven", 0.5, [1, 1], "AVG", [2, 4])]
)


def pattern_of(name, block, pool, zeros):
    if zeros is not None:
        return KeepOf(zeros[1] - zeros[0], zeros[1], "in")
    return (
        UNSTRUCTURED
        if block == [1, 1]
        else Block((("in", block[0]), ("out", block[1])), {"AVG": "mean", "MAX": "max"}[pool])
    )


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_model_optimization") is None,
    reason="tensorflow_model_optimization is not installed",
)
def test_masks_equal_those_of_tfmot(server, tmp_path):
    weights = {
        name: np.random.default_rng(3).normal(size=shape).astype("float32")
        for name, shape in SHAPES.items()
    }
    cases = {
        f"{name} {share} {block} {pool} {zeros}": (share, block, pool, zeros)
        for name, share, block, pool, zeros in CASES
    }
    np.savez(tmp_path / "weights.npz", **weights)
    arguments = [tmp_path / "weights.npz", tmp_path / "masks.npz", json.dumps(cases)]
    done = server.run_program(PROGRAM, *arguments)
    assert done.code == 0, done.err
    masks = np.load(tmp_path / "masks.npz")
    assert sorted(masks) == sorted(cases)
    for case, (share, block, pool, zeros) in cases.items():
        name = case.split()[0]
        mask, _ = select_pattern_mask(
            weights[name], pattern_of(name, block, pool, zeros), share, AXES[name], pads=True
        )
        np.testing.assert_array_equal(mask, masks[case].reshape(mask.shape), err_msg=case)
