"""The zeros of a mask are as its pattern wants, and others are not."""

import numpy as np
import pytest
from hypothesis import given
from pattern_cases import SHARES, cases

from graphprune.sparsity.pattern_checks import count_units
from graphprune.sparsity.patterns import (
    PATTERNS,
    Block,
    Channel,
    KeepOf,
    Pattern,
    select_pattern_mask,
)

IN_OUT = ("in", "out")


@given(cases(), SHARES)
def test_the_zeros_of_a_mask_are_those_of_its_pattern(case, share):
    weights, axes, pattern, pads = case
    mask, _ = select_pattern_mask(weights, pattern, share, axes, pads=pads)
    units = count_units(pattern, ~mask, axes, share)
    assert units is None or (units.is_kept and units.found == units.wanted <= units.total)


@given(cases(), SHARES)
def test_one_weight_back_in_a_zeroed_unit_is_found(case, share):
    weights, axes, pattern, pads = case
    mask, _ = select_pattern_mask(weights, pattern, share, axes, pads=pads)
    units = count_units(pattern, ~mask, axes, share)
    if units is None or mask.all():
        return
    zeros = ~mask
    zeros[tuple(np.argwhere(zeros)[-1])] = False
    found = count_units(pattern, zeros, axes, share)
    assert not found.is_kept
    assert found.found == units.found - 1


@given(cases(), SHARES)
def test_more_zeros_are_still_those_of_the_pattern(case, share):
    weights, axes, pattern, pads = case
    mask, _ = select_pattern_mask(weights, pattern, share, axes, pads=pads)
    more = ~mask | (np.random.default_rng(0).random(mask.shape) < 0.3)
    units = count_units(pattern, more, axes, share)
    assert units is None or units.is_kept


@pytest.mark.parametrize(
    ("pattern", "zeros"),
    [
        (KeepOf(2, 4, "in"), np.tile([[True, True, False, False]], (4, 2))),
        (Block((("in", 4),)), np.roll(np.repeat([True, False], 4), 2)[:, None]),
        (Channel("out"), np.repeat([[True], [False]], 2, axis=0).repeat(4, axis=1)),
    ],
    ids=["wrong axis", "blocks out of line", "half of each channel"],
)
def test_as_many_zeros_in_other_places_are_not_those_of_the_pattern(pattern, zeros):
    assert zeros.mean() == 0.5
    assert not count_units(pattern, zeros, IN_OUT, 0.5).is_kept


def test_each_pattern_has_a_check():
    assert {count_units.dispatch(pattern) for pattern in PATTERNS.values()}.isdisjoint(
        {count_units.dispatch(Pattern)}
    )
