"""Numbers as reports print them."""

from __future__ import annotations


def format_count(count: int) -> str:
    """Return `count` with thousands separated.

    Example:
        >>> format_count(1234)
        '1,234'
    """
    return f"{count:,}"


def format_share(share: float) -> str:
    """Return a share of 1 as percent with one decimal.

    A share that is neither none nor all is never rounded to look like it.

    Example:
        >>> format_share(0.9), format_share(0.0), format_share(0.9999), format_share(0.0001)
        ('90.0%', '0.0%', '>99.9%', '<0.1%')
    """
    text = f"{share:.1%}"
    if text == "0.0%" and share > 0:
        return "<0.1%"
    if text == "100.0%" and share < 1:
        return ">99.9%"
    return text


def format_different(one: float, other: float) -> tuple[str, str]:
    """Return two shares, with as many decimals as it takes to tell them apart, at most six.

    Example:
        >>> format_different(0.8, 0.7999), format_different(0.8, 0.5), format_different(0.8, 0.8)
        (('80.00%', '79.99%'), ('80.0%', '50.0%'), ('80.0%', '80.0%'))
    """
    texts = format_share(one), format_share(other)
    for places in range(2, 7):
        if one == other or texts[0] != texts[1]:
            break
        texts = f"{one:.{places}%}", f"{other:.{places}%}"
    return texts


def format_bytes(size: int) -> str:
    """Return a size in bytes with a decimal unit, as file managers print it.

    Example:
        >>> format_bytes(512), format_bytes(1_066_440), format_bytes(999_960)
        ('512 B', '1.1 MB', '1.0 MB')
    """
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if round(value, 1) < 1000:
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"


def count_of(count: int, noun: str) -> str:
    """Return `count` and `noun`, with its plural where English wants it.

    Example:
        >>> count_of(1, "layer"), count_of(2000, "rule")
        ('1 layer', '2,000 rules')
    """
    return f"{format_count(count)} {noun}{'' if count == 1 else 's'}"
