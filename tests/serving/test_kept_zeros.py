"""Which zeros of a model's weights a TensorFlow Lite file does not keep."""

import numpy as np
import pytest

from graphprune.serving.kept_zeros import find_lost_zeros

KERNEL = np.where(np.arange(24).reshape(4, 6) % 3, 0.0, 1.0)
CONVOLUTION = np.where(np.arange(72).reshape(3, 3, 2, 4) % 4, 0.0, 1.0)


def constants(*tensors):
    found = {}
    for values in tensors:
        found.setdefault(values.size, []).append((values == 0).reshape(-1))
    return found


@pytest.mark.parametrize(
    ("weight", "stored"),
    [
        (KERNEL, KERNEL.T),
        (KERNEL, KERNEL),
        (CONVOLUTION, np.moveaxis(CONVOLUTION, -1, 0)),
        (CONVOLUTION, np.moveaxis(CONVOLUTION, -2, 0)),
    ],
)
def test_a_weight_is_found_in_each_layout_and_its_lost_zeros_are_counted(weight, stored):
    dense = constants(stored, np.ones(stored.shape))
    assert find_lost_zeros([weight], dense, dense) is None
    more_zeros = stored * 0
    assert find_lost_zeros([weight], dense, constants(more_zeros, np.ones(stored.shape))) is None
    lost = stored.copy()
    lost.reshape(-1)[np.flatnonzero(stored.reshape(-1) == 0)[:2]] = 0.1
    assert find_lost_zeros([weight], dense, constants(lost, np.ones(stored.shape))) == (
        f"2 zeros of a weight of shape {list(weight.shape)} are not zero in it"
    )


def test_zeros_at_other_places_are_not_those_of_the_weight():
    moved = np.roll(KERNEL.T, 1, 0)
    assert "zeros of a weight" in find_lost_zeros([KERNEL], constants(KERNEL.T), constants(moved))


def test_weights_that_were_cut_into_pieces_are_compared_by_their_numbers_of_zeros():
    whole = np.concatenate([KERNEL, KERNEL])
    dense = constants(KERNEL, KERNEL + 1)
    assert find_lost_zeros([whole], dense, dense) is None
    written = constants(np.where(np.arange(24) < 15, 0.0, 1.0), KERNEL + 1)
    assert find_lost_zeros([whole], dense, written) == (
        "1 zeros of constants with 24 values are not zero in it"
    )


def test_a_weight_that_the_written_file_does_not_hold_has_lost_all_its_zeros():
    others = constants(np.ones((4, 4)))
    assert find_lost_zeros([KERNEL], constants(KERNEL.T), others) == (
        "16 zeros of a weight of shape [4, 6] are not zero in it"
    )
