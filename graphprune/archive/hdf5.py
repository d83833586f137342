"""HDF5 files with weights, read without following links or believing sizes.

Layout of `.keras` (tf_keras/src/saving/saving_lib.py): each layer has a group named by its place in
the model, with data sets `vars/0`, `vars/1`, ... Layout of `.h5`
(tf_keras/src/saving/legacy/hdf5_format.py): `model_weights/<layer>` with an attribute
`weight_names`, or parts `weight_names0`, ...
"""

from __future__ import annotations

import functools
import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from graphprune.archive.bfloat16 import IN_HDF5, widen_bfloat16
from graphprune.archive.files import open_file
from graphprune.archive.hdf5_headers import check_root, is_group, read_messages
from graphprune.archive.hdf5_plain import Stretch, find_stretch, read_stretch
from graphprune.archive.hdf5_texts import read_texts
from graphprune.archive.json_text import MAX_JSON
from graphprune.archive.stored import StoredTensor
from graphprune.errors import ArchiveError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_UNCHECKED = 64 * 2**20
MAX_RATIO = 300
"""Keras itself stores weights uncompressed; those of which 99 of 100 are zero shrink some 50 times.
Above 64 MB, what claims to shrink more is refused.
"""
MAX_DEFLATE = 1100
"""Deflate shrinks at most about 1032 times; a data set that claims more than this times its bytes
on disk is refused.
"""
_CUT = re.compile(r"truncated file: eof = (\d+), .*stored_eof = (\d+)")
LAYERS = "layers"
LAYERS_UNTIL_2_14 = "_layer_checkpoint_dependencies"
"""Where the weights in a `.keras` file of TensorFlow 2.12 to 2.14 have a model's layers
(keras/saving/saving_lib.py there); it is `layers` since 2.15.
"""


class OpenedFile(h5py.File):  # type: ignore[misc] # h5py ships no types
    """An HDF5 file that is open for reading, and what it was opened from."""

    def __init__(self, source: str | BinaryIO) -> None:
        self._source = source
        with self.raw() as raw:
            check_root(raw)
        super().__init__(source, "r")

    @contextmanager
    def raw(self) -> Iterator[BinaryIO]:
        """Open the bytes of the file."""
        if isinstance(self._source, str):
            with open_file(self._source) as file:
                yield file
        else:
            yield self._source


@contextmanager
def damage_named(place: str) -> Iterator[None]:
    """Turn what h5py raises on damaged data into an ArchiveError that begins with `place`."""
    try:
        yield
    except (
        OSError,
        RuntimeError,
        LookupError,
        ValueError,
        struct.error,
        TypeError,
        OverflowError,
        SystemError,
        MemoryError,
    ) as err:
        raise ArchiveError(
            f"{place}: damaged HDF5 data ({_one_line(err)}); save or copy the model again"
        ) from err


@contextmanager
def open_hdf5(source: str | BinaryIO, place: str) -> Iterator[OpenedFile]:
    """Open an HDF5 file for reading; `place` begins error texts.

    Raises:
        ArchiveError: the file is damaged.
    """
    with damage_named(place):
        file = OpenedFile(source)
    try:
        yield file
    finally:
        file.close()


@contextmanager
def open_with_texts(
    path: str, texts: Mapping[str, str], orders: Mapping[str, list[str]] | None = None
) -> Iterator[h5py.File]:
    """Open an `.h5` model for reading with `texts` as its attributes, whatever its own are; the
    file stays as it is.

    So a reader takes the configs that were checked, and none from the file once more.

    Args:
        path: The file.
        texts: Its attributes (`model_config`, `training_config`).
        orders: What to put in place of the lists of weights of some layers, in a copy in memory.

    Raises:
        ArchiveError: the file is damaged.
    """
    with damage_named(path):
        file = (
            _CopyWithTexts(path, "r+", driver="core", backing_store=False)
            if orders
            else _FileWithTexts(path)
        )
    file.texts = texts
    try:
        with damage_named(path):
            for layer, names in (orders or {}).items():
                file["model_weights"][layer].attrs["weight_names"] = [
                    name.encode() for name in names
                ]
        yield file
    finally:
        file.close()


class _FileWithTexts(OpenedFile):
    texts: Mapping[str, str]

    @property
    def attrs(self) -> Mapping[str, str]:
        return self.texts


class _CopyWithTexts(h5py.File):  # type: ignore[misc] # h5py ships no types
    texts: Mapping[str, str]

    @property
    def attrs(self) -> Mapping[str, str]:
        return self.texts


_DAMAGED = "the file is damaged, save the model again"


def _one_line(err: Exception) -> str:
    cut = _CUT.search(str(err))
    if cut is not None:
        return f"the file was cut off, it has {int(cut[1]):,} bytes of {int(cut[2]):,}"
    return " ".join(str(err.args[0] if err.args else type(err).__name__).split())[:120]


def read_dataset(file: h5py.File, raw: BinaryIO, tensor: StoredTensor, place: str) -> NDArray[Any]:
    """Return the values of a data set that an index of this file gave; `raw` are the bytes of the
    file.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    with damage_named(place):
        if tensor.stretch is not None:
            return read_stretch(raw, tensor.stretch)
        dataset, shape, dtype = _open_dataset(file, tensor.path, place)
        values = np.empty(shape, dtype)
        if values.size:
            dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        return widen_bfloat16(values.view("<u2")) if dtype == IN_HDF5 else values


def index_keras_groups(file: OpenedFile, place: str) -> dict[str, tuple[StoredTensor, ...]]:
    """Return the tensors of the layers in a `.keras` file's weights, by group.

    Raises:
        ArchiveError: the file is damaged or not safe to read.
    """
    with damage_named(place):
        groups: dict[str, list[str]] = {}
        objects = _all_objects(file, place)
        for path in map(_text, objects):
            group, _, name = path.rpartition("/vars/")
            if (
                path.startswith((f"{LAYERS}/", f"{LAYERS_UNTIL_2_14}/"))
                and group
                and "/" not in name
            ):
                groups.setdefault(group, []).append(name)
        return {
            group: tuple(
                _stored(file, group, name, f"{group}/vars/{name}", objects, place)
                for name in sorted(names, key=_number)
            )
            for group, names in groups.items()
        }


def _all_objects(file: OpenedFile, place: str) -> Mapping[bytes, Stretch | None]:
    """Return where the values lie of all plain data sets in the file, by path, and None for groups
    and other data sets.

    Each object's header is read before the library opens it. The file holds no link that leads
    elsewhere, and no group twice, and no data set that keeps its values in another file: Keras
    reads those of the optimizer and of metrics as well.
    """
    objects: dict[bytes, Stretch | None] = {}
    others: list[bytes] = []
    seen: set[int] = set()
    faults: list[Exception] = []
    with file.raw() as raw:
        room = raw.seek(0, os.SEEK_END)

        def visit(name: bytes, info: Any) -> bytes | None:
            objects[name] = None
            if info.type != h5py.h5l.TYPE_HARD:
                return name
            try:
                messages = dict(read_messages(raw, info.u))
                if not is_group(raw, messages):
                    objects[name] = find_stretch(messages, room)
                    if objects[name] is None:
                        others.append(name)
                elif info.u in seen:
                    raise ValueError("a group stands in two places")
                else:
                    seen.add(info.u)
            except (ValueError, struct.error, OverflowError) as err:  # h5py lets no exception pass
                faults.append(err)
            return name if faults else None

        link = file.id.links.visit(visit, info=True)
    if faults:
        raise faults[0]
    if link is not None:
        raise ArchiveError(
            f"{place}: {_text(link)} is a link, which Keras never writes; the file is not safe to"
            " read, save the model again"
        )
    for path in map(_text, others):
        _check_storage(_open(file, path, place), path, place)
    return objects


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 30, name)


def index_legacy_groups(file: OpenedFile, place: str) -> dict[str, tuple[StoredTensor, ...]]:
    """Return the tensors of an `.h5` file by the name of the model's layer that they are in.

    Raises:
        ArchiveError: the file is damaged or not safe to read.
    """
    with damage_named(place):
        objects = _all_objects(file, place)
        if b"model_weights" not in objects:
            raise ArchiveError(
                f"{place}: no model_weights group; the weights are missing, save the model again"
            )
        root = file["model_weights"]
        index: dict[str, tuple[StoredTensor, ...]] = {}
        layers = read_names(root, "layer_names")
        if layers is None or len(set(layers)) < len(layers):
            raise ArchiveError(
                f"{place}: its list of layers (layer_names)"
                f" {'is missing' if layers is None else 'names one twice'}; {_DAMAGED}"
            )
        for layer in layers:
            names = read_names(
                h5py.Group(h5py.h5g.open(root.id, layer.encode())), "weight_names"
            )  # twice as fast as root[layer]
            if names is None:
                raise ArchiveError(
                    f"{place}: layer {layer!r} has no list of its weights (weight_names); the file"
                    " was not written to its end, save the model again"
                )
            if names:
                index[layer] = tuple(
                    _stored(file, layer, name, f"model_weights/{layer}/{name}", objects, place)
                    for name in names
                )
        return index


def read_names(group: h5py.Group, attribute: str) -> list[str] | None:
    """Return a list of names from an attribute that may be cut in parts, because HDF5 limits an
    object header to 64 kB; None where there is none.
    """
    texts = read_texts(group, attribute, MAX_JSON)
    if texts is not None:
        return list(map(_text, texts))
    names: list[str] = []
    part = 0
    while (texts := read_texts(group, f"{attribute}{part}", MAX_JSON)) is not None:
        names += map(_text, texts)
        part += 1
    return names if part else None


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _stored(
    file: h5py.File,
    group: str,
    name: str,
    path: str,
    objects: Mapping[bytes, Stretch | None],
    place: str,
) -> StoredTensor:
    stretch = objects.get(path.encode())
    if stretch is not None:
        return StoredTensor(group, name, path, stretch.shape, _dtype_name(stretch.dtype), stretch)
    _, shape, dtype = _open_dataset(file, path, place)
    return StoredTensor(group, name, path, shape, _dtype_name(dtype))


@functools.cache
def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "float32" if dtype == IN_HDF5 else dtype.name


def _check_numbers(dtype: np.dtype[Any], path: str, place: str) -> None:
    """Raise unless the values of a data set are numbers."""
    if dtype.kind in "biufc" or dtype == IN_HDF5:
        return
    kind = (
        "texts or references"
        if dtype.hasobject or dtype.kind in "SU"
        else "records"
        if dtype.names or dtype.subdtype
        else "bytes without a meaning"
    )
    raise ArchiveError(
        f"{place}: {path} holds {kind}, and graphprune reads numbers; keep such a table outside the"
        " model"
    )


def _open(file: h5py.File, path: str, place: str) -> h5py.h5d.DatasetID:
    """Return the open data set (h5py's low level: ten times faster)."""
    try:
        return h5py.h5d.open(file.id, path.encode())
    except (KeyError, ValueError) as err:
        raise ArchiveError(
            f"{place}: no tensor {path} in its HDF5 data; the file is damaged, save the model again"
        ) from err


def _open_dataset(
    file: h5py.File, path: str, place: str
) -> tuple[h5py.h5d.DatasetID, tuple[int, ...], np.dtype[Any]]:
    """Return the open data set of a tensor, its shape and type."""
    dataset = _open(file, path, place)
    _check_storage(dataset, path, place)
    _check_numbers(dataset.dtype, path, place)
    return dataset, tuple(dataset.shape), dataset.dtype


def _check_storage(dataset: h5py.h5d.DatasetID, path: str, place: str) -> None:
    """Refuse a data set that reads other files, or claims more than the file holds."""
    settings = dataset.get_create_plist()
    if settings.get_layout() == h5py.h5d.VIRTUAL or settings.get_external_count():
        raise ArchiveError(
            f"{place}: {path} keeps its values in another file, which Keras never does; the file is"
            " not safe to read, save the model again"
        )
    stored = dataset.get_storage_size()
    claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
    is_chunked = settings.get_layout() == h5py.h5d.CHUNKED
    if claimed > stored * (MAX_DEFLATE if is_chunked else 1) or claimed > max(
        MAX_UNCHECKED, stored * MAX_RATIO
    ):
        raise ArchiveError(
            f"{place}: {path} claims {claimed:,} bytes and holds {stored:,}; the file is damaged,"
            " save the model again"
        )
