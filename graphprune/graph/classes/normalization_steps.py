"""The steps of layers that normalize; converters write them as several operators."""

from __future__ import annotations

import math
from typing import Any

from graphprune.graph.classes.steps import AFFINE, NORMALIZE, StepCall, Steps, with_figures

DEVIATION, SQUARES = f"{NORMALIZE} by deviation", f"{NORMALIZE} by root mean square"
UNIT_LENGTH = "unit length"


def normalize(count: int, epsilon: float | None) -> str:
    """Return the step of a normalization over `count` values; scale and shift do not count.

    Args:
        count: The number of values.
        epsilon: What is added to the variance; None where it is not known.

    Example:
        >>> normalize(8, 1e-5), normalize(8, None)
        ('normalize over 8, epsilon 1e-05', 'normalize over 8')
    """
    return with_figures(f"{NORMALIZE} over {count}", epsilon=epsilon)


def by_root_mean_square(count: int, epsilon: float | None) -> str:
    """Return the step of a division by the root mean square of `count` values."""
    return with_figures(f"{SQUARES} over {count}", epsilon=epsilon)


def by_deviation(count: int, epsilon: float | None) -> str:
    """Return the step of a division by the standard deviation of `count` values."""
    return with_figures(f"{DEVIATION} over {count}", epsilon=epsilon)


def to_unit_length(count: int) -> str:
    """Return the step that divides `count` values by the root of the sum of their squares."""
    return f"{UNIT_LENGTH} over {count}"


def normalized(call: StepCall) -> Steps | None:
    """Return the steps of a LayerNormalization."""
    count, epsilon = _count_along(call, call.config.get("axis", -1)), _epsilon(call)
    if count is None:
        return None
    step = by_deviation if call.config.get("rms_scaling") else normalize
    return (step(count, epsilon), AFFINE)


def normalized_by_squares(call: StepCall) -> Steps | None:
    """Return the steps of an RMSNormalization."""
    count = _count_along(call, call.config.get("axis", -1))
    if count is None:
        return None
    return (by_root_mean_square(count, call.config.get("epsilon", 1e-6)), AFFINE)


def normalized_to_unit_length(call: StepCall) -> Steps | None:
    """Return the step of a UnitNormalization."""
    count = _count_along(call, call.config.get("axis", -1))
    return None if count is None else (to_unit_length(count),)


def normalized_groups(call: StepCall) -> Steps | None:
    """Return the steps of a GroupNormalization; as many groups as channels if -1 of them."""
    shape, config = call.taken[0], call.config
    if shape is None or None in shape[1:] or call.is_masked:
        return None
    size = math.prod(length or 1 for length in shape[1:])
    groups = config["groups"] if config["groups"] > 0 else shape[config.get("axis", -1)]
    count = size // (groups or 1)
    return (normalize(count, _epsilon(call)), AFFINE)


def _epsilon(call: StepCall) -> Any:
    return call.config.get("epsilon", 1e-3)


def _count_along(call: StepCall, axes: Any) -> int | None:
    """Return the number of values along axes of the first tensor; None where it is not known."""
    shape = call.taken[0]
    if shape is None:
        return None
    lengths = [shape[axis] for axis in (axes if isinstance(axes, list | tuple) else [axes])]
    return None if None in lengths else math.prod(length or 0 for length in lengths)
