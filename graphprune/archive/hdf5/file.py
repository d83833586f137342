"""HDF5 files with weights, opened and read without following links or trusting sizes.

Which data sets a file holds is found in `archive.hdf5.index`.

Most data sets are plain: numbers of a common type in one contiguous stretch of the file. These are
read from their object headers alone, because opening one through the HDF5 library takes some 150
microseconds and large models have 100,000 of them. The library reads all others.

Layouts: HDF5 File Format Specification 3.0, IV.A.2.b (dataspace), IV.A.2.d (datatype), IV.A.2.h
(external files), IV.A.2.i (data layout).
"""

from __future__ import annotations

import functools
import io
import math
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5t
from numpy.typing import NDArray

from graphprune.archive.archive import IN_HDF5, StoredTensor, Stretch, widen_bfloat16
from graphprune.archive.files import open_file
from graphprune.archive.hdf5.headers import Blocks, check_root
from graphprune.archive.hdf5_datasets import holds_bits, read_bits
from graphprune.errors import ArchiveError

DATASPACE, DATATYPE, EXTERNAL, LAYOUT = 0x01, 0x03, 0x07, 0x08
SIMPLE = 1
CONTIGUOUS = b"\3\1"
"""Version and class at the beginning of a layout message."""
_TYPES = ("<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")


def find_stretch(messages: Mapping[int, bytes], room: int) -> Stretch | None:
    """Return where the values of a data set lie, by the messages of its header.

    None where it is not plain or does not lie in a file of `room` bytes.
    """
    dtype = _known_types().get(messages.get(DATATYPE, b"").rstrip(b"\0"))
    shape = _find_shape(messages.get(DATASPACE, b""))
    layout = messages.get(LAYOUT, b"")
    if (
        dtype is None
        or shape is None
        or EXTERNAL in messages
        or not layout.startswith(CONTIGUOUS)
        or len(layout) < 18
    ):
        return None
    start, size = struct.unpack_from("<2xQQ", layout)
    fits = size == math.prod(shape) * dtype.itemsize and start + size <= room
    return Stretch(start, shape, dtype) if fits else None


def _read_stretch(file: BinaryIO, stretch: Stretch) -> NDArray[Any]:
    """Return the values.

    Raises:
        ValueError: the file has become shorter.
    """
    values = np.empty(stretch.shape, stretch.dtype)
    file.seek(stretch.start)
    room = values.reshape(-1).view(np.uint8).data
    if values.size and file.readinto(room) < values.nbytes:  # type: ignore[attr-defined]
        raise ValueError("values beyond the end of the file")
    return values


def _find_shape(message: bytes) -> tuple[int, ...] | None:
    """Return the axis lengths in a dataspace message of version 1 or 2."""
    if len(message) < 4 or message[0] not in (1, 2) or (message[0] == 2 and message[3] > SIMPLE):
        return None
    start, rank = (8 if message[0] == 1 else 4), message[1]
    return (
        struct.unpack_from(f"<{rank}Q", message, start)
        if rank <= 32 and len(message) >= start + 8 * rank
        else None
    )


@functools.cache
def _known_types() -> Mapping[bytes, np.dtype[Any]]:
    """Return the NumPy types by their datatype messages.

    The library writes two bytes before each message.
    """
    return {
        h5t.py_create(np.dtype(name)).encode()[2:].rstrip(b"\0"): np.dtype(name) for name in _TYPES
    }


SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_UNCHECKED = 64 * 2**20
MAX_RATIO = 300
"""Largest compression ratio of data above `MAX_UNCHECKED` bytes.

Keras stores weights uncompressed; at 99% zeros they shrink some 50 times.
"""


def shrinks_too_much(claimed: int, held: int) -> bool:
    """Return whether `held` compressed bytes claim to be more than is safe to unpack.

    Example:
        >>> shrinks_too_much(MAX_UNCHECKED, 1), shrinks_too_much(MAX_UNCHECKED + 1, 1)
        (False, True)
    """
    return claimed > MAX_UNCHECKED and claimed > held * MAX_RATIO


MAX_DEFLATE = 1100
"""Largest compression ratio of any data set; deflate reaches about 1032."""
MAX_IMAGE = 32 * 2**20
"""Bytes of weights that are held in memory while their file is open."""
_CUT = re.compile(r"truncated file: eof = (\d+), .*stored_eof = (\d+)")
"""HDF5's message for a file shorter than its superblock says (H5FD.c); h5py gives no code."""


class OpenedFile(h5py.File):  # type: ignore[misc] # h5py ships no types
    """An HDF5 file that is open for reading, and what it was opened from."""

    def __init__(self, source: str | BinaryIO) -> None:
        self._source = source
        with self.raw() as raw:
            check_root(Blocks(raw))
        super().__init__(_image(source) or source, "r")

    @contextmanager
    def raw(self) -> Iterator[BinaryIO]:
        """Open the bytes of the file."""
        if isinstance(self._source, str):
            with open_file(self._source) as file:
                yield file
        else:
            yield self._source


def _image(source: str | BinaryIO) -> h5py.h5f.FileID | None:
    """Return a small file in memory as the library opens it without calls into Python.

    None for other files, and for damaged ones: of an image the library does not say what is wrong.
    """
    if not isinstance(source, io.BytesIO) or len(source.getbuffer()) > MAX_IMAGE:
        return None
    try:
        return h5py.h5f.open_file_image(source.getvalue())
    except ValueError:
        return None


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
            f"damaged HDF5 data ({_one_line(err)}); save or copy the model again", place=place
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
    """Open an `.h5` model for reading with `texts` as its attributes; the file is not changed.

    So a reader takes the configs that were checked, and not those in the file.

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


def _one_line(err: Exception) -> str:
    cut = _CUT.search(str(err))
    if cut is not None:
        return f"the file was cut off, it has {int(cut[1]):,} bytes of {int(cut[2]):,}"
    return " ".join(str(err.args[0] if err.args else type(err).__name__).split())[:120]


def read_plain(raw: BinaryIO, stretch: Stretch, place: str) -> NDArray[Any]:
    """Return the values of a plain data set from the bytes of its file.

    Raises:
        ArchiveError: the file has become shorter, or cannot be read.
    """
    with damage_named(place):
        return _read_stretch(raw, stretch)


def read_dataset(file: h5py.File, tensor: StoredTensor, place: str) -> NDArray[Any]:
    """Return the values of a data set that is not plain, through the HDF5 library.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    with damage_named(place):
        dataset, shape, dtype = _open_numbers(file, tensor.path, place)
        if holds_bits(dataset):
            return read_bits(dataset)
        values = np.empty(shape, dtype)
        if values.size:
            dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        return widen_bfloat16(values.view("<u2")) if dtype == IN_HDF5 else values


def describe_dataset(
    file: h5py.File, group: str, name: str, path: str, stretch: Stretch | None, place: str
) -> StoredTensor:
    """Return the data set at `path` as the tensor `name` of `group`.

    `stretch` is where its values lie; None where only the HDF5 library can tell.

    Raises:
        ArchiveError: it is missing, not safe to read, or holds no numbers.
    """
    if stretch is not None:
        return StoredTensor(group, name, path, stretch.shape, _dtype_name(stretch.dtype), stretch)
    _, shape, dtype = _open_numbers(file, path, place)
    return StoredTensor(group, name, path, shape, _dtype_name(dtype))


@functools.cache
def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "float32" if dtype == IN_HDF5 else dtype.name


def _check_numbers(dtype: np.dtype[Any], path: str, place: str) -> None:
    """Raise unless the values of a data set are numbers."""
    if dtype.kind in "biufc" or dtype == IN_HDF5:
        return
    kind = "opaque bytes"
    if dtype.hasobject or dtype.kind in "SU":
        kind = "strings or references"
    elif dtype.names or dtype.subdtype:
        kind = "records"
    raise ArchiveError(
        f"{path} has a non-numeric dtype ({kind}); keep such a table outside the model", place=place
    )


def open_dataset(file: h5py.File, path: str, place: str) -> h5py.h5d.DatasetID:
    """Return a data set opened (by h5py's low level: ten times faster), whose storage is checked.

    Raises:
        ArchiveError: it is missing or not safe to read.
    """
    try:
        dataset = h5py.h5d.open(file.id, path.encode())
    except (KeyError, ValueError) as err:
        raise ArchiveError(
            f"no tensor {path} in its HDF5 data; the file is damaged, save the model again",
            place=place,
        ) from err
    _check_storage(dataset, path, place)
    return dataset


def _open_numbers(
    file: h5py.File, path: str, place: str
) -> tuple[h5py.h5d.DatasetID, tuple[int, ...], np.dtype[Any]]:
    """Return the open data set of a tensor, its shape and type."""
    dataset = open_dataset(file, path, place)
    with damage_named(f"{place}: {path}"):
        dtype = np.dtype(np.bool_) if holds_bits(dataset) else dataset.dtype
    _check_numbers(dtype, path, place)
    return dataset, tuple(dataset.shape), dtype


def _check_storage(dataset: h5py.h5d.DatasetID, path: str, place: str) -> None:
    """Refuse a data set that reads other files, or claims more than the file holds."""
    settings = dataset.get_create_plist()
    if settings.get_layout() == h5py.h5d.VIRTUAL or settings.get_external_count():
        raise ArchiveError(
            f"{path} keeps its values in another file, which Keras never does; the file is"
            " not safe to read, save the model again",
            place=place,
        )
    stored = dataset.get_storage_size()
    claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
    is_chunked = settings.get_layout() == h5py.h5d.CHUNKED
    if claimed > stored * (MAX_DEFLATE if is_chunked else 1) or shrinks_too_much(claimed, stored):
        raise ArchiveError(
            f"{path} claims {claimed:,} bytes and holds {stored:,}; the file is damaged,"
            " save the model again",
            place=place,
        )
