"""Implicit masks of Embedding and Masking layers, where the two Kerases treat them differently.

The mask of a sequence goes with its tensor from layer to layer. tf_keras and Keras 3 merge
different masks differently (`compute_mask` of the merging layers in both).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.archive.calls import read_call, references
from graphprune.archive.entries import name_of, type_of
from graphprune.conversion.arguments import RECURRENT

Sources = Mapping[str, frozenset[str]]
"""The layers from which the mask of each layer's output comes; none without a mask."""

MERGING = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"})
_ATTENTION = frozenset({"MultiHeadAttention", "Attention", "AdditiveAttention"})
_ENDING = frozenset(
    {
        *("GlobalAveragePooling1D", "GlobalMaxPooling1D", "Flatten", "Reshape", "Permute", "Dot"),
        *("Conv1D", "SeparableConv1D", "DepthwiseConv1D", "MaxPooling1D", "AveragePooling1D"),
    }
)
"""Classes whose outputs have no mask, whatever their inputs have."""


def mask_sources(layers: list[Any]) -> Sources:
    """Return where the mask of each layer's output comes from, by the layer's name."""
    found: dict[str, frozenset[str]] = {name_of(entry): _own(entry) for entry in layers}
    passing = [entry for entry in layers if not _ends_masks(entry)]
    while True:
        before = dict(found)
        for entry in passing:
            for reached in inputs_sources(entry, found):
                found[name_of(entry)] |= reached
        if found == before:
            return found


def inputs_sources(entry: Any, sources: Sources) -> list[frozenset[str]]:
    """Return where the mask of each tensor comes from that a layer takes, over all its calls."""
    return [
        sources.get(reference[0], frozenset())
        for node in entry.get("inbound_nodes") or ()
        for reference in references(read_call(node)[0])
    ]


def merges_masks(entry: Any, sources: Sources) -> bool:
    """Return whether a layer merges tensors whose masks differ, or of which only some have one.

    tf_keras keeps a step that all masks keep, and ignores tensors without one. Keras 3 keeps a step
    that any mask keeps, and none if a tensor has no mask. On an axis of steps, `Concatenate` does
    the same in both.
    """
    if type_of(entry) not in MERGING:
        return False
    if type_of(entry) == "Concatenate" and entry["config"].get("axis", -1) == 1:
        return False
    return any(
        len({sources.get(reference[0], frozenset()) for reference in references(call)}) > 1
        for call in (read_call(node)[0] for node in entry.get("inbound_nodes") or ())
    )


def find_lost_mask(layers: list[Any], sources: Sources) -> Any | None:
    """Return an attention layer for which Keras 3 would have no mask of a tensor, or None.

    Its MultiHeadAttention deletes the masks of the tensors that it takes, and another attention
    layer that takes the same tensor works without them; in tf_keras both have the mask.
    """
    takers: dict[tuple[Any, ...], list[Any]] = {}
    for entry in layers:
        nodes = entry.get("inbound_nodes") or () if type_of(entry) in _ATTENTION else ()
        for node in nodes:
            taken = {tuple(reference[:3]) for reference in references(read_call(node))}
            for tensor in taken:
                if sources.get(tensor[0]):
                    takers.setdefault(tensor, []).append(entry)
    for found in takers.values():
        if len(found) > 1 and any(type_of(entry) == "MultiHeadAttention" for entry in found):
            return found[-1]
    return None


def _own(entry: Any) -> frozenset[str]:
    is_masking = type_of(entry) == "Masking" or entry["config"].get("mask_zero")
    return frozenset({name_of(entry)} if is_masking else ())


def _ends_masks(entry: Any) -> bool:
    kind, config = type_of(entry), entry["config"]
    if kind == "Bidirectional":
        config = config["layer"]["config"]
    has_steps = kind not in RECURRENT or bool(config.get("return_sequences"))
    return kind in _ENDING or bool(_own(entry)) or kind == "Embedding" or not has_steps
