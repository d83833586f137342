"""A TensorFlow Lite file held against a plan.

Its tensors are found by the names that the converter gave them, and by their shapes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.operators import FileTensor
from graphprune.archive.tflite.file import TfliteFile
from graphprune.plan.changes import Plan, TensorChange
from graphprune.plan.measured import Measuring, planned_tensors
from graphprune.plan.operator_architecture import check_operator_architecture
from graphprune.plan.operator_names import Path, find_prefixes, is_named, paths_in
from graphprune.plan.tflite_loops import CELLS, FUSED_LSTM, find_loops, pair_loops
from graphprune.plan.verify import NotFinite, Verification, add_facts, list_checks

_PASSED_ON = frozenset({"DEQUANTIZE", "DENSIFY", "TRANSPOSE", "RESHAPE", "CAST"})
"""Operators that give a constant to another operator."""
_NO_NAME = "no tensor of the file has the name of the layer"
_NO_SHAPE = "no tensor of the layer has its shape"
_SHARED = "one tensor of the layer fits it and another one"
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant tensor, the operations that use it, and the paths in names that tell its layer.

    `own` are those in its own name; outputs of operations have names of layers behind as well.
    `rest` are further constants, which are one weight together with it, along their first axis.
    """

    tensor: FileTensor
    kinds: frozenset[str]
    paths: frozenset[Path]
    own: frozenset[Path]
    rest: tuple[FileTensor, ...] = ()

    @property
    def tensors(self) -> tuple[FileTensor, ...]:
        """Its parts."""
        return self.tensor, *self.rest


def verify_tflite(plan: Plan, file: TfliteFile, *, plan_path: str = "") -> Verification:
    """Return what a TensorFlow Lite file has of what `plan` says.

    A tensor that cannot be told from others is not checked, and its check says why.

    Raises:
        ArchiveError: the file is damaged.
    """
    constants = _list_constants(file)
    found = _find_tensors(plan, file, constants)
    measuring = Measuring(plan)
    for key, constant in found.items():
        if not isinstance(constant, str):
            shape = measuring.planned[key][0].shape
            whole = _joined([_read_weights(file, each) for each in constant.tensors])
            values = _to_keras(whole, constant.kinds, shape)
            assert values is not None
            measuring.add(key, values)
    facts, checks = measuring.facts(), []
    for check in list_checks(plan):
        key = (check.address, check.tensor)
        is_found = key in facts
        unchecked = "" if is_found else str(found[key])
        checks.append(
            add_facts(check, facts[key]) if is_found else replace(check, unchecked=unchecked)
        )
    used = {each for one in found.values() if isinstance(one, _Constant) for each in one.tensors}
    return Verification(
        file.path,
        plan_path,
        tuple(checks),
        check_operator_architecture(plan, file),
        tuple(_others(file, constants, used)),
    )


def _others(
    file: TfliteFile, constants: Sequence[_Constant], used: set[FileTensor]
) -> Iterator[NotFinite]:
    """Yield the other constants with weights that are no numbers, by their names in the file."""
    for constant in constants:
        tensor = constant.tensor
        if tensor in used or not tensor.dtype.startswith(("float", "bfloat")):
            continue
        is_weight = bool(constant.kinds) and constant.kinds <= _TURN.keys()
        values = file.read(tensor)
        if is_weight or _has_figures(values):
            values = _read_weights(file, tensor)
        wrong = int(np.count_nonzero(~np.isfinite(values)))
        if wrong:
            yield NotFinite(tensor.name, "values", wrong)


def _has_figures(values: NDArray[np.generic]) -> bool:
    """Return whether a constant has other values than zero and the largest ones, as no mask has."""
    figures = np.abs(values)
    return bool(((figures != 0) & (figures < np.finfo(np.float32).max)).any())


def _read_weights(file: TfliteFile, tensor: FileTensor) -> NDArray[np.generic]:
    """Return the values of a weight, infinite where the model's are.

    The converter writes an infinite weight as the largest number of float32. Other constants may be
    that number themselves, such as what an attention layer adds where its mask is zero.
    """
    values = file.read(tensor)
    if values.dtype != np.float32:
        return values
    is_largest = np.abs(values) == np.finfo(np.float32).max
    return np.where(is_largest, np.copysign(np.inf, values), values) if is_largest.any() else values


def _find_tensors(
    plan: Plan, file: TfliteFile, constants: Sequence[_Constant]
) -> dict[_Key, _Constant | str]:
    """Return the constant of each tensor that the plan prunes, or why there is none."""
    prefixes = find_prefixes(_addresses(plan), [path for one in constants for path in one.paths])
    found: dict[_Key, _Constant | str] = {}
    for key, (tensor, _) in planned_tensors(plan).items():
        starts = prefixes.get(key[0], ())
        if not starts:
            found[key] = _NO_NAME
            continue
        fitting = [
            one
            for one in constants
            if any(path[: len(start)] == start for path in one.paths for start in starts)
            and _fits(one, tensor)
            and (len(tensor.shape) > 1 or tensor.name.endswith("bias"))
        ]
        found[key] = _choose(fitting, tensor, starts)
    found |= _find_ends(plan, constants, found)
    found |= _find_shared(found)
    return found | _find_looped(plan, file, constants, found)


def _find_shared(found: Mapping[_Key, _Constant | str]) -> dict[_Key, _Constant | str]:
    """Return why tensors of one shape have no constant, where one alone fits several of them.

    Half of a kernel may be in a file, where the other one is written in parts.
    """
    counts = Counter(
        (address, one.tensor) for (address, _), one in found.items() if isinstance(one, _Constant)
    )
    return {
        (address, name): _SHARED
        for (address, name), one in found.items()
        if isinstance(one, _Constant) and counts[address, one.tensor] > 1
    }


def _find_ends(
    plan: Plan, constants: Sequence[_Constant], found: Mapping[_Key, _Constant | str]
) -> dict[_Key, _Constant | str]:
    """Return the constants of layers that the file names after the model's outputs.

    The converter does so where it has rewritten the last operation. Only the shape tells them.
    """
    missing = {
        key: tensor
        for key, (tensor, _) in planned_tensors(plan).items()
        if found[key] in (_NO_NAME, _NO_SHAPE) and len(tensor.shape) > 1
    }
    nameless = [one for one in constants if not one.paths]
    pairs = [
        (key, one) for key, tensor in missing.items() for one in nameless if _fits(one, tensor)
    ]
    keys = Counter(key for key, _ in pairs)
    ends = Counter(one for _, one in pairs)
    return {key: one for key, one in pairs if keys[key] == ends[one] == 1}


def _find_looped(
    plan: Plan,
    file: TfliteFile,
    constants: Sequence[_Constant],
    found: Mapping[_Key, _Constant | str],
) -> dict[_Key, _Constant | str]:
    """Return the constants of recurrent layers that the names in the file do not tell."""
    missing: dict[str, dict[str, TensorChange]] = defaultdict(dict)
    for (address, name), (tensor, _) in planned_tensors(plan).items():
        is_such = name in _IN_LOOPS or name.startswith(CELLS)
        if isinstance(found[address, name], str) and is_such:
            missing[address][name] = tensor
    if not missing:
        return {}
    told = {(one.tensor.subgraph, one.tensor.index): one for one in constants}
    owners = {one.tensor: key for key, one in found.items() if isinstance(one, _Constant)}
    loops = [
        {
            name: replace(told[first], rest=tuple(told[place].tensor for place in rest))
            for name, (first, *rest) in loop.kernels.items()
        }
        for loop in find_loops(file)
    ]
    fitting = {
        address: [
            number
            for number, loop in enumerate(loops)
            if all(
                owners.get(one.tensor, (address, name)) == (address, name)
                for name, one in loop.items()
            )
            and all(name in loop and _fits(loop[name], one) for name, one in tensors.items())
        ]
        for address, tensors in missing.items()
    }
    known = {
        number
        for number, loop in enumerate(loops)
        if any(one.tensor in owners for one in loop.values())
    }
    fitting = {
        address: [number for number in numbers if number in known] or numbers
        for address, numbers in fitting.items()
    }
    architecture = plan.architecture
    pairs = pair_loops(fitting, None if architecture is None else architecture.computation)
    return {
        (address, name): loops[number][name]
        for address, number in pairs.items()
        for name in missing[address]
    }


_IN_LOOPS = ("kernel", "recurrent_kernel")


def _fits(constant: _Constant, tensor: TensorChange) -> bool:
    """Return whether a constant may be this weight, by its shape."""
    blank = _joined([_blank(each) for each in constant.tensors])
    return _to_keras(blank, constant.kinds, tensor.shape) is not None


def _joined(parts: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _choose(
    fitting: Sequence[_Constant], tensor: TensorChange, starts: Sequence[Path]
) -> _Constant | str:
    """Return the one constant of a layer that the names of parts of the layer do not rule out."""
    depth = len(starts[0])
    if len(fitting) > 1:
        named = [one for one in fitting if any(path[:depth] in starts for path in one.own)]
        fitting = named or fitting
    if len(fitting) > 1:
        *parts, last = tensor.name.split(".")
        fitting = [
            one
            for one in fitting
            if any(_has_parts(path[depth:], parts) for path in one.paths)
            and any(_is_recurrent(path) for path in one.paths) == last.startswith("recurrent")
        ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        return _NO_SHAPE
    return f"{len(fitting)} tensors of the layer fit, and their names do not tell which it is"


def _has_parts(rest: Path, parts: Sequence[str]) -> bool:
    """Return whether the names of layers inside a layer come in this order in the rest of a path.

    The kind of a layer stands for the name of the layer inside `Bidirectional`.
    """
    at = 0
    for part in parts:
        stem = part.removesuffix("_layer")
        while at < len(rest) and not (is_named(rest[at], part) or rest[at].startswith(stem)):
            at += 1
        if at == len(rest):
            return False
        at += 1
    return True


def _is_recurrent(path: Path) -> bool:
    """Return whether the second matrix product of a recurrent cell has this name."""
    return any(segment.startswith("MatMul_1") for segment in path)


def _addresses(plan: Plan) -> list[str]:
    known = [change.address for change in plan.changes]
    if plan.architecture is not None:
        known += [facts.address for facts in plan.architecture.layers.values()]
    return list(dict.fromkeys(known))


def _list_constants(file: TfliteFile) -> list[_Constant]:
    """Return the constants of the file with what uses them, through operators that pass them on."""
    names = {(one.subgraph, one.index): one.name for one in file.tensors}
    users = defaultdict(list)
    for operator in file.operators:
        for taken in operator.inputs:
            users[operator.subgraph, taken].append(operator)
    found = []
    for tensor in file.constants:
        kinds, told = set(), [tensor.name]
        waiting, seen = [(tensor.subgraph, tensor.index)], set()
        while waiting:
            place = waiting.pop()
            for operator in users[place] if place not in seen else ():
                outputs = [(operator.subgraph, output) for output in operator.outputs]
                told += [names[output] for output in outputs if output in names]
                if operator.kind in _PASSED_ON:
                    waiting += outputs
                else:
                    kinds.add(operator.kind)
            seen.add(place)
        own = frozenset(paths_in([tensor.name]))
        found.append(_Constant(tensor, frozenset(kinds), frozenset(paths_in(told)), own))
    return found


def _blank(tensor: FileTensor) -> NDArray[np.bool_]:
    """Return an array of a tensor's shape that takes no memory."""
    return np.broadcast_to(np.False_, tensor.shape)


def _to_keras(
    values: NDArray[np.generic], kinds: frozenset[str], shape: Sequence[int]
) -> NDArray[np.generic] | None:
    """Return a constant in the layout of a layer's weight; None if it cannot be that weight.

    Args:
        values: As the file has them.
        kinds: The operators that use them.
        shape: The shape of the weight.
    """
    if len(kinds) != 1 or values.size != math.prod(shape):
        return None
    (kind,) = kinds
    turned = _TURN.get(kind)
    if turned is None or values.ndim not in turned:
        return None
    values = np.transpose(values, turned[values.ndim])
    if not _is_split(values.shape, shape):
        return None
    return values.reshape(shape)


_TURN: Mapping[str, Mapping[int, tuple[int, ...]]] = {
    "CONV_2D": {1: (0,), 4: (1, 2, 3, 0)},
    "CONV_3D": {5: (0, 1, 2, 3, 4)},
    "DEPTHWISE_CONV_2D": {1: (0,), 4: (0, 1, 2, 3)},
    "EMBEDDING_LOOKUP": {2: (0, 1)},
    "FULLY_CONNECTED": {1: (0,), 2: (1, 0)},
    "GATHER": {2: (0, 1)},
    "TRANSPOSE_CONV": {1: (0,), 4: (1, 2, 0, 3)},
    FUSED_LSTM: {2: (1, 0)},
}
"""The order of axes of a Keras weight, by the operator and the number of axes."""


def _is_split(whole: Sequence[int], parts: Sequence[int]) -> bool:
    """Return whether splitting axes of one shape gives the other; axes of length 1 do not count.

    Example:
        >>> _is_split((16, 24), (16, 3, 8)), _is_split((16, 24), (24, 16))
        (True, False)
    """
    wanted, left = [length for length in whole if length > 1], 1
    for length in parts:
        left *= length
        if wanted and left == wanted[0]:
            wanted, left = wanted[1:], 1
    return not wanted and left == 1
