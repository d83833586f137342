"""Distribute a budget of zeros over tensors: uniform, ERK, or one threshold on magnitudes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from graphprune.sparsity.mask_kernels import BITS, DIGIT, count_digits, digit_shifts, magnitude_bits


@dataclass(frozen=True, slots=True)
class Member:
    """One tensor of a budget: its size, and how many weights it keeps at least and at most."""

    size: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many weights of each member stay.

    The share `(size - kept) / size` gives the count back: `kept_count(size, share) == kept`.

    Attributes:
        kept: One count per member.
        scale: What the shares were multiplied by (`eps` of ERK), or the magnitude below which only
            bounds keep weights; None if the bounds fix all counts.
        wanted: For each member that stays whole, the share of its weights that the rule would keep
            if it could; None for the others.
    """

    kept: tuple[int, ...]
    scale: float | None = None
    wanted: tuple[float | None, ...] = ()


class InfeasibleBudgetError(ValueError):
    """No allocation within the bounds keeps this many weights.

    Between `least` and `most` weights can be kept.
    """

    def __init__(self, kept: int, least: int, most: int) -> None:
        super().__init__(f"from {least} to {most} weights can be kept, got {kept}")
        self.kept, self.least, self.most = kept, least, most


def allocate_by_size(members: Sequence[Member], kept: int) -> Allocation:
    """Return `kept` weights distributed by size: the same sparsity everywhere, within the bounds.

    Example:
        >>> allocate_by_size([Member(100, 1, 100), Member(50, 1, 50)], 15).kept
        (10, 5)
    """
    return _allocate(members, [member.size for member in members], kept)


def allocate_erk(
    members: Sequence[Member], shapes: Sequence[Sequence[int]], kept: int
) -> Allocation:
    """Return `kept` weights distributed by Erdős-Rényi-Kernel.

    Each tensor keeps eps * sum(shape) weights; tensors smaller than that stay dense.

    Evci et al., 2020 (arXiv:1911.11134), section 3. The sum is exact: remainders go to the largest
    fractions, of equal ones to the first member.

    Example:
        >>> allocate_erk([Member(1000, 1, 1000), Member(20, 1, 20)], [(100, 10), (10, 2)], 120).kept
        (108, 12)
    """
    return _allocate(members, [sum(shape) for shape in shapes], kept)


def allocate_by_magnitude(
    members: Sequence[Member], weights: Iterable[NDArray[np.floating]], kept: int
) -> Allocation:
    """Return how many weights of each tensor are among the `kept` largest magnitudes of all.

    A NaN counts as larger than every number.

    A member keeps `least` of its weights and at most `most`, wherever the threshold lies. Of equal
    magnitudes at the threshold, those of the first members stay. `weights` is iterated three
    times (five if one is float64): given an iterable that reads lazily, one tensor is in memory at
    a time.

    Example:
        >>> allocate_by_magnitude(
        ...     [Member(3, 1, 3), Member(3, 1, 3)],
        ...     [np.array([5.0, 4.0, 1.0]), np.array([3.0, 2.0, 0.5])],
        ...     3,
        ... ).kept
        (2, 1)
    """
    _check(members, kept)
    width = np.float64 if any(values.dtype.itemsize == 8 for values in weights) else np.float32
    bits = np.dtype(BITS[np.dtype(width).itemsize])
    least, most = (
        np.array([getattr(member, name) for member in members], dtype=np.int64)
        for name in ("least", "most")
    )
    above, prefix = np.zeros(len(members), dtype=np.int64), 0
    tied = above
    for shift in digit_shifts(bits):
        levels = _Levels.count((values.astype(width) for values in weights), prefix, shift)
        digit = levels.highest_reaching(kept, above, least, most)
        above, tied = above + levels.beyond(digit), levels.at(digit)
        prefix = prefix << DIGIT | digit
    counts = np.clip(above, least, most)
    room = np.clip(above + tied, least, most) - counts
    counts += np.clip(kept - int(counts.sum()) - (np.cumsum(room) - room), 0, room)
    threshold = float(np.array([prefix], dtype=bits).view(width)[0])
    return Allocation(tuple(map(int, counts)), threshold, (None,) * len(members))


def allocate_by_threshold(weights: Iterable[NDArray[np.floating]], threshold: float) -> Allocation:
    """Return how many weights of each tensor have a magnitude of at least `threshold`; at least 1.

    A NaN counts as larger than every number.

    Example:
        >>> allocate_by_threshold([np.array([0.5, -0.04, 0.05, 0.0]), np.array([0.01])], 0.05).kept
        (2, 1)
    """
    kept = tuple(
        max(1, values.size - int(np.count_nonzero(np.abs(values) < threshold)))
        for values in weights
    )
    return Allocation(kept, threshold, (None,) * len(kept))


def allocate_by_zeros(weights: Iterable[NDArray[np.floating]]) -> Allocation:
    """Return how many weights of each tensor are not zero; at least 1.

    Example:
        >>> allocate_by_zeros([np.array([0.5, 0.0, -0.0]), np.array([0.01])]).kept
        (1, 1)
    """
    kept = tuple(max(1, int(np.count_nonzero(values))) for values in weights)
    return Allocation(kept, 0.0, (None,) * len(kept))


def allocate_fewest(
    members: Sequence[Member],
    units: Sequence[int],
    wanted: int,
    allocate: Callable[[int], Allocation],
) -> Allocation:
    """Return the allocation with the fewest zeros that together count at least `wanted`.

    Args:
        members: The tensors.
        units: What a zero in each of them counts.
        wanted: What the zeros must count.
        allocate: Returns the allocation in which a number of weights stays.

    Raises:
        InfeasibleBudgetError: the bounds allow no such allocation.

    Example:
        >>> from functools import partial
        >>> members = [Member(10, 1, 10), Member(10, 1, 10)]
        >>> allocate_fewest(members, [4, 2], 25, partial(allocate_by_size, members)).kept
        (6, 5)
    """
    if len({*units}) < 2:
        return allocate(sum(one.size for one in members) - -(-wanted // next(iter(units), 1)))

    def counted(kept: int) -> int:
        rows = zip(members, units, allocate(kept).kept, strict=True)
        return sum((one.size - left) * unit for one, unit, left in rows)

    low, high = sum(one.least for one in members), sum(one.most for one in members)
    if counted(low) < wanted or counted(high) >= wanted + max(units):
        raise InfeasibleBudgetError(low, low, high)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if counted(middle) >= wanted else (low, middle - 1)
    return allocate(low)


@dataclass(frozen=True, slots=True)
class _Levels:
    """How many scores of each member that begin with one prefix have each next digit.

    Only digits that occur are stored.
    """

    counts: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]

    @classmethod
    def count(cls, weights: Iterable[NDArray[np.floating]], prefix: int, shift: int) -> _Levels:
        found = []
        for values in weights:
            scores = magnitude_bits(values)
            top = shift + DIGIT
            if top < 8 * scores.itemsize:
                scores = scores[(scores >> scores.dtype.type(top)) == prefix]
            counts = count_digits(scores, shift)
            held = np.flatnonzero(counts)
            found.append((held, counts[held]))
        return cls(tuple(found))

    def highest_reaching(
        self, kept: int, above: NDArray[np.int64], least: NDArray[np.int64], most: NDArray[np.int64]
    ) -> int:
        """Return the highest digit for which the members keep `kept` weights or more.

        Each member keeps its scores from that digit on, within its bounds.
        """
        total = np.zeros(1 << DIGIT, dtype=np.int64)
        for (held, counts), over, low, high in zip(self.counts, above, least, most, strict=True):
            line = np.zeros(1 << DIGIT, dtype=np.int64)
            line[held] = counts
            total += np.clip(over + line[::-1].cumsum()[::-1], low, high)
        return int(np.flatnonzero(total >= kept)[-1])

    def beyond(self, digit: int) -> NDArray[np.int64]:
        return np.array(
            [counts[held > digit].sum() for held, counts in self.counts], dtype=np.int64
        )

    def at(self, digit: int) -> NDArray[np.int64]:
        return np.array(
            [counts[held == digit].sum() for held, counts in self.counts], dtype=np.int64
        )


def _allocate(members: Sequence[Member], shares: Sequence[int], kept: int) -> Allocation:
    """Return eps * share for each member within its bounds, as whole numbers with the exact sum.

    The bounds that are exceeded most are fixed first.
    """
    _check(members, kept)
    fixed: dict[int, int] = {}
    wanted: list[float | None] = [None] * len(members)
    while len(fixed) < len(members):
        scale = Fraction(
            kept - sum(fixed.values()),
            sum(share for index, share in enumerate(shares) if index not in fixed),
        )
        wishes = {index: scale * share for index, share in enumerate(shares) if index not in fixed}
        above = {
            index: wish - members[index].most
            for index, wish in wishes.items()
            if wish > members[index].most
        }
        below = {
            index: members[index].least - wish
            for index, wish in wishes.items()
            if wish < members[index].least
        }
        if not above and not below:
            return Allocation(_whole(wishes, fixed, kept, members), float(scale), tuple(wanted))
        if sum(above.values()) >= sum(below.values()):
            fixed |= {index: members[index].most for index in above}
            for index in above:
                wanted[index] = (
                    float(wishes[index] / members[index].size)
                    if members[index].most == members[index].size
                    else None
                )
        else:
            fixed |= {index: members[index].least for index in below}
    return Allocation(tuple(fixed[index] for index in range(len(members))), None, tuple(wanted))


def _whole(
    wishes: dict[int, Fraction], fixed: dict[int, int], kept: int, members: Sequence[Member]
) -> tuple[int, ...]:
    """Return whole numbers with the sum `kept`.

    All are rounded down, then the largest fractions that have room get one more.
    """
    counts = fixed | {index: int(wish) for index, wish in wishes.items()}
    missing = kept - sum(counts.values())
    order = sorted(
        (index for index, wish in wishes.items() if counts[index] < members[index].most),
        key=lambda index: (int(wishes[index]) - wishes[index], index),
    )
    for index in order[:missing]:
        counts[index] += 1
    return tuple(counts[index] for index in range(len(members)))


def _check(members: Sequence[Member], kept: int) -> None:
    least, most = sum(member.least for member in members), sum(member.most for member in members)
    if not least <= kept <= most:
        raise InfeasibleBudgetError(kept, least, most)
