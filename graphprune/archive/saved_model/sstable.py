"""The sorted table in which TensorFlow keeps a checkpoint's index (LevelDB's doc/table_format.md;
tensorflow/core/lib/io/table_format.txt).
"""

from __future__ import annotations

from collections.abc import Iterator

from graphprune.archive.saved_model.crc32c import crc32c, unmask_crc
from graphprune.archive.saved_model.protobuf import WireError, read_varint, take_bytes

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5
"""After each block: one byte for the compression, four for the checksum."""


def read_table(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the keys and values of a table in their order.

    Raises:
        WireError: this is no such table, it is damaged, or it is compressed, which
            `TableBuilderOptions` of tensorflow/core/util/tensor_bundle/tensor_bundle.cc rules out.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise WireError("no table of tensors")
    _, _, at = _read_handle(data[-FOOTER:], 0)
    offset, size, _ = _read_handle(data[-FOOTER:], at)
    for _, handle in _entries(_read_block(data, offset, size)):
        offset, size, _ = _read_handle(handle, 0)
        yield from _entries(_read_block(data, offset, size))


def _read_handle(data: memoryview, at: int) -> tuple[int, int, int]:
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return offset, size, at


def _read_block(data: memoryview, offset: int, size: int) -> memoryview:
    block = take_bytes(data, offset, size + TRAILER)
    if unmask_crc(int.from_bytes(block[size + 1 :], "little")) != crc32c(block[: size + 1]):
        raise WireError("the checksum of a block is wrong")
    if block[size] != 0:
        kind = {1: "with snappy"}.get(block[size], f"in the unknown way {block[size]}")
        raise WireError(f"a block is compressed {kind}, which TensorFlow never does")
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
