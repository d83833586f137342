"""Models with tfmot's quantization wrappers are seen as the models inside."""

import json
import zipfile

import numpy as np
import pytest
from commands import run_command
from weight_files import write_h5, write_keras

from graphprune.graph.quantizers import without_quantizers
from graphprune.graph.read import open_model_file

KERNEL = np.arange(16.0, dtype="float32").reshape(4, 4)
OUT = np.arange(8.0, dtype="float32").reshape(4, 2)
BIAS = np.array([1, 0, 2, 3], "float32")
ONE = np.zeros((), "float32")
NO_OP = {"class_name": "NoOpActivation", "config": {}}


def dense(name, units, activation):
    return {
        "class_name": "Dense",
        "config": {"name": name, "units": units, "activation": activation},
    }


def plain_layers():
    begin = {
        "class_name": "InputLayer",
        "config": {"name": "in", "batch_input_shape": [None, 4], "dtype": "float32"},
    }
    act = {"class_name": "ReLU", "config": {"name": "act"}}
    return [begin, dense("fc", 4, "linear"), act, dense("out", 2, "tanh")]


def quantized_layers(pruned=False):
    begin, fc, act, out = plain_layers()
    rounding = {"class_name": "QuantizeLayer", "config": {"name": "quantize_layer"}}
    return [
        begin,
        rounding,
        wrapped(fc, NO_OP, ["kernel"]),
        wrapped(act, None, []),
        wrapped(out, "tanh", ["kernel"]),
    ]


def wrapped(layer, activation, attributes):
    config = dict(layer["config"])
    if activation is not None:
        config["activation"] = {
            "class_name": "QuantizeAwareActivation",
            "config": {"activation": activation},
        }
    return {
        "class_name": "QuantizeWrapperV2",
        "config": {
            "name": f"quant_{config['name']}",
            "layer": {"class_name": layer["class_name"], "config": config},
            "quantize_config": {
                "class_name": "Default8BitQuantizeConfig",
                "config": {"weight_attrs": attributes, "quantize_output": False},
            },
        },
    }


def model_of(layers, kind):
    if kind == "Sequential":
        return {"class_name": kind, "config": {"name": "net", "layers": layers}}
    names = [layer["config"]["name"] for layer in layers]
    placed = [
        layer | {"name": name, "inbound_nodes": [[[before, 0, 0, {}]]] if before else []}
        for layer, name, before in zip(layers, names, [None, *names], strict=False)
    ]
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [[names[-1], 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "net", "layers": placed} | ends}


def write_plain(path, kind, kernel=KERNEL):
    config = model_of(plain_layers(), kind)
    if path.suffix == ".h5":
        groups = {
            "fc": {"fc/kernel:0": kernel, "fc/bias:0": BIAS},
            "act": {},
            "out": {"out/kernel:0": OUT, "out/bias:0": BIAS[:2]},
        }
        return write_h5(path, config, groups)
    return write_keras(
        path, config, {"layers/dense": [kernel, BIAS], "layers/dense_1": [OUT, BIAS[:2]]}
    )


def write_quantized(path, kind, kernel=KERNEL):
    config = model_of(quantized_layers(), kind)
    if path.suffix == ".h5":
        step = {"optimizer_step:0": ONE}
        groups = {
            "quantize_layer": {"quantize_layer/quantize_layer_min:0": ONE},
            "quant_fc": {
                "fc/kernel:0": kernel,
                "fc/bias:0": BIAS,
                **{f"quant_fc/{name}": value for name, value in step.items()},
                "quant_fc/kernel_min:0": ONE - 1,
                "quant_fc/kernel_max:0": ONE + 1,
            },
            "quant_act": {"quant_act/output_min:0": ONE, "quant_act/output_max:0": ONE},
            "quant_out": {
                "out/kernel:0": OUT,
                "out/bias:0": BIAS[:2],
                "quant_out/kernel_min:0": ONE,
            },
        }
        return write_h5(path, config, groups)
    return write_keras(
        path,
        config,
        {
            "layers/quantize_layer": [ONE, ONE, ONE],
            "layers/quantize_wrapper_v2": [kernel, BIAS, kernel, ONE, ONE, ONE],
            "layers/quantize_wrapper_v2/layer": [BIAS],
            "layers/quantize_wrapper_v2_1": [ONE, ONE, ONE],
            "layers/quantize_wrapper_v2_2": [OUT, BIAS[:2], OUT, ONE, ONE, ONE, ONE, ONE],
            "layers/quantize_wrapper_v2_2/layer": [BIAS[:2]],
        },
    )


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", ["Functional", "Sequential"])
def test_the_layers_inside_are_compared(tmp_path, kind, suffix):
    plain = write_plain(tmp_path / f"plain{suffix}", kind)
    quantized = write_quantized(tmp_path / f"quantized{suffix}", kind)
    done = run_command("diff", plain, quantized)
    assert (done.code, done.out, done.err) == (0, "No differences.\n", "")
    other = write_quantized(tmp_path / f"other{suffix}", kind, KERNEL * (KERNEL > 8))
    found = json.loads(run_command("diff", plain, other, "--format", "json").out)
    assert [layer["address"] for layer in found["layers"]] == ["fc"]
    assert [tensor["zeros_after"] for tensor in found["layers"][0]["tensors"]] == [9]


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_ranges_of_quantizers_are_not_prunable(tmp_path, suffix):
    path = write_quantized(tmp_path / f"quantized{suffix}", "Functional")
    seen = without_quantizers(open_model_file(path))
    assert list(seen.graph.layers) == ["in", "fc", "act", "out"]
    assert {
        (layer.address, tensor.name)
        for layer in seen.graph.candidates()
        for tensor in layer.prunable
    } == {("fc", "kernel"), ("out", "kernel")}
    np.testing.assert_array_equal(seen.located.read("out", "bias"), BIAS[:2])
    assert seen.zeros["fc", "kernel"] == 1


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_quantized_model_is_verified(tmp_path, suffix):
    plain = write_plain(tmp_path / f"plain{suffix}", "Functional")
    (tmp_path / "r.yaml").write_text(
        "version: 1\n"
        "rules: [{id: fc, match: {name: fc}, prune: {sparsity: 50%, schedule: {curve: step}}}]"
    )
    plan = tmp_path / "plan.json"
    assert run_command("plan", plain, "-r", tmp_path / "r.yaml", "-o", plan).code == 0
    for kernel, code in ((KERNEL * (KERNEL > 7), 0), (KERNEL, 2)):
        quantized = write_quantized(tmp_path / f"quantized{suffix}", "Functional", kernel)
        done = run_command("verify", quantized, "--plan", plan)
        assert (done.code, done.err) == (code, "")
        assert ("As planned: 1 tensor" in done.out) == (code == 0)
        quantized.unlink()


def test_a_model_without_quantizers_is_itself(tmp_path):
    model = open_model_file(write_plain(tmp_path / "plain.h5", "Functional"))
    assert without_quantizers(model) is model


def test_strip_refuses_a_damaged_quantized_model_before_it_imports_keras(tmp_path):
    path = write_quantized(tmp_path / "net.keras", "Functional")
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model.weights.h5")
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 1
    path.write_bytes(content)
    done = run_command("strip", path, "-o", tmp_path / "out.keras")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"graphprune: {path}: damaged zip (Bad CRC-32 for file 'model.weights.h5'); save or copy"
        " the model again\n"
    )
    assert not (tmp_path / "out.keras").exists()
