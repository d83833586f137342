"""How many weights a sparsity leaves, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache


@lru_cache(maxsize=4096)  # models repeat their shapes, and fractions are slow
def kept_count(size: int, sparsity: float) -> int:
    """Return how many of `size` weights stay when the share `sparsity` (0 to below 1) must be zero.

    kept = max(1, round_half_even(size * (1 - sparsity))), computed on the decimal that was written,
    so that 90% of 1,000 keeps 100 and not 99.

    Raises:
        ValueError: `size` is below 1, or `sparsity` is outside [0, 1).

    Example:
        >>> kept_count(235200, 0.9), kept_count(10, 0.25), kept_count(3, 0.99)
        (23520, 8, 1)
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be at least 0 and below 1, got {sparsity}")
    return max(1, round(size * (1 - Fraction(str(float(sparsity))))))


def zero_count(size: int, sparsity: float) -> int:
    """Return how many of `size` weights are zero at `sparsity`: the rest of `kept_count`.

    Example:
        >>> zero_count(235200, 0.9)
        211680
    """
    return size - kept_count(size, sparsity)


def percent(share: float) -> str:
    """Return a share as it is written in a rule file.

    Example:
        >>> percent(0.9), percent(0.125)
        ('90%', '12.5%')
    """
    return f"{share * 100:.10g}%"


def kept_in_group(keep: int, of: int, share: float) -> int:
    """Return how many weights of a group of `of` stay at `share`, on the way to `keep`.

    It is round_half_even(of * (1 - share)), but never below `keep`.

    So the pattern is reached step by step along a schedule, and never passed.

    Raises:
        ValueError: `share` is outside [0, 1).

    Example:
        >>> [kept_in_group(2, 4, share) for share in (0.0, 0.1, 0.3, 0.5)]
        [4, 4, 3, 2]
    """
    return max(keep, kept_count(of, share))


def fewest_in_blocks(lengths: Sequence[tuple[int, int]], sparsity: float) -> int:
    """Return how many weights the smallest blocks have, as many blocks as are zeroed.

    `lengths` are (length of the axis, length of a block) pairs.
    """
    counts = {1: 1}
    for length, block in lengths:
        whole, rest = divmod(length, block)
        counts = _times(counts, {block: whole} | ({rest: 1} if rest else {}))
    blocks = sum(counts.values())
    left, zeros = blocks - kept_count(blocks, sparsity), 0
    for size in sorted(counts):
        taken = min(left, counts[size])
        left, zeros = left - taken, zeros + taken * size
    return zeros


def _times(counts: dict[int, int], more: dict[int, int]) -> dict[int, int]:
    """Return how many blocks of each size there are, once each is split along one more axis."""
    product: dict[int, int] = {}
    for size, count in counts.items():
        for length, times in more.items():
            product[size * length] = product.get(size * length, 0) + count * times
    return product
