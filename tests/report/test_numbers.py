import pytest

from graphprune.report.numbers import count_of, format_bytes, format_count, format_share


def test_thousands_are_separated():
    assert format_count(266_610) == "266,610"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0%"),
        (0.9, "90.0%"),
        (1, "100.0%"),
        (0.00049, "<0.1%"),
        (0.99951, ">99.9%"),
        (0.8954, "89.5%"),
    ],
)
def test_shares_are_never_rounded_to_none_or_all(share, text):
    assert format_share(share) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (230_000_000, "230.0 MB"),
        (5 * 10**12, "5,000.0 GB"),
    ],
)
def test_sizes_take_the_fitting_unit(size, text):
    assert format_bytes(size) == text


def test_counts_have_their_plural():
    assert [count_of(count, "layer") for count in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
