"""Steps that a TensorFlow Lite file has once for each part of a sequence, with the same weights.

Keras 3 calls the layer of a TimeDistributed for one part after the other and stacks the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphprune.plan.operator_facts import Facts

AreEqual = Callable[[int, int], bool]
"""Whether two constants have the same values."""


def item(number: int, length: int, axis: int) -> str:
    """Return the step that takes one part of a sequence.

    Example:
        >>> item(0, 3, 1)
        'operator item 0 of 3 over 1'
    """
    return f"operator item {number} of {length} over {axis}"


def find_each(
    facts: Facts, ends: Sequence[int], axis: int, are_equal: AreEqual
) -> list[int] | None:
    """Return the steps for the first part of a sequence; None if the others have different ones.

    Args:
        facts: All steps, and the constants that they take.
        ends: The last step of each part, in the order of the sequence.
        axis: The axis that the results are stacked along.
        are_equal: Whether two constants have the same values.

    Returns:
        The places of the steps, each before those that take it; the first takes the part.
    """
    texts = [item(number, len(ends), axis) for number in range(len(ends))]
    sources: set[tuple[int, ...]] = set()
    for text, end in zip(texts[1:], ends[1:], strict=True):
        found = _find_sources(facts, (ends[0], end), (texts[0], text), are_equal)
        if found is None:
            return None
        sources |= found
    return _steps_behind(facts, ends[0], texts[0]) if len(sources) == 1 else None


def _find_sources(
    facts: Facts, ends: tuple[int, int], texts: tuple[str, str], are_equal: AreEqual
) -> set[tuple[int, ...]] | None:
    """Return the sequences that two parts come from; None if they are not computed alike."""
    sources: set[tuple[int, ...]] = set()
    waiting, seen = [ends], {ends}
    while waiting:
        pair = waiting.pop()
        one, two = (facts.steps[place] for place in pair)
        if (one.computes, two.computes) == texts:
            sources |= {one.inputs, two.inputs}
            continue
        if pair[0] == pair[1]:
            continue
        taken, others = (facts.constants[place] for place in pair)
        is_alike = one.computes == two.computes and len(one.inputs) == len(two.inputs) > 0
        if not is_alike or len(taken) != len(others) or not all(map(are_equal, taken, others)):
            return None
        fresh = set(zip(one.inputs, two.inputs, strict=True)) - seen
        waiting += fresh
        seen |= fresh
    return sources


def _steps_behind(facts: Facts, end: int, text: str) -> list[int]:
    """Return the steps that come from the part with this text, up to the last one."""
    reached, waiting = {end}, [end]
    while waiting:
        step = facts.steps[waiting.pop()]
        fresh = set(step.inputs if step.computes != text else ()) - reached
        reached |= fresh
        waiting += fresh
    found: set[int] = set()
    for place in sorted(reached):
        step = facts.steps[place]
        if step.computes == text or found & set(step.inputs):
            found.add(place)
    return sorted(found)
