"""The header of a `.npy` file, read within limits: type, shape and order of an array.

The format is that of numpy.lib.format; arrays of types that no model can be trained on are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from tokenize import TokenError  # of NumPy's reader of headers that Python 2 wrote
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy

from graphprune.errors import DataError

MAX_DIMENSIONS = 32
MAX_HEADER = 10_000


@dataclass(frozen=True, slots=True)
class Header:
    """What a member's header declares.

    Attributes:
        dtype, shape: Of the array.
        is_fortran: Whether the first axis varies fastest.
        length: Bytes of the header itself.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool
    length: int

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def shaped(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the bytes as the array that the header declares."""
        order: Literal["C", "F"] = "F" if self.is_fortran else "C"
        return values.view(self.dtype).reshape(self.shape, order=order)


def read_header(path: str, name: str, member: IO[bytes]) -> Header:
    """Return what the header says; NumPy reads it as a Python literal and runs nothing.

    Raises:
        DataError: it cannot be read, or declares an array that no model is trained on.
    """
    header = _parse_header(path, name, member)
    check_kind(path, name, header.dtype)
    return header


def _parse_header(path: str, name: str, member: IO[bytes]) -> Header:
    try:
        version = npy.read_magic(member)
    except ValueError as fault:
        raise DataError(
            f"{name} is not an array; write the file with numpy.savez", place=path
        ) from fault
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:  # version 3 is for names of fields that are not Latin-1
        raise DataError(
            f"{name} is written in version {version[0]}.{version[1]} of the .npy format;"
            " store it as a plain array of numbers",
            place=path,
        )
    try:
        shape, is_fortran, dtype = readers[version](member, max_header_size=MAX_HEADER)
    except (
        ValueError,
        TypeError,
        SyntaxError,
        TokenError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as fault:
        raise DataError(
            f"damaged, {name} has a header that cannot be read ({clip(str(fault))});"
            " write the file again",
            place=path,
        ) from fault
    if len(shape) > MAX_DIMENSIONS:
        raise DataError(
            f"{name} has {len(shape)} dimensions, more than the limit of {MAX_DIMENSIONS};"
            " reshape it",
            place=path,
        )
    if any(isinstance(length, bool) or not 0 <= length < 2**63 for length in shape):
        raise DataError(
            f"damaged, {name} declares the shape {clip(str(shape))}; write the file again",
            place=path,
        )
    return Header(dtype, shape, is_fortran, member.tell())


def check_kind(place: str, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse arrays that TensorFlow has no type for, and text as labels: no loss takes it.

    Raises:
        DataError: no model is trained on an array of this type.
    """
    if dtype.hasobject:
        raise DataError(
            f"{name} holds Python objects, which are never unpickled; store it as an array"
            " of numbers",
            place=place,
        )
    is_number = dtype.kind == "b" or (dtype.kind in "iuf" and dtype.itemsize <= 8)
    is_text = dtype.kind in "US" and dtype.itemsize > 0 and name.startswith("x_")
    if not is_number and not is_text:
        is_kind = "is a structured array" if dtype.names else f"has dtype {clip(str(dtype))}"
        raise DataError(
            f"{name} {is_kind}; store it as integers, floats of at most 64 bits or bool"
            + _advice(dtype),
            place=place,
        )


def _advice(dtype: np.dtype[Any]) -> str:
    match dtype.kind:
        case "M" | "m":
            return ", for example seconds as float64"
        case "c":
            return ", for example with real and imaginary part on an axis of length 2"
        case "U" | "S" if dtype.itemsize:
            return ", with a number for each label"
    return ""


def clip(text: str) -> str:
    """Return text from a file, shortened for a message."""
    return text if len(text) <= 80 else f"{text[:80]}..."
