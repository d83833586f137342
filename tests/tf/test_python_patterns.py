from __future__ import annotations

import re

import numpy as np
import pytest
import tf_keras
from own_layers import BiasedDense, Cell
from reference_masks import pattern_mask
from tf_keras import layers

from graphprune.sparsity.patterns import UNSTRUCTURED, Block, KeepOf
from graphprune.sparsity.positions import Run
from graphprune.tf.pruning.keras_api import (
    collect_prunable_layers,
    prune_low_magnitude,
    strip_pruning,
)
from graphprune.tf.pruning.keras_schedules import ConstantSparsity, PolynomialDecay
from graphprune.tf.pruning.pruner import Pruner

pytestmark = pytest.mark.tf

HALF = ConstantSparsity(0.5, 0)
MEAN = Block((("in", 2), ("out", 3)))


@pytest.mark.parametrize(
    ("layer", "arguments", "pattern"),
    [
        (layers.Dense(4), {}, UNSTRUCTURED),
        (layers.Dense(4), {"block_pooling_type": "MAX"}, UNSTRUCTURED),
        (layers.Dense(4), {"block_size": (2, 3)}, MEAN),
        (
            layers.Dense(4),
            {"block_size": [2, 3], "block_pooling_type": "MAX"},
            Block(MEAN.sizes, "max"),
        ),
        (layers.Embedding(8, 4), {"block_size": (2, 3)}, MEAN),
        (layers.LSTM(4), {"block_size": (2, 3)}, MEAN),
        (layers.Conv2D(4, 1), {"block_size": (2, 3)}, MEAN),
        (layers.Conv2DTranspose(4, 1), {"block_size": (2, 3)}, Block((("out", 2), ("in", 3)))),
        (layers.Conv2D(4, 3), {"block_size": (2, 3)}, UNSTRUCTURED),
        (layers.Conv1D(4, (2,)), {"block_size": (2, 3)}, UNSTRUCTURED),
        (layers.DepthwiseConv2D(3), {"block_size": (2, 3)}, UNSTRUCTURED),
        (layers.SeparableConv2D(4, 3), {"block_size": (2, 3)}, UNSTRUCTURED),
        (layers.ReLU(), {"block_size": (2, 3)}, UNSTRUCTURED),
        (layers.Dense(4), {"sparsity_m_by_n": (1, 4)}, KeepOf(3, 4, "in")),
        (layers.Conv2D(4, 3), {"sparsity_m_by_n": (2, 4)}, KeepOf(2, 4, "in")),
        (layers.MultiHeadAttention(2, 4), {"sparsity_m_by_n": (2, 4)}, KeepOf(2, 4, "in")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else str(value),
)
def test_arguments_by_position_become_patterns_with_axes(layer, arguments, pattern):
    assert prune_low_magnitude(layer, HALF, **arguments).pruning.pattern == pattern


@pytest.mark.parametrize(
    ("make", "arguments", "text"),
    [
        (
            layers.Dense,
            {"block_size": (0, 1)},
            "block_size must be two whole numbers from 1, got (0, 1)",
        ),
        (
            layers.Dense,
            {"block_size": (4,)},
            "block_size must be two whole numbers from 1, got (4,)",
        ),
        (
            layers.Dense,
            {"block_size": (2, 2), "block_pooling_type": "SUM"},
            "block_pooling_type must be 'AVG' or 'MAX', got 'SUM'",
        ),
        (
            layers.Dense,
            {"sparsity_m_by_n": (4, 4)},
            "sparsity_m_by_n=(m, n) zeroes m of each n weights, so m must be below n, got (4, 4)",
        ),
        (
            layers.Dense,
            {"sparsity_m_by_n": 2},
            "sparsity_m_by_n must be two whole numbers from 1, got 2",
        ),
        (
            layers.Dense,
            {"sparsity_m_by_n": (2, 4), "block_size": (4, 1)},
            "give block_size or sparsity_m_by_n, not both, got (4, 1) and (2, 4)",
        ),
        (
            lambda units, name: layers.MultiHeadAttention(2, units, name=name),
            {"block_size": (4, 1)},
            (
                "x: block_size=(4, 1) needs a kernel of rank 2, and query.kernel of"
                " MultiHeadAttention has axes in, heads, out; leave it out for this layer, or name"
                " the axes in a rule file"
            ),
        ),
        (
            lambda units, name: layers.RNN(Cell(units), name=name),
            {"sparsity_m_by_n": (2, 4)},
            (
                "x: sparsity_m_by_n=(2, 4) needs the meaning of a kernel's axes, which is"
                " unknown for the custom layer in RNN; leave it out for this layer, or name"
                " the axes in a rule file"
            ),
        ),
        (
            lambda units, name: BiasedDense(units, name=name),
            {"block_size": (4, 1)},
            (
                "x: block_size=(4, 1) needs the meaning of a kernel's axes, which is unknown for"
                " custom layer class BiasedDense; leave it out for this layer, or name the"
                " axes in a rule file"
            ),
        ),
        (
            lambda units, name: layers.EinsumDense("abc,bcd->ad", (units,), name=name),
            {"sparsity_m_by_n": (2, 4)},
            (
                "x: sparsity_m_by_n=(2, 4) needs an axis 'in', and kernel of EinsumDense has axes"
                " in_1, in_2, out; leave it out for this layer, or name the axes in a rule file"
            ),
        ),
    ],
)
def test_what_does_not_take_the_pattern_is_refused_at_wrap_time(make, arguments, text):
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        prune_low_magnitude(make(4, name="x"), HALF, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"block_size": (2, 3)},
        {"block_size": (2, 3), "block_pooling_type": "MAX"},
        {"sparsity_m_by_n": (3, 4)},
    ],
    ids=str,
)
def test_a_model_whose_dimensions_do_not_divide_is_pruned_whole(arguments):
    tf_keras.utils.set_random_seed(5)
    image = layers.Input((5, 5, 7))
    x = layers.Conv2D(5, 3, name="wide")(layers.Conv2D(7, 1, name="pointwise")(image))
    model = tf_keras.Model(image, layers.Dense(4, name="dense")(layers.GlobalAveragePooling2D()(x)))
    pruned = prune_low_magnitude(model, PolynomialDecay(0.0, 0.5, 0, 4), **arguments)
    before = {
        wrapper.name: wrapper.layer.kernel.numpy() for wrapper in collect_prunable_layers(pruned)
    }
    for wrapper in collect_prunable_layers(pruned):
        wrapper.pruning_step.assign(4)
    pruner = Pruner(pruned)
    pruner.start(Run())
    for wrapper in collect_prunable_layers(pruned):
        pruning, weights = wrapper.pruning, before[wrapper.name]
        mask = pattern_mask(
            weights, pruning.pattern, pruning.sparsity, pruning.axes_of("kernel"), pads=pruning.pads
        )
        np.testing.assert_array_equal(wrapper.layer.kernel.numpy(), np.where(mask, weights, 0))
    assert all(tensor.zeros >= tensor.target_zeros > 0 for tensor in pruner.tensors())
    stripped = strip_pruning(pruned)
    assert np.count_nonzero(stripped.get_layer("dense").kernel.numpy()) == 20 - next(
        t.zeros for t in pruner.tensors() if t.address == "dense"
    )
