"""The members of a `.keras` file beside its config and weights."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files import FC, IN, model, write_keras
from numpy.typing import NDArray

from graphprune.archive import StoredTensor, opened_archive
from graphprune.archive.hdf5.file import open_hdf5
from graphprune.archive.keras_zip import KerasZip
from graphprune.errors import ArchiveError
from graphprune.shipped import shipped_file


def test_the_files_of_layers_are_unpacked_for_a_while(tmp_path: Path) -> None:
    members = {"assets/layers/text/vocabulary.txt": b"a\nb", "other/x.txt": b"x"}
    path = write_keras(tmp_path / "m.keras", model(IN, FC), members=members)
    with KerasZip(str(path)).opened() as file, file.unpacked_assets() as folder:
        assert folder is not None
        assert [
            part.relative_to(folder).as_posix() for part in folder.rglob("*") if part.is_file()
        ] == ["layers/text/vocabulary.txt"]
    assert not folder.exists()
    path = write_keras(tmp_path / "n.keras", model(IN, FC))
    with KerasZip(str(path)).opened() as file, file.unpacked_assets() as folder:
        assert folder is None


@pytest.mark.parametrize(
    "members", [{"assets/a": b"", "assets/a/b": b""}, {"assets/a/b": b"", "assets/a": b""}]
)
def test_files_of_layers_that_are_folders_too_are_damage(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    path = write_keras(tmp_path / "m.keras", model(IN, FC), members=members)
    with (
        pytest.raises(ArchiveError, match="damaged zip"),
        KerasZip(str(path)).opened() as file,
        file.unpacked_assets(),
    ):
        raise AssertionError("it was unpacked")


def test_a_fault_of_who_has_the_zip_open_is_not_damage(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "m.keras", model(IN, FC))
    with pytest.raises(OSError, match="mine"), KerasZip(str(path)).opened():
        raise OSError("mine")


@pytest.mark.parametrize("limit", [0, 2**20])
def test_weights_are_the_same_from_the_file_and_from_memory(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shipped_file("fixtures/digits-cnn.keras")
    expected = read_all(path)
    for module in ("keras_zip", "hdf5.file"):
        monkeypatch.setattr(f"graphprune.archive.{module}.MAX_IMAGE", limit)
    opened: list[object] = []
    monkeypatch.setattr(
        "graphprune.archive.keras_zip.open_hdf5",
        lambda source, place: opened.append(source) or open_hdf5(source, place),
    )
    found = read_all(path)
    assert [isinstance(source, io.BytesIO) for source in opened] == [limit > 0]
    assert found.keys() == expected.keys()
    for tensor, values in found.items():
        np.testing.assert_array_equal(values, expected[tensor])


def read_all(path: Path) -> dict[StoredTensor, NDArray[Any]]:
    with opened_archive(path) as archive:
        return {
            tensor: archive.read(tensor) for group in archive.stored.values() for tensor in group
        }
