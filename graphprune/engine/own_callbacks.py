"""The user's own callbacks: made by functions that the settings name, or given in Python.

A callback with `get_state()`, which returns a dict of arrays, and `set_state(dict)` keeps its state
in checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphprune.engine.data_function import call_named
from graphprune.engine.recorder import Arrays
from graphprune.errors import TrainingError


def make_callbacks(
    names: Sequence[str], live: Sequence[Any], kind: type, *, refused: tuple[type, ...] = ()
) -> tuple[Any, ...]:
    """Return the callbacks that functions return, and those that were given.

    Args:
        names: The functions, as `MODULE:FUNCTION`; each returns a callback or a list of them.
        live: Callbacks given in Python.
        kind: The class of callbacks of the Keras that trains.
        refused: Classes of callbacks that set the learning rate, if it follows a schedule.

    Raises:
        TrainingError: a function does not exist, fails, or returns something else.
    """
    found: list[Any] = []
    for name in names:
        made = call_named(name)
        several = made if isinstance(made, list | tuple) else [made]
        found += _checked(several, kind, name, refused)
    return tuple(found + _checked(live, kind, "callbacks", refused))


def _checked(
    callbacks: Sequence[Any], kind: type, place: str, refused: tuple[type, ...]
) -> list[Any]:
    for one in callbacks:
        if not isinstance(one, kind):
            raise TrainingError(
                f"must be callbacks of {kind.__module__.partition('.')[0]}, got"
                f" {type(one).__name__}; return an instance, or a list of them",
                place=place,
            )
        if isinstance(one, refused):
            raise TrainingError(
                f"{type(one).__name__} sets the learning rate, but in this run it follows a"
                " schedule; leave the callback out, or train with a constant learning rate",
                place=place,
            )
    return list(callbacks)


def kept_states(callbacks: Sequence[Any]) -> dict[str, Callable[[], Arrays]]:
    """Return the functions that read the state of callbacks, by its name in checkpoints."""
    return {
        _kind(index): _reader(one)
        for index, one in enumerate(callbacks)
        if hasattr(one, "get_state")
    }


def restore_states(callbacks: Sequence[Any], state: Mapping[str, Arrays]) -> None:
    """Give each callback the state that it had in a checkpoint."""
    for index, one in enumerate(callbacks):
        if hasattr(one, "set_state") and _kind(index) in state:
            one.set_state(dict(state[_kind(index)]))


def _kind(index: int) -> str:
    return f"callback-{index}"


def _reader(callback: Any) -> Callable[[], Arrays]:
    # copies: a checkpoint is written while the callback changes its arrays
    return lambda: {name: np.array(value) for name, value in callback.get_state().items()}
