from pathlib import Path

import numpy as np
import pytest
from saved_model_files import field, write_checkpoint

from graphprune.archive.saved_model.optimizer import read_optimizer
from graphprune.errors import ArchiveError

KERNEL, STEPS = np.ones((2, 3), "float32"), np.array(7, "int64")
END = ".ATTRIBUTES/VARIABLE_VALUE"


def variable(full_name: str, key: str) -> bytes:
    return field(2, field(1, "VARIABLE_VALUE") + field(2, full_name) + field(3, f"{key}/{END}"))


def child(number: int, name: str) -> bytes:
    return field(1, field(1, number) + field(2, name))


def slot(weight: int, name: str, number: int) -> bytes:
    return field(3, field(1, weight) + field(2, name) + field(3, number))


def write(folder: Path, *nodes: bytes) -> str:
    graph = b"".join(field(1, node) for node in nodes)
    tree = {"kernel": KERNEL, "m": KERNEL * 2, "v": KERNEL * 3, "steps": STEPS}
    write_checkpoint(folder, tree, objects=graph)
    return str(folder)


def test_slots_go_to_the_weights_that_their_names_end_in(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        child(1, "layer-0") + child(2, "optimizer"),
        variable("net/fc/kernel", "kernel"),
        child(3, "_variables") + child(4, "_iterations"),
        child(4, "0") + child(6, "2") + child(5, "1"),
        variable("iteration", "steps"),
        variable("Adam/m/net/fc/kernel", "m"),
        variable("Adam/v/net/fc/kernel", "v"),
    )
    saved = read_optimizer(folder)
    assert saved is not None
    assert saved.attributes == {"_iterations": f"steps/{END}"}
    assert saved.variables == (f"steps/{END}", f"m/{END}", f"v/{END}")
    assert saved.weights == (f"kernel/{END}",)
    assert saved.shape(f"m/{END}") == (2, 3)
    np.testing.assert_array_equal(saved.read(f"v/{END}"), KERNEL * 3)


def test_slots_whose_weights_are_not_known_go_to_none(tmp_path: Path) -> None:
    nodes = (
        child(1, "layer-0") + child(2, "optimizer"),
        variable("fc/kernel", "kernel"),
        child(3, "_variables"),
        child(4, "0") + child(5, "1"),
        variable("iteration", "steps"),
    )
    other = write(tmp_path / "other", *nodes, variable("Adam/m/another/kernel", "m"))
    twice = (variable("Adam/m/fc/kernel", "m"), variable("fc/kernel", "v"))
    for folder in (other, write(tmp_path / "twice", *nodes, *twice)):
        saved = read_optimizer(folder)
        assert saved is not None
        assert (len(saved.variables), saved.weights) == (2, ())


def test_legacy_slots_are_linked_to_their_weights(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        child(1, "layer-0") + child(2, "optimizer"),
        variable("fc/kernel", "kernel"),
        child(3, "iter") + slot(1, "m", 4) + slot(1, "v", 99),
        variable("Adam/iter", "steps"),
        variable("Adam/fc/kernel/m", "m"),
    )
    saved = read_optimizer(folder)
    assert saved is not None
    assert saved.attributes == {"iter": f"steps/{END}"}
    assert saved.slots == ((f"kernel/{END}", "m", f"m/{END}"),)
    assert saved.weights == (f"kernel/{END}",)


def test_a_folder_without_optimizer_has_none(tmp_path: Path) -> None:
    assert read_optimizer(write(tmp_path, child(1, "layer-0"), variable("a", "kernel"))) is None


def test_an_object_that_does_not_exist_is_damage(tmp_path: Path) -> None:
    folder = write(tmp_path, child(1, "optimizer"), child(9, "_variables"))
    with pytest.raises(ArchiveError, match="names object 9, but has only 2; the file is damaged"):
        read_optimizer(folder)
