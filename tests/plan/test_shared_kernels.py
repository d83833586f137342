"""Layers that are called several times, in files with one kernel for all calls and with others."""

import numpy as np
import pytest
from builders import build_graph
from lenet import rules
from saved_model_graphs import Exported
from tflite_files import Part, tflite_bytes

from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.archive.tflite.file import TfliteFile
from graphprune.plan import make_plan
from graphprune.plan.operator_architecture import check_operator_architecture

KEEP = rules("version: 1\nrules: [{id: all, match: '*', keep: true, expect: {gte: 0}}]")
ONE = (
    "in(batch_input_shape=[None, 3]) > relu > fc[3, 3]; in > tanh:Activation(activation='tanh') >"
    " fc; fc@0 + fc > add"
)
NORMALIZED = ONE.replace("; fc@0 + fc", "; fc@0 > bn[3]; bn + fc")


def found(text, file):
    check = check_operator_architecture(make_plan(build_graph(text), KEEP), file)
    return check.status, [(one.address, one.what) for one in check.differences]


def converted(first, second):
    """Two products, with these kernels."""
    x, r1, r2, k1, k2, p1, p2, end = (
        "serving_default_in:0",
        "net/relu/Relu",
        "net/tanh/Tanh",
        "net/fc/MatMul",
        "net/other/MatMul",
        "net/fc/MatMul;net/fc/BiasAdd",
        "net/other/MatMul;net/other/BiasAdd",
        "net/add/add",
    )
    parts = [Part(each, (1, 3)) for each in (x, r1, r2, p1, p2, end)]
    parts += [Part(k1, values=first), Part(k2, values=second)]
    operators = [
        ("RELU", [x], [r1]),
        ("TANH", [x], [r2]),
        ("FULLY_CONNECTED", [r1, k1], [p1]),
        ("FULLY_CONNECTED", [r2, k2], [p2]),
        ("ADD", [p1, p2], [end]),
    ]
    return TfliteFile(tflite_bytes(parts, operators))


KERNEL = np.arange(9, dtype="f4").reshape(3, 3)


def test_a_layer_with_another_kernel_in_one_call_is_drift():
    assert found(ONE, converted(KERNEL, KERNEL)) == ("same", [])
    assert found(ONE, converted(KERNEL, KERNEL + 1)) == ("differs", [("fc", "settings")])


def test_a_kernel_that_a_normalization_may_be_in_is_not_compared():
    assert found(NORMALIZED, converted(KERNEL * 2, KERNEL)) == ("same", [])


@pytest.mark.parametrize("name", ["fc", "fc_1", "other"])
def test_a_call_of_another_layer_is_drift_in_an_exported_model(tmp_path, name):
    net = Exported()
    given = [
        net.add("net/relu/Relu", "Relu", "x", shape=(-1, 3)),
        net.add("net/tanh/Tanh", "Tanh", "x", shape=(-1, 3)),
    ]
    kernels = [net.variable("net/fc/MatMul", 3, 3)]
    kernels += [net.variable("net/other/MatMul", 3, 3)] if name == "other" else kernels
    made = [
        net.add(f"net/{layer}/{op}", "MatMul", x, kernel, shape=(-1, 3)).replace(
            "output", "product"
        )
        for layer, op, x, kernel in zip(
            ("fc", name), ("MatMul", "MatMul_1"), given, kernels, strict=True
        )
    ]
    x = net.add("net/add/add", "AddV2", *made, shape=(-1, 3)).replace("output", "z")
    file = ExportedFile(read_operations(net.write(tmp_path, (-1, 3), x)))
    status, differences = found(ONE, file)
    assert status == ("differs" if name == "other" else "same")
    assert (("other", "added") in differences) == (name == "other")
