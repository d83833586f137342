"""Values that are one of a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, WithJsonSchema

from graphprune.rules.shapes.scalars import Fault
from graphprune.rules.values.rule_set import Allocate, Misfit, Over
from graphprune.sparsity.patterns import POOLS, Pool
from graphprune.sparsity.schedules import CURVES, Curve
from graphprune.suggestions import closest

# What people write for want of the right word, and what they should write.
_CURVES = {
    "cubic": "curve: polynomial, power: 3",
    "quadratic": "curve: polynomial, power: 2",
    "exp": "curve: exponential",
    "once": "curve: step",
    "oneshot": "curve: step",
    "one-shot": "curve: step",
    "staircase": "curve: points",
    "steps": "curve: points",
    "iterative": "curve: points",
}
_ALLOCATIONS = {
    "global": "allocate: magnitude",
    "local": "allocate: uniform",
    "layerwise": "allocate: uniform",
    "equal": "allocate: uniform",
    "er": "allocate: erk",
    "erdos-renyi": "allocate: erk",
}
_EXTENTS = {
    "all": "over: prunable",
    "model": "over: prunable",
    "rules": "over: claimed",
    "members": "over: claimed",
}
_MISFITS = {
    "ignore": "misfit: skip",
    "dense": "misfit: skip",
    "warn": "misfit: skip",
    "raise": "misfit: error",
    "fail": "misfit: error",
}
_POOLS = {"avg": "pool: mean", "average": "pool: mean", "maximum": "pool: max"}
_SIDES = {
    "start": "from: inputs",
    "begin": "from: inputs",
    "end": "from: outputs",
    "top": "from: outputs",
}
_SEVERITIES = {
    "warning": "severity: warn",
    "fatal": "severity: error",
    "info": "severity: warn",
    "note": "severity: warn",
}

# What the words mean, for those who wrote none of them.
_ABOUT_CURVES = (
    "most runs want 'curve: polynomial', which rises fast at first and slowly at the end"
)
_ABOUT_ALLOCATIONS = (
    "uniform makes all tensors equally sparse, erk leaves small ones denser, magnitude takes the"
    " smallest weights of all"
)
_ABOUT_EXTENTS = (
    "claimed are the tensors of the rules that name the budget, prunable are all that can be pruned"
)
_ABOUT_MISFITS = (
    "error refuses a tensor that the pattern does not fit, skip leaves it dense, pad prunes a short"
    " last group too"
)
_ABOUT_POOLS = "a block goes by the mean of its magnitudes, or by the largest"
_ABOUT_SIDES = (
    "inputs asks of every way from the model's inputs, outputs of every way to its outputs"
)
_ABOUT_SEVERITIES = "error stops the plan, warn only tells"


def parse_choice(
    value: Any, choices: Sequence[str], meant: Mapping[str, str], about: str = ""
) -> Any:
    """Return one of these words; `meant` says what to write instead of other words, `about` what
    the words mean.

    Example:
        >>> try:
        ...     parse_choice("AVG", ("mean", "max"), {"avg": "pool: mean"})
        ... except Fault as fault:
        ...     print(fault.expectation, "/", fault.help)
        must be one of mean, max / write 'pool: mean'
    """
    expectation = f"must be one of {', '.join(choices)}"
    if not isinstance(value, str):
        raise Fault("value/type", expectation, about)
    if value not in choices:
        instead = meant.get(value.strip().casefold())
        raise Fault(
            "value/range",
            expectation,
            f"write {instead!r}" if instead else closest(value, choices) or about,
        )
    return value


def _choice(
    choices: Sequence[str], meant: Mapping[str, str], about: str
) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(lambda value: parse_choice(value, choices, meant, about)), WithJsonSchema(
        {"enum": list(choices)}
    )


_curve, _curve_schema = _choice(CURVES, _CURVES, _ABOUT_CURVES)
_allocate, _allocate_schema = _choice(
    ("uniform", "erk", "magnitude"), _ALLOCATIONS, _ABOUT_ALLOCATIONS
)
_over, _over_schema = _choice(("claimed", "prunable"), _EXTENTS, _ABOUT_EXTENTS)
_misfit, _misfit_schema = _choice(("error", "skip", "pad"), _MISFITS, _ABOUT_MISFITS)
_pool, _pool_schema = _choice(POOLS, _POOLS, _ABOUT_POOLS)
_side, _side_schema = _choice(("inputs", "outputs"), _SIDES, _ABOUT_SIDES)
_severity, _severity_schema = _choice(("error", "warn"), _SEVERITIES, _ABOUT_SEVERITIES)

CurveName = Annotated[Curve, _curve, _curve_schema]
AllocateName = Annotated[Allocate, _allocate, _allocate_schema]
OverName = Annotated[Over, _over, _over_schema]
MisfitName = Annotated[Misfit, _misfit, _misfit_schema]
PoolName = Annotated[Pool, _pool, _pool_schema]
Side = Annotated[Literal["inputs", "outputs"], _side, _side_schema]
Severity = Annotated[Literal["error", "warn"], _severity, _severity_schema]
