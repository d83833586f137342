"""Texts in the attributes of an HDF5 file, without letting the HDF5 library follow a damaged
reference.

HDF5 keeps a text of any length apart from its attribute, in a global heap. Where the reference or
the heap is damaged, the library (seen in 1.14.6) reads for ever, fills gigabytes or ends the
process, in a call that nothing interrupts; so such texts are read here, with every length checked
first.

Layouts: HDF5 File Format Specification 3.0, III.E (global heap), IV.A.2.m (attribute message),
VIII.A (references into a heap).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from typing import BinaryIO

import h5py
import numpy as np
from h5py import h5a, h5o, h5t

from graphprune.archive.files import open_file
from graphprune.archive.hdf5.headers import ATTRIBUTE, read_bytes, read_messages
from graphprune.errors import ArchiveError

MAX_TEXTS = 1_000_000
"""Layers of a model, or weights of a layer: far more than Keras can build."""


def read_texts(group: h5py.Group, name: str, limit: int) -> list[bytes] | None:
    """Return the texts in an attribute of `group`, one for each element, or None where it has no
    such attribute.

    Raises:
        ArchiveError: it holds no text, or more than `limit` bytes.
        ValueError: its data are damaged; see `damage_named`.
    """
    place = os.fsdecode(group.file.filename)
    key = name.encode()
    if not h5a.exists(group.id, key):
        return None
    attribute = h5a.open(group.id, key)
    kind = attribute.get_type()
    count = math.prod(attribute.shape)
    size = count * kind.get_size()
    if count == 0:
        return []  # Keras writes an empty list as numbers
    if kind.get_class() != h5t.STRING or len(attribute.shape) > 1:
        raise ArchiveError(
            f"{place}: {name} is not a text; the file is damaged, save the model again"
        )
    if count > MAX_TEXTS:
        raise ArchiveError(
            f"{place}: {name} is a list of {count:,} texts, more than the {MAX_TEXTS:,} that a"
            " model's may have; save the model again"
        )
    if size <= limit and not kind.is_variable_str():
        values = np.empty(attribute.shape, attribute.dtype)
        attribute.read(values)
        return list(map(bytes, values.reshape(-1).tolist()))
    if size <= limit:
        with open_file(place) as file:
            references = _find_references(file, h5o.get_info(group.id).addr, key, count)
            size = sum(length for length, _, _ in references)
            if size <= limit:
                heaps = _index_heaps(file, {address for length, address, _ in references if length})
                return [
                    read_bytes(file, *_place_in_heap(heaps, *reference)) for reference in references
                ]
    raise ArchiveError(
        f"{place}: {name} has {size:,} bytes, more than the {limit:,} that a model's config may"
        " have; save the model again"
    )


def _find_references(
    file: BinaryIO, address: int, name: bytes, count: int
) -> list[tuple[int, int, int]]:
    """Return length, heap address and index of each text of an attribute."""
    for kind, message in read_messages(file, address):
        if kind != ATTRIBUTE:
            continue
        version, flags, name_size, type_size, space_size = struct.unpack_from("<BBHHH", message)
        padded = 8 if version == 1 else 1
        at = 8 if version < 3 else 9
        if version > 3 or flags & 3:
            raise ValueError("an attribute of another kind than Keras writes")
        if message[at : at + name_size].rstrip(b"\0") != name:
            continue
        for part in (name_size, type_size, space_size):
            at += -(-part // padded) * padded
        return [struct.unpack_from("<IQI", message, at + 16 * number) for number in range(count)]
    raise ValueError(f"no place of {name.decode()}")


def _index_heaps(file: BinaryIO, addresses: set[int]) -> dict[int, dict[int, tuple[int, int]]]:
    """Return, for each global heap, where its objects begin and their lengths, by index; the object
    with index 0 is free room and the last.
    """
    room = os.fstat(file.fileno()).st_size
    heaps: dict[int, dict[int, tuple[int, int]]] = {}
    for address in sorted(addresses):
        signature, size = struct.unpack("<4s4xQ", read_bytes(file, address, 16))
        room -= size
        if signature != b"GCOL" or room < 0:
            raise ValueError("a text without a heap")
        heap = read_bytes(file, address, size)
        places = heaps[address] = {}
        at = 16
        while at + 16 <= size:
            index, held = struct.unpack_from("<H6xQ", heap, at)
            if index == 0:
                break
            places[index] = (address + at + 16, held)
            at += 16 + -(-held // 8) * 8
    return heaps


def _place_in_heap(
    heaps: Mapping[int, Mapping[int, tuple[int, int]]], length: int, address: int, index: int
) -> tuple[int, int]:
    """Return the start and length of a text."""
    if length == 0:
        return 0, 0
    start, held = heaps[address].get(index, (0, 0))
    if length > held:
        raise ValueError("a text that its heap does not hold")
    return start, length
