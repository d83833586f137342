"""What single operators in the body of a recurrent layer's loop make."""

from types import SimpleNamespace

import numpy as np
import pytest

from graphprune.plan.operator_formulas import _spread


@pytest.mark.parametrize(
    ("shape", "times", "is_read"),
    [((2, 1), [1, 5], True), ((2, 5), [1, 1], True), ((2, 1), [2, 5], False),
     ((2, 3), [1, 2], False)],
)  # fmt: skip
def test_a_mask_that_is_repeated_for_each_unit_alone_is_a_mask(shape, times, is_read):
    constant = SimpleNamespace(values=np.array(times))
    body = SimpleNamespace(
        tensors={0: SimpleNamespace(shape=shape)},
        file=SimpleNamespace(read_stored=lambda tensor: tensor.values),
        constant=lambda _index: constant,
        known={0: "mask"},
    )
    made = _spread(body, SimpleNamespace(inputs=(0, 1)))
    assert made == (["mask"] if is_read else None)
