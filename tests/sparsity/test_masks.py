import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pattern_cases import SHARES, cases
from reference_masks import magnitude_mask, pattern_mask

from graphprune.sparsity.counts import kept_count
from graphprune.sparsity.patterns import Block, Channel, KeepOf


def test_ties_keep_the_lower_index():
    assert magnitude_mask(np.array([1.0, -1.0, 1.0, 1.0]), 0.5).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_nan_counts_as_the_largest():
    assert magnitude_mask(np.array([np.inf, np.nan, 1.0]), 0.6).tolist() == [False, True, False]


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_dims=4, max_side=6),
        elements=st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, 2.0]),
    ),
    st.floats(0, 0.99),
)
def test_the_count_is_exact_and_no_kept_weight_is_smaller_than_a_dropped_one(weights, sparsity):
    mask = magnitude_mask(weights, sparsity)
    assert mask.shape == weights.shape
    assert mask.sum() == kept_count(weights.size, sparsity)
    if not mask.all():
        assert np.abs(weights[mask]).min() >= np.abs(weights[~mask]).max()


DENSE = ("in", "out")


@pytest.mark.parametrize(
    ("pattern", "share", "weights", "mask"),
    [
        (
            KeepOf(1, 2, "in"),
            0.5,
            [[1, 5], [2, 5], [0, 0], [0, 1]],
            [[0, 1], [1, 0], [1, 0], [0, 1]],
        ),
        (KeepOf(1, 2, "out"), 0.5, [[1, 2, 9]], [[0, 1, 1]]),
        (KeepOf(1, 4, "in"), 0.25, [[3], [1], [1], [2]], [[1], [1], [0], [1]]),
        (
            Block((("in", 2),)),
            0.5,
            [[1, 4], [5, 4], [7, 0], [0, 0]],
            [[0, 1], [0, 1], [1, 0], [1, 0]],
        ),
        (
            Block((("in", 2),), "max"),
            0.5,
            [[1, 4], [5, 4], [7, 0], [0, 0]],
            [[1, 0], [1, 0], [1, 0], [1, 0]],
        ),
        (Block((("in", 2),)), 0.5, [[1], [1], [1.5]], [[0], [0], [1]]),
        (Block((("in", 2),)), 0.5, [[1], [1], [1]], [[1], [1], [0]]),
        (Channel("out"), 0.5, [[1, np.nan], [9, 0]], [[0, 1], [0, 1]]),
    ],
    ids=str,
)
def test_a_pattern_zeroes_whole_groups(pattern, share, weights, mask):
    assert (
        pattern_mask(np.array(weights, "float32"), pattern, share, DENSE, pads=True)
        .astype(int)
        .tolist()
        == mask
    )


def test_groups_on_a_convolution_lie_at_one_spatial_position():
    weights = np.array([[4.0, 3.0], [2.0, 1.0]]).reshape(2, 1, 2, 1)
    mask = pattern_mask(weights, KeepOf(1, 2, "in"), 0.5, ("h", "w", "in", "out"))
    assert mask.reshape(2, 2).tolist() == [[True, False], [True, False]]


@given(cases(), SHARES, SHARES)
def test_a_mask_never_lets_go_of_a_zero_as_the_share_grows(case, one, other):
    weights, axes, pattern, pads = case
    early, late = (
        pattern_mask(weights, pattern, share, axes, pads=pads) for share in sorted((one, other))
    )
    assert not (late & ~early).any()
