"""The members of a `.keras` file beside its config and weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_files import FC, IN, model, write_keras

from graphprune.archive.keras_zip import KerasZip
from graphprune.errors import ArchiveError


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
