"""Writing of HDF5 datasets: quickly, and masks as bits.

A checkpoint of a small layer is three datasets, and h5py takes longer for its arguments than for
the copy (benchmarks/checkpoint_speed.py). `write_dataset` writes the bytes that h5py writes,
without looking at its many options.

An `.h5` file holds each variable in its own shape, and Keras reads it. There a mask is stored as
integers of one bit, packed by HDF5's own n-bit filter, which every HDF5 library unpacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5o, h5p, h5s, h5t, h5z
from numpy.typing import NDArray

from graphprune.archive.pruning_state import pack_mask, packed_bytes, unpack_mask

_PLAIN = "biuf"
"""The kinds of dtypes that HDF5 and NumPy both have."""


def _dataset_settings() -> Any:
    settings = h5p.create(h5p.DATASET_CREATE)
    settings.set_obj_track_times(False)
    return settings


def _link_settings() -> Any:
    settings = h5p.create(h5p.LINK_CREATE)
    settings.set_create_intermediate_group(True)
    return settings


def _bit_type() -> Any:
    kind = h5t.STD_U8LE.copy()
    kind.set_precision(1)
    return kind


_BIT = _bit_type()
_ONE_BIT = (1, 1, 0, 1, 0)
"""How the n-bit filter describes it: an integer of 1 byte, little-endian, of 1 bit, at bit 0."""
_FEWEST_BITS = 1 << 13
"""Below this, the index of a chunk (some kilobytes) takes more than bits save."""
_MOST_BITS = (1 << 32) - 1
"""The most that HDF5 keeps in a chunk."""
_DATASET = _dataset_settings()
_LINK = _link_settings()


def write_dataset(group: h5py.Group, name: str, array: NDArray[Any]) -> None:
    """Write an array as `group[name] = array` does.

    Args:
        group: The group of an open file.
        name: The name of the dataset in it, not yet used.
        array: The values, of any shape.

    Raises:
        OSError: the group has something of this name.
    """
    if array.dtype.kind not in _PLAIN or not name.isascii():
        h5py.Group.__setitem__(group, name, array)
        return
    array = np.asarray(array, order="C")
    kind, space = h5t.py_create(array.dtype, logical=True), h5s.create_simple(array.shape)
    made = h5d.create(group.id, None, kind, space, dcpl=_DATASET)
    made.write(h5s.ALL, h5s.ALL, array)
    h5o.link(made, group.id, name.encode(), lcpl=_LINK)


def holds_bits(dataset: h5d.DatasetID) -> bool:
    """Return whether an open dataset is packed by the n-bit filter.

    Raises:
        ValueError: it is packed in another way than `write_bits` does it.
    """
    settings = dataset.get_create_plist()
    filters = [settings.get_filter(index) for index in range(settings.get_nfilters())]
    if all(code != h5z.FILTER_NBIT for code, *_ in filters):
        return False
    count = math.prod(dataset.shape)
    (_, _, values, _), *others = filters
    is_ours = (
        not others
        and tuple(values) == (8, 0, count, *_ONE_BIT)
        and settings.get_chunk() == dataset.shape
        and dataset.get_storage_size() == packed_bytes(dataset.shape)
    )
    if not is_ours:
        raise ValueError("its n-bit filter is not that of a mask")
    return True


def read_bits(dataset: h5d.DatasetID) -> NDArray[np.bool_]:
    """Return the mask in an open dataset that holds bits.

    Raises:
        ValueError: it is not whole.
    """
    skipped, packed = dataset.read_direct_chunk((0,) * dataset.rank)
    if skipped or len(packed) != packed_bytes(dataset.shape):
        raise ValueError("its bits are not whole")
    return unpack_mask(np.frombuffer(packed, np.uint8), dataset.shape)


def write_bits(group: h5py.Group, name: str | bytes, mask: NDArray[np.bool_]) -> None:
    """Write a mask as one bit a value: a reader gets integers 0 and 1 in the mask's shape.

    The filter puts the bit of each value behind that of the one before, the highest bit first
    (`H5Z__nbit_compress_one_nooptype`, H5Znbit.c); so does NumPy.

    Args:
        group: The group of an open file.
        name: The name of the dataset in it, not yet used; groups in the name are made.
        mask: The mask, neither empty nor a scalar, of less than 2**32 values.

    Raises:
        ValueError: the group has something of this name.
    """
    settings = _dataset_settings()
    settings.set_chunk(mask.shape)
    settings.set_filter(h5z.FILTER_NBIT, 0, ())
    path = name if isinstance(name, bytes) else name.encode()
    space = h5s.create_simple(mask.shape)
    made = h5d.create(group.id, path, _BIT, space, dcpl=settings, lcpl=_LINK)
    made.write_direct_chunk((0,) * mask.ndim, pack_mask(mask).tobytes())


class MaskGroup(h5py.Group):  # type: ignore[misc] # h5py ships no types
    """A group in which large arrays of bool become bits; the rest is as h5py writes it.

    Example:
        >>> import io
        >>> with h5py.File(io.BytesIO(), "w") as file:
        ...     made = (
        ...         MaskGroup(file.id).create_group("fc").create_dataset("m", (99, 99), dtype="?")
        ...     )
        ...     made[:] = np.eye(99, dtype=bool)
        ...     print(file["fc"]["m"][0, :3], file["fc"]["m"].id.get_storage_size())
        [1 0 0] 1226
    """

    def create_group(self, name: str | bytes, track_order: bool | None = None) -> MaskGroup:
        """Make a group in this one."""
        return MaskGroup(super().create_group(name, track_order).id)

    def create_dataset(
        self,
        name: str | bytes,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        **options: Any,
    ) -> Any:
        """Return a dataset whose values can be set."""
        is_mask = np.dtype(dtype) == np.bool_ and shape is not None and not options
        if is_mask and _FEWEST_BITS <= math.prod(shape or ()) <= _MOST_BITS:
            return _Bits(self, name)
        return super().create_dataset(name, shape, dtype, **options)


class _Bits:
    """A dataset that is written at once, when its values are set."""

    def __init__(self, group: h5py.Group, name: str | bytes) -> None:
        self._group, self._name = group, name

    def __setitem__(self, whole: slice, mask: NDArray[np.bool_]) -> None:
        write_bits(self._group, self._name, mask)


class ArrayGroup(h5py.Group):  # type: ignore[misc] # h5py ships no types
    """A group that writes arrays by `write_dataset`, and all else as h5py does.

    Example:
        >>> import io
        >>> with h5py.File(io.BytesIO(), "w") as file:
        ...     group = ArrayGroup(file.create_group("vars").id)
        ...     group["0"] = np.eye(2)
        ...     print(file["vars/0"][0])
        [1. 0.]
    """

    def __setitem__(self, name: str, value: Any) -> None:
        """Write a value under a name that the group does not have."""
        if isinstance(value, np.ndarray | np.generic):
            write_dataset(self, name, np.asarray(value))
        else:
            super().__setitem__(name, value)
