"""Texts in HDF5 attributes are what h5py reads, whatever the layout; references that lie are
refused by a reader that nothing can hang.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from graphprune.archive.hdf5.headers import read_texts
from graphprune.errors import ArchiveError

VALUES: dict[str, Any] = {
    "text": "déjà vu",
    "long": "x" * 100_000,
    "empty": "",
    "bytes": b"of a fixed length",
    "names": np.array([b"fc1", b"fc_2"]),
    "texts": np.array(["one", "", "three" * 1000], dtype=object),
    "none": [],
}


def as_bytes(value: Any) -> list[bytes]:
    values = value if isinstance(value, np.ndarray | list) else [value]
    return [item.encode() if isinstance(item, str) else bytes(item) for item in values]


def write(path: Path, libver: str, names: list[str], at: str = "/") -> Path:
    with h5py.File(path, "w", libver=libver) as file:
        group = file.require_group(at)
        for name in names:
            value = VALUES[name]
            group.attrs[name] = (
                value.astype(h5py.string_dtype())
                if isinstance(value, np.ndarray) and value.dtype == object
                else value
            )
    return path


@pytest.mark.parametrize("at", ["/", "model_weights/fc"])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_texts_are_what_was_written(tmp_path: Path, libver: str, at: str) -> None:
    with h5py.File(write(tmp_path / "a.h5", libver, list(VALUES), at), "r") as file:
        assert {name: read_texts(file[at], name, 1_000_000) for name in VALUES} == {
            name: as_bytes(value) for name, value in VALUES.items()
        }
        assert read_texts(file[at], "gone", 100) is None


@pytest.mark.parametrize(
    ("name", "size"), [("long", "100,000"), ("bytes", "17"), ("texts", "5,003")]
)
def test_a_text_over_the_limit_is_not_read(tmp_path: Path, name: str, size: str) -> None:
    path = write(tmp_path / "a.h5", "earliest", [name])
    with h5py.File(path, "r") as file, pytest.raises(ArchiveError) as caught:
        read_texts(file, name, 16 if name == "bytes" else 5000)
    limit = 16 if name == "bytes" else 5000
    assert (
        str(caught.value)
        == f"{path}: {name} has {size} bytes, more than the {limit:,} that a model's config may"
        " have; save the model again"
    )


def test_numbers_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [1, 2]
    with h5py.File(path, "r") as file, pytest.raises(ArchiveError) as caught:
        read_texts(file, "layer_names", 1000)
    assert (
        str(caught.value)
        == f"{path}: layer_names is not a string; the file is damaged, save the model again"
    )


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (-16, bytes(16), "beyond its global heap"),
        (-32, b"XCOL", "without a global heap"),
        (-24, b"\xff" * 8, "without a global heap"),
    ],
)
def test_a_damaged_heap_is_refused(tmp_path: Path, offset: int, value: bytes, said: str) -> None:
    path = write(tmp_path / "a.h5", "earliest", ["text"])
    data = path.read_bytes()
    at = data.index("déjà".encode()) + offset
    path.write_bytes(data[:at] + value + data[at + len(value) :])
    with h5py.File(path, "r") as file, pytest.raises(ValueError, match=said):
        read_texts(file, "text", 1000)
