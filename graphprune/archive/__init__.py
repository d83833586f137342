"""Saved models as data: the `.keras` zip and HDF5, read without TensorFlow and without running anything that a file contains."""

from __future__ import annotations

from graphprune.archive.archive import Archive, TensorReader
from graphprune.archive.hdf5 import StoredTensor
from graphprune.archive.read import read_archive

__all__ = ["Archive", "StoredTensor", "TensorReader", "read_archive"]
