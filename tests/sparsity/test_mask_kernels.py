from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from reference_masks import magnitude_mask

from graphprune.sparsity.counts import kept_count
from graphprune.sparsity.mask_kernels import apply_mask, is_masked, select_mask

FEW = [0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 65504.0]
SHARES = st.sampled_from([0.0, 0.1, 0.5, 0.75, 0.9, 0.99]) | st.floats(0, 0.999)


def check(weights, sparsity):
    mask, threshold = select_mask(weights, kept_count(weights.size, sparsity))
    np.testing.assert_array_equal(mask, magnitude_mask(weights, sparsity))
    kept = np.abs(weights[mask].astype("float64"))
    assert threshold == np.min(np.where(np.isnan(kept), np.inf, kept))
    pruned = apply_mask(weights, mask)
    assert pruned.dtype == weights.dtype
    assert pruned.shape == weights.shape
    assert pruned[mask].tobytes() == weights[mask].tobytes()
    assert not np.any(pruned[~mask].view(np.uint8))  # +0.0 to the bit
    changed = weights.copy(order="K")
    assert apply_mask(changed, mask, in_place=True).tobytes() == pruned.tobytes()
    assert changed.tobytes() == pruned.tobytes()
    assert is_masked(pruned, mask)
    assert is_masked(weights, mask) == (pruned.tobytes() == weights.tobytes())


@given(
    npst.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        npst.array_shapes(max_dims=3, max_side=9),
        elements=st.sampled_from(FEW),
    ),
    SHARES,
)
def test_masks_equal_the_reference_over_ties_zeros_infinities_and_nan(weights, sparsity):
    check(weights, sparsity)


@given(
    npst.arrays(st.sampled_from([np.float16, np.float32, np.float64]), st.integers(1, 60)), SHARES
)
def test_masks_equal_the_reference_over_any_floats(weights, sparsity):
    check(weights, sparsity)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_masks_equal_the_reference_on_large_tensors_that_were_pruned_before(dtype):
    weights = np.random.default_rng(0).normal(size=(300, 100)).astype(dtype)
    weights[np.random.default_rng(1).random(weights.shape) < 0.8] = 0
    for sparsity in (0.5, 0.85, 0.95):
        check(weights, sparsity)


@pytest.mark.parametrize("sparsity", [0.0, 0.001, 0.5, 0.9, 0.99999])
def test_masks_equal_the_reference_where_a_sample_of_the_weights_tells_little(sparsity):
    weights = np.random.default_rng(0).normal(size=300_000).astype("float32")
    check(np.sort(weights), sparsity)
    check(np.round(weights), sparsity)
    for step in range(2, 8):  # the few that a regular sample looks at are the largest
        misleading = weights.copy()
        misleading[::step] *= 1000
        check(misleading, sparsity)


def test_a_tensor_that_is_not_contiguous_is_read_in_its_own_order():
    weights = np.arange(12.0, dtype=np.float32).reshape(3, 4).T
    check(weights, 0.5)
