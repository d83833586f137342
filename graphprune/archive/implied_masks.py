"""Operations that Keras 3 writes for the implicit masks of Embedding and Masking layers.

tf_keras computes the mask of `Embedding(mask_zero=True)` by itself. Keras 3 writes it in configs:
as operations (`NotEqual`), whose tensors later layers take by the argument `mask`, and as others
that pass masks on (`Layer.__call__`, keras/src/layers/layer.py). The program calls none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from graphprune.archive.calls import read_call, references
from graphprune.archive.entries import name_of, type_of

_ARGUMENTS = frozenset({"mask", "query_mask", "value_mask", "key_mask"})
_OPERATIONS = "keras.src.ops."


def without_implied_masks(layers: Sequence[Any], outputs: Any) -> list[Any]:
    """Return the layers of a Functional model without the operations that compute implicit masks.

    An operation that the program calls to make a mask of its own is kept.

    Args:
        layers: The entries of the layers, their calls in the form of tf_keras.
        outputs: The tensors that the model gives.
    """
    gone = _implied(layers, {reference[0] for reference in references(outputs)})
    if not gone:
        return list(layers)
    kept = [entry for entry in layers if name_of(entry) not in gone]
    return [
        {**entry, "inbound_nodes": [_without(node, gone) for node in entry["inbound_nodes"]]}
        if entry.get("inbound_nodes")
        else entry
        for entry in kept
    ]


def _implied(layers: Sequence[Any], outputs: set[str]) -> set[str]:
    """Return the names of these operations.

    They are used for nothing but masks, and are connected with one that compares what a masking
    layer takes.
    """
    begun = _beginnings(layers)
    if not begun:
        return set()
    operations = {name_of(entry) for entry in layers if _is_operation(entry)}
    sources: dict[str, set[str]] = {name: set() for name in operations}
    near: dict[str, set[str]] = {name: set() for name in operations}
    used, other_uses = set(), outputs & operations
    for entry in layers:
        name = name_of(entry)
        for argument, source in _arguments(entry):
            if source not in operations:
                continue
            used.add(source)
            if name in operations:
                sources[name].add(source)
                near[name].add(source)
                near[source].add(name)
            elif argument not in _ARGUMENTS:
                other_uses.add(source)
    others = _reach(other_uses | (operations - used), sources)
    return _reach(begun - others, {name: found - others for name, found in near.items()})


def _reach(begin: set[str], onward: Mapping[str, set[str]]) -> set[str]:
    found, waiting = set(begin), list(begin)
    while waiting:
        new = onward[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _arguments(entry: Any) -> Iterator[tuple[str, str]]:
    """Yield the argument and the layer of each tensor that a layer takes."""
    for node in entry.get("inbound_nodes") or ():
        args, keywords = read_call(node)
        for argument, value in (("0", args), *keywords.items()):
            for reference in references(value):
                yield argument, reference[0]


def _beginnings(layers: Sequence[Any]) -> set[str]:
    """Return the comparisons of what a masking layer takes with the value that it masks."""
    masked = {
        (*first, value)
        for entry in layers
        for value in _masked_value(entry)
        if isinstance(value, int | float)
        for first in _firsts(entry)
    }
    return {
        name_of(entry)
        for entry in layers
        if _is_operation(entry)
        and entry.get("class_name") == "NotEqual"
        and any((*first, _constant(entry)) in masked for first in _firsts(entry))
    }


def _masked_value(entry: Any) -> Iterator[Any]:
    """Yield the value that a layer masks, if it masks one."""
    config = entry.get("config")
    if not isinstance(config, Mapping):
        return
    if type_of(entry) == "Embedding" and config.get("mask_zero"):
        yield 0
    elif type_of(entry) == "Masking":
        yield config.get("mask_value")


def _firsts(entry: Any) -> Iterator[tuple[str, int, int]]:
    """Yield the first tensor that each call of a layer takes: layer, call and tensor."""
    for node in entry.get("inbound_nodes") or ():
        taken = (one for one in references(read_call(node)[0]) if type(one[2]) is int)
        for reference in islice(taken, 1):
            yield reference[0], reference[1], reference[2]


def _constant(entry: Any) -> Any:
    for node in entry.get("inbound_nodes") or ():
        value = read_call(node)[1].get("arg_1")
        return value if isinstance(value, int | float) else None
    return None


def _is_operation(entry: Any) -> bool:
    return str(entry.get("module") or "").startswith(_OPERATIONS)


def _without(node: Any, gone: set[str]) -> Any:
    """Return a call without the masks that these operations made."""
    if isinstance(node, Mapping):
        return {
            key: _without(item, gone)
            for key, item in node.items()
            if not any(reference[0] in gone for reference in references(item))
        }
    if isinstance(node, list | tuple):
        return [_without(item, gone) for item in node]
    return node
