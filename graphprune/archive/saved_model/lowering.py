"""An operation of TensorFlow, and the operators that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphprune.archive.operators import FOREIGN
from graphprune.archive.saved_model.folding import Values
from graphprune.archive.saved_model.graph_def import Lengths, Node


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tensor as an operator takes it.

    Attributes:
        shape: Its shape there.
        of: What it is made of; None for a new constant.
        is_made: Whether that depends on the inputs of the signature.
        values: Those of a new constant.
    """

    shape: Lengths
    of: int | None = None
    is_made: bool = False
    values: Values | None = None


@dataclass(frozen=True, slots=True)
class Lowered:
    """An operator: see `graphprune.archive.operators.FileOperator`."""

    kind: str
    inputs: tuple[int | View, ...]
    outputs: tuple[int, ...]
    settings: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lowering:
    """An operation.

    Attributes:
        node: Its kind and settings.
        inputs, outputs: What it takes and gives.
        is_made: Whether each input depends on those of the signature.
        shapes: The shapes of its inputs.
        values: Those of its inputs that are constants.
    """

    node: Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_made: tuple[bool, ...]
    shapes: tuple[Lengths | None, ...]
    values: tuple[Values | None, ...]

    def foreign(self) -> Lowered:
        """Return the operator of an operation that TensorFlow Lite does not have."""
        return Lowered(FOREIGN + self.node.kind, self.inputs, self.outputs)

    def whole(self, place: int) -> tuple[int, ...] | None:
        """Return the shape of an input without open lengths; None for another one."""
        shape = self.shapes[place] if place < len(self.shapes) else None
        if shape is None:
            return None
        lengths = tuple(length for length in shape if length is not None)
        return lengths if len(lengths) == len(shape) else None

    def numbers(self, place: int) -> list[int] | None:
        """Return the whole numbers of a constant input; None where they are not known."""
        values = self.values[place] if place < len(self.values) else None
        listed = [] if values is None else values.reshape(-1).tolist()
        is_known = values is not None and all(isinstance(each, int) for each in listed)
        return listed if is_known else None

    def to(self, kind: str, *inputs: int | View, **settings: int | float) -> list[Lowered]:
        """Return one operator in the place of the operation."""
        return [Lowered(kind, inputs or self.inputs, self.outputs, settings)]


Rule = Callable[[Lowering], list[Lowered] | None]
"""From an operation to its operators; None for one that has none."""
