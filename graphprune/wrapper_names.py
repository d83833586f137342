"""The names of the pruning wrapper in files: its class, and the tensors that it adds to a layer."""

from __future__ import annotations

TYPE_CHECKING = False  # see graphprune/__init__.py

if TYPE_CHECKING:
    from collections.abc import Iterable

CLASS = "PruneLowMagnitude"
PACKAGE = "graphprune"
REGISTERED = f"{PACKAGE}>{CLASS}"
MODULE = "graphprune.tf.pruning.wrapper"
STEP = "pruning_step"
LAST_UPDATE = "last_update"
COUNTERS = (STEP, LAST_UPDATE)


def mask_name(weight: str) -> str:
    """Return the name of a weight's mask."""
    return f"mask_{weight}"


def threshold_name(weight: str) -> str:
    """Return the name of the magnitude below which a weight's entries were masked last."""
    return f"threshold_{weight}"


def state_names(weights: Iterable[str]) -> list[str]:
    """Return the names of a wrapper's tensors in storage order, for the weights that it prunes.

    Example:
        >>> state_names(["kernel"])
        ['mask_kernel', 'threshold_kernel', 'pruning_step', 'last_update']
    """
    pairs = [name(weight) for weight in weights for name in (mask_name, threshold_name)]
    return [*pairs, *COUNTERS]


def is_state(name: str) -> bool:
    """Return whether a tensor in a wrapped layer is one of the wrapper.

    Example:
        >>> is_state("mask_kernel"), is_state("last_update"), is_state("kernel")
        (True, True, False)
    """
    return name in COUNTERS or name.startswith((mask_name(""), threshold_name("")))
