import itertools
import re
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.sparsity.budgets import (
    InfeasibleBudgetError,
    Member,
    allocate_by_magnitude,
    allocate_by_size,
    allocate_erk,
)
from graphprune.sparsity.counts import kept_count, zero_count

# A small convolutional network, without its first convolution.
SHAPES = ((3, 3, 32, 64), (3, 3, 64, 128), (1, 1, 128, 256), (4096, 256), (256, 10))
SIZES = tuple(int(np.prod(shape)) for shape in SHAPES)


def free(*sizes):
    return [Member(size, 1, size) for size in sizes]


@st.composite
def budgets(draw):
    """Members, and a number of weights that they can keep."""
    members = []
    for size in draw(st.lists(st.integers(1, 40), min_size=1, max_size=6)):
        least = draw(st.integers(1, size))
        members.append(Member(size, least, draw(st.integers(least, size))))
    kept = draw(
        st.integers(sum(member.least for member in members), sum(member.most for member in members))
    )
    return members, kept


def test_erk_at_95_percent_gives_the_numbers_of_example_6():
    kept = kept_count(sum(SIZES), 0.95)
    allocation = allocate_erk(free(*SIZES), SHAPES, kept)
    assert allocation.kept == (1_139, 2_210, 4_309, 48_585, 2_560)
    assert sum(allocation.kept) == kept == 58_803
    assert round(allocation.scale, 4) == 11.1638
    assert [None if share is None else f"{share:.0%}" for share in allocation.wanted] == [
        None,
        None,
        None,
        None,
        "115%",
    ]


def test_a_budget_over_all_prunable_weights_asks_for_more_zeros():
    assert (zero_count(sum(SIZES), 0.95), zero_count(sum(SIZES) + 864, 0.95)) == (
        1_117_261,
        1_118_082,
    )


@given(budgets(), st.lists(st.integers(1, 9), min_size=6, max_size=6))
def test_allocations_keep_exactly_what_they_must_within_bounds(budget, sides):
    members, kept = budget
    for allocation in (
        allocate_by_size(members, kept),
        allocate_erk(members, [(side, 1) for side in sides[: len(members)]], kept),
    ):
        assert sum(allocation.kept) == kept
        assert all(
            member.least <= count <= member.most
            for member, count in zip(members, allocation.kept, strict=True)
        )


@given(budgets())
def test_uniform_gives_each_member_its_share_to_one_weight_unless_a_bound_stops_it(budget):
    members, kept = budget
    allocation = allocate_by_size(members, kept)
    if allocation.scale is not None:
        for member, count in zip(members, allocation.kept, strict=True):
            wish = min(max(Fraction(allocation.scale) * member.size, member.least), member.most)
            assert abs(count - wish) < 1 + 1e-9


@given(st.integers(1, 1 << 40), st.data())
def test_a_share_gives_the_count_back(size, data):
    kept = data.draw(st.integers(1, size))
    assert zero_count(size, (size - kept) / size) == size - kept


class Reader:
    """Weights that are made when they are asked for; counts how often all of them were."""

    def __init__(self, weights):
        self.weights, self.passes = weights, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.weights)


def by_sorting(members, weights, kept):
    """The same allocation in another way: weights that bounds decide are taken out, the others
    compete.
    """
    order = []
    counts = [member.least for member in members]
    for index, (member, values) in enumerate(zip(members, weights, strict=True)):
        scores = np.abs(values.astype("float64"))
        scores[np.isnan(scores)] = np.inf
        ranked = np.sort(scores)[::-1][member.least : member.most]
        order += [(-score, index) for score in ranked]
    for _, index in sorted(order)[: kept - sum(counts)]:
        counts[index] += 1
    return tuple(counts)


@given(
    budgets(), st.sampled_from([np.float16, np.float32, np.float64, ml_dtypes.bfloat16]), st.data()
)
def test_magnitudes_compete_over_all_members(budget, dtype, data):
    members, kept = budget
    values = st.sampled_from([0.0, -0.0, 0.5, -0.5, 0.75, 1.0, 3.0]) | st.floats(-2, 2)
    weights = [
        np.array(data.draw(st.lists(values, min_size=member.size, max_size=member.size))).astype(
            dtype
        )
        for member in members
    ]
    assert allocate_by_magnitude(members, weights, kept).kept == by_sorting(members, weights, kept)


def test_the_threshold_is_the_smallest_magnitude_that_stays():
    weights = [np.array([4.0, -3.0, 1.0], "float32"), np.array([2.5, 0.0], "float32")]
    allocation = allocate_by_magnitude([Member(3, 0, 3), Member(2, 0, 2)], weights, 3)
    assert (allocation.kept, allocation.scale) == ((2, 1), 2.5)


def test_equal_magnitudes_stay_in_the_first_members():
    weights = [np.ones(2, "float32"), -np.ones(3, "float32"), np.ones(2, "float16")]
    members = [Member(values.size, 0, values.size) for values in weights]
    assert [allocate_by_magnitude(members, weights, kept).kept for kept in range(8)] == [
        (0, 0, 0), (1, 0, 0), (2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 3, 0), (2, 3, 1), (2, 3, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(("dtype", "passes"), [("float32", 3), ("float64", 5)])
def test_weights_are_read_one_at_a_time_once_for_their_types_and_once_a_digit(dtype, passes):
    reader = Reader([np.arange(5, dtype=dtype), np.arange(7, dtype=dtype)])
    allocate_by_magnitude(free(5, 7), reader, 4)
    assert reader.passes == passes


def test_nan_stays():
    weights = [np.array([np.nan, 1.0, 2.0]), np.array([np.inf, 5.0])]
    assert allocate_by_magnitude(free(3, 2), weights, 2).kept == (1, 1)


@pytest.mark.parametrize("kept", [1, 13])
def test_a_budget_out_of_reach_is_refused(kept):
    members = [Member(10, 2, 8), Member(4, 1, 4)]
    ways = (
        lambda: allocate_by_size(members, kept),
        lambda: allocate_erk(members, [(5, 2), (2, 2)], kept),
    )
    for allocate in itertools.chain(
        ways, [lambda: allocate_by_magnitude(members, [np.ones(10), np.ones(4)], kept)]
    ):
        with pytest.raises(
            InfeasibleBudgetError,
            match=f"^{re.escape(f'from 3 to 12 weights can be kept, got {kept}')}$",
        ):
            allocate()
