"""The guide to quantization-aware training runs, and its file has the zeros of the model."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from commands import run_command

import graphprune
from graphprune.archive.tflite.file import read_tflite
from graphprune.shipped import shipped_file

pytestmark = [pytest.mark.tf, pytest.mark.slow]
GUIDE = Path(__file__).parents[2] / "docs" / "quantization-aware-training.md"


@pytest.fixture
def model(tmp_path):
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(2)
    given = layers.Input((8, 8, 1))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3)(given)))
    x = layers.Activation("relu")(layers.Conv2D(6, 1)(layers.DepthwiseConv2D(3, name="deep")(x)))
    x = layers.Flatten()(x)
    x = layers.Concatenate()([layers.Dense(12)(x), layers.Dense(16, activation="relu")(x)])
    tf_keras.Model(given, layers.Dense(10, "softmax")(x)).save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_the_guide_keeps_every_zero_and_the_file_is_as_planned(tmp_path, model):
    shutil.copyfile(shipped_file("fixtures/digits.npz"), tmp_path / "digits.npz")
    rules = tmp_path / "r.yaml"
    rules.write_text(
        "version: 1\nrules:\n  - id: all\n    match: {type: [Conv2D, DepthwiseConv2D, Dense]}\n"
        "    prune: {sparsity: 75%, schedule: {curve: constant, begin: 0 steps}}\n"
    )
    plan, sparse = tmp_path / "plan.json", tmp_path / "sparse.keras"
    assert run_command("plan", model, "-r", rules, "-o", plan).code == 0
    assert run_command("prune", model, "--plan", plan, "-o", sparse).code == 0
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", f'{block}\naware.save("aware.keras")'],
        cwd=tmp_path,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    file = read_tflite(tmp_path / "aware.tflite")
    zeros = {
        tensor.size: np.mean(file.read(tensor) == 0)
        for tensor in file.constants
        if tensor.dtype == "int8"
    }
    weights = graphprune.load_model(sparse).get_weights()
    kernels = [values for values in weights if values.ndim > 1]
    assert len(zeros) >= len({values.size for values in kernels})
    for values in kernels:
        assert zeros[values.size] >= 0.75 - 1 / values.size
    assert "zeros" in done.stdout
    checked = run_command("verify", tmp_path / "aware.tflite", "--plan", plan)
    assert checked.code == 0, checked.out + checked.err

    done = run_command(
        "strip", tmp_path / "aware.keras", "--original", model, "-o", tmp_path / "plain.keras"
    )
    assert done.code == 0, done.err
    assert "the quantization wrappers of tfmot are removed" in done.err
    assert "no layer is wrapped" not in done.err
    plain = tf_keras.models.load_model(tmp_path / "plain.keras")
    original = tf_keras.models.load_model(model)
    assert plain.get_config() == original.get_config()
    assert run_command("verify", tmp_path / "plain.keras", "--plan", plan).code == 0
    compared = run_command("diff", tmp_path / "aware.keras", tmp_path / "plain.keras")
    assert compared.out == "No differences.\n"
