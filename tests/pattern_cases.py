"""Random tensors with patterns that fit them, for property tests."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphprune.sparsity.patterns import UNSTRUCTURED, Block, Channel, KeepOf, find_misfit

AXES = {1: ("in",), 2: ("in", "out"), 3: ("w", "out", "in"), 4: ("h", "w", "in", "out")}
SHARES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]) | st.floats(0, 0.999)
# Sums of a few of these are exact in float64, so that equal scores are equal in every order of
# adding.
FEW = [0.0, -0.0, 0.5, -0.5, 1.0, -1.25, 2.0, 3.0, np.inf, -np.inf, np.nan]


@st.composite
def patterns(draw, axes):
    axis = st.sampled_from(axes)
    kind = draw(st.sampled_from(["unstructured", "keep_of", "block", "channel"]))
    if kind == "keep_of":
        of = draw(st.integers(2, 6))
        return KeepOf(draw(st.integers(1, of - 1)), of, draw(axis))
    if kind == "block":
        named = draw(st.lists(axis, min_size=1, max_size=2, unique=True))
        return Block(
            tuple((name, draw(st.integers(1, 4))) for name in named),
            draw(st.sampled_from(["mean", "max"])),
        )
    return Channel(draw(axis)) if kind == "channel" else UNSTRUCTURED


@st.composite
def cases(draw, elements=None, dtypes=(np.float16, np.float32, np.float64)):
    """A tensor, its axes, a pattern, and whether it must be padded."""
    values = st.sampled_from(FEW) if elements is None else elements
    weights = draw(
        hnp.arrays(
            st.sampled_from(dtypes), hnp.array_shapes(max_dims=4, max_side=7), elements=values
        )
    )
    axes = AXES[weights.ndim]
    pattern = draw(patterns(axes))
    return weights, axes, pattern, find_misfit(pattern, weights.shape, axes) is not None
