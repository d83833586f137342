"""A StableHLO module as operations of TensorFlow, such as those of other signatures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from graphprune.archive.saved_model.hlo_functions import HloFunctions
from graphprune.archive.saved_model.hlo_kinds import WRITTEN, write_activation
from graphprune.archive.saved_model.hlo_loops import add_loop, makers_in
from graphprune.archive.saved_model.hlo_wholes import WHOLES
from graphprune.archive.saved_model.hlo_writing import HloWriter
from graphprune.archive.saved_model.operation import Operation, Value
from graphprune.archive.saved_model.protobuf import WireError
from graphprune.archive.saved_model.stable_hlo import (
    HloBlock,
    HloModule,
    HloOperation,
    wrong_tensors_named,
)

FOREIGN_DIALECT = "StableHlo."
"""The beginning of the kinds of operations that TensorFlow has no counterpart for."""
_RANDOM = frozenset(("rng", "rng_bit_generator"))


def translate(
    module: HloModule,
    taken: Sequence[int],
    values: list[Value],
    data: Set[int],
    loops: Iterator[int],
) -> tuple[list[Operation], tuple[int, ...]]:
    """Return the operations that make the outputs of a module, and the outputs.

    Args:
        module: The module.
        taken: The values that it takes; a platform's number may stand before them.
        values: Those of the signature; they grow.
        data: Those of `taken` that depend on the inputs of the signature.
        loops: The numbers of further loops.

    Raises:
        WireError: the module takes other tensors, or its operations have wrong ones.
    """
    block = module.main
    more = len(block.inputs) - len(taken)
    if more not in (0, 1):
        raise WireError(f"its StableHLO takes {len(block.inputs)} tensors, and gets {len(taken)}")
    functions = HloFunctions(module, block.operations)
    writer = HloWriter(module, values, functions.numbers, makers_in(block))
    for number, value in zip(block.inputs[more:], taken, strict=True):
        writer.known[number] = value
        (writer.made if value in data else writer.weights).add(number)
    writer.has_weights_inside = {*taken} <= data
    for number in block.inputs[:more]:
        writer.known[number] = writer.constant(None)
    return _add_all(writer, functions, block, loops)


def _add_all(
    writer: HloWriter, functions: HloFunctions, block: HloBlock, loops: Iterator[int]
) -> tuple[list[Operation], tuple[int, ...]]:
    """Return the operations of a block, and what it gives."""
    for operation in block.operations:
        with wrong_tensors_named(operation):
            _translate(writer, functions, operation, loops)
    ends = tuple(writer.known[number] for number in block.outputs)
    return [*_needed(writer.operations, ends)], ends


def _translate(
    writer: HloWriter, functions: HloFunctions, operation: HloOperation, loops: Iterator[int]
) -> None:
    """Add what an operation becomes."""
    writer.name = operation.name
    taken = {*operation.inputs, *_taken_inside(operation.blocks)}
    if operation.kind != "get_dimension_size":
        kinds = (each for each in (writer.made, writer.weights) if each & taken)
        next(kinds, set()).update(operation.outputs)
    if operation.kind == "while" and add_loop(writer, functions, operation, loops, _add_all):
        return
    found = None
    if len(operation.outputs) == 1:
        (made,) = operation.outputs
        if (activation := functions.activations.get(made)) is not None:
            found = write_activation(writer, operation, activation)
        elif (whole := WHOLES.get(operation.kind)) is not None and writer.is_made(made):
            found = whole(writer, operation)
        if found is None and (written := WRITTEN.get(operation.kind)) is not None:
            found = written(writer, operation)
    if found is not None:
        writer.known[operation.outputs[0]] = found
        return
    kind = "Random" if operation.kind in _RANDOM else operation.kind
    for made in operation.outputs:  # each as one of its own
        values = [writer.known[number] for number in operation.inputs]
        writer.known[made] = writer.add(
            FOREIGN_DIALECT + kind, *values, shape=writer.shape(made), dtype=writer.dtype(made)
        )


def _taken_inside(blocks: Sequence[HloBlock]) -> Iterator[int]:
    """Yield what the operations of blocks take."""
    for block in blocks:
        for operation in block.operations:
            yield from operation.inputs
            yield from _taken_inside(operation.blocks)


def _needed(operations: Sequence[Operation], ends: Sequence[int]) -> Iterator[Operation]:
    """Yield the operations that some values need, in their order."""
    wanted = {*ends}
    kept = []
    for operation in reversed(operations):
        if wanted & {*operation.outputs}:
            wanted |= {*_taken_by(operation)}
            kept.append(operation)
    yield from reversed(kept)


def _taken_by(operation: Operation) -> Iterator[int]:
    """Yield what an operation takes, those of its body among it."""
    yield from operation.inputs
    if operation.body is not None:
        yield from operation.body.inputs
        for each in operation.body.operations:
            yield from _taken_by(each)
