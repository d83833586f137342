"""`graphprune prune`: one-shot pruning from the command line, by share and by threshold, without
data.
"""

import json

import h5py
import numpy as np
import pytest
import tf_keras
from commands import run_command

from graphprune.shipped import shipped_file

pytestmark = pytest.mark.tf
MODEL = shipped_file("fixtures/digits-cnn.keras")
DIGITS = shipped_file("fixtures/digits.npz")
RULES = (
    "version: 1\n"
    "rules:\n"
    "  - id: all\n"
    "    match: '*'\n"
    "    prune: {%s, schedule: {curve: constant, begin: 0 steps}}\n"
)


@pytest.fixture
def dense(tmp_path):
    tf_keras.utils.set_random_seed(3)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Input((20,)), layers.Dense(30, activation="relu"), layers.Dense(5)]
    )
    model.save(tmp_path / "m.keras")
    return model


def weights_of(path):
    return tf_keras.models.load_model(path, compile=False).get_weights()


def test_the_share_is_zero_and_every_other_weight_untouched(dense, tmp_path):
    (tmp_path / "r.yaml").write_text(RULES % "sparsity: 60%")
    done = run_command(
        "prune",
        tmp_path / "m.keras",
        "-r",
        tmp_path / "r.yaml",
        "-o",
        tmp_path / "s.keras",
        "-o",
        tmp_path / "s.h5",
        "-o",
        tmp_path / "s",
        "--keep-optimizer",
    )
    assert (done.code, done.out.splitlines()[-3:]) == (
        0,
        [f"wrote {tmp_path}/{name}" for name in ("s.keras", "s.h5", "s")],
    ), done.err
    # 450 of the kernels, and the biases
    assert done.out.splitlines()[3].split() == ["zeros", "35", "(4.5%)", *["485", "(61.8%)"] * 3]
    for name in ("s.keras", "s.h5", "s"):
        found = weights_of(tmp_path / name)
        assert [float((values == 0).mean()) for values in found[::2]] == [0.6, 0.6]
        for old, new in zip(dense.get_weights(), found, strict=True):
            assert np.array_equal(old[new != 0], new[new != 0])
            assert new.ndim == 2 or np.array_equal(old, new)


def test_a_threshold_zeroes_what_is_below_it(dense, tmp_path):
    (tmp_path / "r.yaml").write_text(RULES % "threshold: 0.05")
    assert run_command("lint", tmp_path / "r.yaml").code == 0
    done = run_command(
        "prune", tmp_path / "m.keras", "-r", tmp_path / "r.yaml", "-o", tmp_path / "s.keras"
    )
    assert done.code == 0, done.err
    for old, new in zip(dense.get_weights(), weights_of(tmp_path / "s.keras"), strict=True):
        assert np.array_equal(new, np.where(np.abs(old) < 0.05, 0, old))


def test_a_plan_by_threshold_is_carried_out_and_trained(dense, tmp_path):
    (tmp_path / "r.yaml").write_text(RULES % "threshold: 0.05")
    assert (
        run_command(
            "plan", tmp_path / "m.keras", "-r", tmp_path / "r.yaml", "-o", tmp_path / "p.json"
        ).code
        == 0
    )
    assert (
        run_command(
            "prune", tmp_path / "m.keras", "--plan", tmp_path / "p.json", "-o", tmp_path / "s.keras"
        ).code
        == 0
    )
    zeros = sum(int((np.abs(values) < 0.05).sum()) for values in dense.get_weights()[::2])
    assert (
        sum(int((values == 0).sum()) for values in weights_of(tmp_path / "s.keras")[::2]) == zeros
    )
    assert (
        run_command(
            "verify", tmp_path / "s.keras", "--plan", tmp_path / "p.json", "--detailed-exitcode"
        ).code
        == 0
    )
    assert (
        run_command(
            "apply", tmp_path / "m.keras", "--plan", tmp_path / "p.json", "-o", tmp_path / "w.keras"
        ).code
        == 0
    )
    again = run_command(
        "plan", tmp_path / "w.keras", "-r", tmp_path / "r.yaml", "--detailed-exitcode"
    )
    assert (again.code, "No changes." in again.out) == (0, True), again.out


def test_accuracy_is_measured_and_the_table_is_json_when_asked(tmp_path):
    rules = tmp_path / "r.yaml"
    rules.write_text(RULES % "sparsity: 50%")
    done = run_command(
        "prune",
        MODEL,
        "-r",
        rules,
        "-o",
        tmp_path / "s.keras",
        "--data",
        DIGITS,
        "--format",
        "json",
    )
    before, after = json.loads(done.out)
    assert (before["accuracy"], after["title"]) == (pytest.approx(0.994, abs=1e-3), "s.keras")
    assert 0.9 < after["accuracy"] <= 1
    assert after["zeros"] > 26_000 > 10 > before["zeros"]


def test_what_it_reads_is_not_overwritten_and_a_name_without_format_is_refused(dense, tmp_path):
    (tmp_path / "r.yaml").write_text(RULES % "sparsity: 60%")
    common = ("prune", tmp_path / "m.keras", "-r", tmp_path / "r.yaml")
    done = run_command(*common, "-o", tmp_path / "s.onn")
    assert (done.code, "no model format has the suffix .onn" in done.err) == (1, True)
    done = run_command(*common, "-o", tmp_path / "s.keras", "-o", tmp_path / "s.keras")
    assert (done.code, "two outputs have the same name" in done.err) == (64, True)
    assert not (tmp_path / "s.keras").exists()


def test_the_original_is_read_with_h5_files_too(dense, tmp_path):
    dense.save(tmp_path / "m.h5")
    (tmp_path / "r.yaml").write_text(RULES % "sparsity: 60%")
    assert (
        run_command(
            "prune", tmp_path / "m.h5", "-r", tmp_path / "r.yaml", "-o", tmp_path / "s.h5"
        ).code
        == 0
    )
    with h5py.File(tmp_path / "s.h5") as file:
        assert "model_config" in file.attrs
    assert [float((values == 0).mean()) for values in weights_of(tmp_path / "s.h5")[::2]] == [
        0.6,
        0.6,
    ]
