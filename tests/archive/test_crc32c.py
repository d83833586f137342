"""The fast checksum against the definition, bit by bit."""

from __future__ import annotations

import random

import pytest

from graphprune.archive.saved_model import crc32c as crc


def by_definition(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (crc.POLYNOMIAL if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize("size", [0, 1, 3, 255, 256, 257, 511, 512, 513, 4096, 10_001])
def test_any_size(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert crc.crc32c(data) == by_definition(data)


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8191, 12_289])
def test_several_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(crc, "LANES", 64)
    monkeypatch.setattr(crc, "LANE", 64)
    data = random.Random(size).randbytes(size)
    assert crc.crc32c(memoryview(data)) == by_definition(data)


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
