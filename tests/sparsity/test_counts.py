import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.sparsity.counts import kept_count, zero_count


def test_halves_round_to_even():
    assert [kept_count(n, 0.5) for n in (1, 3, 5, 7)] == [1, 2, 2, 4]


def test_the_written_decimal_counts_not_its_binary_neighbour():
    assert kept_count(1000, 0.9) == 100
    assert kept_count(30, 0.35) == 20
    assert kept_count(10, 0.45) == 6


def test_one_weight_always_stays():
    assert kept_count(5, 0.999) == 1


@given(st.integers(1, 10**7), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_kept_is_in_range_and_never_rises_with_sparsity(size, one, other):
    low, high = sorted((one, other))
    assert 1 <= kept_count(size, high) <= kept_count(size, low) <= size
    assert zero_count(size, low) + kept_count(size, low) == size


@pytest.mark.parametrize(
    ("size", "sparsity", "text"),
    [
        (0, 0.5, "size must be at least 1, got 0"),
        (4, 1.0, "sparsity must be at least 0 and below 1, got 1.0"),
    ],
)
def test_impossible_requests_are_refused(size, sparsity, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        kept_count(size, sparsity)
