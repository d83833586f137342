import re

import pytest

from graphprune.sparsity.fit import Misfit, check_fit, find_misfit
from graphprune.sparsity.patterns import UNSTRUCTURED, Block, Channel, KeepOf

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
