"""What `verify` finds in a file that has enough zeros: wrong places, wrong values, wrong layers."""

import json
import xml.etree.ElementTree as ET

import h5py
import numpy as np
import pytest
from builders import build_config
from commands import run_command
from saved_model_files import write_saved_model
from tflite_files import RELU, Part, options, sparse_matrix, tflite_bytes
from weight_files import write_h5, write_keras

from graphprune.plan import read_plan
from graphprune.plan.measured import planned_tensors
from graphprune.sparsity.patterns import KeepOf, select_pattern_mask

SHAPES = {"conv": (3, 3, 4, 8), "fc_a": (8, 16), "fc_b": (16, 16), "out": (16, 4)}
TEXT = "in > conv > pool:GlobalAveragePooling2D > fc_a > fc_b > out"
RULES = """
version: 1
rules:
  - id: conv
    match: {name: conv}
    prune: {pattern: {channel: out}, sparsity: 50%, schedule: {curve: step}}
  - id: fine
    match: {name: fc_a}
    prune: {pattern: {keep: 2, of: 4, along: in}, schedule: {curve: step}}
  - id: wide
    match: {name: fc_b}
    prune: {pattern: {block: {in: 4, out: 1}}, sparsity: 50%, schedule: {curve: step}}
  - {id: rest, match: {name: out}, prune: {sparsity: 50%, schedule: {curve: step}}}
"""
FORMATS = ("h5", "keras", "saved", "tflite")


def settings():
    """The config of the model."""
    config = build_config(TEXT, shapes=SHAPES)
    layers = {layer["name"]: layer["config"] for layer in config["config"]["layers"]}
    layers["in"]["batch_input_shape"] = [None, 8, 8, 4]
    layers["conv"] |= {"filters": 8, "kernel_size": [3, 3], "padding": "same"}
    layers["conv"] |= {"activation": "relu", "dilation_rate": [1, 1]}
    layers["fc_a"]["activation"] = "relu"
    return config


def layer_of(config, name):
    return next(layer for layer in config["config"]["layers"] if layer["name"] == name)


def dense_weights():
    random = np.random.default_rng(3)
    return {name: random.normal(size=shape).astype("float32") for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A plan's file, and weights that are as it says."""
    folder = tmp_path_factory.mktemp("planned")
    (folder / "rules.yaml").write_text(RULES)
    model = write("h5", folder, settings(), dense_weights())
    done = run_command("plan", model, "-r", folder / "rules.yaml", "-o", folder / "plan.json")
    assert done.code == 0
    weights = dense_weights()
    for (name, tensor), (_, pruning) in planned_tensors(read_plan(folder / "plan.json")).items():
        if tensor == "kernel":
            share, axes = pruning.share_of(tensor), pruning.axes_of(tensor)
            mask, _ = select_pattern_mask(weights[name], pruning.pattern, share, axes)
            weights[name] *= mask
    return folder / "plan.json", weights


def biases_of(weights, bias=0.5):
    """Biases that are zero where the plan wants it: with the channels of the convolution."""
    biases = {name: np.full(values.shape[-1], bias, "float32") for name, values in weights.items()}
    biases["conv"][~weights["conv"].any(axis=(0, 1, 2))] = 0
    return biases


def write(kind, folder, config, weights, bias=0.5):
    """Write the model in one of the formats."""
    biases = biases_of(weights, bias)
    if kind == "h5":
        groups = {
            layer["name"]: {
                f"{layer['name']}/kernel:0": weights[layer["name"]],
                f"{layer['name']}/bias:0": biases[layer["name"]],
            }
            if layer["name"] in weights
            else {}
            for layer in config["config"]["layers"]
        }
        return write_h5(folder / "model.h5", config, groups)
    if kind == "keras":
        names = [layer["name"] for layer in config["config"]["layers"] if layer["name"] in weights]
        dense = iter(["dense", "dense_1", "dense_2"])
        numbers = {name: "conv2d" if name == "conv" else next(dense) for name in names}
        groups = {f"layers/{numbers[name]}": [weights[name], biases[name]] for name in names}
        return write_keras(folder / "model.keras", config, groups)
    if kind == "saved":
        tree = {
            f"layer-{place}": (
                {"kernel": weights[layer["name"]], "bias": biases[layer["name"]]}
                if layer["name"] in weights
                else {}
            )
            for place, layer in enumerate(config["config"]["layers"])
        }
        return write_saved_model(folder / "saved", config, tree)
    (folder / "model.tflite").write_bytes(to_tflite(weights, biases))
    return folder / "model.tflite"


def to_tflite(weights, biases):
    """A file as the converter writes it, with one sparse tensor and one in 16 bits."""
    stored, how = sparse_matrix(np.ascontiguousarray(weights["fc_b"].T), 4)
    sparse = Part("net/fc_b/MatMul1", (16, 16), stored, sparsity=how)
    half = Part("net/fc_a/MatMul", values=np.ascontiguousarray(weights["fc_a"].T).astype("float16"))
    parts = [
        Part("x", (1, 8, 8, 4)),
        Part("net/conv/Conv2D", values=np.ascontiguousarray(np.moveaxis(weights["conv"], 3, 0))),
        Part("net/conv/BiasAdd/ReadVariableOp", values=biases["conv"]),
        Part("net/conv/Relu;net/conv/Conv2D", (1, 8, 8, 8)),
        Part("axes", values=np.array([1, 2], "int32")),
        Part("net/pool/Mean", (1, 8)),
        half,
        Part("net/fc_a/MatMul1", (16, 8)),
        Part("net/fc_a/Relu", (1, 16)),
        sparse,
        Part("net/fc_b/MatMul", (1, 16)),
        Part("StatefulPartitionedCall:01", values=np.ascontiguousarray(weights["out"].T)),
        Part("net/out/bias", values=biases["out"]),
        Part("StatefulPartitionedCall:0", (1, 4)),
    ]
    return tflite_bytes(
        parts,
        [
            (
                "CONV_2D",
                ["x", "net/conv/Conv2D", "net/conv/BiasAdd/ReadVariableOp"],
                ["net/conv/Relu;net/conv/Conv2D"],
                options("Conv2DOptions", strideW=1, strideH=1, **RELU),
            ),
            ("MEAN", ["net/conv/Relu;net/conv/Conv2D", "axes"], ["net/pool/Mean"]),
            ("DEQUANTIZE", ["net/fc_a/MatMul"], ["net/fc_a/MatMul1"]),
            (
                "FULLY_CONNECTED",
                ["net/pool/Mean", "net/fc_a/MatMul1"],
                ["net/fc_a/Relu"],
                options("FullyConnectedOptions", **RELU),
            ),
            ("FULLY_CONNECTED", ["net/fc_a/Relu", "net/fc_b/MatMul1"], ["net/fc_b/MatMul"]),
            (
                "FULLY_CONNECTED",
                ["net/fc_b/MatMul", "StatefulPartitionedCall:01", "net/out/bias"],
                ["StatefulPartitionedCall:0"],
            ),
        ],
    )


def verify(kind, folder, planned, *, config=None, weights=None, bias=0.5, options=()):
    path = write(kind, folder, config or settings(), weights or planned[1], bias)
    return run_command("verify", path, "--plan", planned[0], *options)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_model_as_planned(kind, tmp_path, planned):
    done = verify(kind, tmp_path, planned)
    assert (done.code, done.err) == (0, "")
    zeros = "5 tensors, 372 zeros of 372 planned"
    assert done.out.splitlines()[-1] == f"As planned: {zeros}."


def wrong_axis(weights):
    """Two of four, along the outputs."""
    values = dense_weights()["fc_a"]
    mask, _ = select_pattern_mask(values.T.copy(), KeepOf(2, 4, "in"), 0.5, ("in", "out"))
    return weights | {"fc_a": values * mask.T}


def misaligned(weights):
    """Blocks that begin two rows too late."""
    return weights | {"fc_b": np.roll(weights["fc_b"], 2, axis=0)}


def half_a_channel(weights):
    """More zeros than planned: two whole channels, and two thirds of four others."""
    kernel = dense_weights()["conv"]
    kernel[:2, :, :, :6] = 0
    kernel[2, :, :, :2] = 0
    return weights | {"conv": kernel}


def with_nan(weights):
    kernel = weights["out"].copy()
    kernel[np.argwhere(kernel)[0][0], np.argwhere(kernel)[0][1]] = np.nan
    return weights | {"out": kernel}


def all_zero(weights):
    return weights | {"out": weights["out"] * 0}


WEIGHT_FAULTS = {
    "fc_a": (wrong_axis, "pattern"),
    "fc_b": (misaligned, "pattern"),
    "conv": (half_a_channel, "pattern"),
    "out": (with_nan, "not-finite"),
    "out ": (all_zero, "all-zero"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", WEIGHT_FAULTS)
def test_enough_zeros_in_a_faulty_tensor_are_drift(kind, name, tmp_path, planned):
    change, fault = WEIGHT_FAULTS[name]
    weights = change(planned[1])
    assert (weights[name.strip()] == 0).sum() >= (planned[1][name.strip()] == 0).sum()
    done = verify(kind, tmp_path, planned, weights=weights, options=["--format", "json"])
    found = json.loads(done.out)
    assert (done.code, done.err, found["as_planned"]) == (2, "", False)
    assert {
        one["address"]: one["faults"]
        for one in found["tensors"]
        if one["faults"] and one["tensor"] == "kernel"
    } == {name.strip(): [fault]}


def test_the_faults_in_words(tmp_path, planned):
    weights = planned[1]
    for change, _ in list(WEIGHT_FAULTS.values())[:4]:
        weights = change(weights)
    done = verify("h5", tmp_path, planned, weights=weights)
    kernels = [line for line in done.out.splitlines() if "  kernel  " in line]
    assert [line.split("zeros  ", 1)[1] for line in kernels] == [
        "target 50.0%, measured 58.3%; 2 of 4 channels of conv have the zeros of the pattern",
        "target 50.0%, measured 50.0%; 21 of 32 groups of 4 have the zeros of the pattern",
        "target 50.0%, measured 50.0%; 15 of 32 blocks have the zeros of the pattern",
        "target 50.0%, measured 50.0%; 1 weight that is NaN or infinite",
    ]


def changed_activation(config):
    layer_of(config, "fc_a")["config"]["activation"] = "tanh"
    return [("fc_a", "settings")]


def changed_dilation(config):
    layer_of(config, "conv")["config"]["dilation_rate"] = [2, 2]
    return [("conv", "settings")]


def rewired(config):
    """The last layer takes another tensor of the same shape; nothing else is another."""
    layer_of(config, "out")["inbound_nodes"] = [[["fc_a", 0, 0, {}]]]
    return [("out", "inputs")]


def one_more(config):
    entry = {
        "class_name": "Dropout",
        "config": {"name": "drop", "rate": 0.5},
        "name": "drop",
        "inbound_nodes": [[["fc_b", 0, 0, {}]]],
    }
    config["config"]["layers"].insert(5, entry)
    layer_of(config, "out")["inbound_nodes"] = [[["drop", 0, 0, {}]]]
    return [("drop", "added"), ("out", "inputs")]


def test_a_tflite_file_of_another_architecture_is_drift(tmp_path, planned):
    config = settings()
    changed_activation(config)
    changed_dilation(config)
    model = write("h5", tmp_path, config, planned[1])
    (tmp_path / "rules.yaml").write_text(RULES)
    plan = tmp_path / "other.json"
    assert run_command("plan", model, "-r", tmp_path / "rules.yaml", "-o", plan).code == 0
    done = verify("tflite", tmp_path, (plan, planned[1]))
    assert (done.code, done.err) == (2, "")
    assert [line for line in done.out.splitlines() if "settings" in line] == [
        "  ! conv  has other settings than in the plan's original model",
        "  ! fc_a  has other settings than in the plan's original model",
    ]
    assert done.out.endswith("; the architecture differs at 2 places.\n")


@pytest.mark.parametrize("kind", ["h5", "keras", "saved"])
@pytest.mark.parametrize("change", [changed_activation, changed_dilation, rewired, one_more])
def test_another_architecture_is_drift(kind, change, tmp_path, planned):
    config = settings()
    wanted = change(config)
    done = verify(kind, tmp_path, planned, config=config, options=["--format", "json"])
    found = json.loads(done.out)
    assert (done.code, done.err, found["as_planned"]) == (2, "", False)
    got = found["architecture"]
    assert got["status"] == "differs"
    assert [(one["address"], one["what"]) for one in got["differences"]] == wanted


@pytest.mark.parametrize("kind", FORMATS)
def test_a_weight_that_is_not_pruned_must_be_finite_too(kind, tmp_path, planned):
    done = verify(kind, tmp_path, planned, bias=np.inf, options=["--format", "json"])
    found = json.loads(done.out)
    assert (done.code, found["summary"]["drift"], found["as_planned"]) == (2, 1, False)
    (bias,) = (one for one in found["tensors"] if one["faults"])
    assert (bias["tensor"], bias["faults"], bias["non_finite"]) == ("bias", ["not-finite"], 4)
    assert {one["non_finite"] for one in found["not_finite"]} >= {4}


def test_a_plan_of_an_earlier_version_is_compared_by_its_hash(tmp_path, planned):
    document = json.loads(planned[0].read_text())
    del document["architecture"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document))
    assert verify("h5", tmp_path, (old, planned[1])).code == 0
    config = settings()
    changed_dilation(config)
    done = verify("h5", tmp_path, (old, planned[1]), config=config)
    assert done.code == 2
    assert "the architecture differs at 1 place" in done.out
    del document["model"]["architecture_sha256"]
    old.write_text(json.dumps(document))
    done = verify("h5", tmp_path, (old, planned[1]), config=config)
    assert done.code == 0
    assert "not all was checked" in done.out


def test_a_tensor_that_cannot_be_told_is_not_as_planned(tmp_path, planned):
    path = tmp_path / "model.tflite"
    path.write_bytes(to_tflite(planned[1], biases_of(planned[1])).replace(b"fc_b", b"xx_b"))
    done = run_command("verify", path, "--plan", planned[0])
    assert done.code == 2
    assert "? fc_b  kernel" in done.out
    assert "No drift found, but not all was checked" in done.out
    assert "As planned" not in done.out
    done = run_command("verify", path, "--plan", planned[0], "--allow-drift", "--format", "json")
    found = json.loads(done.out)
    assert (done.code, found["as_planned"], found["summary"]["unchecked"]) == (0, None, 1)
    assert found["tensors"][3]["zeros_measured"] is None


def test_junit_and_markdown(tmp_path, planned):
    config, weights = settings(), all_zero(planned[1])
    changed_dilation(config)
    report = tmp_path / "report.xml"
    done = verify("h5", tmp_path, planned, config=config, weights=weights, options=["-o", report])
    assert done.code == 2
    (suite,) = ET.parse(report).getroot()
    counts = {key: suite.get(key) for key in ("tests", "failures", "skipped", "errors")}
    assert counts == {"tests": "7", "failures": "2", "skipped": "0", "errors": "0"}
    assert [case.get("name") for case in suite if case.find("failure") is not None] == [
        "out kernel",
        "architecture",
    ]
    done = run_command("verify", tmp_path / "model.h5", "--plan", planned[0], "--format", "github")
    lines = done.out.splitlines()
    assert lines[0] == "### Model against plan"
    assert lines[4] == "```diff"
    assert [line for line in lines if line.startswith("!")] == [
        line for line in lines if "all weights are zero" in line or "other settings" in line
    ]
    document = json.loads(planned[0].read_text())
    del document["architecture"]["computation"]
    early = tmp_path / "early.json"
    early.write_text(json.dumps(document))
    path = write("tflite", tmp_path, config, planned[1])
    done = run_command("verify", path, "--plan", early, "--format", "junit")
    (suite,) = ET.fromstring(done.out)
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")


def test_two_layers_of_one_shape_are_told_apart_by_names(tmp_path, planned):
    """The converter joins the names of layers whose operations it has fused."""
    kernel = np.ascontiguousarray(planned[1]["fc_b"].T)
    other = np.ones((16, 16), "float32")
    parts = [
        Part("x", (1, 16)),
        Part("net/quant_fc_b/MatMul;net/quant_fc_b/LastValueQuant/Fake", values=kernel),
        Part("net/quant_fc_b/MatMul1", (1, 16)),
        Part("net/last_2/MatMul", values=other),
        Part("net/add/add;net/last_2/MatMul;net/quant_fc_b/MatMul", (1, 16)),
    ]
    operators = [
        ("FULLY_CONNECTED", ["x", parts[1].name], [parts[2].name]),
        ("FULLY_CONNECTED", [parts[2].name, parts[3].name], [parts[4].name]),
    ]
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite_bytes(parts, operators))
    done = run_command("verify", path, "--plan", planned[0], "--format", "json")
    checks = {one["address"]: one for one in json.loads(done.out)["tensors"]}
    assert (checks["fc_b"]["faults"], checks["fc_b"]["zeros_measured"]) == ([], 128)
    assert checks["out"]["unchecked"] == "no tensor of the file has the name of the layer"


def test_channels_are_dead_only_where_all_tensors_of_their_group_are_zero(tmp_path, planned):
    """The bias has as many zeros as planned, of other channels than the kernel."""
    weights = planned[1]
    path = write("h5", tmp_path, settings(), weights)
    with h5py.File(path, "r+") as file:
        bias = file["model_weights/conv/conv/bias:0"]
        bias[...] = bias[...] == 0
    done = run_command("verify", path, "--plan", planned[0], "--format", "json")
    checks = [one for one in json.loads(done.out)["tensors"] if one["address"] == "conv"]
    assert done.code == 2
    assert [one["zeros_measured"] >= one["zeros_planned"] for one in checks] == [True, True]
    assert [one["faults"] for one in checks] == [["pattern"], ["pattern"]]
    assert checks[0]["units"] == {"unit": "channels of conv", "wanted": 4, "found": 0, "total": 8}
