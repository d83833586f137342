"""The length of samples for models that leave it open, and take no longer ones than they can."""

import numpy as np
import pytest

from graphprune.errors import OutputError
from graphprune.serving.outputs import OPEN_LENGTH, taken_length

OPEN = {"words": ((None, None), np.int32), "mask": ((None, None, 3), np.float32)}
FIXED = {"image": ((None, 8, 8), np.float32)}


def of_positions(count):
    """Return what runs a model with so many positions; it notes the shapes that it was given."""
    given = []

    def compute(batches):
        (inputs,) = batches
        given.append({name: array.shape for name, array in inputs.items()})
        if inputs["words"].shape[1] > count:
            raise ValueError(f"expected at most {count} positions.\nmore lines")

    return compute, given


@pytest.mark.parametrize(("count", "length"), [(512, OPEN_LENGTH), (32, 32), (31, 16), (6, 4)])
def test_the_longest_length_that_a_model_takes_is_found(count, length):
    compute, given = of_positions(count)
    assert taken_length(OPEN, 2, compute) == length
    assert given[-1] == {"words": (2, length), "mask": (2, length, 3)}


def test_a_model_that_takes_no_length_is_refused_with_its_reason():
    with pytest.raises(OutputError) as caught:
        taken_length(OPEN, 2, of_positions(0)[0])
    assert str(caught.value) == (
        "the model cannot be run on samples of 32 or fewer steps: expected at most 0 positions;"
        " give its inputs fixed lengths"
    )


def test_a_model_of_fixed_lengths_is_not_run_for_it():
    assert taken_length(FIXED, 2, of_positions(0)[0]) == OPEN_LENGTH
