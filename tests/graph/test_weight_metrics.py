import numpy as np
import pytest

from graphprune.archive import read_archive
from graphprune.graph import (
    TensorMetrics,
    locate_weights,
    measure_tensors,
    measure_zeros,
    read_graph,
)
from graphprune.graph.weights import measure_values
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")


def test_metrics_are_those_of_the_values_in_float64():
    values = np.random.default_rng(1).normal(1e4, 1, 700_001).astype(np.float32)
    found, wide = measure_values(values), values.astype(np.float64)
    assert (found.zeros, found.non_finite, found.min, found.max) == (0, 0, wide.min(), wide.max())
    assert (found.mean, found.std) == (
        pytest.approx(wide.mean(), rel=1e-12),
        pytest.approx(wide.std(), rel=1e-9),
    )


def test_values_without_figures_have_none():
    assert measure_values(np.zeros((0, 3), np.float32)) == TensorMetrics(0)
    assert measure_values(np.array([np.nan, -np.inf])) == TensorMetrics(0, 2)
    assert measure_values(np.array([b"a", b""], dtype=object)) == TensorMetrics(1)


def test_every_tensor_of_a_model_is_measured_with_the_zeros_that_layers_counts():
    archive = read_archive(MODEL)
    graph = read_graph(archive)
    metrics = measure_tensors(locate_weights(archive, graph))
    assert {key: found.zeros for key, found in metrics.items()} == measure_zeros(
        locate_weights(archive, graph)
    )
    assert all(found.min <= found.mean <= found.max for found in metrics.values())


def test_a_large_array_is_measured_in_blocks():
    import tracemalloc

    values = np.linspace(-1, 3, 4_000_000, dtype=np.float32)
    tracemalloc.start()
    found = measure_values(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.min, found.max, round(found.mean, 6), found.zeros) == (-1.0, 3.0, 1.0, 0)
    assert peak < values.nbytes / 4
