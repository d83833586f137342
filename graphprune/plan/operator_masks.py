"""Masks of attention that a TensorFlow Lite file has as constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.classes.attention_steps import padding_mask

LARGE = 1e3
"""What is added to a score that is masked is below -1e9; in 16 bits it is minus infinity."""


def is_added(values: NDArray[Any]) -> bool:
    """Return whether a constant that is added to scores is a causal mask.

    Example:
        >>> is_added(-1e9 * np.triu(np.ones((3, 3)), 1)), is_added(np.zeros((3, 3)))
        (True, False)
    """
    if values.dtype == np.bool_:
        return False
    masked = np.abs(values) >= LARGE
    return bool(np.all(np.abs(values[~masked]) < 1)) and is_causal(masked)


def is_causal(masked: NDArray[np.bool_]) -> bool:
    """Return whether a constant masks what is behind each place of a sequence, and nothing else.

    The converter may have transposed it, and repeated it for each head.

    Example:
        >>> is_causal(np.triu(np.ones((2, 3, 3), bool), 1)), is_causal(np.ones((3, 3), bool))
        (True, False)
    """
    if masked.dtype != np.bool_ or masked.ndim < 2:
        return False
    tables = masked.reshape(-1, *masked.shape[-2:])
    behind = np.triu(np.ones(tables.shape[1:], bool), 1)
    before = np.tril(np.ones(tables.shape[1:], bool), -1)
    is_such = np.array_equal(tables[0], behind) or np.array_equal(tables[0], before)
    return is_such and bool(np.all(tables == tables[:1])) and bool(masked.any())


@dataclass(frozen=True, slots=True)
class ScoresMask:
    """What masks the scores of attention, joined in one tensor of truths.

    Attributes:
        parts: The role of each mask of a sequence, and the step that makes it.
        is_causal: Whether a causal mask is one of them.
    """

    parts: frozenset[tuple[str, int]] = frozenset()
    is_causal: bool = False

    def __or__(self, other: ScoresMask) -> ScoresMask:
        """Return both masks together."""
        return ScoresMask(self.parts | other.parts, self.is_causal or other.is_causal)

    def step(self, scores: int) -> tuple[str, tuple[int, ...]] | None:
        """Return the step of masked scores and what it takes; None if a role has two masks."""
        roles = dict(sorted(self.parts))
        if len(roles) < len(self.parts) or not roles:
            return None
        return padding_mask(list(roles), is_causal=self.is_causal), (scores, *roles.values())


def of_table(kept: NDArray[np.bool_]) -> ScoresMask | None:
    """Return what a constant masks: nothing, or what is behind each place.

    Example:
        >>> of_table(np.ones((3, 3), bool)), of_table(np.eye(3, dtype=bool))
        (ScoresMask(parts=frozenset(), is_causal=False), None)
    """
    if kept.size and bool(kept.all()):
        return ScoresMask()
    return ScoresMask(is_causal=True) if is_causal(~kept) else None


def of_sequence(place: int, shape: Sequence[int]) -> ScoresMask | None:
    """Return what the mask of a sequence masks, by the shape of its tensor.

    Args:
        place: The step that makes it.
        shape: With an axis for places that ask, and then one for those that are asked.

    Example:
        >>> of_sequence(3, (1, 5, 1)).parts, of_sequence(3, (1, 5))
        (frozenset({('query', 3)}), None)
    """
    if len(shape) < 3 or (shape[-1] == 1) == (shape[-2] == 1):
        return None
    return ScoresMask(frozenset({("query" if shape[-1] == 1 else "key", place)}))
