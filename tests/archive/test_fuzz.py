"""Valid archives with bytes changed: they read, or they are refused in one line; nothing else
happens.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hostile_files import FC, IN, model, write_h5, write_keras
from hypothesis import given
from hypothesis import strategies as st
from saved_model_files import write_saved_model

from graphprune.archive import read_archive
from graphprune.errors import GraphpruneError
from graphprune.graph import locate_weights, measure_zeros, read_graph

CONFIG = model(IN, FC)
TREE = {
    "layer-0": {},
    "layer-1": {"kernel": np.ones((4, 4), "float32"), "bias": np.zeros(4, "float32")},
}
KINDS = st.sampled_from(["flip", "set", "cut", "drop", "copy"])
EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), KINDS, st.integers(0, 255)), min_size=1, max_size=4
)


def mutate(data: bytes, edits: list[tuple[float, str, int]]) -> bytes:
    for share, kind, value in edits:
        at = int(share * len(data))
        if kind == "flip":
            data = data[:at] + bytes([data[at] ^ (value or 1)]) + data[at + 1 :] if data else data
        elif kind == "set":
            data = data[:at] + bytes([value]) * 8 + data[at + 8 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[at + value :]
        else:
            data = data[:at] + data[at // 2 : at // 2 + value] + data[at:]
    return data


def check_reading(path: Path) -> None:
    """Read everything: it reads, with a count of zeros that fits each tensor, or our own error says
    in one line why not.
    """
    try:
        archive = read_archive(path)
        graph = read_graph(archive)
        zeros = measure_zeros(locate_weights(archive, graph))
    except GraphpruneError as fault:
        assert "\n" not in str(fault)  # noqa: PT017 - it may also be right
        return
    sizes = {
        (layer.address, tensor.name): tensor.size
        for layer in graph.layers.values()
        for tensor in layer.tensors
    }
    assert all(0 <= count <= sizes[place] for place, count in zeros.items())


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valid")
    write_keras(folder / "m.keras", CONFIG)
    write_h5(folder / "m.h5", CONFIG)
    write_saved_model(folder / "m", CONFIG, TREE)
    for name in ("m.keras", "m.h5", "m"):
        archive = read_archive(folder / name)
        assert measure_zeros(locate_weights(archive, read_graph(archive)))["fc", "kernel"] == 0
    return folder


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_file_with_changed_bytes(valid: Path, name: str) -> None:
    data = (valid / name).read_bytes()

    @given(EDITS)
    def check(edits: list[tuple[float, str, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(mutate(data, edits))
            check_reading(path)

    check()


PARTS = [
    "keras_metadata.pb",
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
]


@pytest.mark.parametrize("part", PARTS)
def test_a_saved_model_with_changed_bytes(valid: Path, part: str) -> None:
    data = (valid / "m" / part).read_bytes()

    @given(EDITS)
    def check(edits: list[tuple[float, str, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m"
            shutil.copytree(valid / "m", path)
            (path / part).write_bytes(mutate(data, edits))
            check_reading(path)

    check()


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.sampled_from(["in", "fc", "Dense", "", "\x1b"])
)
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@given(st.data())
def test_a_config_with_a_changed_value(data: st.DataObject) -> None:
    config = copy.deepcopy(model(IN, FC))
    place: object = config
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]  # type: ignore[index]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            place[key] = data.draw(JSON)  # type: ignore[index]
            break
        place = inner
    with tempfile.TemporaryDirectory() as folder:
        check_reading(write_keras(Path(folder) / "m.keras", config))
        check_reading(write_h5(Path(folder) / "m.h5", config))
