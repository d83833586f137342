from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pattern_cases import SHARES, cases
from reference_masks import pattern_mask

from graphprune.sparsity.patterns import (
    UNSTRUCTURED,
    Block,
    Channel,
    KeepOf,
    select_pattern_mask,
    target_zeros,
)

DENSE = ("in", "out")


@given(cases(), SHARES)
def test_masks_equal_the_reference_over_ties_zeros_infinities_and_nan(case, share):
    weights, axes, pattern, pads = case
    mask, threshold = select_pattern_mask(weights, pattern, share, axes, pads=pads)
    np.testing.assert_array_equal(mask, pattern_mask(weights, pattern, share, axes, pads=pads))
    if pattern == UNSTRUCTURED or isinstance(pattern, KeepOf):
        kept = np.abs(weights[mask].astype("float64"))
        assert threshold == np.min(np.where(np.isnan(kept), np.inf, kept))


@given(cases(elements=st.floats(-4, 4, width=16)), SHARES)
def test_masks_equal_the_reference_over_floats(case, share):
    weights, axes, pattern, pads = case
    mask, _ = select_pattern_mask(weights, pattern, share, axes, pads=pads)
    np.testing.assert_array_equal(mask, pattern_mask(weights, pattern, share, axes, pads=pads))


PATTERNS = [
    KeepOf(2, 4, "in"),
    KeepOf(4, 8, "out"),
    KeepOf(3, 20, "in"),
    Block((("in", 4),)),
    Block((("in", 4), ("out", 2)), "max"),
    Block((("in", 20), ("out", 10))),
    Block((("in", 20), ("out", 10)), "max"),
    Channel("out"),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_masks_equal_the_reference_on_larger_tensors(pattern, dtype):
    weights = np.random.default_rng(0).normal(size=(60, 40)).astype(dtype)
    for share in (0.25, 0.5, 0.85):
        mask, _ = select_pattern_mask(weights, pattern, share, DENSE)
        np.testing.assert_array_equal(mask, pattern_mask(weights, pattern, share, DENSE))
        assert mask.size - np.count_nonzero(mask) == target_zeros(
            pattern, weights.shape, DENSE, share
        )


@pytest.mark.parametrize(
    ("pattern", "score"),
    [
        (Block((("in", 2),)), 1.5),
        (Block((("in", 2),), "max"), 2.0),
        (Channel("in"), 2.5),
        (KeepOf(1, 2, "in"), 2.0),
        (UNSTRUCTURED, 2.5),
    ],
    ids=str,
)
def test_the_threshold_is_the_smallest_score_kept(pattern, score):
    weights = np.array([[1.0], [2.0], [-3.0], [0.0], [2.5], [2.5]], "float32")
    shares = {Block: 0.01, Channel: 0.5}
    _, threshold = select_pattern_mask(weights, pattern, shares.get(type(pattern), 0.5), DENSE)
    assert threshold == score


def test_a_group_of_nan_keeps_the_first_and_has_no_finite_threshold():
    mask, threshold = select_pattern_mask(np.full((4, 1), np.nan), KeepOf(1, 4, "in"), 0.75, DENSE)
    assert (mask.ravel().tolist(), threshold) == ([True, False, False, False], math.inf)


def test_a_tensor_that_is_not_contiguous_is_read_in_its_own_order():
    weights = np.arange(24.0, dtype=np.float32).reshape(4, 6).T
    for pattern in (KeepOf(1, 2, "in"), Block((("in", 2), ("out", 2))), Channel("out")):
        np.testing.assert_array_equal(
            select_pattern_mask(weights, pattern, 0.5, DENSE)[0],
            pattern_mask(weights, pattern, 0.5, DENSE),
        )


@pytest.mark.parametrize(
    "pattern", [pattern for pattern in PATTERNS if not isinstance(pattern, Channel)], ids=str
)
def test_short_groups_and_blocks_are_scored_by_the_weights_that_they_have(pattern):
    weights = np.random.default_rng(4).normal(size=(61, 37)).astype("float32")
    for share in (0.25, 0.5, 0.75):
        mask, _ = select_pattern_mask(weights, pattern, share, DENSE, pads=True)
        np.testing.assert_array_equal(mask, pattern_mask(weights, pattern, share, DENSE, pads=True))
