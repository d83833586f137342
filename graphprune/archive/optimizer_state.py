"""Whether a saved model holds the state of an optimizer that has trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py

from graphprune.archive.archive import Archive
from graphprune.archive.hdf5.file import damage_named
from graphprune.archive.hdf5.model import Hdf5Model
from graphprune.archive.keras_zip import KerasZip
from graphprune.archive.saved_model.folder import SavedModelFolder
from graphprune.archive.saved_model.optimizer import read_optimizer

_IN_ZIP = ("optimizer", "_optimizer")
_IN_HDF5 = ("optimizer_weights",)


def has_optimizer_state(archive: Archive) -> bool:
    """Return whether the optimizer in the file has counted updates.

    The file of a model that was only compiled has an optimizer without any.

    Raises:
        ArchiveError: the file is damaged.
    """
    _ = archive.stored  # checks that the file is safe to read
    return any(value > 0 for value in _counts(archive))


def _counts(archive: Archive) -> Iterator[int]:
    """Yield the whole numbers in the state of the optimizer, its count of updates among them."""
    source = archive.source
    if isinstance(source, KerasZip):
        with source.opened() as zipped:
            yield from _in_groups(zipped.weights, _IN_ZIP, archive.path)
    elif isinstance(source, Hdf5Model):
        with source.opened() as opened:
            yield from _in_groups(opened.file, _IN_HDF5, archive.path)
    elif isinstance(source, SavedModelFolder):
        saved = read_optimizer(archive.path)
        if saved is not None:
            keys = saved.attributes.values()
            values = (saved.read(key) for key in keys if saved.shape(key) == ())
            yield from (int(value) for value in values if value.dtype.kind in "iu")


def _in_groups(file: h5py.File, names: tuple[str, ...], place: str) -> list[int]:
    found: list[int] = []

    def visit(_path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape == () and item.dtype.kind in "iu":
            found.append(int(item[()]))

    with damage_named(place):
        for name in names:
            if isinstance(file.get(name), h5py.Group):
                file[name].visititems(visit)
    return found
