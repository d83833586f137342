"""Which layer a part of a TensorFlow Lite file comes from, by the names in it.

The converter names tensors after operations of TensorFlow, whose names have those of the layers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from graphprune.graph.layers import SEPARATOR

Path = tuple[str, ...]
"""The parts of the name of an operation."""
_CALLED = re.compile(r"(Stateful)?PartitionedCall(_\d+)?(:\d+)?")
"""A name that the converter gives to the outputs of a function."""
_QUANTIZED = "quant_"
_NUMBER = re.compile(r"_\d+")


def paths_in(names: Iterable[str]) -> Iterator[Path]:
    """Yield the paths in the names of operations, which the converter joins with semicolons."""
    for name in names:
        for part in name.split(";"):
            segments = part.split("/")
            while segments and _CALLED.fullmatch(segments[0]):
                segments = segments[1:]
            if len(segments) > 1:
                yield tuple(segments)


def find_prefixes(addresses: Sequence[str], paths: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the beginnings of the paths of each layer, where they are told.

    TensorFlow numbers names, so `fc_1` may be the layer `fc` or `fc_1`. A layer that has one
    beginning left takes it from the others. One that has several, as Keras 3 numbers the calls of a
    layer or of the model that it is in, keeps those that no other layer may have.

    Example:
        >>> paths = [("net", "fc_1", "MatMul"), ("net", "fc_1_2", "MatMul")]
        >>> find_prefixes(["fc", "fc_1"], paths)
        {'fc': (('net', 'fc_1'),), 'fc_1': (('net', 'fc_1_2'),)}
    """
    named: dict[str, set[Path]] = {}
    for start in {path[:end] for path in paths for end in range(1, len(path))}:
        for name in _names_of(start[-1]):
            named.setdefault(name, set()).add(start)
    open_ = {
        address: {
            start for start in named.get(_written(_parts(address)[-1]), ()) if _fits(address, start)
        }
        for address in addresses
    }
    found: dict[str, tuple[Path, ...]] = {}
    waiting = [address for address, left in open_.items() if len(left) == 1]
    while waiting:
        address = waiting.pop()
        if len(open_[address]) != 1:
            continue
        (start,) = open_[address]
        found[address] = (start,)
        for other, left in open_.items():
            if other != address and start in left:
                left.discard(start)
                if len(left) == 1 and other not in found:
                    waiting.append(other)
    counts = Counter(start for left in open_.values() for start in left)
    for address, left in open_.items():
        own = tuple(sorted(start for start in left if counts[start] == 1))
        if address not in found and own and len({*map(len, own)}) == 1:
            found[address] = own
    return dict(sorted(found.items()))


def find_places(names: Sequence[str], layers: Sequence[str]) -> tuple[int, ...] | None:
    """Return which output of a plan each output of a file is; None where its names do not tell.

    An export names them after their places, or after their layers.

    Args:
        names: Those of the file's outputs.
        layers: The layers of the plan's outputs.

    Example:
        >>> find_places(["output_1", "output_0"], ["age", "name"])
        (1, 0)
        >>> find_places(["name", "age"], ["age", "name"]), find_places(["a", "b"], ["age", "name"])
        ((1, 0), None)
    """
    numbered = [f"output_{place}" for place in range(len(layers))]
    told = {
        tuple(way.index(name) for name in names)
        for way in (numbered, [*map(_written, layers)], [*layers])
        if len(set(way)) == len(way) and sorted(way) == sorted(names)
    }
    return told.pop() if len(told) == 1 else None


def find_owners(addresses: Sequence[str], paths: Iterable[Path]) -> dict[Path, str]:
    """Return the layer of each beginning of a path that tells one; see `find_prefixes`."""
    prefixes = find_prefixes(addresses, paths)
    return {start: address for address, told in prefixes.items() for start in told}


def owners_of(paths: Iterable[Path], owners: Mapping[Path, str]) -> Iterator[str]:
    """Yield the innermost layer of each path that has one."""
    for path in paths:
        for end in range(len(path) - 1, 0, -1):
            if path[:end] in owners:
                yield owners[path[:end]]
                break


def _fits(address: str, start: Path) -> bool:
    """Return whether a path that begins so may be that of a layer; the model's name is first."""
    parts = _parts(address)
    return len(start) - len(parts) in (0, 1) and all(
        is_named(segment, part) for segment, part in zip(start[-len(parts) :], parts, strict=True)
    )


def _parts(address: str) -> list[str]:
    return re.split(f"{re.escape(SEPARATOR)}|/", address)


def _names_of(segment: str) -> set[str]:
    """Return the names of layers that TensorFlow may write as a segment."""
    whole = {segment, segment.removeprefix(_QUANTIZED)}
    return whole | {re.sub(r"_\d+$", "", name) for name in whole}


def _written(name: str) -> str:
    """Return a layer's name as TensorFlow writes it."""
    return re.sub(r"[^\w.-]", "_", name)


def is_named(segment: str, name: str) -> bool:
    """Return whether a segment is a layer's name as TensorFlow writes it, perhaps numbered.

    tfmot's quantization wrappers put `quant_` before it.
    """
    written = _written(name)
    if not segment.startswith(written):
        segment = segment.removeprefix(_QUANTIZED)
    if not segment.startswith(written):
        return False
    rest = segment[len(written) :]
    return not rest or _NUMBER.fullmatch(rest) is not None
