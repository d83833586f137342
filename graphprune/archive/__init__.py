"""Saved models as data, read without TensorFlow and without running anything that a file contains.

Formats are the `.keras` zip, HDF5, SavedModel folders and JSON.

What belongs here: file formats, their limits and dialects, and the tensors in them. What does not:
how layers are connected (`graph`), and anything that writes a model (`tf`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.archive.archive import Archive, StoredTensor
    from graphprune.archive.read import (
        find_source,
        no_weights,
        opened_archive,
        read_archive,
        read_document,
    )

__all__ = [
    "Archive",
    "StoredTensor",
    "find_source",
    "no_weights",
    "opened_archive",
    "read_archive",
    "read_document",
]

if not TYPE_CHECKING:  # so that type checkers know every name, and no other
    __getattr__ = lazy_names(
        __name__,
        {
            "archive": ["Archive", "StoredTensor"],
            "read": [
                "find_source",
                "no_weights",
                "opened_archive",
                "read_archive",
                "read_document",
            ],
        },
    )
