"""Quick writing of HDF5 datasets: the bytes that h5py writes, without looking at its many options.

A checkpoint of a small layer is three datasets, and h5py takes longer for its arguments than for
the copy (benchmarks/checkpoint_speed.py).
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5o, h5p, h5s, h5t
from numpy.typing import NDArray

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
