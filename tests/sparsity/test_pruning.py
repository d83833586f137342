import json

import pytest

from graphprune.sparsity.patterns import Block, Channel, KeepOf
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.sparsity.schedules import Schedule

RAMP = Schedule(
    "polynomial", Position(0, "epoch"), Position(4, "epoch"), Position(100, "step"), name="ramp"
)


def test_config_round_trips():
    pruning = Pruning(0.9, RAMP, ("kernel", "recurrent_kernel"))
    assert Pruning.from_config(pruning.to_config()) == pruning


def test_config_of_a_pattern_in_a_budget_round_trips():
    points = Schedule("points", points=((Position(1, "epoch"), 0.5), (Position(2, "epoch"), 0.9)))
    axes = (("in", "out"), ("h", "w", "in", "out"))
    pruning = Pruning(
        0.9,
        points,
        ("a", "b"),
        Block((("in", 4), ("out", 1)), "max"),
        pads=True,
        shares=(0.85, 0.95),
        axes=axes,
    )
    assert Pruning.from_config(json.loads(json.dumps(pruning.to_config()))) == pruning


def test_zeros_follow_pattern_shares_and_padding():
    pruning = Pruning(
        0.5,
        RAMP,
        ("a", "b"),
        Block((("in", 2),)),
        pads=True,
        shares=(0.25, 0.75),
        axes=(("in", "out"), ("out", "in")),
    )
    assert (pruning.target_zeros("a", (4, 2)), pruning.target_zeros("b", (1, 7))) == (2, 5)
    assert pruning.zeros_at("a", (4, 2), 0.5) == 4
    assert Pruning(0.9, RAMP, ("a",)).target_zeros("a", (10, 10)) == 90


def test_two_thirds_may_be_written_as_a_decimal():
    points = Schedule("points", points=((Position(1, "epoch"), 0.667),))
    assert (
        Pruning(2 / 3, points, ("a",), KeepOf(1, 3, "in"), axes=(("in", "out"),)).schedule == points
    )


def test_provenance_round_trips():
    provenance = Provenance("dense-90", "aa", "bb", "budget", "mixed_float16", "own")
    assert Provenance.from_config(provenance.to_config()) == provenance
    assert Provenance.from_config({}) == Provenance()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"sparsity": 1.0}, "sparsity must be at least 0 and below 1, got 1"),
        ({"shares": (0.5, 1.0)}, "sparsity must be at least 0 and below 1, got 1"),
        ({"axes": ()}, "axes must have one entry for each of 1 weights, got 0"),
        (
            {"pattern": Channel("out")},
            "the pattern 'channel out' needs the names of the axes of its weights, got none",
        ),
        (
            {"schedule": Schedule("points", points=((Position(1, "epoch"), 0.4),))},
            "the last point of a schedule must be the target of 0.5, got 0.4 at 1 epoch",
        ),
        ({"shares": (0.5, 0.5)}, "shares must have one entry for each of 1 weights, got 2"),
    ],
)
def test_impossible_values_are_refused(field, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        Pruning(**({"sparsity": 0.5, "schedule": RAMP, "weights": ("kernel",)} | field))
