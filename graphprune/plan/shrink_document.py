"""The JSON of what `shrink` will bring, in plans."""

from __future__ import annotations

from typing import cast

from typing_extensions import TypedDict

from graphprune.documents import Count, Items, Text
from graphprune.shrink.summary import Cost, LayerChange, ShrinkSummary


class CostJson(TypedDict):
    """A cost before `shrink` and after it."""

    before: Count | None
    """As the model is; null where it is not known."""
    after: Count | None
    """Without the dead channels."""


class SmallerLayerJson(TypedDict):
    """A layer that `shrink` makes smaller."""

    address: Text
    """The layer."""
    type: Text
    """Its class name."""
    removed_channels: Count
    """How many channels it makes less; 0 for one that only reads less."""
    parameters: CostJson
    """Its weights."""
    multiply_adds: CostJson
    """Its multiply-adds for one sample."""


class ShrinkJson(TypedDict):
    """What `shrink` will bring after training."""

    parameters: CostJson
    """All weights."""
    multiply_adds: CostJson
    """Multiply-adds for one sample."""
    layers: Items[SmallerLayerJson]
    """The layers that get smaller."""


_KEYS = ("parameters", "multiply_adds", "layers")


def summary_to_document(summary: ShrinkSummary) -> ShrinkJson:
    """Return what `shrink` will bring as JSON data."""
    found = summary.to_config()
    return cast(ShrinkJson, {key: found[key] for key in _KEYS})


def summary_from_document(document: ShrinkJson | None) -> ShrinkSummary | None:
    """Return what `summary_to_document` wrote; it does not hold the channels that stay."""
    if document is None:
        return None
    layers = (
        LayerChange(layer["address"], layer["type"], layer["removed_channels"], *_costs(layer))
        for layer in document["layers"]
    )
    return ShrinkSummary(*_costs(document), tuple(layers), ())


def _costs(document: ShrinkJson | SmallerLayerJson) -> tuple[Cost, Cost]:
    """Return the costs before and after."""
    parameters, multiply_adds = document["parameters"], document["multiply_adds"]
    return (
        Cost(parameters["before"] or 0, multiply_adds["before"]),
        Cost(parameters["after"] or 0, multiply_adds["after"]),
    )
