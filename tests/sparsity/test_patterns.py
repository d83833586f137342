import re

import pytest
from hypothesis import given
from pattern_cases import SHARES, cases
from reference_masks import pattern_mask

from graphprune.sparsity.counts import kept_in_group, zero_count
from graphprune.sparsity.patterns import (
    UNSTRUCTURED,
    Block,
    Channel,
    KeepOf,
    Misfit,
    check_fit,
    find_misfit,
    is_exact,
    target_zeros,
)

DENSE = ("in", "out")
CONV = ("h", "w", "in", "out")
FOUR_BY_TWO = Block((("in", 4), ("out", 2)))


@pytest.mark.parametrize(
    ("pattern", "axes", "shape", "misfit"),
    [
        (UNSTRUCTURED, (), (7, 3, 5), None),
        (KeepOf(2, 4, "in"), DENSE, (8, 3), None),
        (KeepOf(2, 4, "in"), CONV, (3, 3, 8, 5), None),
        (
            KeepOf(2, 4, "in"),
            DENSE,
            (1023, 1200),
            Misfit("pattern/misfit", "1023 is not a multiple of 4"),
        ),
        (
            KeepOf(1, 2, "rows"),
            DENSE,
            (8, 8),
            Misfit("pattern/rank", "no axis 'rows'; its axes are in, out"),
        ),
        (
            KeepOf(1, 2, "in"),
            (),
            (8, 8),
            Misfit("pattern/rank", "no axis 'in'; its axes have no names"),
        ),
        (
            KeepOf(1, 2, "in"),
            ("in", "in"),
            (8, 8),
            Misfit("pattern/rank", "several axes 'in'; its axes are in, in"),
        ),
        (KeepOf(1, 2, "in"), CONV, (8, 8), Misfit("pattern/rank", "its 2 axes have 4 names")),
        (FOUR_BY_TWO, CONV, (1, 1, 8, 6), None),
        (FOUR_BY_TWO, CONV, (3, 3, 8, 6), None),
        (
            FOUR_BY_TWO,
            DENSE,
            (6, 7),
            Misfit("pattern/misfit", "6 is not a multiple of 4, 7 is not a multiple of 2"),
        ),
        (
            FOUR_BY_TWO,
            ("in", "multiplier"),
            (8, 6),
            Misfit("pattern/rank", "no axis 'out'; its axes are in, multiplier"),
        ),
        (Channel("out"), CONV, (3, 3, 8, 5), None),
        (
            Channel("out"),
            ("h", "w", "in", "multiplier"),
            (3, 3, 8, 1),
            Misfit("pattern/rank", "no axis 'out'; its axes are h, w, in, multiplier"),
        ),
    ],
    ids=str,
)
def test_a_pattern_fits_or_says_why_not(pattern, axes, shape, misfit):
    assert find_misfit(pattern, shape, axes) == misfit
    if misfit is None or misfit.slug == "pattern/misfit":
        assert find_misfit(pattern, shape, axes, pads=True) is None
    else:
        assert find_misfit(pattern, shape, axes, pads=True) == misfit


def test_a_pattern_that_does_not_fit_is_refused():
    text = (
        "'keep 2 of 4 along in (2 zeros in each 4)' does not fit [6, 2] (6 is not a multiple of 4)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        check_fit(KeepOf(2, 4, "in"), (6, 2), DENSE, pads=False)


@pytest.mark.parametrize(
    ("pattern", "share", "axes", "shape", "zeros"),
    [
        (UNSTRUCTURED, 0.9, (), (784, 300), 211_680),
        (KeepOf(2, 4, "in"), 0.5, DENSE, (4096, 256), 524_288),
        (KeepOf(2, 4, "in"), 0.25, DENSE, (4096, 256), 262_144),
        (KeepOf(1, 3, "in"), 1 - 1 / 3, CONV, (3, 3, 9, 2), 108),
        (KeepOf(2, 4, "in"), 0.5, DENSE, (7, 2), 2 * (2 + 1)),
        (KeepOf(2, 4, "in"), 0.5, DENSE, (5, 2), 2 * 2),
        # example 5
        (
            Block((("in", 4), ("out", 1))),
            0.8,
            DENSE,
            (4096, 256),
            4 * (1024 * 256 - round(1024 * 256 * 0.2)),
        ),
        (Block((("in", 4), ("out", 1))), 0.99, DENSE, (4, 2), 4),
        (Block((("in", 2), ("out", 2))), 0.75, CONV, (3, 1, 4, 4), 4 * 9),
        (Channel("out"), 0.5, CONV, (3, 3, 4, 5), 36 * 3),
        (Channel("out"), 0.99, DENSE, (4, 5), 16),
        (Channel("out"), 0.9, DENSE, (3, 1000), 2700),
    ],
    ids=str,
)
def test_zeros_are_counted_exactly(pattern, share, axes, shape, zeros):
    assert target_zeros(pattern, shape, axes, share, pads=True) == zeros
    assert is_exact(pattern, shape, axes)


def test_short_blocks_leave_the_number_open():
    block = Block((("in", 4),))
    assert target_zeros(block, (6, 2), DENSE, 0.5, pads=True) == 2 + 2
    assert not is_exact(block, (6, 2), DENSE)


@given(cases(), SHARES)
def test_the_reference_mask_has_as_many_zeros(case, share):
    weights, axes, pattern, pads = case
    zeros = int((~pattern_mask(weights, pattern, share, axes, pads=pads)).sum())
    expected = target_zeros(pattern, weights.shape, axes, share, pads=pads)
    assert zeros == expected if is_exact(pattern, weights.shape, axes) else zeros >= expected


@given(cases(), SHARES, SHARES)
def test_zeros_never_fall_as_the_share_grows(case, one, other):
    weights, axes, pattern, pads = case
    few, many = (
        target_zeros(pattern, weights.shape, axes, share, pads=pads)
        for share in sorted((one, other))
    )
    assert few <= many


@pytest.mark.parametrize(("keep", "of"), [(1, 2), (2, 4), (1, 3), (1, 7), (4, 8), (5, 6)])
def test_a_group_ends_at_the_pattern_and_never_passes_it(keep, of):
    assert kept_in_group(keep, of, 1 - keep / of) == keep
    assert kept_in_group(keep, of, 0.999) == keep


def test_zeros_of_a_pattern_that_does_not_fit_are_refused():
    text = (
        "'keep 2 of 4 along in (2 zeros in each 4)' does not fit [6, 2] (6 is not a multiple of 4)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        target_zeros(KeepOf(2, 4, "in"), (6, 2), DENSE, 0.5)


def test_unstructured_zeros_are_those_of_counts():
    assert target_zeros(UNSTRUCTURED, (1000,), (), 0.9) == zero_count(1000, 0.9)
