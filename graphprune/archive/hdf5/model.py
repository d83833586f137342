"""`.h5` files of Keras: the config in attributes, the weights in groups by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import h5py
from numpy.typing import NDArray

from graphprune.archive.archive import GroupFacts, Header, Layout, StoredTensor
from graphprune.archive.files import MAX_JSON, parse_object
from graphprune.archive.hdf5.file import (
    OpenedFile,
    damage_named,
    open_hdf5,
    read_dataset,
    read_plain,
)
from graphprune.archive.hdf5.headers import read_texts
from graphprune.archive.hdf5.index import index_legacy_groups, read_names
from graphprune.archive.keras2 import upgrade_config
from graphprune.archive.keras3 import is_keras_3
from graphprune.errors import ArchiveError

WEIGHT_MARKS = (
    "layer_names",
    "layer_names0",
    "model_weights",
    "top_level_model_weights",
    "layers",
    "vars",
)
"""Attributes and groups at the root of HDF5 files that hold a model's weights without its config.
"""


@dataclass(frozen=True, slots=True)
class Hdf5Model:
    """An `.h5` file."""

    layout: ClassVar[Layout] = "h5"
    path: str

    @contextmanager
    def opened(self) -> Iterator[OpenedHdf5]:
        """Open the file.

        Raises:
            ArchiveError: it is damaged.
        """
        with open_hdf5(self.path, self.path) as file, file.raw() as raw:
            yield OpenedHdf5(self.path, file, raw)


@dataclass(frozen=True, slots=True)
class OpenedHdf5:
    """An `.h5` file while it is open."""

    path: str
    file: OpenedFile
    raw: BinaryIO

    def read_header(self) -> Header:
        """Return the config, the compile settings and the version of Keras.

        Raises:
            ArchiveError: there is no config, or it is damaged.
        """
        place = self.path
        text, training, version, names = self._read_attributes()
        if text is None:
            raise self._no_config()
        training_config = (
            None if training is None else parse_object(training, place, "training_config")
        )
        config = parse_object(text, place, "model_config")
        if not is_keras_3(version, config):
            config = upgrade_config(config, place, version, names)
        return Header(version, config, training_config)

    def index(self) -> Mapping[str, tuple[StoredTensor, ...]]:
        """Return the tensors by the name of the model's layer that they are in.

        Raises:
            ArchiveError: the file is damaged or not safe to read.
        """
        return index_legacy_groups(self.file, self.path)

    def describe(self, group: str, /) -> GroupFacts:
        """Return nothing: the config holds all layers."""
        return GroupFacts()

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: the file is damaged.
        """
        if tensor.stretch is not None:
            return read_plain(self.raw, tensor.stretch, self.path)
        return read_dataset(self.file, tensor, self.path)

    def check_checksums(self) -> None:
        """Do nothing: HDF5 checks its checksums, where it has some, as tensors are read."""

    def _read_attributes(self) -> tuple[bytes | None, bytes | None, str, list[str]]:
        with damage_named(self.path):
            text = self._attribute("model_config")
            training = self._attribute("training_config")
            version = (self._attribute("keras_version") or b"").decode("utf-8", "replace")
            weights = (
                self.file.get("model_weights")
                if "model_weights" in self.file
                and self.file.get("model_weights", getlink=True).__class__ is h5py.HardLink
                else None
            )
            names = read_names(weights, "layer_names") if isinstance(weights, h5py.Group) else None
        return text, training, version, names or []

    def _attribute(self, name: str) -> bytes | None:
        texts = read_texts(self.file, name, MAX_JSON)
        if texts is not None and len(texts) != 1:
            raise ArchiveError(
                f"{name} is not a string; the file is damaged, save the model again",
                place=self.path,
            )
        return None if texts is None else texts[0]

    def _no_config(self) -> ArchiveError:
        with damage_named(self.path):
            weights_only = any(
                mark in self.file.attrs or mark in self.file for mark in WEIGHT_MARKS
            )
        if weights_only:
            return ArchiveError(
                "no model_config attribute; this file holds weights only, save the"
                " whole model instead",
                place=self.path,
            )
        return ArchiveError(
            "no model_config attribute; this HDF5 file is not a Keras model, name a"
            " file that model.save() wrote",
            place=self.path,
        )
