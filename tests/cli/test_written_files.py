"""What `strip` and `prune` write: its size, its zeros, its accuracy, and where it loads."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import run_command
from full_disk import fill, small_disk

import graphprune
from graphprune.serving import tflite_writing
from graphprune.shipped import shipped_file

MODELS = {2: "fixtures/digits-cnn.keras", 3: "fixtures/digits-cnn-keras3.keras"}
DIGITS = shipped_file("fixtures/digits.npz")
RULES = (
    "version: 1\nrules:\n  - id: all\n    match: '*'\n"
    "    prune: {sparsity: 90%, schedule: {curve: constant, begin: 0 steps}}\n"
)
PLAIN = """
import sys, numpy as np, keras, tf_keras
x = np.linspace(0, 16, 128).reshape(2, 8, 8, 1).astype("float32")
for library, folder in ((tf_keras, "2"), (keras, "3")):
    for name in ("s.keras", "s.h5"):
        model = library.models.load_model(f"{folder}/{name}")
        assert getattr(model, "optimizer", None) is None
        print(*np.asarray(model(x)).reshape(-1).tolist())
assert "graphprune" not in sys.modules
"""


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "r.yaml").write_text(RULES)
    return tmp_path / "r.yaml"


def table(done):
    assert done.code == 0, done.err
    return {column["title"]: column for column in json.loads(done.out)}


@pytest.mark.tf
def test_every_written_file_is_small_measured_and_loads_in_plain_keras(tmp_path, rules):
    for version, model in MODELS.items():
        (tmp_path / str(version)).mkdir()
        check_written(shipped_file(model), tmp_path / str(version), rules)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    one, other, three, last = done.stdout.strip().splitlines()[-4:]
    assert (one, three) == (other, last)


def check_written(model, folder, rules):
    """Hold the sizes, zeros and accuracy of each form that a model is pruned to."""
    names = ("s.keras", "s.h5", "s.tflite", "s")
    outputs = [part for name in names for part in ("-o", folder / name)]
    asked = ("prune", model, "-r", rules, *outputs, "--data", DIGITS, "--format", "json")
    columns = table(run_command(*asked))
    before = columns.pop("before")
    assert list(columns) == list(names)
    kernels = {name: column["zeros"] for name, column in columns.items()}
    assert kernels == dict.fromkeys(names, kernels["s.keras"])
    assert kernels["s.keras"] > 46_000
    small = columns["s.keras"]
    assert small["raw"] <= 1.02 * small["gzip"]
    assert small["raw"] < before["raw"] / 15
    assert columns["s.h5"]["raw"] < before["raw"] / 10
    assert columns["s.tflite"]["form"] == "float32, sparse"
    assert columns["s.tflite"]["raw"] < before["raw"] / 15
    assert columns["s"]["raw"] < before["raw"] / 2
    accuracies = {column["accuracy"] for column in columns.values()}
    assert max(accuracies) - min(accuracies) < 0.01
    assert None not in accuracies
    assert run_command("plan", model, "-r", rules, "-o", folder / "plan.json").code == 0
    for name in names:
        done = run_command("verify", folder / name, "--plan", folder / "plan.json")
        assert (done.code, "As planned" in done.out, "not checked" in done.out) == (0, True, False)


@pytest.mark.tf
def test_files_are_quantized_with_samples_and_a_fallback_is_told(tmp_path, rules, monkeypatch):
    right = tflite_writing.prove
    answers = iter(["it crashes (SIGSEGV)"])
    monkeypatch.setattr(
        tflite_writing, "prove", lambda *given: next(answers, None) or right(*given)
    )
    sparse, model = tmp_path / "sparse.keras", shipped_file(MODELS[2])
    assert run_command("prune", model, "-r", rules, "-o", sparse).code == 0
    options = ("--quantize", "float16", "--data", DIGITS, "--original", model, "--format", "json")
    done = run_command("strip", sparse, "-o", tmp_path / "q.tflite", *options)
    columns = table(done)
    assert columns["q.tflite"]["form"] == "float16"
    assert columns["q.tflite"]["rejected"] == [
        {"form": "float16, sparse", "reason": "it crashes (SIGSEGV)"}
    ]
    assert columns["before"]["rejected"] == []
    assert columns["q.tflite"]["zeros"] >= 46_000
    assert 0 < columns["q.tflite"]["accuracy"] <= 1
    assert columns["q.tflite"]["raw"] < columns["before"]["raw"] / 6
    assert (
        f"graphprune: warning: {tmp_path}/q.tflite: stored as float16, because better forms do not"
        " work (float16, sparse: it crashes (SIGSEGV))\n"
    ) in done.err


@pytest.mark.tf
def test_files_that_are_written_before_one_fails_are_named(tmp_path, rules, monkeypatch):
    monkeypatch.setattr(tflite_writing, "prove", lambda *given: "it crashes (SIGSEGV)")
    outputs = [tmp_path / name for name in ("s.h5", "s.tflite", "s.keras")]
    options = [part for output in outputs for part in ("-o", output)]
    done = run_command("prune", shipped_file(MODELS[2]), "-r", rules, *options)
    told = done.err.splitlines()
    assert (done.code, done.out, told[-2]) == (1, "", f"wrote {outputs[0]}")
    assert told[-1].startswith(f"graphprune: {outputs[1]}: ")
    assert [output.exists() for output in outputs] == [True, False, False]


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory):
    """A wrapped model whose masks are chosen, with three masked weights that are not zero."""
    from graphprune.engine.masks import prune_at_once
    from graphprune.tf.pruning.addresses import find_wrappers
    from graphprune.tf.pruning.pruner import held_layers

    folder = tmp_path_factory.mktemp("wrapped")
    (folder / "r.yaml").write_text(RULES)
    loaded = graphprune.load_model(shipped_file(MODELS[2]))
    model = graphprune.apply_rules(loaded, str(folder / "r.yaml"))
    unfinished = folder / "unfinished.keras"
    graphprune.save_model(model, unfinished)
    held = held_layers(find_wrappers(model))
    prune_at_once(held)
    (tensor,) = held["hidden"].tensors
    values, mask = tensor.read(), tensor.read_mask()
    changed = values.reshape(-1).copy()
    changed[np.flatnonzero(~mask.reshape(-1))[:3]] = 0.5
    tensor.write(changed.reshape(values.shape))
    graphprune.save_model(model, folder / "masked.keras")
    return folder


@pytest.mark.tf
def test_masked_weights_that_were_not_zero_and_missed_targets_are_told(wrapped, tmp_path):
    never = "its masks were never updated, so nothing was pruned"
    which = "(hidden kernel 3);"
    for name, text, fault in (
        (
            "masked",
            f"3 masked weights were not zero {which} they are zero in what is written",
            f"3 masked weights are not zero {which} without --strict they are written as zeros",
        ),
        ("unfinished", f"stripped, and {never}", f"not stripped, {never}"),
    ):
        place = wrapped / f"{name}.keras"
        refused = run_command("strip", place, "-o", tmp_path / f"{name}.keras", "--strict")
        assert (refused.code, refused.err.startswith(f"graphprune: {place}: {fault}")) == (1, True)
        assert list(tmp_path.glob(f"{name}*")) == []
        done = run_command("strip", place, "-o", tmp_path / f"{name}.keras")
        assert (done.code, f"graphprune: warning: {place}: {text}" in done.err) == (0, True)
    counted = graphprune.read_graph(tmp_path / "masked.keras")
    assert counted.parameters == 52_394


@pytest.mark.tf
@pytest.mark.parametrize(
    ("name", "keras"), [("o.keras", 2), ("o.h5", 2), ("o.tflite", 2), ("o", 2), ("o", 3)]
)
def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(name, keras, tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk, 12_000)
        done = run_command("strip", shipped_file(MODELS[keras]), "-o", disk / name)
        assert done.code == 1
        lines = [line for line in done.err.splitlines() if "no layer is wrapped" not in line]
        assert len(lines) == 1
        assert lines[0].startswith(
            f"graphprune: {disk}/{name}: cannot be written: No space left on device"
        )
        assert [path.name for path in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("-o", "s.keras", "--quantize", "int8"), "--quantize is for .tflite files, and no output"),
        (("-o", "s.h5", "--batch", "2"), "--batch is for .tflite files, and no output is one"),
        (("-o", "s.tflite", "--quantize", "int8"), "give --data"),
        (("-o", "s.tflite", "--batch", "0"), "0 is not in the range x>=1"),
    ],
)
def test_options_without_a_use_are_refused(options, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_command("strip", shipped_file(MODELS[2]), *options)
    assert (done.code, text in done.err) == (64, True), done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (
            "s.pb",
            "s.pb: no model format has the suffix .pb; use .keras, .h5, .tflite, .onnx, or no",
        ),
        (
            ".keras",
            ".keras: a model needs a name before its suffix, got '.keras'; give one, such as",
        ),
        ("s.h5.", "s.h5.: a model needs a name before its suffix, got 's.h5.'; give one, such as"),
        ("m.keras", "m.keras: is an input of this command, so it is not overwritten; give another"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_anything_is_loaded(
    output, text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    content = shipped_file(MODELS[2]).read_bytes()
    (tmp_path / "m.keras").write_bytes(content)
    done = run_command("strip", "m.keras", "-o", output, "--force")
    assert (done.code, done.err.startswith(f"graphprune: {text}")) == (1, True), done.err
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]
    assert (tmp_path / "m.keras").read_bytes() == content
