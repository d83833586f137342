"""Saved models as data: the `.keras` zip, HDF5, SavedModel folders and JSON, read without
TensorFlow and without running anything that a file contains.

What belongs here: file formats, their limits and dialects, and the tensors in them. What does not:
how layers are connected (`graph`), and anything that writes a model (`tf`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.archive.archive import Archive, TensorReader
    from graphprune.archive.hdf5 import StoredTensor
    from graphprune.archive.read import no_weights, read_archive, read_document

__all__ = ["Archive", "StoredTensor", "TensorReader", "no_weights", "read_archive", "read_document"]

__getattr__ = lazy_names(
    __name__,
    {
        "archive": ["Archive", "TensorReader"],
        "hdf5": ["StoredTensor"],
        "read": ["no_weights", "read_archive", "read_document"],
    },
)
