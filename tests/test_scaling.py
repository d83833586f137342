"""docs/scaling.md says what the formulae of benchmarks/scaling.py give for its unit costs."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "benchmarks" / "scaling.py")
    module = sys.modules["scaling"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def document(scaling):
    return scaling.DOCUMENT.read_text(encoding="utf-8")


def test_the_document_has_what_the_formulae_give(scaling, document):
    costs = scaling.parse_costs(scaling.read_table(document, "costs"))
    assert scaling.render_costs(costs) == scaling.read_table(document, "costs")
    assert scaling.render_predictions(costs) == scaling.read_table(document, "predictions")


def test_the_formulae_are_those_of_the_files_and_the_disk(scaling, tmp_path):
    import h5py
    import numpy as np

    from graphprune.archive.file_copy import FileCopy, HDF5Bytes
    from graphprune.archive.pruning_state import pack_mask
    from graphprune.runs.disk_needs import DiskNeeds, estimate_checkpoint

    weights, made = 400_000, HDF5Bytes()
    with h5py.File(made, "w") as file:
        for index in range(3):
            file[str(index)] = np.ones(weights, np.float32)
        file["mask"] = pack_mask(np.ones(weights, np.bool_))
    FileCopy((("model.weights.h5", made),)).write(tmp_path / "m.keras")
    size = scaling.checkpoint_bytes(weights)
    assert size <= (tmp_path / "m.keras").stat().st_size < size + 10_000
    assert size <= estimate_checkpoint(weights, "adam") < size + 100_000
    disk = scaling.predict(scaling.UnitCosts(1, 1, 1, 1, 1, 1), weights)["disk with --keep 3, GB"]
    assert disk * 1e9 == DiskNeeds(size, keep=3, keeps_best=False).total


def test_the_simulation_predicts_other_sizes(scaling, document):
    rows = scaling.read_table(document, "simulation").splitlines()[2:]
    ratios = [float(cell.split("(")[1].strip(" )")) for row in rows for cell in row.split("|")[2:5]]
    assert len(ratios) == 9
    assert all(0.3 < ratio < 3 for ratio in ratios)
