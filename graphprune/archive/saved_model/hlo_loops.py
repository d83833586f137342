"""Loops of StableHLO over a sequence, such as those of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from graphprune.archive.saved_model.hlo_functions import DIRECTION, HloFunctions
from graphprune.archive.saved_model.hlo_writing import HloWriter
from graphprune.archive.saved_model.operation import Body, Operation
from graphprune.archive.saved_model.stable_hlo import HloBlock, HloOperation

Translated = tuple[list[Operation], tuple[int, ...]]
Translating = Callable[[HloWriter, HloFunctions, HloBlock, Iterator[int]], Translated]
_PARTS = frozenset(("dynamic_slice", "real_dynamic_slice"))


def add_loop(
    writer: HloWriter,
    functions: HloFunctions,
    operation: HloOperation,
    loops: Iterator[int],
    translate: Translating,
) -> bool:
    """Add a loop; return whether it is one that counts its rounds from 0.

    Args:
        writer: That of what is around the loop.
        functions: What is around the loop.
        operation: The loop.
        loops: The numbers of further loops.
        translate: Adds the operations of a block.
    """
    counter = _find_counter(writer, operation)
    if counter is None:
        return False
    body = operation.blocks[1]
    pairs = [*zip(body.inputs, body.outputs, operation.inputs, strict=True)]
    kept = {given: outer for given, made, outer in pairs if given == made}
    known = functions.numbers
    numbers = known | {given: known[outer] for given, outer in kept.items() if outer in known}
    inside = HloFunctions(writer.module, body.operations, numbers)
    inner = writer.inside(inside.numbers, makers_in(body), body.inputs[counter])
    read = {one.inputs[0] for one in body.operations if one.kind in _PARTS}
    inner.is_from_end = any(
        inner.counts_down(inner.element(one.inputs[1]), inner.shape(one.inputs[0])[0])
        for one in body.operations
        if one.kind in _PARTS
    )
    for given, made, outer in pairs:
        if given == made:
            inner.stands_for(given, outer)
        else:
            inner.known[given] = inner.fresh(given)
            inner.made.add(given)
        if given in kept and given in read:
            _add_sequence(writer, inner, given, outer)
    operations, ends = translate(inner, inside, body, loops)
    inputs = tuple(inner.known[given] for given in body.inputs)
    taken = [
        inner.known[given] if given in kept else writer.known[outer] for given, _, outer in pairs
    ]
    results = writer.add_loop(operation, taken, Body(next(loops), operations, inputs, ends))
    writer.known |= dict(zip(operation.outputs, results, strict=True))
    writer.made |= {*operation.outputs}
    if inner.is_from_end:
        _turn_results(writer, operation)
    return True


def makers_in(block: HloBlock) -> dict[int, HloOperation]:
    """Return the operations of a block by what they make."""
    return {made: each for each in block.operations for made in each.outputs}


def _add_sequence(writer: HloWriter, inner: HloWriter, given: int, outer: int) -> None:
    """Add the sequence that a loop reads: turned, or before the product with a matrix.

    JAX multiplies the whole sequence of a GRU with its kernel before the loop.
    """
    rows = _rows_of(writer, outer)
    source = writer.take(outer)
    if rows is not None:
        source, inner.rows[given] = rows
    if inner.is_from_end:
        source = writer.add("ReverseV2", source, writer.constant([0]), shape=writer.lengths(source))
    inner.known[given] = source


def _rows_of(writer: HloWriter, number: int) -> tuple[int, tuple[int, int | None]] | None:
    """Return a sequence, and the matrix and bias that make another one of it."""
    turn = writer.makers.get(number)
    if turn is None or turn.kind != "transpose" or turn.settings["permutation"] != [1, 0, 2]:
        return None
    product, bias = writer.makers.get(turn.inputs[0]), None
    if product is not None and product.kind == "add":
        first, second = product.inputs
        if not writer.is_constant(second):
            return None
        bias, product = writer.narrow.get(second, writer.take(second)), writer.makers.get(first)
    if product is None or product.kind != "dot_general" or len(writer.shape(number)) != 3:
        return None
    x, matrix = product.inputs
    is_plain = len(writer.shape(x)) == 3 and len(writer.shape(matrix)) == 2
    if not is_plain or not writer.is_constant(matrix) or not writer.is_made(x):
        return None
    lengths = (writer.shape(x)[1], writer.shape(x)[0], writer.shape(x)[2])
    order = writer.constant([1, 0, 2])
    turned = writer.add("Transpose", writer.take(x), order, shape=lengths)
    return turned, (writer.take(matrix), bias)


def _turn_results(writer: HloWriter, operation: HloOperation) -> None:
    """Turn the sequences that a loop makes from their end."""
    body = operation.blocks[1]
    makers = makers_in(body)
    for made, result in zip(body.outputs, operation.outputs, strict=True):
        maker = makers.get(made)
        if maker is not None and maker.kind == "dynamic_update_slice":
            whole, shape = writer.known[result], writer.shape(result)
            writer.backward[result] = whole
            turned = writer.add("ReverseV2", whole, writer.constant([0]), shape=shape)
            writer.known[result] = turned


def _find_counter(writer: HloWriter, operation: HloOperation) -> int | None:
    """Return the place of what counts the rounds of a loop: from 0 by 1 to a number."""
    condition, body = operation.blocks
    tests = [each for each in condition.operations if each.kind != "constant"]
    if len(tests) != 1 or tests[0].kind != "compare" or tests[0].settings[DIRECTION] != "LT":
        return None
    counter = tests[0].inputs[0]
    if counter not in condition.inputs:
        return None
    place = condition.inputs.index(counter)
    maker = makers_in(body).get(body.outputs[place])
    if maker is None or maker.kind != "add" or maker.inputs[0] != body.inputs[place]:
        return None
    numbers = {**writer.numbers, **HloFunctions(writer.module, body.operations).numbers}
    is_from_0 = writer.numbers.get(operation.inputs[place]) == 0
    return place if is_from_0 and numbers.get(maker.inputs[1]) == 1 else None
