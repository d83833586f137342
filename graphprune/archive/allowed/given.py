"""The user's own classes and functions, given as arguments or registered with Keras."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.archive.allowed.entries import OTHER, Given
from graphprune.archive.allowed.keras_names import FUNCTION
from graphprune.archive.entries import LAMBDA


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """What one Keras knows of the user's objects.

    Attributes:
        kinds: The base classes that decide what an object may be used as.
        names: The registered names by object; Keras writes objects under these.
        name_of: Returns the registered name of an object.
        other: The top package of the other Keras, and the kind of classes that are built on it.
    """

    kinds: tuple[tuple[type, str], ...]
    names: dict[Any, str]
    name_of: Callable[[Any], str]
    other: tuple[str, str]

    def named_as_given(self, custom_objects: Mapping[str, Any]) -> dict[str, Any]:
        """Return the user's objects, with functions renamed to the names that they were given by.

        Functions with another name are copied; Keras writes the copies under the given name.

        A model file that names its activation `<lambda>` therefore keeps that name in every file
        written from it, and the same custom objects load both. A lambda itself is never written as
        bytecode.
        """
        return {
            name: _renamed(self, value, name) if self._needs_name(value, name) else value
            for name, value in custom_objects.items()
        }

    def _needs_name(self, value: Any, name: str) -> bool:
        if not isinstance(value, types.FunctionType) or not isinstance(name, str):
            return False
        return name == LAMBDA or name not in (value.__name__, self.name_of(value))

    def kinds_of(self, objects: Mapping[str, Any]) -> Given:
        """Return the kinds of each object, which may only be used where its kind is expected."""
        return {name: self._kinds(value) for name, value in objects.items()}

    def _kinds(self, value: Any) -> frozenset[str]:
        kind = value if inspect.isclass(value) else type(value)
        package, other = self.other
        if any(base.__module__.partition(".")[0] == package for base in kind.__mro__):
            return frozenset({other})
        found = {name for base, name in self.kinds if issubclass(kind, base)}
        if found:
            return frozenset(found)
        return frozenset({OTHER} if inspect.isclass(value) else {FUNCTION})


@functools.cache
def _renamed(registry: Registry, function: types.FunctionType, name: str) -> types.FunctionType:
    """Return a copy of a function that Keras writes as `name`; the original is unchanged."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        name.strip("<>"),  # Keras writes a function called `<lambda>` as bytecode
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__, copy.__doc__ = function.__kwdefaults__, function.__doc__
    copy.__module__ = function.__module__
    registry.names[copy] = name
    return copy
