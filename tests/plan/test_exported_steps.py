"""The steps that single operations of exported SavedModels are read as."""

import numpy as np
import pytest
from saved_model_graphs import Exported

from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.errors import ArchiveError
from graphprune.plan.operator_steps import OperatorSteps

IMAGE, WINDOW = (-1, 8, 8, 4), {"strides": [1, 1, 1, 1], "padding": "SAME"}


def steps(folder, net, shape, output):
    file = ExportedFile(read_operations(net.write(folder, shape, output)))
    return [found.step.computes for found in OperatorSteps(file).steps]


CONVOLUTIONS = {
    "dilated": (
        ("Conv2D", (3, 3, 4, 6), WINDOW | {"dilations": [1, 2, 3, 1]}),
        "convolution 3x3x4x6, strides 1x1, dilation 2x3, same",
    ),
    "strides": (
        ("Conv2D", (3, 3, 4, 6), {"strides": [1, 2, 1, 1], "padding": "VALID"}),
        "convolution 3x3x4x6, strides 2x1, dilation 1x1, valid",
    ),
    "depthwise": (
        ("DepthwiseConv2dNative", (3, 2, 4, 2), WINDOW),
        "depthwise convolution 3x2x8, strides 1x1, dilation 1x1, same",
    ),
    "channels first": (
        ("Conv2D", (3, 3, 4, 6), WINDOW | {"data_format": "NCHW"}),
        "operator FlexConv2D",
    ),
    "padding of its own": (
        ("Conv2D", (3, 3, 4, 6), WINDOW | {"padding": "EXPLICIT"}),
        "operator FlexConv2D",
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_settings_of_convolutions_are_read(name, tmp_path):
    (kind, kernel, settings), wanted = CONVOLUTIONS[name]
    net = Exported()
    values = net.variable("net/c/kernel", *kernel)
    made = net.add("net/c/Conv2D", kind, "x", values, shape=(-1, 8, 8, 6), **settings)
    assert steps(tmp_path, net, IMAGE, made)[1:] == [wanted]


MATRICES = {
    "MatMul": ((4, 6), {}, "matrix 4x6"),
    "transposed": ((6, 4), {"transpose_b": True}, "matrix 4x6"),
    "Einsum": ((4, 2, 3), {"equation": "ab,bcd->acd"}, "matrix 4x6"),
    "Einsum over two axes": ((2, 6, 4), {"equation": "ab,cdb->acd"}, "matrix 4x12"),
    "Einsum for each channel": ((4, 6), {"equation": "ab,bc->abc"}, "operator FlexEinsum"),
}


@pytest.mark.parametrize("name", MATRICES)
def test_products_with_matrices_are_read(name, tmp_path):
    kernel, settings, wanted = MATRICES[name]
    net = Exported()
    values = net.variable("net/m/kernel", *kernel)
    kind = "Einsum" if "equation" in settings else "MatMul"
    made = net.add("net/m/made", kind, "x", values, shape=(-1, 6), **settings)
    assert steps(tmp_path, net, (-1, 4), made)[1:] == [wanted]


def test_products_of_two_tensors_have_their_heads(tmp_path):
    net = Exported()
    two = {"equation": "aecd,abcd->acbe"}
    made = net.add("net/m/Einsum", "Einsum", "x", "x", shape=(-1, 2, 5, 5), **two)
    assert steps(tmp_path, net, (-1, 5, 2, 3), made)[-1] == "product of 2"


def scaled(net, name, x, factor):
    number = net.constant(f"net/a/{name}/y", np.array(factor, "float32"))
    return net.add(f"net/a/{name}", "Mul", x, number, shape=(-1, 4))


def gelu(net, half=0.5):
    turned = net.add("net/a/Neg", "Neg", "x", shape=(-1, 4))
    curve = net.add("net/a/Erfc", "Erfc", scaled(net, "mul_1", turned, 2**-0.5), shape=(-1, 4))
    return net.add("net/a/mul_2", "Mul", scaled(net, "mul", "x", half), curve, shape=(-1, 4))


def prelu(net, sign="Neg"):
    above = net.add("net/a/Relu", "Relu", "x", shape=(-1, 4))
    turned = net.add("net/a/turned", sign, "x", shape=(-1, 4))
    below = net.add("net/a/Relu_1", "Relu", turned, shape=(-1, 4))
    slope = net.variable("net/a/alpha", 4)
    below = net.add("net/a/mul", "Mul", below, slope, shape=(-1, 4))
    return net.add("net/a/add", "AddV2", above, below, shape=(-1, 4))


WHOLE = {
    "gelu": (gelu, "gelu"),
    "another factor": (lambda net: gelu(net, 0.7), "multiply"),
    "prelu": (prelu, "prelu"),
    "no sign": (lambda net: prelu(net, "Abs"), "add"),
    "leaky": (lambda net: net.add("net/a/l", "LeakyRelu", "x", alpha=0.25), "leaky relu 0.25"),
    "leaky by default": (lambda net: net.add("net/a/l", "LeakyRelu", "x"), "leaky relu 0.2"),
    "factor of one": (lambda net: scaled(net, "mul", "x", 1.0), "input"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_activations_of_several_operations_are_read_as_one(name, tmp_path):
    make, wanted = WHOLE[name]
    net = Exported()
    assert steps(tmp_path, net, (-1, 4), make(net))[-1] == wanted


PLAIN = "recurrent 3x5 5x5, h = tanh(h[0/1] + x[0/1])"
LOOPS = {
    "plain": ({}, PLAIN),
    "another activation": ({"kind": "Sigmoid"}, PLAIN.replace("tanh", "sigmoid")),
    "stateful": ({"state": "net/rnn/state"}, f"{PLAIN}, stateful"),
    "an activation that no layer has": ({"kind": "Erf"}, "operator WHILE"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_over_sequences_are_read_as_recurrent_layers(name, tmp_path):
    has, wanted = LOOPS[name]
    net = Exported()
    made = net.recurrence("net/rnn", "x", **has)
    assert steps(tmp_path, net, (4, 2, 3), made)[1] == wanted


def test_a_loop_whose_results_are_zero_behind_a_mask_is_read(tmp_path):
    net = Exported()
    zero = net.constant("net/zero", np.zeros((), "float32"))
    mask = net.add("net/mask", "NotEqual", "x", zero, shape=(4, 2, 1))
    made = net.recurrence("net/rnn", "x", mask=mask)
    chosen = "m tanh(h[0/1] + x[0/1])"
    wanted = f"recurrent 3x5 5x5, o = {chosen}; h = -1 h m + h + {chosen}"
    assert wanted in steps(tmp_path, net, (4, 2, 3), made)


def test_the_last_of_a_stacked_sequence_is_taken_along_its_first_axis(tmp_path):
    net = Exported()
    made = net.recurrence("net/rnn", "x")
    places = [
        net.constant(f"net/rnn/{key}", [at]) for key, at in (("begin", -1), ("end", 0), ("by", 1))
    ]
    last = net.add("net/rnn/last", "StridedSlice", made, *places, shape=(2, 5), shrink_axis_mask=1)
    assert steps(tmp_path, net, (4, 2, 3), last)[-1] == "last of sequence"


def test_the_columns_of_a_kernel_that_a_product_takes_are_told(tmp_path):
    net = Exported()
    kernel = net.variable("net/rnn/kernel", 3, 8)
    ends = {"begin": [0, 6], "end": [0, 8], "by": [1, 1]}
    places = [net.constant(f"net/rnn/{key}", at) for key, at in ends.items()]
    part = net.add(
        "net/rnn/part", "StridedSlice", kernel, *places, shape=(3, 2), begin_mask=1, end_mask=1
    )
    axis = net.constant("net/rnn/axis", -1)
    half = net.add("net/rnn/split", "Split", axis, kernel, shape=(3, 8), num_split=1)
    made = [
        net.add(f"net/rnn/MatMul_{number}", "MatMul", "x", matrix, shape=(-1, width))
        for number, (matrix, width) in enumerate(((part, 2), (half, 8)))
    ]
    joined = net.add("net/join", "ConcatV2", *made, axis, shape=(-1, 10))
    file = ExportedFile(read_operations(net.write(tmp_path, (-1, 3), joined)))
    products = [each for each in file.operators_of(0) if each.kind == "FULLY_CONNECTED"]
    assert [file.columns[each.inputs[1]] for each in products] == [6, 0]
    assert {each.inputs[1] for each in products} <= file.weights


def test_columns_that_an_open_length_tells_are_not_known(tmp_path):
    net = Exported()
    kernel, lengths = net.variable("net/k", 3, 8), net.add("net/n", "Shape", "x", shape=(2,))
    rest = [net.constant(f"net/{key}", at) for key, at in (("end", [0, 0]), ("by", [1, 1]))]
    part = net.add("net/part", "StridedSlice", kernel, lengths, *rest, shape=(3, -1), begin_mask=1)
    made = net.add("net/MatMul", "BatchMatMulV2", part, "x", shape=(3, -1))
    assert ExportedFile(read_operations(net.write(tmp_path, (8, -1), made))).columns == {}


def test_a_loop_that_gives_its_body_too_little_is_damage(tmp_path):
    net = Exported()
    made = net.recurrence("net/rnn", "x", given=5)
    with pytest.raises(ArchiveError, match=r"net/rnn/while gives 5 tensors to net/rnn_body"):
        read_operations(net.write(tmp_path, (4, 2, 3), made))
