"""A saved model as data: its config, and its tensors one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, Protocol

import h5py
from numpy.typing import NDArray

from graphprune.archive.checkpoint import Checkpoint
from graphprune.archive.hdf5 import (
    OpenedFile,
    StoredTensor,
    index_keras_groups,
    index_legacy_groups,
    open_hdf5,
    read_dataset,
)
from graphprune.archive.saved_model import index_checkpoint, open_checkpoint
from graphprune.archive.zipped import check_crcs, open_weights


class TensorReader(Protocol):
    """Reads tensors while their file is open."""

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: the file is damaged.
        """


@dataclass(frozen=True)
class Archive:
    """One saved model; nothing of it is kept open, tensors are read when they are asked for.

    Attributes:
        path: The file or folder.
        format: `keras` for the zip, `h5` for HDF5, `savedmodel` for a folder of TensorFlow's.
        keras_version: The version of Keras that wrote it; empty if the file does not say.
        config: The model's serialized entry (`class_name`, `config`, in `.keras` files `module`,
            `build_config`, `compile_config`); do not change it.
        training_config: The compile settings of an `.h5` file or a SavedModel.
        dialect: `keras3` where Keras 3 wrote the file; its config has been brought into the form of
            tf_keras, which cannot build it.
        renamed: Names of layers in the config by those that the file has, where the TensorFlow
            toolkit (tfmot) had named wrappers its own way.
    """

    path: str
    format: Literal["keras", "h5", "savedmodel"]
    keras_version: str
    config: Mapping[str, Any]
    training_config: Mapping[str, Any] | None = None
    dialect: Literal["tf_keras", "keras3"] = "tf_keras"
    renamed: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def stored(self) -> Mapping[str, tuple[StoredTensor, ...]]:
        """The tensors of the model in storage order, by group.

        A group is `layers/dense/cell` in a `.keras` file, the layer's name in an `.h5` file, the
        layer's position (`layer-1/layer-0`) in a SavedModel.

        Raises:
            ArchiveError: the weights are missing or damaged.
        """
        if self.format == "savedmodel":
            return MappingProxyType(index_checkpoint(open_checkpoint(self.path)))
        with self._open() as file:
            index = (
                index_keras_groups(file, self.path)
                if self.format == "keras"
                else index_legacy_groups(file, self.path)
            )
        return MappingProxyType(
            {self.renamed.get(group, group): tensors for group, tensors in index.items()}
        )

    @contextmanager
    def opened(self) -> Iterator[TensorReader]:
        """Open the weights for many reads."""
        if self.format == "savedmodel":
            yield _CheckpointReader(open_checkpoint(self.path))
            return
        with self._open() as file, file.raw() as raw:
            yield _Hdf5Reader(file, raw, self.path)

    def check_checksums(self) -> None:
        """Check what a `.keras` file says of its members' bytes; HDF5 and TensorFlow's checkpoints
        check theirs, where they have some, as tensors are read.

        Raises:
            ArchiveError: a member is damaged.
        """
        if self.format == "keras":
            check_crcs(self.path)

    def read(self, tensor: StoredTensor) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: the file has changed or is damaged.
        """
        with self.opened() as reader:
            return reader.read(tensor)

    @contextmanager
    def _open(self) -> Iterator[OpenedFile]:
        with (
            open_weights(self.path) if self.format == "keras" else open_hdf5(self.path, self.path)
        ) as file:
            yield file


@dataclass(frozen=True, slots=True)
class _Hdf5Reader:
    file: h5py.File
    raw: BinaryIO
    place: str

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        return read_dataset(self.file, self.raw, tensor, self.place)


@dataclass(frozen=True, slots=True)
class _CheckpointReader:
    checkpoint: Checkpoint

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        return self.checkpoint.read(tensor.path)
