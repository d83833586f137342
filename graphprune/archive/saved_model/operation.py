"""An operation of a signature of a SavedModel, and the values that it takes and makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphprune.archive.saved_model.graph_def import Lengths, Node

MAX_OPERATIONS = 200_000
MAX_CALLS = 50
"""Functions that call each other."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a signature.

    Attributes:
        name: Its name, behind those of the operations that call its function.
        node: Its kind and settings.
        inputs, outputs: Values, by their numbers.
        body: What a loop calls.
    """

    name: str
    node: Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The function that a loop calls in each round.

    Attributes:
        number: Its number among the loops of the signature, from 1 on.
        operations: Its operations, each behind those that it needs.
        inputs: What it takes: values of its own, and those of the loop that no round changes.
        outputs: What it gives to the next round, in the same order.
    """

    number: int
    operations: Sequence[Operation]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What an operation makes; of a variable, what is read of it.

    Attributes:
        name: The name of the operation; empty for a variable, whose layers another tells.
        shape: Its shape; None where it is not known.
    """

    name: str
    shape: Lengths | None = None


@dataclass(frozen=True)
class Operations:
    """The operations that make the outputs of a signature, each behind those that it needs.

    Attributes:
        path: The folder.
        operations: The operations.
        values: What they make, and the inputs of the signature.
        inputs, outputs: Those of the signature, by their numbers.
        output_names: What the signature calls its outputs.
        unread: Why a StableHLO module is one of the operations; empty where none is.
    """

    path: str
    operations: Sequence[Operation]
    values: Sequence[Value]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    output_names: tuple[str, ...] = ()
    unread: str = ""
