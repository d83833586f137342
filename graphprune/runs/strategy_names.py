"""The names of training strategies, known without TensorFlow."""

from __future__ import annotations

import re

from graphprune.errors import TrainingError
from graphprune.suggestions import closest

NONE = "none"
MIRRORED = "mirrored"
_MIRRORED = re.compile(rf"{MIRRORED}(?::(?P<count>[1-9][0-9]{{0,2}}))?")


def parse_strategy(name: str) -> int | None:
    """Return how many replicas a strategy names: 0 for `none`, None where it names no number.

    Raises:
        TrainingError: there is no such strategy.

    Example:
        >>> parse_strategy("none"), parse_strategy("mirrored"), parse_strategy("mirrored:2")
        (0, None, 2)
    """
    if name == NONE:
        return 0
    found = _MIRRORED.fullmatch(name)
    if found is None:
        near = closest(name.partition(":")[0], (NONE, MIRRORED), count=1)
        raise TrainingError(
            f"strategy: got {name!r}; {f'{near}; ' if near else ''}known are none, mirrored and"
            " mirrored:N, such as mirrored:2"
        )
    return None if found["count"] is None else int(found["count"])
