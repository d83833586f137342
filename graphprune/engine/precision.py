"""What is said about mixed precision, whichever Keras computes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any

from graphprune.arguments import user_level
from graphprune.errors import TrainingError
from graphprune.graph.precision import FLOAT32, has_policy

_MOST_NAMED = 5


def warn_of_float32(
    model: Any, clone: Any, policy: str, *, kept: Collection[int], holds: Callable[[Any], bool]
) -> None:
    """Warn of layers that stay in float32: custom ones, and those that custom layers make.

    Args:
        model: The model.
        clone: Its clone with the policy.
        policy: The policy.
        kept: The `id` of the layers of the model that are to stay in float32.
        holds: Whether a layer only holds others, as a model does.
    """
    pairs = list(zip(model._flatten_layers(), clone._flatten_layers(), strict=True))
    known = {id(part) for old, new in pairs if id(old) in kept for part in new._flatten_layers()}
    left = [
        layer
        for _, layer in pairs
        if id(layer) not in known
        and not holds(layer)
        and layer.dtype_policy.name == FLOAT32
        and _takes_policy(layer)
    ]
    if not left:
        return
    named = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in left[:_MOST_NAMED])
    rest = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    warnings.warn(
        f"{model.name}: these layers stay in float32: {named}{rest}; for {policy}, a custom layer"
        " must return the dtype in get_config (super().get_config() does), pass it to"
        " super().__init__, and give its dtype policy to the layers that it makes",
        stacklevel=user_level(),
    )


def _takes_policy(layer: Any) -> bool:
    kind = type(layer)
    return has_policy(
        {"class_name": kind.__name__, "module": kind.__module__, "config": {"dtype": ""}}
    )


def explain_unbuildable(name: str, policy: str, fault: Exception) -> TrainingError:
    """Return the error for a model that Keras cannot build with a policy."""
    line = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
    return TrainingError(
        f"mixed precision: the model cannot be built with {policy} ({line}); train it without",
        place=name,
    )
