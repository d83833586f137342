"""Damage to bytes, texts and plain values, from a random generator: the same generator gives the
same damage.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from random import Random
from typing import Any

NUMBERS: tuple[Any, ...] = (
    0,
    1,
    -1,
    2,
    0.5,
    90,
    1e308,
    -0.0,
    float("inf"),
    float("nan"),
    2**31,
    2**63,
    10**40,
    1e-320,
)
TEXTS = (
    "",
    " ",
    "*",
    "**",
    "a" * 3000,
    "\x00",
    "\x1b[2J",
    "\ud800",
    "\U0010ffff",
    "é٣１",
    "${x}",
    "a::b",
    "0 epochs",
    "50%",
    "1k",
    "../x",
    ".*(a|b)*" * 20,
)


def mutate_bytes(random: Random, data: bytes) -> bytes:
    """Return `data` with one to four places changed: bits flipped, bytes set, cut off, dropped or
    doubled.
    """
    for _ in range(random.randint(1, 4)):
        at, size = random.randrange(len(data) + 1), random.choice([1, 1, 2, 4, 8, 64, 1000])
        part = data[at : at + size]
        new = random.choice(
            [
                bytes(byte ^ 1 << random.randrange(8) for byte in part),
                bytes([random.choice([0, 1, 0x7F, 0x80, 0xFF])]) * len(part),
                random.randbytes(len(part)),
                b"",
                part * random.randint(2, 20),
            ]
        )
        data = data[:at] + new + data[at + size :]
    return data[: random.randrange(len(data) + 1)] if random.random() < 0.1 else data


def mutate_text(random: Random, text: str, words: Sequence[str]) -> str:
    """Return `text` with one to five of `words`, or of its own pieces, put in, some in place of
    what stood there.
    """
    for _ in range(random.randint(1, 5)):
        at, start = random.randrange(len(text) + 1), random.randrange(len(text) + 1)
        word = (
            random.choice(words)
            if random.random() < 0.7
            else text[start : start + random.choice([3, 30, 300])]
        )
        text = (
            text[:at]
            + word * random.choice([1, 1, 1, 2, 50])
            + text[at + random.choice([0, 0, 1, 5, 40]) :]
        )
    return text


def mutate_value(random: Random, value: Any, words: Sequence[str]) -> Any:
    """Return a copy of a JSON value with one to three places changed: replaced, removed, doubled,
    renamed, nested, or exchanged with another place.
    """
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return _anything(random, words)
        owner, key = random.choice(places)
        _change(random, owner, key, places, words)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (mapping or list, key) of a value."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        keys = (
            list(part)
            if isinstance(part, dict)
            else list(range(len(part)))
            if isinstance(part, list)
            else []
        )
        found += [(part, key) for key in keys]
        waiting += [part[key] for key in keys]
    return found


def _change(
    random: Random, owner: Any, key: Any, places: list[tuple[Any, Any]], words: Sequence[str]
) -> None:
    other, other_key = random.choice(places)
    match random.randrange(7):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, list):
            owner[key:key] = [
                copy.deepcopy(owner[key]) for _ in range(random.choice([1, 1, 2, 30]))
            ]
        case 1 | 2 if isinstance(owner, dict):
            owner[random.choice([*words, *TEXTS])] = (
                owner.pop(key) if random.random() < 0.5 else copy.deepcopy(owner[key])
            )
        case 3:
            owner[key] = copy.deepcopy(other[other_key])
        case 4:
            owner[key] = _nested(random, owner[key])
        case 5 if isinstance(owner[key], str):
            owner[key] = mutate_text(random, owner[key], words)
        case _:
            owner[key] = _anything(random, words)


def _nested(random: Random, value: Any) -> Any:
    for _ in range(random.choice([1, 1, 2, 100])):
        value = random.choice(
            [
                [value],
                {"not": value},
                {"any": [value]},
                {"all": [value, value]} if random.random() < 0.1 else [value],
            ]
        )
    return value


def _anything(random: Random, words: Sequence[str]) -> Any:
    return random.choice(
        [
            None,
            True,
            False,
            [],
            {},
            [[]],
            {"": {}},
            random.choice(NUMBERS),
            random.choice(TEXTS),
            random.choice(words),
            [random.choice(words)],
        ]
    )
