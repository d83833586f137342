"""Channels of several tensors that are zeroed together: their scores, masks and zeros.

A group has one score and one mask entry a channel. Tensors of a group take part along one axis each
and may hold several places for each channel, such as the four gates of an LSTM unit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from graphprune.sparsity.counts import kept_count, zero_count
from graphprune.sparsity.mask_kernels import select_mask

Score = Literal["mean", "norm", "none"]
SCORES: tuple[str, ...] = get_args(Score)
MAX_CHANNELS = 1 << 24
"""Channels of one group; a file that names more is damaged."""


@dataclass(frozen=True, slots=True)
class Coupling:
    """How one tensor takes part in a group of channels.

    Channel `first + k` of the group, `k` from 0 to below `count`, has the places `start + k * step
    + j * stride` along the axis, `j` from 0 to below `repeat`. A tensor whose places follow no such
    row takes part by several couplings.

    Attributes:
        group: The group's name: the address of the layer that leads it, and its axis after a `/`.
        weight: The tensor's name in its layer.
        axis: The index of the axis.
        channels: How many channels the group has.
        score: What the tensor adds to the score of a channel: `norm` its sum of squares, `mean` its
            mean |w|, `none` nothing.
        first, count: Which of the channels the tensor has; `count` is all of them by default.
        start, step, repeat, stride: The places of each channel.
        share: The share of channels that the group loses, where a budget gave it its own; None
            where it is the target of the tensor that leads it.
    """

    group: str
    weight: str
    axis: int
    channels: int
    score: Score = "none"
    first: int = 0
    count: int = -1
    start: int = 0
    step: int = 1
    repeat: int = 1
    stride: int = 1
    share: float | None = None

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {self.score!r}")
        if self.share is not None and not 0 <= self.share < 1:
            raise ValueError(f"share must be at least 0 and below 1, got {self.share:g}")
        if self.count == -1:
            object.__setattr__(self, "count", self.channels)
        least = (self.axis, self.first, self.start)
        if min(*least, self.count - 1, self.step - 1, self.repeat - 1, self.stride - 1) < 0 or (
            self.first + self.count > self.channels or self.channels > MAX_CHANNELS
        ):
            raise ValueError(f"the places of the channels of {self.weight!r} are not on its axis")

    @property
    def leader(self) -> str:
        """The address of the layer that leads the group."""
        return self.group.rpartition("/")[0]

    @property
    def places(self) -> NDArray[np.intp]:
        """The places of the channels along the axis, one row a channel.

        Example:
            >>> Coupling("lstm_1/out", "kernel", 1, 2, repeat=4, stride=2).places.tolist()
            [[0, 2, 4, 6], [1, 3, 5, 7]]
        """
        first = self.start + self.step * np.arange(self.count)
        found: NDArray[np.intp] = first[:, None] + self.stride * np.arange(self.repeat)
        return found

    @property
    def own(self) -> slice:
        """The channels of the group that the tensor has."""
        return slice(self.first, self.first + self.count)

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether a tensor of this shape has all places."""
        last = (self.count - 1) * self.step + (self.repeat - 1) * self.stride
        return self.axis < len(shape) and self.start + last < shape[self.axis]

    def scores(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what the tensor adds to the score of each of its channels.

        The sum of squared norms over a group is the importance of Fang et al., 2023 (DepGraph,
        arXiv:2301.12900, section 3.3). What they divide it by (the largest scores of the group in
        the paper; in Torch-Pruning, their program, the group's mean score, and the number of its
        tensors) is the same for all channels of a group and changes no order in it. Torch-Pruning
        also counts the kernels that only read a channel, and by default no biases.
        """
        others = tuple(index for index in range(values.ndim) if index != self.axis)
        with np.errstate(over="ignore"):
            line = np.abs(values)
            if self.score == "norm":
                line = np.square(line, dtype=np.float64)
            sums: NDArray[np.float64] = line.sum(axis=others, dtype=np.float64)[self.places].sum(1)
        size = 1 if self.score == "norm" else self.repeat * values.size // values.shape[self.axis]
        means: NDArray[np.float64] = sums / size
        return means

    def find_alive(self, zeros: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of its channels have a place that is not zero; `zeros` says where it is.

        Example:
            >>> Coupling("conv_1/out", "bias", 0, 3).find_alive(np.array([True, False, True]))
            array([False,  True, False])
        """
        others = tuple(index for index in range(zeros.ndim) if index != self.axis)
        line = np.asarray((~zeros).any(axis=others))
        return np.asarray(line[self.places].any(axis=1))

    def with_channels(self, mask: NDArray[np.bool_], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the mask of the tensor with the places of its channels as `kept` says."""
        changed = np.array(mask)
        lines = np.moveaxis(changed, self.axis, 0)
        marks = np.repeat(kept[self.own], self.repeat)
        lines[self.places.ravel()] = marks.reshape(-1, *[1] * (mask.ndim - 1))
        return changed

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, without fields that have their usual values."""
        config: dict[str, Any] = {
            "group": self.group,
            "weight": self.weight,
            "axis": self.axis,
            "channels": self.channels,
            "score": self.score,
        }
        for name, usual in {**_USUAL, "count": self.channels}.items():
            if getattr(self, name) != usual:
                config[name] = getattr(self, name)
        return config | ({} if self.share is None else {"share": self.share})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Coupling:
        """Return the value that `to_config` wrote.

        Raises:
            KeyError: a field is missing.
            ValueError: a field has a value that no coupling can have.
        """
        numbers = {name: int(config[name]) for name in (*_USUAL, "count") if name in config}
        return cls(
            str(config["group"]),
            str(config["weight"]),
            int(config["axis"]),
            int(config["channels"]),
            config["score"],
            share=None if config.get("share") is None else float(config["share"]),
            **numbers,
        )


_USUAL = {"first": 0, "start": 0, "step": 1, "repeat": 1, "stride": 1}


def couplings_at(lead: Coupling, places: Mapping[int, Sequence[int]]) -> tuple[Coupling, ...]:
    """Return how a tensor takes part that has these places of the channels of a group.

    Args:
        lead: Group, weight, axis and score; its places do not count.
        places: The places along the axis of each channel that the tensor has.

    Example:
        >>> lead = Coupling("conv_1/out", "gamma", 0, 4)
        >>> [
        ...     (one.first, one.count, one.start)
        ...     for one in couplings_at(lead, {0: [6], 1: [7], 3: [0]})
        ... ]
        [(0, 2, 6), (3, 1, 0)]
        >>> (gates,) = couplings_at(lead, {unit: [unit, unit + 4, unit + 8] for unit in range(4)})
        >>> gates.repeat, gates.stride, gates.step
        (3, 4, 1)
    """
    rows: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for channel in sorted(places):
        found = sorted(places[channel])
        gaps = {right - left for left, right in itertools.pairwise(found)}
        if len(gaps) <= 1:
            rows.setdefault((0, len(found), gaps.pop() if gaps else 1), []).append(
                (channel, found[0])
            )
            continue
        for index, place in enumerate(found):
            rows.setdefault((index, 1, 1), []).append((channel, place))
    made = []
    for (_, repeat, stride), pairs in rows.items():
        for run in _runs(pairs):
            step = run[1][1] - run[0][1] if len(run) > 1 else 1
            made.append(
                replace(
                    lead,
                    first=run[0][0],
                    count=len(run),
                    start=run[0][1],
                    step=step,
                    repeat=repeat,
                    stride=stride,
                )
            )
    return tuple(sorted(made, key=lambda one: (one.first, one.start)))


def _runs(pairs: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield (channel, place) pairs in runs of neighbouring channels at equal distances."""
    run = [pairs[0]]
    for channel, place in pairs[1:]:
        last = run[-1]
        gap = place - last[1]
        is_even = len(run) == 1 or gap == last[1] - run[-2][1]
        if channel == last[0] + 1 and gap > 0 and is_even:
            run.append((channel, place))
        else:
            yield run
            run = [(channel, place)]
    yield run


def zeros_in_channels(
    couplings: Sequence[Coupling], shape: Sequence[int], share: float, *, is_target: bool = False
) -> int:
    """Return how many weights of a tensor are zero when `share` of the channels are.

    With `is_target`, groups with a share of their own lose that one.

    It is the fewest possible where the tensor does not have all channels alike.

    Raises:
        ValueError: the channels do not fit the tensor.
    """
    total = 0
    for name, places in _places_in_channels(couplings).items():
        for coupling in couplings:
            if coupling.group == name and not coupling.fits(shape):
                raise ValueError(f"channels of {name!r} do not fit {coupling.weight} {list(shape)}")
        one = next(coupling for coupling in couplings if coupling.group == name)
        own = one.share if is_target and one.share is not None else share
        gone, axis = zero_count(len(places), own), one.axis
        total += int(np.sort(places)[:gone].sum()) * (math.prod(shape) // shape[axis])
    return total


def has_channels_alike(couplings: Sequence[Coupling]) -> bool:
    """Return whether the zeros of the tensor do not depend on which channels are zeroed."""
    return all(len(set(places)) <= 1 for places in _places_in_channels(couplings).values())


def _places_in_channels(couplings: Sequence[Coupling]) -> dict[str, NDArray[np.int64]]:
    """Return how many places the tensor has of each channel, by group."""
    found: dict[str, NDArray[np.int64]] = {}
    for coupling in couplings:
        places = found.setdefault(coupling.group, np.zeros(coupling.channels, np.int64))
        places[coupling.own] += coupling.repeat
    return found


def choose_channels(
    tensors: Iterable[tuple[Coupling, NDArray[np.floating]]], channels: int, share: float
) -> tuple[NDArray[np.bool_], float]:
    """Return which channels of a group stay (True), and the smallest score among them.

    max(1, round_half_even(channels * (1 - share))) channels stay; of equal scores the first.

    Example:
        >>> kernel, gamma = (
        ...     Coupling("conv_1/out", name, 0, 3, "norm") for name in ("kernel", "gamma")
        ... )
        >>> kept, smallest = choose_channels(
        ...     [(kernel, np.array([1.0, 2.0, 2.0])), (gamma, np.array([3.0, 0.0, 1.0]))], 3, 0.4
        ... )
        >>> kept.tolist(), smallest
        ([True, False, True], 5.0)
    """
    total = np.zeros(channels)
    with np.errstate(over="ignore", invalid="ignore"):
        for coupling, values in tensors:
            if coupling.score != "none":
                total[coupling.own] += coupling.scores(values)
    return select_mask(total, kept_count(channels, share))
