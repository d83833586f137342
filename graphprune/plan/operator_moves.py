"""Layers that only move values in a TensorFlow Lite file: Permute and Reshape.

The converter joins such operators with others and leaves out those that do nothing, so only an
operator that has the name of one layer alone is compared. A Reshape without one is not missed: the
shapes of kernels behind it tell. A Permute without one is reported as not checked. Which tensor the
operator of a Permute takes is told by the kernel or input that this comes from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from graphprune.archive.operators import FileOperator, FileTensor, OperatorFile
from graphprune.graph.classes.steps import has_kernel
from graphprune.graph.computation import INPUT, Step
from graphprune.graph.layers import SEPARATOR
from graphprune.plan.operator_layers import with_layers
from graphprune.plan.operator_names import Path, find_owners, is_named, owners_of, paths_in
from graphprune.plan.operator_steps import OperatorSteps
from graphprune.plan.verify import ArchitectureCheck, LayerDifference

_KINDS = {"TRANSPOSE": "permute", "RESHAPE": "reshape"}


def check_moves(
    steps: Sequence[Step], addresses: Sequence[str], read: OperatorSteps
) -> ArchitectureCheck:
    """Return which layers that move values differ from the planned ones.

    Args:
        steps: What the plan's model computes.
        addresses: All layers of the model.
        read: The steps of the file.

    Raises:
        ArchiveError: the file is damaged.
    """
    file = read.file
    planned = {step.layer: step.computes for step in steps if step.computes.startswith(_MOVES)}
    named = _Names(addresses, file.tensors_of(0))
    found: dict[str, list[tuple[str, list[int], tuple[int, ...]]]] = {}
    strange = []
    for kind, layer, order, shape in _read_moves(file, named):
        found.setdefault(layer, []).append((kind, order, shape))
        if kind == "permute" and named.is_strange(layer):
            strange.append(LayerDifference(layer, "added"))
    wrong = [
        LayerDifference(layer, "settings")
        for layer, computes in planned.items()
        if _contradicts(computes, found.get(layer, ()))
    ]
    if wrong or strange:
        return ArchitectureCheck((*wrong, *dict.fromkeys(strange)))
    if elsewhere := dict.fromkeys(_find_elsewhere(steps, named, read)):
        return ArchitectureCheck(tuple(elsewhere))
    gone = [layer for layer, text in planned.items() if _is_gone(text, found.get(layer, ()))]
    if gone:
        return ArchitectureCheck(
            unchecked=f"the file has no operator with the name of the Permute layer {gone[0]}"
        )
    return ArchitectureCheck()


_MOVES = tuple(_KINDS.values())
_WHOLE = ("int32", "int64")
"""Types of an order of axes: that of a `.tflite` file, and that of constants of a folder."""
_Found = Iterable[tuple[str, list[int], tuple[int, ...]]]


class _Names:
    """The layers that names of tensors tell."""

    def __init__(self, addresses: Sequence[str], tensors: Iterable[FileTensor]) -> None:
        self._names = {tensor.index: tensor.name for tensor in tensors}
        paths = list(paths_in(self._names.values()))
        self._owners = find_owners(addresses, paths)
        self._parts = {part for address in addresses for part in address.split(SEPARATOR)}
        self._known = set(addresses)

    def owner_of(self, index: int) -> str:
        """Return the one layer of a tensor's name, or its own name if the model has none of it.

        A part of the name without a path may be of any layer.
        """
        parts = self._names.get(index, "").split(";")
        owners = {self._owner(path) for path in paths_in(parts)}
        is_whole = all("/" in part for part in parts)
        return owners.pop() if len(owners) == 1 and is_whole else ""

    def _owner(self, path: Path) -> str:
        known = next(owners_of([path], self._owners), None)
        if known is not None:
            return known
        is_known = any(is_named(segment, part) for segment in path for part in self._parts)
        return "" if is_known or len(path) < 3 else path[-2]

    def is_strange(self, layer: str) -> bool:
        """Return whether a name is of no layer of the model."""
        return bool(layer) and layer not in self._known


def _find_elsewhere(
    planned: Sequence[Step], named: _Names, read: OperatorSteps
) -> Iterator[LayerDifference]:
    """Yield the Permute layers whose operator takes what comes from another kernel or input.

    The file must name both as often as the plan has them, and nothing but operators of one tensor
    may be between: a converter moves transpositions through others.
    """
    found = with_layers(read, planned)
    counts, own = (
        Counter(step.layer for step in each if _is_source(step)) for each in (planned, found)
    )
    told = {layer for layer in own if layer and own[layer] == counts[layer]}
    wanted: dict[str, set[str]] = {}
    for step in planned:
        if step.computes.startswith("permute"):
            wanted.setdefault(step.layer, set()).add(_source_of(planned, step.inputs[0]))
    turns = (each for each in read.file.operators_of(0) if each.kind == "TRANSPOSE")
    for operator in turns if wanted else ():
        layer = named.owner_of(operator.outputs[0])
        taken, sources = read.place_of(operator.inputs[0]), wanted.get(layer, set())
        if taken is not None and sources and sources <= told:
            source = _source_of(found, taken)
            if source in told - sources:
                yield LayerDifference(layer, "inputs")


def _source_of(steps: Sequence[Step], place: int) -> str:
    """Return the layer of the kernel or input that a step comes from; empty for one of several."""
    while not _is_source(steps[place]):
        inputs = set(steps[place].inputs)
        if len(inputs) != 1:
            return ""
        (place,) = inputs
    return steps[place].layer


def _is_source(step: Step) -> bool:
    return step.computes == INPUT or has_kernel(step.computes)


def _read_moves(
    file: OperatorFile, named: _Names
) -> Iterator[tuple[str, str, list[int], tuple[int, ...]]]:
    """Yield the operators that move values: kind, layer, order of axes and shape of the result."""
    tensors = {tensor.index: tensor for tensor in file.tensors_of(0)}
    for operator in file.operators_of(0):
        if operator.kind in _KINDS and len(operator.outputs) == 1:
            made = tensors.get(operator.outputs[0])
            layer = named.owner_of(operator.outputs[0])
            if made is not None and layer:
                yield _KINDS[operator.kind], layer, _order(file, operator, tensors), made.shape


def _order(
    file: OperatorFile, operator: FileOperator, tensors: Mapping[int, FileTensor]
) -> list[int]:
    """Return the order of axes of a TRANSPOSE; empty where it is not known."""
    order = tensors.get(operator.inputs[1]) if len(operator.inputs) > 1 else None
    if order is None or operator.kind != "TRANSPOSE" or not order.stored:
        return []
    if order.dtype not in _WHOLE:
        return []
    return [int(axis) for axis in file.read_stored(order).reshape(-1)]


def _contradicts(planned: str, found: _Found) -> bool:
    """Return whether an operator of a layer moves values in another way than planned.

    Lengths of 1 in a file may be open ones, and are not compared. A TimeDistributed adds an axis.
    """
    kind, _, text = planned.partition(" ")
    if kind == "permute":
        wanted = [0, *map(int, text.split())]
        orders = [order for told, order, _ in found if told == kind]
        return any(len(order) == len(wanted) and order != wanted for order in orders)
    lengths = [int(part) for part in text.split("x") if part]
    shapes = [shape[1:] for told, _, shape in found if told == kind]
    return any(not _may_be(shape, lengths) for shape in shapes)


def _may_be(shape: Sequence[int], lengths: Sequence[int]) -> bool:
    if 1 in shape or 0 in shape:
        return True
    return len(shape) == len(lengths) and all(
        wanted in (length, -1) for length, wanted in zip(shape, lengths, strict=True)
    )


def _is_gone(planned: str, found: _Found) -> bool:
    """Return whether a Permute has no operator; one that only moves lengths of 1 is a RESHAPE."""
    return planned.startswith("permute") and not [*found]
