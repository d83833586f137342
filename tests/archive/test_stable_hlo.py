"""StableHLO in exported SavedModels, as JAX writes it, read as steps of layers."""

import json
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from saved_model_graphs import Exported

from graphprune.archive.saved_model import stable_hlo
from graphprune.archive.saved_model.hlo_functions import HloFunctions
from graphprune.archive.saved_model.hlo_writing import HloWriter
from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.archive.saved_model.stable_hlo import HloBlock, HloModule, HloOperation, HloValue
from graphprune.errors import ArchiveError
from graphprune.plan.operator_steps import OperatorSteps

if find_spec("jax") is None:
    pytest.skip("JAX is not installed", allow_module_level=True)

import jax
from jax import export, lax, nn
from jax import numpy as jnp

from graphprune.stable_hlo_process import describe

BATCH = "b"


def write(folder, function, shape, *weights):
    """Write the folder of a function of one tensor, whose first axis is open, and of weights."""

    def call(*taken):
        *values, x = taken
        with jax.named_scope("net"), jax.named_scope("one"):
            return function(x, *values)

    (batch,) = export.symbolic_shape(BATCH)
    specs = [jax.ShapeDtypeStruct(each, "float32") for each in (*weights, (batch, *shape))]
    module = export.export(jax.jit(call), platforms=["cpu"])(*specs).mlir_module_serialized
    net = Exported()
    variables = [net.variable(f"net/one/w{number}", *each) for number, each in enumerate(weights)]
    made = net.add("call", "XlaCallModule", *variables, "x", shape=(-1,), module=bytes(module))
    return net.write(folder, (-1, *shape), made)


@pytest.fixture(autouse=True)
def _parsed_in_this_process(monkeypatch):
    """JAX, which takes a second to import, is imported here already."""
    monkeypatch.setattr(
        stable_hlo, "parse", lambda module: json.loads(json.dumps(describe(module)))
    )


def steps(folder, function, shape, *weights):
    file = ExportedFile(read_operations(write(folder, function, shape, *weights)))
    return [found.step.computes for found in OperatorSteps(file).steps][1:]


ACTIVATIONS = {
    "clip": (lambda x: jnp.clip(x, 0, 4), ["operator MINIMUM", "clip 0 4"]),
    "elu": (nn.elu, ["elu"]),
    "elu with a factor": (lambda x: nn.elu(x, 0.5), ["scaled elu, factor 0.5"]),
    "gelu": (lambda x: nn.gelu(x, approximate=False), ["gelu"]),
    "hard sigmoid": (nn.hard_sigmoid, ["affine", "relu6", "affine"]),
    "hard swish": (nn.hard_swish, ["affine", "relu6", "affine", "multiply"]),
    "leaky relu": (lambda x: nn.leaky_relu(x, 0.3), ["leaky relu 0.3"]),
    "log softmax": (nn.log_softmax, ["log softmax"]),
    "mish": (nn.mish, ["mish"]),
    "relu": (nn.relu, ["relu"]),
    "relu6": (nn.relu6, ["relu6"]),
    "selu": (nn.selu, ["selu"]),
    "sigmoid": (nn.sigmoid, ["sigmoid"]),
    "softmax": (nn.softmax, ["softmax, length 4"]),
    "softplus": (nn.softplus, ["exp", "affine", "log"]),
    "softsign": (nn.soft_sign, ["softsign"]),
    "swish": (nn.silu, ["sigmoid", "multiply"]),
    "tanh": (jnp.tanh, ["tanh"]),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_told_by_their_values(name, tmp_path):
    function, wanted = ACTIVATIONS[name]
    assert steps(tmp_path, function, (4,))[-len(wanted) :] == wanted


def convolution(strides=(1, 1), padding="SAME", dilation=(1, 1), groups=1):
    def call(x, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, strides, padding, rhs_dilation=dilation, dimension_numbers=layout,
            feature_group_count=groups,
        )  # fmt: skip

    return call


def depthwise(x, kernel):
    return convolution(groups=4)(x, jnp.reshape(kernel, (3, 3, 1, 8)))


def average(x):
    size, strides = (1, 2, 2, 1), (1, 2, 2, 1)
    return lax.reduce_window(x, 0.0, lax.add, size, strides, "VALID") / 4


def normalized(x):
    mean, variance = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
    scale = lax.rsqrt(variance + 1e-3)
    return x * scale + -mean * scale


def attention(x, query, key, value):
    first, second, third = (
        jnp.einsum("bse,ehd->bshd", x, kernel) for kernel in (query, key, value)
    )
    shares = nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", first, second))
    return jnp.einsum("bhqk,bkhd->bqhd", shares, third)


def average_of_what_is_inside(x):
    def summed(values):
        return lax.reduce_window(values, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

    return summed(x) / summed(jnp.ones((1, *x.shape[1:])))


LAYERS = {
    "convolution": (
        convolution((2, 1), "VALID"), (8, 8, 4), (3, 3, 4, 6),
        ["convolution 3x3x4x6, strides 2x1, dilation 1x1, valid"],
    ),
    "dilated convolution": (
        convolution(dilation=(1, 2)), (8, 8, 4), (3, 3, 4, 6),
        ["convolution 3x3x4x6, strides 1x1, dilation 1x2, same"],
    ),
    "padding that is both": (
        convolution(), (8, 8, 4), (1, 1, 4, 6),
        ["convolution 1x1x4x6, strides 1x1, dilation 1x1, same or valid"],
    ),
    "padding of its own": (
        convolution(padding=((2, 0), (2, 0))), (8, 8, 4), (3, 3, 4, 6),
        ["operator FlexStableHlo.convolution"],
    ),
    "depthwise": (
        depthwise, (8, 8, 4), (3, 3, 4, 2),
        ["depthwise convolution 3x3x8, strides 1x1, dilation 1x1, same"],
    ),
    "groups": (
        convolution(groups=2), (8, 8, 4), (3, 3, 2, 6),
        ["convolution 3x3x2x6, strides 1x1, dilation 1x1, same"],
    ),
    "transposed": (
        lambda x, kernel: lax.conv_transpose(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
            transpose_kernel=True,
        ), (8, 8, 4), (3, 3, 6, 4),
        ["transposed convolution 3x3x6x4, strides 2x2, dilation 1x1, same"],
    ),
    "dense": (jnp.matmul, (5, 4), (4, 3), ["matrix 4x3"]),
    "matrix of two axes": (
        lambda x, kernel: jnp.einsum("bc,cde->bde", x, kernel), (4,), (4, 2, 3), ["matrix 4x6"],
    ),
    "rows of a table": (
        lambda x, table: jnp.take(table, x.astype("int32"), axis=0, mode="fill"), (5,), (7, 3),
        ["lookup 7x3"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_with_a_kernel_are_read(name, tmp_path):
    function, shape, kernel, wanted = LAYERS[name]
    assert steps(tmp_path, function, shape, kernel)[-len(wanted) :] == wanted


WITHOUT_KERNEL = {
    "average pooling": (average, (8, 8, 3), "average pooling 2x2, strides 2x2, same or valid"),
    "a turn of each part": (
        lambda x: jnp.stack([x[:, at].swapaxes(1, 2) for at in range(3)], 1), (3, 4, 5),
        "operator PACK",
    ),
    "average pooling at the edges": (
        average_of_what_is_inside, (8, 8, 3), "average pooling 3x3, strides 1x1, same",
    ),
    "nothing but zero": (lambda x: nn.sigmoid(x) * 0.0, (8, 3), "affine"),
    "crop": (lambda x: x[:, 1:-2], (8, 3), "crop 1+2 0+0"),
    "last part": (lambda x: x[:, -1], (8, 3), "operator item 7 of 8 over 1"),
    "layer normalization": (normalized, (8, 3), "normalize over 3, epsilon 0.001"),
    "mean": (lambda x: jnp.mean(x, (1, 2)), (8, 8, 3), "mean over 1 2"),
    "padding": (lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0))), (8, 3), "pad 1+2 0+0"),
    "repetition": (lambda x: jnp.repeat(x, 2, axis=1), (8, 3), "repeat 2 over 1"),
    "softmax of another axis": (lambda x: nn.softmax(x, 1), (8, 3), "softmax, length 8"),
    "matrix that is computed": (
        lambda x: x @ jnp.where(jnp.arange(9).reshape(3, 3) > 4, 1.0, 0.5), (8, 3),
        "operator FlexStableHlo.dot_general",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_KERNEL)
def test_layers_without_a_kernel_are_read(name, tmp_path):
    function, shape, wanted = WITHOUT_KERNEL[name]
    assert steps(tmp_path, function, shape)[-1] == wanted


def test_attention_takes_its_values_behind_its_scores(tmp_path):
    folder = write(tmp_path, attention, (5, 8), *[(8, 2, 4)] * 3)
    found = [each.step for each in OperatorSteps(ExportedFile(read_operations(folder))).steps]
    (scores, last) = (step for step in found if step.computes == "product of 2")
    assert [found[place].computes for place in last.inputs] == ["softmax, length 5", "matrix 8x8"]
    assert [found[place].computes for place in scores.inputs] == ["matrix 8x8"] * 2


def test_kernels_that_are_constants_of_the_module_are_read(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 1, 6)).astype("float32")
    wanted = ["convolution 3x3x1x6, strides 1x1, dilation 1x1, same"]
    assert steps(tmp_path, lambda x: convolution()(x, kernel), (8, 8, 1)) == wanted


def scanned(x, kernel, recurrent, *, reverse=False):
    def cell(state, part):
        state = jnp.tanh(part @ kernel + state @ recurrent)
        return state, state

    begun = jnp.zeros((x.shape[0], 5))
    return lax.scan(cell, begun, jnp.swapaxes(x, 0, 1), reverse=reverse)[1]


def projected(x, kernel, recurrent):
    def cell(state, part):
        state = jnp.tanh(part + state @ recurrent)
        return state, state

    sequence = jnp.swapaxes(x @ kernel, 0, 1)
    return lax.scan(cell, jnp.zeros((x.shape[0], 5)), sequence)[1]


CELL = "recurrent 3x5 5x5, h = tanh(h[0/1] + x[0/1])"


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (scanned, [CELL]),
        (projected, [CELL]),
        (lambda *taken: jnp.flip(scanned(*taken, reverse=True), 0), ["reverse", CELL]),
        (lambda *taken: scanned(*taken, reverse=True), ["reverse", CELL, "reverse"]),
    ],
    ids=["forward", "multiplied before", "backward", "backward and turned"],
)
def test_loops_over_a_sequence_are_read(function, wanted, tmp_path):
    found = steps(tmp_path, function, (7, 3), (3, 5), (5, 5))
    assert [each for each in found if each != "last of sequence"] == wanted


def test_a_process_of_its_own_tells_the_names_of_layers(tmp_path, monkeypatch):
    monkeypatch.undo()
    folder = write(tmp_path, lambda x, kernel: nn.relu(x @ kernel), (4,), (4, 3))
    file = ExportedFile(read_operations(folder))
    names = {name for found in OperatorSteps(file).steps for name in found.names}
    assert {"net/one/dot_general", "net/one/max"} <= names


def test_a_module_that_takes_more_tensors_than_it_gets_is_damage(tmp_path):
    (batch,) = export.symbolic_shape(BATCH)
    spec = jax.ShapeDtypeStruct((batch, 4), "float32")
    function = jax.jit(lambda x, y, z: x + y + z)
    module = export.export(function, platforms=["cpu"])(spec, spec, spec).mlir_module_serialized
    net = Exported()
    made = net.add("call", "XlaCallModule", "x", shape=(-1,), module=bytes(module))
    folder = net.write(tmp_path, (-1, 4), made)
    with pytest.raises(ArchiveError, match="its StableHLO takes 3 tensors, and gets 1"):
        read_operations(folder)


def computed(kind, *values):
    """Return the number that an operation makes of constants; None where it is not known."""
    made = len(values)
    constants = [
        HloOperation("constant", "", (), (place,), {"value": [value]})
        for place, value in enumerate(values)
    ]
    operations = [*constants, HloOperation(kind, "", tuple(range(made)), (made,), {})]
    numbers = {place: HloValue("i32", ()) for place in range(made + 1)}
    module = HloModule(HloBlock((), (made,), operations), numbers)
    return HloFunctions(module, operations).numbers.get(made)


@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        ("divide", (7, 2), 3),
        ("divide", (-7, 2), -3),
        ("divide", (7, 0), 0),
        ("divide", (7.0, 2), 3.5),
        ("not", (5,), -6),
        ("not", (True,), False),
        ("or", (2**64 - 1, -1), None),
        ("power", (2, -1), None),
    ],
)
def test_constants_are_computed_as_stablehlo_does(kind, values, wanted):
    assert computed(kind, *values) == wanted


def test_infinite_figures_of_activations_raise_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = steps(tmp_path, lambda x: jnp.where(x > 0, x, jnp.inf * (x * x)), (4,))
    assert "relu" not in found


def _out_of_range(functions):
    for operation in _operations(functions):
        if operation["kind"] == "stablehlo.get_dimension_size":
            operation["settings"]["dimension"] = 7


def _without_tensors(functions):
    for operation in _operations(functions):
        if operation["settings"].get("callee"):
            operation["inputs"].pop()


def _without_functions(functions):
    for name in {*functions} - {"main"}:
        del functions[name]


def _of_themselves(functions):
    call = {
        "kind": "func.call", "place": "", "inputs": [0], "outputs": [[1, "f32", [None, 4]]],
        "settings": {"callee": "main"}, "blocks": [],
    }  # fmt: skip
    functions["main"] = {"inputs": [[0, "f32", [None, 4]]], "operations": [call], "outputs": [1]}


def _operations(functions):
    return [each for block in functions.values() for each in block["operations"]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_out_of_range, "get_dimension_size of its StableHLO has wrong tensors"),
        (_without_tensors, "a call in its StableHLO has wrong tensors"),
        (_without_functions, "its StableHLO has no '_wrapped_jax_export_main'"),
        (_of_themselves, "functions call each other too often"),
    ],
)
def test_damaged_modules_are_named(damage, message, tmp_path, monkeypatch):
    def parse(module):
        functions = json.loads(json.dumps(describe(module)))
        damage(functions)
        return functions

    monkeypatch.setattr(stable_hlo, "parse", parse)
    with pytest.raises(ArchiveError, match=message):
        steps(tmp_path, lambda x: nn.relu(x) + jnp.zeros(x.shape), (4,))


@pytest.mark.parametrize("kind", ["add", "concatenate"])
def test_numbers_that_are_added_to_themselves_are_not_followed(kind):
    makers = {
        made: HloOperation(kind, "", (made - 1, made - 1), (made,), {}) for made in range(1, 2000)
    }
    values = {number: HloValue("i32", (None,)) for number in range(2000)}
    writer = HloWriter(HloModule(HloBlock((), (), []), values), [], {}, makers)
    writer.counter = 0
    assert not writer.counts_down(1999, 4)
    assert None in (writer.vector(1999) or [None])
