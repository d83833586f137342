import pytest

from graphprune.plan.timing import lies_beyond
from graphprune.sparsity.positions import Run, parse_position


@pytest.mark.parametrize(
    ("place", "run", "beyond"),
    [
        ("4 epochs", Run(None, None), False),
        ("4 epochs", Run(50, None), False),
        ("4 epochs", Run(None, 4), False),
        ("4 epochs", Run(None, 3), True),
        ("200 steps", Run(50, 4), False),
        ("201 steps", Run(50, 4), True),
        ("201 steps", Run(None, 4), False),
        ("100%", Run(50, 4), False),
        ("101%", Run(None, 4), True),
    ],
)
def test_a_place_is_beyond_the_run_only_where_that_is_known(place, run, beyond):
    assert lies_beyond(parse_position(place), run) is beyond
