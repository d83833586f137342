"""The user's own classes and functions in a live model, by the names that its files use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from graphprune.errors import TrainingError

_LIBRARIES = frozenset({"tf_keras", "keras", "graphprune", "tensorflow", "builtins", "numpy"})


def own_objects(
    name: str, values: Iterable[Any], kinds: tuple[type, ...], registered_name: Callable[[Any], str]
) -> dict[str, Any]:
    """Return the user's own classes and functions among the parts of a model.

    They are returned by the names that its files use for them.

    Args:
        name: The model's name.
        values: Its layers and compile settings, and what these hold.
        kinds: The classes whose subclasses count.
        registered_name: Returns the name by which Keras knows a class or function.

    Raises:
        TrainingError: two have the same name, so a file cannot distinguish them.
    """
    found: dict[str, Any] = {}
    for value in values:
        named = value if inspect.isfunction(value) or inspect.isclass(value) else type(value)
        if not _is_own(named, kinds):
            continue
        for key in (named.__name__, registered_name(named)):
            if found.setdefault(key, named) is not named:
                raise TrainingError(
                    f"{name}: two of its functions or classes are called {key!r}, and a saved model"
                    " tells them apart by name alone; rename one"
                )
    return found


def _is_own(named: Any, kinds: tuple[type, ...]) -> bool:
    if (named.__module__ or "").partition(".")[0] in _LIBRARIES:
        return False
    return inspect.isfunction(named) or issubclass(named, kinds)
