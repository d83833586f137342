"""Groups of channels that are removed together, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.classes.channels import Role


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why channels stay.

    Attributes:
        address: The layer that needs them.
        text: What the layer does with them, as the rest of a sentence that begins with its address.

    Example:
        >>> str(Reason("ln_1", "normalizes over its channels"))
        'ln_1 normalizes over its channels'
    """

    address: str
    text: str

    def __str__(self) -> str:
        return f"{self.address} {self.text}"


@dataclass(frozen=True, slots=True, eq=False)
class GroupMember:
    """An axis of a weight along which the channels of a group are.

    Attributes:
        address: The layer.
        tensor: The weight's name.
        axis: The axis, counted from 0.
        role: What the weight does with the channels. A channel is dead once all weights that
            produce or scale it are zero there, unless the group is filled; statistics (the moving
            mean and variance of a batch normalization) and weights that consume it stay as they
            are.
        positions: The places of each channel along the axis: one row a channel, the same number of
            columns for all. There are several where layers repeat channels, such as the gates of an
            LSTM or the kernel behind a Flatten.
    """

    address: str
    tensor: str
    axis: int
    role: Role
    positions: NDArray[np.int64]

    @property
    def is_zeroed(self) -> bool:
        """Whether the weight must be zero at a channel that is to be dead."""
        return self.role in ("produces", "scales")


@dataclass(frozen=True, slots=True, eq=False)
class ChannelGroup:
    """Channels in the same places: each can be removed, but only from all members at once.

    Attributes:
        size: How many channels it has.
        members: Where they are, in the order of the model's calls.
        kept: Why none of them can be removed; empty if they can.
        filled: The layers behind which the channels are not zero although they are zero in all
            weights, so that zero weights do not make them dead (a sigmoid); empty if none is.
    """

    size: int
    members: tuple[GroupMember, ...]
    kept: tuple[Reason, ...] = ()
    filled: tuple[Reason, ...] = ()

    @property
    def is_removable(self) -> bool:
        """Whether channels are dead once their weights are zero, and can be removed then."""
        return not self.kept and not self.filled

    @property
    def zeroed(self) -> tuple[GroupMember, ...]:
        """The members that must be zero at a channel that is to be dead."""
        return tuple(member for member in self.members if member.is_zeroed)
