"""One call of a TensorFlow operation that is a layer of a model.

It has the shapes that the operation takes, and the other arguments by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphprune.graph.shapes.axis_lengths import Shape

MAX_NESTING = 16


@dataclass(frozen=True, slots=True)
class OperationCall:
    """What an operation is called with.

    Attributes:
        taken: The shapes of its positional tensors.
        named: The shapes of the tensors that it takes by keyword.
        settings: Its other keyword arguments: numbers, lists, texts.
        constants: Its positional arguments that are no tensors of the model.
        mixed: The keywords whose values hold tensors among other things; nothing is known of these.
    """

    taken: tuple[Shape, ...]
    named: Mapping[str, Shape] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[Any, ...] = ()
    mixed: frozenset[str] = frozenset()

    def setting(self, name: str, default: Any = None) -> Any:
        """Return a keyword argument that must be no tensor; `default` where it is left out or null.

        Raises:
            ValueError: it is a tensor, or holds one.
        """
        if name in self.named or name in self.mixed:
            raise ValueError(f"{name} is known only when the model runs")
        value = self.settings.get(name)
        return default if value is None else value

    def tensor(self, name: str, position: int) -> Shape:
        """Return the shape of an argument, given by position or by name.

        The argument may be a tensor or a constant.
        """
        if position < len(self.taken):
            if self.constants:
                raise ValueError("which of the arguments are constants is not told")
            return self.taken[position]
        return self.named[name] if name in self.named else shape_of_constant(self.setting(name))

    def operands(self) -> list[Shape]:
        """Return the shapes of all arguments, constants and settings among them.

        Settings that are numbers change no shape.
        """
        if self.mixed:
            raise ValueError("a tensor in a list")
        constants = [
            shape_of_constant(value)
            for value in (*self.settings.values(), *self.constants)
            if value is not None
        ]
        return [*self.taken, *self.named.values(), *constants]


def shape_of_constant(value: Any, nesting: int = 0) -> Shape:
    """Return the shape of a constant as JSON holds it.

    Raises:
        ValueError: it is ragged, too deep, or no array.

    Example:
        >>> shape_of_constant(1.5), shape_of_constant([[1, 2, 3], [4, 5, 6]])
        ((), (2, 3))
    """
    if isinstance(value, int | float | str):
        return ()
    if not isinstance(value, Sequence) or nesting > MAX_NESTING:
        raise ValueError(f"a constant of the type {type(value).__name__}")
    inner = {shape_of_constant(item, nesting + 1) for item in value}
    if len(inner) > 1:
        raise ValueError("a ragged constant")
    return (len(value), *next(iter(inner), ()))
