import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphprune.sparsity.counts import kept_count
from graphprune.sparsity.masks import magnitude_mask


def test_ties_keep_the_lower_index():
    assert magnitude_mask(np.array([1.0, -1.0, 1.0, 1.0]), 0.5).tolist() == [True, True, False, False]


def test_nan_counts_as_the_largest():
    assert magnitude_mask(np.array([np.inf, np.nan, 1.0]), 0.6).tolist() == [False, True, False]


@given(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=6), elements=st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, 2.0])),
    st.floats(0, 0.99),
)
def test_the_count_is_exact_and_no_kept_weight_is_smaller_than_a_dropped_one(weights, sparsity):
    mask = magnitude_mask(weights, sparsity)
    assert mask.shape == weights.shape
    assert mask.sum() == kept_count(weights.size, sparsity)
    if not mask.all():
        assert np.abs(weights[mask]).min() >= np.abs(weights[~mask]).max()
