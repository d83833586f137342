"""`graphprune verify` on files."""

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import run_command
from weight_files import write_h5

from graphprune.shipped import shipped_file

MODEL = str(shipped_file("fixtures/digits-cnn.keras"))


def made_plan(folder: Path) -> str:
    path = folder / "plan.json"
    assert run_command("plan", MODEL, "-r", "builtin:dense-90", "-o", path).code == 0
    return str(path)


def test_a_dense_model_is_not_what_the_plan_wants(tmp_path):
    plan = made_plan(tmp_path)
    done = run_command("verify", MODEL, "--plan", plan)
    assert (done.code, done.err) == (2, "")
    assert done.out.endswith("\nDrift: 1 of 1 tensor; 0 zeros of 29,491 planned.\n")
    assert run_command("verify", MODEL, "--plan", plan, "--detailed-exitcode").code == 2
    assert run_command("verify", MODEL, "--plan", plan, "--allow-drift").code == 0
    report = tmp_path / "found.json"
    assert run_command("verify", MODEL, "--plan", plan, "-o", report).code == 2
    assert json.loads(report.read_text())["kind"] == "graphprune.verification"


def test_a_graph_without_weights_cannot_be_verified(tmp_path):
    graph = tmp_path / "g.json"
    assert run_command("graph", MODEL, "-o", graph).code == 0
    done = run_command("verify", graph, "--plan", made_plan(tmp_path))
    assert done.code == 1
    assert done.err.startswith(f"graphprune: {graph}: ")
    assert done.err.count("\n") == 1


def test_no_plan_is_a_usage_error():
    assert run_command("verify", MODEL).code == 64


def flipped(path: Path, at: int) -> Path:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_bit_that_flipped_in_a_keras_file_is_found(tmp_path, name):
    plan, model = made_plan(tmp_path), shutil.copy(MODEL, tmp_path / "model.keras")
    assert run_command("verify", model, "--plan", plan).code == 2
    with zipfile.ZipFile(model) as archive:
        info = archive.getinfo(name)
    flipped(model, info.header_offset + 30 + len(name) + info.compress_size * 2 // 3)
    done = run_command("verify", model, "--plan", plan)
    assert (done.code, done.out) == (1, "")
    assert (
        done.err
        == f"graphprune: {model}: damaged zip (Bad CRC-32 for file {name!r}); save or copy the"
        " model again\n"
    )


def test_a_bit_that_flipped_in_an_hdf5_file_is_found_where_the_file_has_checksums(tmp_path):
    begin = {
        "class_name": "InputLayer",
        "config": {"name": "in", "batch_input_shape": [None, 40], "dtype": "float32"},
    }
    dense = {"class_name": "Dense", "config": {"name": "fc", "units": 30, "use_bias": False}}
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": [begin, dense]}}
    values = np.ones((40, 30), "float32")
    model = write_h5(tmp_path / "model.h5", config, {"in": {}, "fc": {"fc/kernel:0": values}})
    (tmp_path / "all.yaml").write_text(
        "version: 1\n"
        "rules: [{id: all, match: '*', prune: {sparsity: 50%, schedule: {curve: step}}}]"
    )
    assert (
        run_command("plan", model, "-r", tmp_path / "all.yaml", "-o", tmp_path / "plan.json").code
        == 0
    )
    with h5py.File(model, "r+") as file:
        del file["model_weights/fc/fc/kernel:0"]
        made = file["model_weights/fc/fc"].create_dataset(
            "kernel:0", data=values, chunks=values.shape, fletcher32=True
        )
        place = made.id.get_chunk_info(0).byte_offset
    assert run_command("verify", model, "--plan", tmp_path / "plan.json").code == 2
    done = run_command("verify", flipped(model, place + 1000), "--plan", tmp_path / "plan.json")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"graphprune: {model}: damaged HDF5 data (")
