import gzip

import numpy as np
import pytest
from builders import build_graph
from memory_weights import make_weights, with_zeros

from graphprune.diff.sizes import Sizes, measure_sizes, measure_weights_gzip
from graphprune.errors import ArchiveError


def test_a_file_has_the_size_that_gzip_gives_it(tmp_path):
    data = (
        np.random.default_rng(0).integers(0, 9, 300_000, dtype=np.uint8).tobytes()
        + bytes(range(256)) * 10_000
    )
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    assert measure_sizes(path) == Sizes(
        len(data), len(gzip.compress(data, compresslevel=6, mtime=0))
    )


def test_a_folder_has_the_size_of_its_files(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "data").write_bytes(b"x" * 70)
    (tmp_path / "saved_model.pb").write_bytes(b"y" * 30)
    assert measure_sizes(tmp_path).raw == 100


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(ArchiveError) as caught:
        measure_sizes(tmp_path / "no.keras")
    assert (
        str(caught.value)
        == f"{tmp_path / 'no.keras'}: cannot be read (No such file or directory); check the path"
    )


def test_zeros_make_weights_smaller():
    graph = build_graph("in > fc1[40,50]")
    weights = make_weights(graph)
    pruned = with_zeros(weights, {("fc1", "kernel"): 1800})
    assert measure_weights_gzip(graph, pruned) < measure_weights_gzip(graph, weights) / 3
    assert measure_weights_gzip(graph, weights) > np.prod((40, 50)) * 3
