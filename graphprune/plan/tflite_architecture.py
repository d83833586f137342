"""The operators of a TensorFlow Lite file held against the layers of a plan's original model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from graphprune.archive.tflite.file import TfliteFile
from graphprune.graph.classes.steps import is_linear
from graphprune.graph.computation import INPUT, UNKNOWN, Computation, Step
from graphprune.plan.changes import Plan
from graphprune.plan.computation_check import are_same, find_missing, simplify
from graphprune.plan.computation_differences import list_differences
from graphprune.plan.tflite_names import Path, find_prefixes, paths_in
from graphprune.plan.tflite_steps import FoundStep, TfliteSteps
from graphprune.plan.verify import ArchitectureCheck, LayerDifference

_OLD = "the plan does not have the steps of the model; make it again to compare the architecture"
_SHOWN = 3
"""Layers that a reason names."""


def check_tflite_architecture(plan: Plan, file: TfliteFile) -> ArchitectureCheck:
    """Return the layers that differ between a file and the plan's original model.

    Steps that leave no operator of their own do not count: dropout, reshaping, and additions and
    multiplications of constants (batch normalization) beside a kernel.

    Raises:
        ArchiveError: the file is damaged.
    """
    architecture = plan.architecture
    if architecture is None or architecture.computation is None:
        return ArchitectureCheck(unchecked=_OLD)
    planned = simplify(architecture.computation)
    unknown = {step.layer: step.computes for step in planned.steps if step.is_unknown}
    read = TfliteSteps(file)
    found = simplify(_join_unknown(_with_layers(read, planned), read.outputs, unknown))
    named = _named_by_both(planned, found)
    if unknown:
        return _check_around_unknown(planned, found, named, unknown)
    if are_same(planned, found, named):
        return ArchitectureCheck(unchecked=_explain_nameless(planned, named))
    return ArchitectureCheck(tuple(list_differences(planned, found, named)))


def _check_around_unknown(
    planned: Computation, found: Computation, named: frozenset[str], unknown: Mapping[str, str]
) -> ArchitectureCheck:
    """Compare what lies between layers whose operators are not known.

    Steps that are not planned do not count: they may be parts of such layers without a name.
    """
    missing = find_missing(planned, found, named)
    if not missing:
        return ArchitectureCheck(unchecked=f"operators of {_listed(unknown)} are not compared")
    told = [one for one in list_differences(planned, found, named) if one.what != "added"]
    return ArchitectureCheck(tuple(told) or (LayerDifference(missing[0].layer, "settings"),))


def _explain_nameless(planned: Computation, named: frozenset[str]) -> str:
    """Return which kernels may be in each other's place; empty if none may."""
    kernels = [step for step in planned.steps if is_linear(step.computes)]
    nameless = {step.layer: step.computes for step in kernels if step.layer not in named}
    counts = Counter(nameless.values())
    alike = [layer for layer, computes in nameless.items() if counts[computes] > 1]
    if alike:
        return f"names in the file do not tell {', '.join(alike[:_SHOWN])} apart"
    return ""


def _listed(unknown: Mapping[str, str]) -> str:
    """Return the layers that are not compared, with their classes."""
    told = [f"{layer} ({step.removeprefix(UNKNOWN).strip()})" for layer, step in unknown.items()]
    more = len(told) - _SHOWN
    return ", ".join(told[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _named_by_both(planned: Computation, found: Computation) -> frozenset[str]:
    layers = [
        {
            step.layer
            for step in each.steps
            if is_linear(step.computes) or step.is_unknown or step.computes == INPUT
        }
        for each in (planned, found)
    ]
    return frozenset(layers[0] & layers[1]) - {""}


def _with_layers(read: TfliteSteps, planned: Computation) -> list[Step]:
    """Return the steps of a file with the layers that the names in the file tell."""
    addresses = list(dict.fromkeys(step.layer for step in planned.steps))
    paths = [path for found in read.steps for path in paths_in(found.names)]
    prefixes = find_prefixes(addresses, paths)
    owners = {prefix: address for address, prefix in prefixes.items()}
    with_kernel = {
        step.layer for step in planned.steps if is_linear(step.computes) or step.is_unknown
    }
    inputs = [step.layer for step in planned.steps if step.computes == INPUT]
    return [
        replace(found.step, layer=_layer_of(found, owners, with_kernel, inputs))
        for found in read.steps
    ]


def _layer_of(
    found: FoundStep, owners: Mapping[Path, str], with_kernel: set[str], inputs: Sequence[str]
) -> str:
    """Return the layer of a step; what its name in the file says if the model has no such layer."""
    if found.step.computes == INPUT:
        return _input_of(found.names, inputs)
    paths = list(paths_in(found.names))
    told = list(dict.fromkeys(_owners_of(paths, owners)))
    if is_linear(found.step.computes):
        told = [layer for layer in told if layer in with_kernel]
        if len(told) > 1:
            return ""
    if told:
        return told[0]
    written = paths[0][-2] if paths else ""
    return "" if written in with_kernel else written


def _owners_of(paths: Iterable[Path], owners: Mapping[Path, str]) -> Iterator[str]:
    for path in paths:
        for end in range(len(path) - 1, 0, -1):
            if path[:end] in owners:
                yield owners[path[:end]]
                break


def _input_of(names: Sequence[str], inputs: Sequence[str]) -> str:
    """Return the input of the model that an input of the file is named after."""
    written = {each: re.escape(re.sub(r"\W", "_", each)) for each in inputs}
    told = [
        each
        for each, name in written.items()
        if any(re.fullmatch(rf"(\w+_)?{name}(:\d+)?", found) for found in names)
    ]
    return told[0] if len(told) == 1 else ""


def _join_unknown(
    steps: Sequence[Step], outputs: Sequence[int], unknown: Mapping[str, str]
) -> Computation:
    """Return a computation with one step for all of a layer whose operators are not known."""
    places: list[int] = []
    made: list[Step] = []
    whole: dict[str, int] = {}
    for step in steps:
        inputs = tuple(dict.fromkeys(places[taken] for taken in step.inputs))
        if step.layer not in unknown or step.computes == INPUT:
            is_part = bool(unknown) and step.computes.startswith("operator")
            computes = f"{UNKNOWN} {step.computes}" if is_part else step.computes
            kept = tuple(places[taken] for taken in step.inputs)
            made.append(replace(step, computes=computes, inputs=kept))
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
