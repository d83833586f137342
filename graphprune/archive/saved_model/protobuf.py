"""Protocol buffers without their schemas: the fields of one message by number.

See protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

Field = int | memoryview
MAX_VARINT = 10


class WireError(ValueError):
    """The bytes are not a message."""


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at `at`, and where the next thing begins.

    Raises:
        WireError: the data ends, or the number is longer than 64 bits.

    Example:
        >>> read_varint(memoryview(bytes([0xAC, 0x02])), 0)
        (300, 2)
    """
    value = 0
    for shift in range(MAX_VARINT):
        if at + shift >= len(data):
            raise WireError("a number is cut off")
        byte = data[at + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value & (2**64 - 1), at + shift + 1
    raise WireError("a number has more than 64 bits")


def take_bytes(data: memoryview, at: int, size: int) -> memoryview:
    """Return `size` bytes from `at` on.

    Raises:
        WireError: there are not as many.
    """
    if size < 0 or at < 0 or at + size > len(data):
        raise WireError(f"{size} bytes are claimed, {max(0, len(data) - at)} are there")
    return data[at : at + size]


def read_fields(data: memoryview) -> Iterator[tuple[int, Field]]:
    """Yield number and value of each field: an unsigned int for varint and fixed, else its bytes.

    Raises:
        WireError: the bytes are not a message.

    Example:
        >>> [
        ...     (number, bytes(value) if isinstance(value, memoryview) else value)
        ...     for number, value in read_fields(memoryview(bytes([8, 5, 18, 1, 65])))
        ... ]
        [(1, 5), (2, b'A')]
    """
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
            yield tag >> 3, value
        elif kind == 2:
            size, at = read_varint(data, at)
            yield tag >> 3, take_bytes(data, at, size)
            at += size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            yield tag >> 3, int.from_bytes(take_bytes(data, at, size), "little")
            at += size
        else:
            raise WireError(f"a field has the unknown kind {kind}")


def messages_in(data: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the messages (or texts) that field `number` holds."""
    for found, value in read_fields(data):
        if found == number and isinstance(value, memoryview):
            yield value


def texts_of(data: memoryview) -> dict[int, str]:
    """Return the text fields of a message, the last of each number; invalid UTF-8 is replaced."""
    return {
        number: bytes(value).decode("utf-8", "replace")
        for number, value in read_fields(data)
        if isinstance(value, memoryview)
    }


def numbers_of(data: memoryview) -> dict[int, int]:
    """Return the fields of a message that are numbers, the last of each number."""
    return {number: value for number, value in read_fields(data) if isinstance(value, int)}
