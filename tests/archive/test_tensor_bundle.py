"""The checksum of the library against the definition, bit by bit."""

from __future__ import annotations

import random

import google_crc32c
import pytest

from graphprune.archive.saved_model import tensor_bundle as crc

POLYNOMIAL = 0x82F63B78


def by_definition(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (POLYNOMIAL if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize("size", [0, 1, 3, 255, 513, 4096, 10_001])
def test_any_size(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert crc.crc32c(data) == crc.crc32c(memoryview(data)) == by_definition(data)


def test_the_library_is_the_one_in_c() -> None:
    assert google_crc32c.implementation == "c"


def test_every_bit_counts() -> None:
    data = bytearray(random.Random(1).randbytes(3000))
    right = crc.crc32c(bytes(data))
    for place in range(0, 3000, 7):
        data[place] ^= 1 << place % 8
        assert crc.crc32c(bytes(data)) != right
        data[place] ^= 1 << place % 8


def test_masks_are_undone() -> None:
    assert [crc.unmask_crc(crc.mask_crc(value)) for value in (0, 1, 0x8A9136AA, 0xFFFFFFFF)] == [
        0,
        1,
        0x8A9136AA,
        0xFFFFFFFF,
    ]
