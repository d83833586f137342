"""Data sets as Keras writes them, known by their object headers alone: numbers of a common type, in
one stretch of the file.

Opening one through the HDF5 library takes some 150 microseconds, and large models have 100,000 of
them. What is not as plain is left to the library.

Layouts: HDF5 File Format Specification 3.0, IV.A.2.b (dataspace), IV.A.2.d (datatype), IV.A.2.h
(external files), IV.A.2.i (data layout).
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from h5py import h5t
from numpy.typing import NDArray

DATASPACE, DATATYPE, EXTERNAL, LAYOUT = 0x01, 0x03, 0x07, 0x08
SIMPLE = 1
CONTIGUOUS = b"\3\1"
"""Version and class at the beginning of a layout message."""
_TYPES = ("<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")


@dataclass(frozen=True, slots=True)
class Stretch:
    """The values of one data set: where they begin in the file, and what they are."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def find_stretch(messages: Mapping[int, bytes], room: int) -> Stretch | None:
    """Return where the values of a data set lie by the messages of its header, or None where it is
    not plain or does not lie in a file of `room` bytes.
    """
    dtype = _known_types().get(messages.get(DATATYPE, b"").rstrip(b"\0"))
    shape = _find_shape(messages.get(DATASPACE, b""))
    layout = messages.get(LAYOUT, b"")
    if (
        dtype is None
        or shape is None
        or EXTERNAL in messages
        or not layout.startswith(CONTIGUOUS)
        or len(layout) < 18
    ):
        return None
    start, size = struct.unpack_from("<2xQQ", layout)
    fits = size == math.prod(shape) * dtype.itemsize and start + size <= room
    return Stretch(start, shape, dtype) if fits else None


def read_stretch(file: BinaryIO, stretch: Stretch) -> NDArray[Any]:
    """Return the values.

    Raises:
        ValueError: the file has become shorter.
    """
    values = np.empty(stretch.shape, stretch.dtype)
    file.seek(stretch.start)
    room = values.reshape(-1).view(np.uint8).data
    if values.size and file.readinto(room) < values.nbytes:  # type: ignore[attr-defined]
        raise ValueError("values beyond the end of the file")
    return values


def _find_shape(message: bytes) -> tuple[int, ...] | None:
    """Return the axis lengths in a dataspace message of version 1 or 2."""
    if len(message) < 4 or message[0] not in (1, 2) or (message[0] == 2 and message[3] > SIMPLE):
        return None
    start, rank = (8 if message[0] == 1 else 4), message[1]
    return (
        struct.unpack_from(f"<{rank}Q", message, start)
        if rank <= 32 and len(message) >= start + 8 * rank
        else None
    )


@functools.cache
def _known_types() -> Mapping[bytes, np.dtype[Any]]:
    """Return the types that are read here by their messages, which the library writes with two
    bytes in front.
    """
    return {
        h5t.py_create(np.dtype(name)).encode()[2:].rstrip(b"\0"): np.dtype(name) for name in _TYPES
    }
