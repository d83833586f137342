"""How a budget of zeros is shared out over tensors: uniform, ERK, or by one threshold over all magnitudes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Member:
    """One tensor of a budget: its weights, and how many of them must stay at least and at most."""

    size: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many weights of each member stay.

    Attributes:
        kept: One count a member.
        scale: What the shares were multiplied by (`eps` of ERK), or the threshold that magnitudes reach; None where all was fixed by bounds.
        wanted: For each member that stays whole, the share of its weights that the rule would keep if it could; None for the others.
    """

    kept: tuple[int, ...]
    scale: float | None = None
    wanted: tuple[float | None, ...] = ()


class InfeasibleBudgetError(ValueError):
    """No allocation within the bounds keeps so many weights; `least` and `most` are what can be kept."""

    def __init__(self, kept: int, least: int, most: int) -> None:
        super().__init__(f"from {least} to {most} weights can stay, got {kept}")
        self.kept, self.least, self.most = kept, least, most


def allocate_by_size(members: Sequence[Member], kept: int) -> Allocation:
    """Return `kept` weights shared out by size: the same sparsity everywhere, as far as bounds allow.

    Example:
        >>> allocate_by_size([Member(100, 1, 100), Member(50, 1, 50)], 15).kept
        (10, 5)
    """
    return _allocate(members, [member.size for member in members], kept)


def allocate_erk(members: Sequence[Member], shapes: Sequence[Sequence[int]], kept: int) -> Allocation:
    """Return `kept` weights shared out by Erdős-Rényi-Kernel: eps * sum(shape) in each tensor, and tensors that would exceed their size whole.

    Evci et al., 2020 (arXiv:1911.11134), section 3. The sum is exact: remainders go to the largest fractions, of equal ones to the first member.

    Example:
        >>> allocate_erk([Member(1000, 1, 1000), Member(20, 1, 20)], [(100, 10), (10, 2)], 120).kept
        (108, 12)
    """
    return _allocate(members, [sum(shape) for shape in shapes], kept)


def allocate_by_magnitude(members: Sequence[Member], weights: Sequence[NDArray[np.floating]], kept: int) -> Allocation:
    """Return how many weights of each tensor are among the `kept` largest magnitudes of all; a NaN counts as larger than every number.

    Of equal magnitudes at the threshold, those of the first members stay.

    Example:
        >>> allocate_by_magnitude([Member(3, 1, 3), Member(3, 1, 3)], [np.array([5.0, 4.0, 1.0]), np.array([3.0, 2.0, 0.5])], 3).kept
        (2, 1)
    """
    _check(members, kept)
    counts = [member.least for member in members]
    free = kept - sum(counts)
    if not free:
        return Allocation(tuple(counts), None, (None,) * len(members))
    open_scores = [_between(member, values) for member, values in zip(members, weights, strict=True)]
    pool = np.concatenate(open_scores)
    threshold = np.partition(pool, pool.size - free)[pool.size - free]
    ties = free - int(np.count_nonzero(pool > threshold))
    for index, scores in enumerate(open_scores):
        equal = min(ties, int(np.count_nonzero(scores == threshold)))
        counts[index] += int(np.count_nonzero(scores > threshold)) + equal
        ties -= equal
    return Allocation(tuple(counts), float(threshold), (None,) * len(members))


def _between(member: Member, values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the magnitudes that compete: all but the `least` largest, which stay, and those beyond `most`, which do not."""
    scores = np.abs(np.asarray(values, dtype=np.float64 if values.dtype == np.float64 else np.float32)).ravel()
    scores[np.isnan(scores)] = np.inf
    ordered = np.sort(scores)[::-1]
    return ordered[member.least : member.most]


def _allocate(members: Sequence[Member], shares: Sequence[int], kept: int) -> Allocation:
    """Return eps * share for each member, held within its bounds, the bounds that are broken most first; whole numbers with the exact sum."""
    _check(members, kept)
    fixed: dict[int, int] = {}
    wanted: list[float | None] = [None] * len(members)
    while len(fixed) < len(members):
        scale = Fraction(kept - sum(fixed.values()), sum(share for index, share in enumerate(shares) if index not in fixed))
        wishes = {index: scale * share for index, share in enumerate(shares) if index not in fixed}
        above = {index: wish - members[index].most for index, wish in wishes.items() if wish > members[index].most}
        below = {index: members[index].least - wish for index, wish in wishes.items() if wish < members[index].least}
        if not above and not below:
            return Allocation(_whole(wishes, fixed, kept, members), float(scale), tuple(wanted))
        if sum(above.values()) >= sum(below.values()):
            fixed |= {index: members[index].most for index in above}
            for index in above:
                wanted[index] = float(wishes[index] / members[index].size) if members[index].most == members[index].size else None
        else:
            fixed |= {index: members[index].least for index in below}
    return Allocation(tuple(fixed[index] for index in range(len(members))), None, tuple(wanted))


def _whole(wishes: dict[int, Fraction], fixed: dict[int, int], kept: int, members: Sequence[Member]) -> tuple[int, ...]:
    """Return whole numbers with the sum `kept`: all rounded down, then one more for the largest fractions that have room."""
    counts = fixed | {index: int(wish) for index, wish in wishes.items()}
    missing = kept - sum(counts.values())
    order = sorted(
        (index for index, wish in wishes.items() if counts[index] < members[index].most), key=lambda index: (int(wishes[index]) - wishes[index], index)
    )
    for index in order[:missing]:
        counts[index] += 1
    return tuple(counts[index] for index in range(len(members)))


def _check(members: Sequence[Member], kept: int) -> None:
    least, most = sum(member.least for member in members), sum(member.most for member in members)
    if not least <= kept <= most:
        raise InfeasibleBudgetError(kept, least, most)
