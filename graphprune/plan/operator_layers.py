"""Which layer of a plan each step of a file is of, by the names in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from graphprune.graph.classes.steps import has_kernel
from graphprune.graph.computation import INPUT, Step
from graphprune.graph.layers import SEPARATOR
from graphprune.plan.operator_names import Path, find_owners, is_named, owners_of, paths_in
from graphprune.plan.operator_steps import FoundStep, OperatorSteps


def with_layers(read: OperatorSteps, planned: Sequence[Step]) -> list[Step]:
    """Return the steps of a file with the layers that the names in the file tell."""
    addresses = list(dict.fromkeys(step.layer for step in planned))
    paths = [path for found in read.steps for path in paths_in(found.names)]
    owners = find_owners(addresses, paths)
    with_kernel = {step.layer for step in planned if has_kernel(step.computes) or step.is_unknown}
    inputs = [step.layer for step in planned if step.computes == INPUT]
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
    told = list(dict.fromkeys(owners_of(paths, owners)))
    if has_kernel(found.step.computes):
        told = [layer for layer in told if layer in with_kernel]
        if len(told) > 1 or (told and _has_other(paths, owners, with_kernel)):
            return ""
    if told:
        return told[0]
    written = _written_layer(paths[0], owners) if paths else ""
    may_be_planned = any(is_named(written, _last_part(address)) for address in with_kernel)
    return "" if may_be_planned else written


def _written_layer(path: Path, owners: Iterable[Path]) -> str:
    """Return the part of a path that is where names of layers are in others."""
    stems = {owner[:end] for owner in owners for end in range(len(owner))}
    ends = (end for end in range(len(path) - 2, 0, -1) if path[:end] in stems)
    return path[next(ends, len(path) - 2)]


def _has_other(
    paths: Iterable[Path], owners: Mapping[Path, str], with_kernel: Iterable[str]
) -> bool:
    """Return whether a path may be of a layer with a kernel, and does not tell which."""
    parts = {_last_part(address) for address in with_kernel}
    return any(
        is_named(segment, part)
        for path in paths
        if next(owners_of([path], owners), None) is None
        for segment in path
        for part in parts
    )


def _last_part(address: str) -> str:
    return address.rpartition(SEPARATOR)[2]


def _input_of(names: Sequence[str], inputs: Sequence[str]) -> str:
    """Return the input of the model that an input of the file is named after."""
    written = {each: re.escape(re.sub(r"\W", "_", each)) for each in inputs}
    told = [
        each
        for each, name in written.items()
        if any(re.fullmatch(rf"(\w+_)?{name}(:\d+)?", found) for found in names)
    ]
    return told[0] if len(told) == 1 else ""
