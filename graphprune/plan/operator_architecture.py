"""The operators of a file held against the layers of a plan's original model.

A TensorFlow Lite file has operators, and an exported SavedModel has operations like them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from graphprune.archive.operators import FOREIGN, OperatorFile
from graphprune.graph.architecture import Architecture
from graphprune.graph.classes.composite_steps import find_kind
from graphprune.graph.classes.steps import AFFINE, has_kernel
from graphprune.graph.computation import INPUT, UNKNOWN, Computation, Step
from graphprune.plan.changes import Plan
from graphprune.plan.computation_check import are_same, find_missing, in_order, simplify
from graphprune.plan.computation_differences import list_differences
from graphprune.plan.kept_operators import find_exchanged, find_lost
from graphprune.plan.operator_agreement import settle
from graphprune.plan.operator_layers import with_layers
from graphprune.plan.operator_moves import check_moves
from graphprune.plan.operator_names import find_places
from graphprune.plan.operator_readings import list_readings
from graphprune.plan.operator_steps import JOINED, OperatorSteps
from graphprune.plan.shared_kernels import find_unshared
from graphprune.plan.tflite_relu6 import explain_relu6
from graphprune.plan.verify import UNCONNECTED, ArchitectureCheck, LayerDifference

_OLD = "the plan does not have the steps of the model; make it again to compare the architecture"
_OPERATOR = "operator"
_FOREIGN = f"{_OPERATOR} {FOREIGN}"
"""Operators of TensorFlow, which TensorFlow Lite calls where it has none of its own."""
_NOT_SPLIT = "L2_NORMALIZATION, which the converter makes of several operations, is not read"
_SHOWN = 3
"""Layers that a reason names."""


def check_operator_architecture(plan: Plan, file: OperatorFile) -> ArchitectureCheck:
    """Return the layers that differ between a file and the plan's original model.

    Steps that leave no operator of their own do not count: dropout, reshaping, and additions and
    multiplications of constants (batch normalization) beside a kernel.

    Raises:
        ArchiveError: the file is damaged.
    """
    architecture = plan.architecture
    if architecture is None or architecture.computation is None:
        is_new = architecture is not None and bool(architecture.figures)
        return ArchitectureCheck(unchecked=UNCONNECTED if is_new else _OLD)
    texts = frozenset(step.computes for step in architecture.computation.steps)
    read = OperatorSteps(file, texts)
    addresses = [facts.address for facts in architecture.layers.values()]
    moves = check_moves(architecture.computation.steps, addresses, read)
    found = _compare_readings(architecture.computation, read)
    if found.status != "differs" and not file.is_converted:
        certain = _find_certain(architecture, read)
        found = ArchitectureCheck(certain) if certain else found
    if found.status == "differs" or moves.status == "same":
        return found
    return moves if moves.status == "differs" or found.status == "same" else found


def _find_certain(architecture: Architecture, read: OperatorSteps) -> tuple[LayerDifference, ...]:
    """Return what differs in operators that a converter may take in others."""
    steps = () if architecture.computation is None else architecture.computation.steps
    exchanged = find_exchanged(steps, with_layers(read, steps), read.facts.numbers)
    return (*find_lost(architecture, read.file), *exchanged)


def _compare_readings(planned: Computation, read: OperatorSteps) -> ArchitectureCheck:
    """Return the first reading of a plan that a file does not contradict; else the first of all."""
    first: ArchitectureCheck | None = None
    for computation, reason in list_readings(planned):
        found = _compare(computation, read)
        if found.status != "differs":
            return ArchitectureCheck(unchecked="; ".join(filter(None, (reason, found.unchecked))))
        first = first or found
    assert first is not None, "a plan has one reading at least"
    return first


@dataclass(frozen=True, slots=True)
class _Seen:
    """The steps of a file, and those of its outputs; in the plan's order if that is known."""

    steps: Sequence[Step]
    outputs: Sequence[int]
    is_ordered: bool
    is_converted: bool


def _compare(computation: Computation, read: OperatorSteps) -> ArchitectureCheck:
    """Return the layers that differ between a file and one reading of a plan."""
    every = computation.steps
    planned, steps = settle(simplify(computation), with_layers(read, every))
    unknown = {step.layer: step.computes for step in planned.steps if step.is_unknown}
    outputs, is_ordered = _find_outputs(computation, read)
    seen = _Seen(steps, outputs, is_ordered, read.file.is_converted)
    found = _check(planned, seen, unknown)
    if found.status == "differs" and (unread := _find_unread(every, steps, read)):
        unknown |= unread
        joined = _join_unknown(planned.steps, planned.outputs, unknown, planned)
        found = _check(simplify(joined), seen, unknown)
    if found.status == "differs" and (stray := _find_stray(every, steps, read)):
        return ArchitectureCheck(unchecked=stray)
    if found.status != "differs" and not unknown and read.file.is_converted:
        unshared = tuple(find_unshared(every, planned, steps, read))
        found = ArchitectureCheck(unshared) if unshared else found
    if found.status == "same" and read.file.is_converted:
        return ArchitectureCheck(unchecked=explain_relu6(every, planned, read.steps))
    return found


def _find_outputs(planned: Computation, read: OperatorSteps) -> tuple[tuple[int, ...], bool]:
    """Return the steps of a file's outputs, in the plan's order if it is known, and if it is."""
    outputs = read.outputs
    layers = [planned.steps[place].layer for place in planned.outputs]
    places = find_places(read.file.output_names, layers)
    if places is None or len(outputs) != len(places):
        return outputs, False
    return tuple(outputs[places.index(place)] for place in range(len(places))), True


def _check(planned: Computation, seen: _Seen, unknown: Mapping[str, str]) -> ArchitectureCheck:
    """Compare the steps of a file with those of a plan, apart from layers that are not known."""
    steps, outputs = seen.steps, seen.outputs
    found = simplify(in_order(_mark_unknown(steps, outputs, unknown, planned)))
    named = _named_by_both(planned, found, is_converted=seen.is_converted)
    if unknown:
        missing = find_missing(planned, found, named)
        if missing:
            told = {step.layer for step in steps}
            rest = _without_untold(planned, told)
            missing = missing if find_missing(rest, found, named) else []
        joined = simplify(in_order(_join_unknown(steps, outputs, unknown, planned)))
        return _check_around_unknown(planned, joined, missing, unknown)
    if are_same(planned, found, named, is_ordered=seen.is_ordered):
        return ArchitectureCheck(unchecked=_explain_nameless(planned, named))
    return ArchitectureCheck(tuple(list_differences(planned, found, named)))


def _without_untold(planned: Computation, told: Container[str]) -> Computation:
    """Return a plan's steps without layers that are not known and may have no operators.

    One that has none may do nothing, or what another one of its class does with the same tensor.
    """
    places: list[int] = []
    kept: list[Step] = []
    unknown = [step for step in planned.steps if step.is_unknown and len(step.inputs) == 1]
    alike = {(step.computes, step.inputs) for step in unknown if step.layer in told}
    untold = {(step.computes, step.inputs) for step in unknown if step.layer not in told}
    shared: dict[tuple[str, tuple[int, ...]], int] = {}
    for step in planned.steps:
        inputs, key = tuple(places[taken] for taken in step.inputs), (step.computes, step.inputs)
        if key in untold and key not in alike:
            places.append(inputs[0])
        elif key in untold and key in shared:
            places.append(shared[key])
        else:
            kept.append(replace(step, inputs=inputs))
            places.append(len(kept) - 1)
            shared[key] = places[-1]
    return simplify(Computation(tuple(kept), tuple(places[at] for at in planned.outputs)))


def _find_unread(
    planned: Sequence[Step], steps: Sequence[Step], read: OperatorSteps
) -> dict[str, str]:
    """Return the layers of several operators that the file writes in a form that is not known.

    They have operators that no rule reads; if one has no name, it may be of any such layer.
    """
    kinds = {step.layer: kind for step in planned if (kind := find_kind(step.computes))}
    places = _needed(steps, read.outputs)
    owners = {steps[place].layer for place in places if steps[place].computes.startswith(_OPERATOR)}
    are_all = "" in owners
    unread = _FOREIGN if read.file.is_converted else _OPERATOR
    foreign = {
        step.layer: f"{UNKNOWN} an operator of TensorFlow"
        for step in (steps[place] for place in places)
        if step.computes.startswith(unread) and step.layer
    }
    return foreign | {
        layer: f"{UNKNOWN} {kind}" for layer, kind in kinds.items() if are_all or layer in owners
    }


def _needed(steps: Sequence[Step], outputs: Sequence[int]) -> set[int]:
    """Return the places of the steps that outputs need."""
    places, waiting = set(outputs), [*outputs]
    while waiting:
        fresh = set(steps[waiting.pop()].inputs) - places
        places |= fresh
        waiting += fresh
    return places


def _find_stray(planned: Sequence[Step], steps: Sequence[Step], read: OperatorSteps) -> str:
    """Return which operators of no planned layer are not read; of a converted file, joined ones.

    They may be of layers that compute nothing but in training, and of a Lambda's functions.
    """
    layers = {step.layer for step in planned}
    if read.file.is_converted:
        joined = any(steps[place].computes == JOINED for place in _needed(steps, read.outputs))
        return _NOT_SPLIT if joined else ""
    stray = {
        step.computes.removeprefix(_OPERATOR).strip().removeprefix(FOREIGN): step.layer
        for step in (steps[place] for place in sorted(_needed(steps, read.outputs)))
        if step.computes.startswith(_OPERATOR) and step.layer not in layers
    }
    told = [f"{kind} ({layer})" if layer else kind for kind, layer in stray.items()]
    return f"the operations {', '.join(told[:_SHOWN])} are not read" if told else ""


def _check_around_unknown(
    planned: Computation, found: Computation, missing: Sequence[Step], unknown: Mapping[str, str]
) -> ArchitectureCheck:
    """Return what differs between layers whose operators are not known.

    Steps that are not planned do not count: they may be parts of such layers without a name.
    """
    if not missing:
        return ArchitectureCheck(unchecked=f"operators of {_listed(unknown)} are not compared")
    named = _named_by_both(planned, found, is_converted=True)
    told = [one for one in list_differences(planned, found, named) if one.what != "added"]
    return ArchitectureCheck(tuple(told) or (LayerDifference(missing[0].layer, "settings"),))


def _explain_nameless(planned: Computation, named: frozenset[str]) -> str:
    """Return which kernels may be in each other's place; empty if none may."""
    kernels = [step for step in planned.steps if has_kernel(step.computes)]
    nameless = dict.fromkeys(
        (step.layer, step.computes) for step in kernels if step.layer not in named
    )
    counts = Counter(computes for _, computes in nameless)
    alike = list(dict.fromkeys(layer for layer, computes in nameless if counts[computes] > 1))
    if alike:
        return f"names in the file do not tell {', '.join(alike[:_SHOWN])} apart"
    return ""


def _listed(unknown: Mapping[str, str]) -> str:
    """Return the layers that are not compared, with their classes."""
    told = [f"{layer} ({step.removeprefix(UNKNOWN).strip()})" for layer, step in unknown.items()]
    more = len(told) - _SHOWN
    return ", ".join(told[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _named_by_both(
    planned: Computation, found: Computation, *, is_converted: bool
) -> frozenset[str]:
    """Return the layers that both name, in each call that has a kernel of a certain kind.

    A converter may give a kernel the name of a layer beside it.
    """
    layers, kernels = zip(*(_count_named(each) for each in (planned, found)), strict=True)
    nameless = {
        computes
        for layer, computes in kernels[1]
        if not layer or (is_converted and layer not in layers[0])
    }
    lost = {
        layer
        for (layer, computes), count in kernels[0].items()
        if computes in nameless and kernels[1][layer, computes] < count
    }
    return frozenset(layers[0] & layers[1]) - lost - {""}


def _count_named(found: Computation) -> tuple[set[str], Counter[tuple[str, str]]]:
    """Return the layers with a name of importance, and how often each has each kind of kernel."""
    kernels = [step for step in found.steps if has_kernel(step.computes)]
    others = [step for step in found.steps if step.is_unknown or step.computes == INPUT]
    counts = Counter((step.layer, step.computes) for step in kernels)
    return {step.layer for step in (*kernels, *others)}, counts


def _mark_unknown(
    steps: Sequence[Step], outputs: Sequence[int], unknown: Mapping[str, str], planned: Computation
) -> Computation:
    """Return a computation in which all operators of layers that are not known are unknown.

    Steps that may be parts of such layers, whose names the file lost, count as unknown too: all
    that are not planned, if a layer has none with its name, such as a function of `keras.ops`.
    """
    layers = {step.layer for step in planned.steps}
    told = {step.layer for step in steps}
    hidden = [step for step in planned.steps if step.is_unknown]
    alike = {(step.computes, step.inputs) for step in hidden if step.layer in told}
    is_any_lost = any((step.computes, step.inputs) not in alike for step in hidden)
    texts = {step.computes for step in planned.steps}
    marked = []
    for step in steps:
        computes = step.computes
        if step.layer in unknown and computes != INPUT:
            computes = unknown[step.layer]
        elif unknown and (
            computes.startswith(_OPERATOR)
            or (
                (find_kind(computes) or (is_any_lost and _may_be_of_any(computes)))
                and step.layer not in layers
                and computes not in texts
            )
        ):
            computes = f"{UNKNOWN} {computes}"
        marked.append(replace(step, computes=computes))
    return Computation(tuple(marked), tuple(outputs))


def _may_be_of_any(computes: str) -> bool:
    """Return whether a step may be a part of a layer of any kind: not an input, not a kernel."""
    return computes not in (AFFINE, INPUT) and not has_kernel(computes)


def _join_unknown(
    steps: Sequence[Step], outputs: Sequence[int], unknown: Mapping[str, str], planned: Computation
) -> Computation:
    """Return a computation with one step for all of a layer whose operators are not known.

    It stands where the first of them does, without what only later ones take.
    """
    places: list[int] = []
    made: list[Step] = []
    whole: dict[str, int] = {}
    for step in _mark_unknown(steps, outputs, unknown, planned).steps:
        inputs = tuple(dict.fromkeys(places[taken] for taken in step.inputs))
        if step.layer not in unknown or step.computes == INPUT:
            kept = tuple(places[taken] for taken in step.inputs)
            made.append(replace(step, inputs=kept))
            places.append(len(made) - 1)
            continue
        known = whole.get(step.layer)
        if known is None:
            made.append(Step(step.layer, unknown[step.layer], inputs))
            known = whole[step.layer] = len(made) - 1
        else:
            more = [taken for taken in inputs if taken != known and taken < known]
            before = made[known]
            made[known] = replace(before, inputs=tuple(dict.fromkeys((*before.inputs, *more))))
        places.append(known)
    return Computation(tuple(made), tuple(places[output] for output in outputs))
