"""The sorted table in which TensorFlow keeps a checkpoint's index (LevelDB's doc/table_format.md; tensorflow/core/lib/io/table_format.txt)."""

from __future__ import annotations

from collections.abc import Iterator

from graphprune.archive.wire import WireError, read_varint, take_bytes

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5
"""After each block: one byte for the compression, four for the checksum."""
MAX_CHECKED = 4 * 2**20
"""Bytes of blocks whose checksum is computed (0.1 s a MB in Python); what is larger is bounded by its sizes alone."""


def read_table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the keys and values of a table in their order.

    Raises:
        WireError: this is no such table, it is damaged, or it is compressed, which TensorFlow never does with an index.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise WireError("no table of tensors")
    _, _, at = _read_handle(data[-FOOTER:], 0)
    offset, size, _ = _read_handle(data[-FOOTER:], at)
    left = MAX_CHECKED
    for _, handle in _entries(_read_block(data, offset, size, check=True)):
        offset, size, _ = _read_handle(handle, 0)
        left -= size
        yield from _entries(_read_block(data, offset, size, check=left >= 0))


def _read_handle(data: memoryview, at: int) -> tuple[int, int, int]:
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return offset, size, at


def _read_block(data: memoryview, offset: int, size: int, *, check: bool) -> memoryview:
    block = take_bytes(data, offset, size + TRAILER)
    if block[size] != 0:
        raise WireError(f"a block is compressed in the unknown way {block[size]}")
    if check and unmask_crc(int.from_bytes(block[size + 1 :], "little")) != crc32c(block[: size + 1]):
        raise WireError("the checksum of a block is wrong")
    return block[:size]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys, each of which shares a beginning with the one before it, and values."""
    restarts = int.from_bytes(take_bytes(block, len(block) - 4, 4), "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise WireError(f"{restarts} restart points do not fit into a block")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key):
            raise WireError("a key shares more than the key before it has")
        key = key[:shared] + bytes(take_bytes(block, at, own))
        yield key, take_bytes(block, at + own, length)
        at += own + length


def unmask_crc(masked: int) -> int:
    """Return the checksum that LevelDB wrote as `masked` (util/crc32c.h)."""
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((turned >> 17) | (turned << 15)) & 0xFFFFFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _crc_table()


def crc32c(data: memoryview | bytes) -> int:
    """Return the Castagnoli checksum (RFC 3720, appendix B.4).

    Example:
        >>> hex(crc32c(bytes(32)))
        '0x8a9136aa'
    """
    crc = 0xFFFFFFFF
    for byte in bytes(data):
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
