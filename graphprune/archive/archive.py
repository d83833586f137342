"""A saved model as data: its config, and its tensors one by one.

What all formats share is here; each format is a `Source` in a module of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Stretch:
    """The values of one data set: where they begin in the file, and what they are."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


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


Layout = Literal["keras", "h5", "savedmodel"]
"""How a format groups and names its tensors, see `Archive.stored`."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a saved model says of itself beside its weights.

    Attributes:
        keras_version: The version of Keras that wrote it; empty if the file does not say.
        config: The model's serialized entry.
        training_config: The compile settings, where they are not part of the entry.
    """

    keras_version: str
    config: Mapping[str, Any]
    training_config: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """What is known of the layer that a group belongs to, where the config does not hold it.

    Attributes:
        name: The layer's own name; empty if it is not known.
        entry: Its class and config; None in a file, which has neither.
        is_whole: Whether it says itself what to prune, so its weights are not those of the layers
            inside it.
    """

    name: str = ""
    entry: Mapping[str, Any] | None = None
    is_whole: bool = False


class OpenedModel(Protocol):
    """A saved model while its file is open."""

    def read_header(self) -> Header:
        """Return the config and the facts beside it.

        Raises:
            ArchiveError: the file is damaged, or holds no config.
        """

    def index(self) -> Mapping[str, tuple[StoredTensor, ...]]:
        """Return the tensors in storage order, by group (see `Archive.stored`).

        Raises:
            ArchiveError: the weights are missing or damaged.
        """

    def describe(self, group: str, /) -> GroupFacts:
        """Return what is known of the layer that a group of the index belongs to."""

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: the file is damaged.
        """

    def check_checksums(self) -> None:
        """Check what the file says of its members' bytes, where tensors are read past it.

        Raises:
            ArchiveError: a member is damaged.
        """


class Source(Protocol):
    """Where a saved model lies, in one of the formats."""

    @property
    def path(self) -> str:
        """The file or folder."""

    @property
    def layout(self) -> Layout:
        """How it groups and names its tensors: as one of the three that Keras writes."""

    def opened(self) -> AbstractContextManager[OpenedModel]:
        """Open the file.

        Raises:
            ArchiveError: it is damaged.
        """


@dataclass(frozen=True)
class Archive:
    """One saved model; tensors are read when they are asked for.

    Nothing of it is kept open, except inside of `opened`: there everything goes through one handle.

    Attributes:
        source: Where it lies.
        keras_version: The version of Keras that wrote it; empty if the file does not say.
        config: The model's serialized entry (`class_name`, `config`, in `.keras` files `module`,
            `build_config`, `compile_config`); do not change it.
        training_config: The compile settings of an `.h5` file or a SavedModel.
        dialect: `keras3` where Keras 3 wrote the file; its config has been brought into the form of
            tf_keras, which cannot build it.
        renamed: Names of layers in the config by those that the file has, where the TensorFlow
            toolkit (tfmot) had named wrappers its own way.
    """

    source: Source
    keras_version: str
    config: Mapping[str, Any]
    training_config: Mapping[str, Any] | None = None
    dialect: Literal["tf_keras", "keras3"] = "tf_keras"
    renamed: Mapping[str, str] = field(default_factory=dict)
    _open: list[OpenedModel] = field(default_factory=list, compare=False, repr=False)

    @property
    def path(self) -> str:
        """The file or folder."""
        return self.source.path

    @property
    def compile_settings(self) -> Mapping[str, Any]:
        """The settings that the model was compiled with, as the file has them; empty without."""
        found = self.config.get("compile_config") or self.training_config
        return found if isinstance(found, Mapping) else {}

    @property
    def layout(self) -> Layout:
        """How its tensors are grouped and named; a format of its own may use any of the three."""
        return self.source.layout

    @cached_property
    def stored(self) -> Mapping[str, tuple[StoredTensor, ...]]:
        """The tensors of the model in storage order, by group.

        A group is `layers/dense/cell` in the layout of `.keras` files (`block/dense` in one of a
        subclassed model, and empty for weights of the model itself), the layer's name in that of
        `.h5` files, the layer's position (`layer-1/layer-0`) in that of SavedModel folders.

        Raises:
            ArchiveError: the weights are missing or damaged.
        """
        with self.opened() as file:
            index = file.index()
        return MappingProxyType(
            {self.renamed.get(group, group): tensors for group, tensors in index.items()}
        )

    def describe(self, groups: Iterable[str]) -> dict[str, GroupFacts]:
        """Return what is known of the layers that these groups of a `.keras` file belong to."""
        with self.opened() as file:
            return {group: file.describe(group) for group in groups}

    @contextmanager
    def opened(self) -> Iterator[OpenedModel]:
        """Keep the file open for what follows; nested calls share it."""
        if self._open:
            yield self._open[0]
            return
        with self.source.opened() as file:
            self._open.append(file)
            try:
                yield file
            finally:
                self._open.clear()

    def check_checksums(self) -> None:
        """Check the checksums of a `.keras` file's members.

        HDF5 and TensorFlow's checkpoints check theirs, where they have some, as tensors are
        read.

        Raises:
            ArchiveError: a member is damaged.
        """
        with self.opened() as file:
            file.check_checksums()

    def read(self, tensor: StoredTensor) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: the file has changed or is damaged.
        """
        if self._open:
            return self._open[0].read(tensor)
        with self.opened() as file:
            return file.read(tensor)


def keras_of(archive: Archive) -> int:
    """Return the major version of the Keras that wrote the config of a file, 2 or 3."""
    return 3 if archive.dialect == "keras3" else 2


def as_written(archive: Archive) -> Archive:
    """Return the saved model with its config as the file has it, which Keras itself reads.

    Raises:
        ArchiveError: the file has changed, and is damaged.
    """
    if archive.dialect == "tf_keras":
        return archive
    with archive.opened() as file:
        return replace(archive, config=file.read_header().config)


IN_HDF5 = np.dtype("V2")
"""HDF5 does not know them either; h5py keeps them as two opaque bytes."""


def widen_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """Return the floats whose 16 bits are given as integers, exactly.

    Example:
        >>> widen_bfloat16(np.array([0x3F80, 0xC020], "uint16")).tolist()
        [1.0, -2.5]
    """
    return (bits.astype("uint32") << 16).view("float32")
