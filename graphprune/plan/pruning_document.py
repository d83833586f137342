"""The JSON form of how a layer is pruned, key by key, as plans hold it."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict

from graphprune.documents import Count, Expected, Flag, Items, Number, Share, Table, Text
from graphprune.sparsity.patterns import Pool
from graphprune.sparsity.schedules import CURVES

CurveName = Annotated[
    str, Expected(f"one of {', '.join(CURVES)}", pattern=f"^({'|'.join(CURVES)})$")
]


class PatternJson(TypedDict):
    """Which weights of a tensor are zeroed together."""

    kind: Literal["unstructured", "keep_of", "block", "channel"]
    """The pattern; it says which other keys there are."""
    keep: NotRequired[Count]
    """keep_of: the weights that stay in each group."""
    of: NotRequired[Count]
    """keep_of: the length of a group."""
    along: NotRequired[Text]
    """keep_of: the axis that groups lie along."""
    block: NotRequired[Table[Count]]
    """block: the length along each axis, where it is not 1."""
    pool: NotRequired[Pool]
    """block: what a block is scored by."""
    axis: NotRequired[Text]
    """channel: the axis whose places are zeroed as a whole."""


class CouplingJson(TypedDict):
    """How a tensor takes part in a group of channels that are zeroed together."""

    group: Text
    """The group: the address of the layer that leads it, and the axis after a slash."""
    weight: Text
    """The tensor."""
    axis: Count
    """The index of the axis with the channels."""
    channels: Count
    """How many channels the group has."""
    score: Literal["mean", "norm", "none"]
    """What the tensor adds to the score of a channel: mean |w|, its sum of squares, or nothing."""
    first: NotRequired[Count]
    """The first channel that the tensor has; 0 by default."""
    count: NotRequired[Count]
    """How many it has; all by default."""
    start: NotRequired[Count]
    """The place of its first channel along the axis; 0 by default."""
    step: NotRequired[Count]
    """The distance from one channel to the next; 1 by default."""
    repeat: NotRequired[Count]
    """How many places each channel has; 1 by default."""
    stride: NotRequired[Count]
    """The distance between the places of a channel; 1 by default."""
    share: NotRequired[Share]
    """The share of channels that the group loses, where a budget gave it its own."""


class PlaceJson(TypedDict, total=False):
    """A place in a training run, in one unit, and its optimizer step if that is known."""

    epoch: Number
    """Epochs since the beginning."""
    step: Number
    """Optimizer steps since the beginning."""
    percent: Number
    """A share of the whole run."""


class PointJson(TypedDict):
    """One jump of a schedule of points."""

    at: PlaceJson
    """When."""
    sparsity: Share
    """The share of zeros from there on."""


_From = Annotated[Share, Expected("a number from 0 to 1", about="The share of zeros at `begin`.")]
_FromJson = TypedDict("_FromJson", {"from": NotRequired[_From]})


class ScheduleJson(_FromJson):
    """When masks change, and how sparsity rises."""

    name: Text | None
    """What the rule file calls it."""
    curve: CurveName
    """The shape of the rise."""
    power: NotRequired[Number]
    """The exponent of `polynomial`."""
    points: NotRequired[Items[PointJson]]
    """The jumps of `points`."""
    begin: PlaceJson
    """The first update of masks."""
    end: PlaceJson | None
    """The last update; null for a schedule without an end."""
    every: PlaceJson | None
    """The distance between updates; null for the default."""


class PruningJson(TypedDict):
    """How a layer is pruned."""

    pattern: PatternJson
    """Which weights are zeroed together."""
    sparsity: Share
    """The target share of zeros of each tensor; of a budget, over all its tensors."""
    schedule: ScheduleJson
    """When masks change."""
    weights: Items[Text]
    """The tensors to prune."""
    pads: NotRequired[Flag]
    """Whether a last group or block that is short is pruned like a whole one."""
    shares: NotRequired[Items[Share] | None]
    """The target of each tensor, where a budget gave them their own."""
    axes: NotRequired[Items[Items[Text]] | None]
    """The names of the axes of each tensor."""
    group: NotRequired[Literal["none", "auto"]]
    """Whether channels that other layers are coupled to are pruned together; `none` by default."""
    couplings: NotRequired[Items[CouplingJson]]
    """How the tensors take part in groups of channels."""
    method: NotRequired[Literal["gradual", "keep"]]
    """Whether the zeros that are there are held (`keep`); `gradual` by default."""
