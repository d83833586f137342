import pytest

from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.sparsity.schedules import Schedule

RAMP = Schedule("polynomial", Position(0, "epoch"), Position(4, "epoch"), Position(100, "step"), name="ramp")


def test_config_round_trips():
    pruning = Pruning(0.9, RAMP, ("kernel", "recurrent_kernel"))
    assert Pruning.from_config(pruning.to_config()) == pruning


def test_provenance_round_trips():
    provenance = Provenance("dense-90", "aa", "bb")
    assert Provenance.from_config(provenance.to_config()) == provenance
    assert Provenance.from_config({}) == Provenance()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"sparsity": 1.0}, "sparsity must be at least 0 and below 1, got 1"),
        ({"shares": (0.5, 1.0)}, "sparsity must be at least 0 and below 1, got 1"),
        ({"shares": (0.5, 0.5)}, "shares must have one entry for each of 1 weights, got 2"),
    ],
)
def test_impossible_values_are_refused(field, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        Pruning(**({"sparsity": 0.5, "schedule": RAMP, "weights": ("kernel",)} | field))
