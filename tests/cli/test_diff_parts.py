"""What `diff` shows of two models where only a part is asked for, and which folders are models."""

import json
import shutil

import numpy as np
import pytest
from builders import build_config
from commands import run_command
from runs.test_checkpoints import ARRAYS, at
from weight_files import write_h5

from graphprune.diff import graph_diff
from graphprune.runs.checkpoints import write_checkpoint
from graphprune.shipped import shipped_file

MODEL = shipped_file("fixtures/digits-cnn.keras")
TEXT = "in > fc_a > fc_b > act:ReLU > out"


def write(path, text=TEXT, change=lambda config, weights: None):
    config = build_config(text)
    names = [layer["name"] for layer in config["config"]["layers"]]
    dense = [name for name in names if name.startswith(("fc", "out"))]
    weights = {name: np.arange(1.0, 17.0, dtype="float32").reshape(4, 4) for name in dense}
    change({layer["name"]: layer for layer in config["config"]["layers"]}, weights)
    groups = {
        name: {f"{name}/kernel:0": weights[name], f"{name}/bias:0": np.zeros(4, "float32")}
        if name in weights
        else {}
        for name in names
    }
    return write_h5(path, config, groups)


def changed(layers, weights):
    layers["fc_a"]["config"]["activation"] = "tanh"
    weights["fc_b"][0] = 0
    weights["out"][0, 0] = 5


@pytest.fixture
def pair(tmp_path):
    return write(tmp_path / "a.h5"), write(tmp_path / "b.h5", change=changed)


def diff(pair, *options):
    return run_command("diff", *pair, *options)


def shown(pair, *options):
    """The layers that a diff shows, and what kinds of change it has of them."""
    found = json.loads(diff(pair, *options, "--format", "json").out)
    return {
        layer["address"]: [
            *layer["status"],
            *(["zeros"] if any(tensor["zeros_after"] for tensor in layer["tensors"]) else []),
        ]
        for layer in found["layers"]
    }


def test_all_is_shown_without_options(pair):
    assert shown(pair) == {"fc_a": ["reconfigured"], "fc_b": ["zeros"]}
    assert "part" not in json.loads(diff(pair, "--format", "json").out)


@pytest.mark.parametrize(
    ("options", "layers", "part"),
    [
        (["--what", "settings"], {"fc_a": ["reconfigured"]}, "settings"),
        (["--what", "sparsity"], {"fc_b": ["zeros"]}, "sparsity"),
        (
            ["--what", "sparsity", "--what", "settings"],
            {"fc_a": ["reconfigured"], "fc_b": ["zeros"]},
            "sparsity, settings",
        ),
        (["--only", "fc_*"], {"fc_a": ["reconfigured"], "fc_b": ["zeros"]}, "all changes of fc_*"),
        (["--exclude", "fc_a"], {"fc_b": ["zeros"]}, "all changes without fc_a"),
        (
            ["--only", "fc_*", "--exclude", "*_b", "--what", "settings"],
            {"fc_a": ["reconfigured"]},
            "settings of fc_* without *_b",
        ),
    ],
)
def test_a_part_is_shown(pair, options, layers, part):
    assert shown(pair, *options) == layers
    assert json.loads(diff(pair, *options, "--format", "json").out)["part"] == part
    done = diff(pair, *options, "--detailed-exitcode")
    assert done.code == 2
    assert f"\ncompared  {part}\n" in done.out


@pytest.mark.parametrize("options", [["--what", "pruning"], ["--only", "act"]])
def test_a_part_in_which_nothing_differs_is_no_difference(pair, options):
    done = diff(pair, *options, "--detailed-exitcode")
    assert done.code == 0
    assert done.out.startswith("No differences in ")


def test_changed_values_alone_differ(pair):
    done = diff(pair, "--only", "out", "--what", "values", "--detailed-exitcode")
    assert done.code == 2
    assert diff(pair, "--only", "out", "--what", "layers", "--detailed-exitcode").code == 0


def test_a_kind_that_is_none_is_refused(pair):
    done = diff(pair, "--what", "wiring")
    assert done.code == 64
    assert "is not one of 'layers', 'settings', 'connections'" in done.err


def test_a_pattern_that_matches_no_layer_is_refused(pair):
    done = diff(pair, "--only", "act", "--only", "fc_x*", "--detailed-exitcode")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "graphprune: --only fc_x*: neither model has a layer with such an address; closest: 'fc_b',"
        " 'fc_a'\n"
    )


@pytest.mark.parametrize("asked", [("--what", "values"), ("--what", "sparsity"), ("--gzip",)])
def test_what_needs_weights_is_refused_without_them(pair, asked):
    done = diff(pair, "--no-values", "--what", "layers", *asked)
    assert (done.code, done.out) == (64, "")
    wanted = f"Error: {' '.join(asked)} needs the weights, which --no-values does not read"
    assert wanted in done.err


def test_values_are_not_read_where_they_are_not_asked_for(pair):
    with pair[1].open("r+b") as file:
        file.truncate(pair[1].stat().st_size)
    done = diff(pair, "--no-values")
    assert "6 tensors, values not compared" in done.out
    assert "Zeros: not measured" in done.out


def test_gzip_is_the_default_for_small_models_and_can_be_turned_on_and_off(pair, monkeypatch):
    assert "Weights gzip" in diff(pair).out
    assert "Weights gzip" not in diff(pair, "--no-gzip").out
    monkeypatch.setattr(graph_diff, "GZIP_LIMIT", 4 * 60 - 1)
    assert "Weights gzip" not in diff(pair).out
    assert "Weights gzip" in diff(pair, "--gzip").out
    monkeypatch.setattr(graph_diff, "GZIP_LIMIT", 4 * 60)
    assert "Weights gzip" in diff(pair).out


def test_swapped_layers_are_in_the_summary(tmp_path):
    def tell_apart(layers, weights):
        layers["fc_a"]["config"]["activation"] = "tanh"

    texts = {"a.h5": TEXT, "b.h5": "in > fc_b > fc_a > act:ReLU > out"}
    pair = [write(tmp_path / name, text, tell_apart) for name, text in texts.items()]
    done = diff(pair, "--detailed-exitcode")
    assert done.code == 2
    assert "0 unwrapped, 3 rewired;" in done.out
    assert json.loads(diff(pair, "--format", "json").out)["summary"]["rewired"] == 3
    assert "0 rewired" in diff(pair, "--what", "settings", "--all").out


def test_negative_zero_is_zero(tmp_path):
    def negative(layers, weights):
        weights["fc_a"][0] = -0.0

    def positive(layers, weights):
        weights["fc_a"][0] = 0.0

    pair = write(tmp_path / "a.h5", change=negative), write(tmp_path / "b.h5", change=positive)
    done = diff(pair, "--detailed-exitcode")
    assert (done.code, done.out) == (0, "No differences.\n")


@pytest.fixture
def checkpoint(tmp_path):
    return write_checkpoint(
        tmp_path / "checkpoints",
        at(4),
        ARRAYS,
        "model.keras",
        lambda path: shutil.copy(MODEL, path),
    )


def test_the_folder_of_a_checkpoint_is_a_model(checkpoint, tmp_path):
    assert diff((MODEL, checkpoint)).out == "No differences.\n"
    assert run_command("layers", checkpoint).out == run_command("layers", MODEL).out
    drawn = [run_command("graph", path, "--format", "json") for path in (checkpoint, MODEL)]
    assert (drawn[0].code, drawn[0].out) == (0, drawn[1].out)
    plan = tmp_path / "plan.json"
    assert run_command("plan", MODEL, "-r", "builtin:dense-90", "-o", plan).code == 0
    done = run_command("verify", checkpoint, "--plan", plan)
    assert (done.code, done.err) == (2, "")
    assert done.out.startswith(f"verify  {checkpoint}  against")


def test_a_damaged_checkpoint_is_no_model(checkpoint):
    (checkpoint / "model.keras").write_bytes(b"PK\x03\x04")
    done = run_command("layers", checkpoint)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"graphprune: {checkpoint}: damaged, ")
