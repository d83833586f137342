"""The JSON of what `shrink` will bring, in plans."""

from __future__ import annotations

from typing_extensions import TypedDict

from graphprune.documents import Count, Items, Text


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
