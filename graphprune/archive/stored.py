"""Where one tensor of a saved model is stored."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphprune.archive.hdf5.plain import Stretch


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One data set.

    Attributes:
        group: The group that it belongs to, see `Archive.stored`.
        name: Its name there: `0`, `1`, ... in a `.keras` file, `fc1/kernel:0` in an `.h5` file.
        path: Its path in the HDF5 file.
        shape, dtype: As NumPy names them.
        stretch: Where its values lie in the HDF5 file; None where only the HDF5 library can tell.
    """

    group: str
    name: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    stretch: Stretch | None = field(default=None, compare=False, repr=False)
