"""The operators of a file against what the layers of a plan's model compute."""

import numpy as np
import pytest
from builders import build_graph
from lenet import rules
from saved_model_graphs import Exported
from tflite_files import RELU, Part, options, tflite_bytes

from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.archive.tflite.file import TfliteFile
from graphprune.errors import ArchiveError
from graphprune.plan import make_plan
from graphprune.plan.operator_architecture import check_operator_architecture

KEEP = rules("version: 1\nrules: [{id: all, match: '*', keep: true, expect: {gte: 0}}]")
NET = {
    "in": "in(batch_input_shape=[None, 8, 8, 4])",
    "stem": "stem:Conv2D(padding='same', strides=[2, 2])[3, 3, 4, 8]",
    "bn": "bn[8]",
    "relu": "relu",
    "wide": "wide:Conv2D(padding='same', activation='relu', dilation_rate=[2, 2])[3, 3, 8, 8]",
    "narrow": "narrow:Conv2D(padding='same', activation='relu')[3, 3, 8, 8]",
    "pool": "pool(pool_size=[2, 2], strides=[2, 2], padding='valid')",
    "flatten": "flatten",
    "fc_a": "fc_a(activation='tanh')[32, 16]",
    "drop": "drop(rate=0.5)",
    "fc_b": "fc_b(activation='tanh')[16, 16]",
    "fc_c": "fc_c(activation='tanh')[16, 16]",
    "out": "out(activation='softmax')[16, 3]",
}
CHAIN = (
    "{in} > {stem} > {bn} > {relu} > {wide}; relu > {narrow}; wide + narrow > add > {pool} >"
    " {flatten} > {fc_a} > {drop} > {fc_b} > {fc_c} > {out}"
)


def plan_of(text=CHAIN, **changed):
    graph = build_graph(text.format(**(NET | changed)))
    return make_plan(graph, KEEP)


def kernel(*shape):
    return np.ones(shape, "float32")


def converted():
    """The net as the converter writes it: batch normalization inside `stem`, a dilated convolution
    between operators of space and batch, activations inside operators, no dropout.
    """
    parts = [
        Part("serving_default_in:0", (1, 8, 8, 4)),
        Part("net/stem/Conv2D", values=kernel(8, 3, 3, 4)),
        Part("bias", values=kernel(8)),
        Part("net/relu/Relu;net/stem/Conv2D", (1, 4, 4, 8)),
        Part("blocks", values=np.array([2, 2], "int32")),
        Part("pads", values=np.array([[2, 2], [2, 2]], "int32")),
        Part("net/wide/Conv2D/SpaceToBatchND", (4, 4, 4, 8)),
        Part("net/wide/Conv2D", values=kernel(8, 3, 3, 8)),
        Part("net/wide/Conv2D1", (4, 2, 2, 8)),
        Part("crops", values=np.array([[0, 0], [0, 0]], "int32")),
        Part("net/wide/Conv2D/BatchToSpaceND", (1, 4, 4, 8)),
        Part("net/wide/Relu", (1, 4, 4, 8)),
        Part("net/narrow/Conv2D", values=kernel(8, 3, 3, 8)),
        Part("net/narrow/Relu;net/narrow/Conv2D", (1, 4, 4, 8)),
        Part("net/add/add", (1, 4, 4, 8)),
        Part("net/pool/MaxPool", (1, 2, 2, 8)),
        Part("shape", values=np.array([-1, 32], "int32")),
        Part("net/flatten/Reshape", (1, 32)),
        Part("net/fc_a/MatMul", values=kernel(16, 32)),
        Part("net/fc_a/MatMul1", (1, 16)),
        Part("net/fc_a/Tanh", (1, 16)),
        Part("net/fc_b/MatMul", values=kernel(16, 16)),
        Part("net/fc_b/MatMul1", (1, 16)),
        Part("net/fc_b/Tanh", (1, 16)),
        Part("net/fc_c/MatMul", values=kernel(16, 16)),
        Part("net/fc_c/MatMul1", (1, 16)),
        Part("net/fc_c/Tanh", (1, 16)),
        Part("net/out/MatMul", values=kernel(3, 16)),
        Part("net/out/MatMul1", (1, 3)),
        Part("StatefulPartitionedCall:0", (1, 3)),
    ]
    name = [part.name for part in parts]
    valid = options("Conv2DOptions", strideW=1, strideH=1, padding=1)
    window = {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2, "padding": 1}
    operators = [
        (
            "CONV_2D",
            [name[0], name[1], name[2]],
            [name[3]],
            options("Conv2DOptions", strideW=2, strideH=2, **RELU),
        ),
        ("SPACE_TO_BATCH_ND", [name[3], name[4], name[5]], [name[6]]),
        ("CONV_2D", [name[6], name[7], name[2]], [name[8]], valid),
        ("BATCH_TO_SPACE_ND", [name[8], name[4], name[9]], [name[10]]),
        ("RELU", [name[10]], [name[11]]),
        (
            "CONV_2D",
            [name[3], name[12], name[2]],
            [name[13]],
            options("Conv2DOptions", strideW=1, strideH=1, **RELU),
        ),
        ("ADD", [name[13], name[11]], [name[14]]),
        ("MAX_POOL_2D", [name[14]], [name[15]], options("Pool2DOptions", **window)),
        ("RESHAPE", [name[15], name[16]], [name[17]]),
        ("FULLY_CONNECTED", [name[17], name[18]], [name[19]]),
        ("TANH", [name[19]], [name[20]]),
        ("FULLY_CONNECTED", [name[20], name[21]], [name[22]]),
        ("TANH", [name[22]], [name[23]]),
        ("FULLY_CONNECTED", [name[23], name[24]], [name[25]]),
        ("TANH", [name[25]], [name[26]]),
        ("FULLY_CONNECTED", [name[26], name[27]], [name[28]]),
        ("SOFTMAX", [name[28]], [name[29]]),
    ]
    return TfliteFile(tflite_bytes(parts, operators))


def exported(folder):
    """The net as Keras exports it: each operation of the layers, in a function of a function."""
    net = Exported()

    def convolve(name, x, shape, padding, stride=1):
        kernel, bias = (
            net.variable(f"net/{name}/Conv2D", *shape),
            net.variable(f"net/{name}/BiasAdd", shape[-1]),
        )
        made = net.add(
            f"net/{name}/Conv2D",
            "Conv2D",
            x,
            kernel,
            shape=(-1, 4, 4, shape[-1]),
            padding=padding,
            strides=[1, stride, stride, 1],
        )
        return made, bias

    def biased(name, made, shape=(-1, 4, 4, 8)):
        return net.add(f"net/{name}/BiasAdd", "BiasAdd", *made, shape=shape)

    def activated(name, kind, x, shape=(-1, 4, 4, 8)):
        return net.add(f"net/{name}/{kind}", kind, x, shape=shape)

    stem = biased("stem", convolve("stem", "x", (3, 3, 4, 8), "SAME", 2))
    statistics = [net.variable(f"net/bn/FusedBatchNormV3/{number}", 8) for number in range(4)]
    bn = net.add(
        "net/bn/FusedBatchNormV3",
        "FusedBatchNormV3",
        stem,
        *statistics,
        shape=(-1, 4, 4, 8),
        is_training=False,
    ).replace("output", "y")
    relu = activated("relu", "Relu", bn)
    blocks = net.constant("net/wide/Conv2D/block_shape", [2, 2])
    pads = net.constant("net/wide/Conv2D/paddings", [[2, 2], [2, 2]])
    crops = net.constant("net/wide/Conv2D/crops", [[0, 0], [0, 0]])
    batch = net.add(
        "net/wide/Conv2D/SpaceToBatchND", "SpaceToBatchND", relu, blocks, pads, shape=(-1, 4, 4, 8)
    )
    inner, bias = convolve("wide", batch, (3, 3, 8, 8), "VALID")
    space = net.add(
        "net/wide/Conv2D/BatchToSpaceND",
        "BatchToSpaceND",
        inner,
        blocks,
        crops,
        shape=(-1, 4, 4, 8),
    )
    wide = activated("wide", "Relu", biased("wide", (space, bias)))
    narrow = biased("narrow", convolve("narrow", relu, (3, 3, 8, 8), "SAME"))
    narrow = activated("narrow", "Relu", narrow)
    x = net.add("net/add/add", "AddV2", wide, narrow, shape=(-1, 4, 4, 8))
    window = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"}
    x = net.add("net/pool/MaxPool", "MaxPool", x, shape=(-1, 2, 2, 8), **window)
    lengths = net.constant("net/flatten/Const", [-1, 32])
    x = net.add("net/flatten/Reshape", "Reshape", x, lengths, shape=(-1, 32))
    for name, inputs, units, kind in (
        ("fc_a", 32, 16, "Tanh"),
        ("fc_b", 16, 16, "Tanh"),
        ("fc_c", 16, 16, "Tanh"),
        ("out", 16, 3, "Softmax"),
    ):
        kernel = net.variable(f"net/{name}/MatMul", inputs, units)
        made = net.add(f"net/{name}/MatMul", "MatMul", x, kernel, shape=(-1, units))
        made = biased(name, (made, net.variable(f"net/{name}/BiasAdd", units)), (-1, units))
        x = activated(name, kind, made, (-1, units))
        if name == "fc_a":
            x = net.add("net/drop/Identity", "Identity", x, shape=(-1, units))
    return ExportedFile(read_operations(net.write(folder, (-1, 8, 8, 4), x)))


@pytest.fixture(scope="module", params=["converted", "exported"])
def file(request, tmp_path_factory):
    if request.param == "converted":
        return converted()
    return exported(tmp_path_factory.mktemp("exported"))


def found(plan, file):
    check = check_operator_architecture(plan, file)
    return check.status, [(one.address, one.what) for one in check.differences]


def test_a_converted_model_is_the_same(file):
    assert found(plan_of(), file) == ("same", [])


SETTINGS = {
    "activation": ({"fc_a": NET["fc_a"].replace("tanh", "relu")}, "fc_a"),
    "no activation": ({"fc_a": NET["fc_a"].replace("tanh", "linear")}, "fc_a"),
    "activation inside": ({"narrow": NET["narrow"].replace("relu", "tanh")}, "narrow"),
    "dilation": ({"wide": NET["wide"].replace("[2, 2]", "[1, 1]")}, "wide"),
    "strides": ({"stem": NET["stem"].replace("[2, 2]", "[1, 1]")}, "stem"),
    "padding": ({"narrow": NET["narrow"].replace("same", "valid")}, "narrow"),
    "padding around a dilation": ({"wide": NET["wide"].replace("same", "valid")}, "wide"),
    "pool": ({"pool": NET["pool"].replace("strides=[2, 2]", "strides=[1, 1]")}, "pool"),
    "kind of pool": ({"pool": NET["pool"].replace("(", ":AveragePooling2D(", 1)}, "pool"),
    "kernel": ({"fc_b": NET["fc_b"].replace("16, 16", "16, 8")}, "fc_b"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_layer_with_other_settings_is_drift(name, file):
    changed, layer = SETTINGS[name]
    assert found(plan_of(**changed), file) == ("differs", [(layer, "settings")])


CHAINS = {
    "dropped": (" > {fc_b}", " > {fc_b} > fc_x[16, 16]", [("fc_x", "missing")]),
    "dropped activation": (" > {pool}", " > {pool} > relu_x:ReLU", [("relu_x", "missing")]),
    "added": ("{drop} > {fc_b}", "{drop}", [("fc_b", "added")]),
    "added activation": (" > {relu}", "", [("stem", "settings")]),
    "swapped": ("{fc_b} > {fc_c}", "{fc_c} > {fc_b}", [("fc_c", "inputs"), ("fc_b", "inputs")]),
    "rewired": ("relu > {narrow}", "wide > {narrow}", [("narrow", "inputs"), ("wide", "inputs")]),
    "not summed": ("wide + narrow > add", "wide + narrow > add:Multiply", [("add", "settings")]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_other_layers_or_connections_are_drift(name, file):
    before, after, wanted = CHAINS[name]
    assert before in CHAIN
    chain = CHAIN.replace(before, after)
    if name == "added activation":
        chain = chain.replace("relu > {narrow}", "bn > {narrow}")
        wanted = wanted if file.is_converted else [("relu", "added")]
    assert found(plan_of(chain), file) == ("differs", wanted)


def test_a_normalization_that_only_a_converter_takes_in_is_missed(file):
    chain = CHAIN.replace("{bn}", "lost:BatchNormalization[8] > {bn}")
    wanted = ("same", []) if file.is_converted else ("differs", [("lost", "missing")])
    assert found(plan_of(chain), file) == wanted


@pytest.mark.parametrize("move", ["Permute(dims=[1])", "Reshape(target_shape=[16])"])
def test_a_layer_that_only_moves_values_is_missed_where_no_converter_leaves_it_out(file, move):
    status, differences = found(plan_of(CHAIN.replace("{drop}", f"{{drop}} > lost:{move}")), file)
    if file.is_converted:
        assert status == ("unchecked" if move.startswith("Permute") else "same")
    else:
        assert (status, differences) == ("differs", [("lost", "missing")])


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_relu6_is_told_from_a_hard_sigmoid_in_an_exported_model(tmp_path, shift):
    net = Exported()
    kernel = net.variable("net/fc/MatMul", 3, 4)
    x = net.add("net/fc/MatMul", "MatMul", "x", kernel, shape=(-1, 4))
    added = net.constant("net/fc/add/y", np.array(shift, "float32"))
    x = net.add("net/fc/add", "AddV2", x, added, shape=(-1, 4)).replace("output", "z")
    x = net.add("net/fc/Relu6", "Relu6", x, shape=(-1, 4))
    made = ExportedFile(read_operations(net.write(tmp_path, (-1, 3), x)))
    assert made.operators_of(0)[1].kind == ("ADD" if shift else "CAST")
    graph = build_graph("in(batch_input_shape=[None, 3]) > fc(activation='relu6')[3, 4]")
    plan = make_plan(graph, KEEP)
    assert found(plan, made) == (("differs", [("fc", "settings")]) if shift else ("same", []))


def test_a_layer_without_a_rule_is_not_compared_and_the_rest_is(file):
    other = NET["fc_b"].replace("tanh", "tanh_shrink")
    check = check_operator_architecture(plan_of(fc_b=other), file)
    assert (check.status, check.unchecked) == (
        "unchecked",
        "operators of fc_b (Dense) are not compared",
    )
    both = {"fc_b": other, "narrow": NET["narrow"].replace("same", "valid")}
    assert found(plan_of(**both), file) == ("differs", [("narrow", "settings")])


PLAIN = "in(batch_input_shape=[None, 3]) > {} > relu"
IDLE = {
    "augmentation": ("turn:RandomFlip(mode='horizontal')", "same"),
    "told normalization": ("told:Normalization(mean=0.0, variance=1.0)", "same"),
    "custom": ("own:Mine", "unchecked"),
}


@pytest.mark.parametrize("name", IDLE)
def test_layers_that_leave_no_operator_are_not_missed(name):
    text, wanted = IDLE[name]
    names = ["serving_default_in:0", "net/relu/Relu"]
    parts = [Part(each, (1, 3)) for each in names]
    made = TfliteFile(tflite_bytes(parts, [("RELU", names[:1], names[1:])]))
    assert found(make_plan(build_graph(PLAIN.format(text)), KEEP), made) == (wanted, [])


def test_layers_without_a_rule_that_do_the_same_may_be_one_in_a_file():
    text = "in(batch_input_shape=[None, 3]) > one:Mine > r1:ReLU; in > two:Mine > r2:ReLU;"
    plan = make_plan(build_graph(f"{text} r1 + r2 > add"), KEEP)
    names = ["serving_default_in:0", "net/two/Sin", "net/r1/Relu", "net/add/add"]
    operators = [
        ("SIN", names[:1], names[1:2]),
        ("RELU", names[1:2], names[2:3]),
        ("ADD", [names[2]] * 2, names[3:]),
    ]
    made = TfliteFile(tflite_bytes([Part(each, (1, 3)) for each in names], operators))
    assert found(plan, made) == ("unchecked", [])
    other = make_plan(build_graph(f"{text} r1 + r2 > times:Multiply"), KEEP)
    assert ("times", "settings") in found(other, made)[1]


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED", "MEAN", "PAD", "CONCATENATION"])
def test_an_operator_without_its_tensors_is_a_damaged_file(kind):
    parts = [Part("x", (1, 4)), Part("y", (1, 4))]
    broken = TfliteFile(tflite_bytes(parts, [(kind, ["x"], ["y"])]), "net.tflite")
    if kind == "CONCATENATION":
        assert found(plan_of(), broken)[0] == "differs"
        return
    with pytest.raises(ArchiveError) as caught:
        check_operator_architecture(plan_of(), broken)
    assert str(caught.value) == (
        f"net.tflite: damaged TensorFlow Lite file ({kind} has wrong tensors); convert the model"
        " again"
    )


def test_kernels_of_one_shape_without_names_are_not_told_apart():
    content = converted()._content
    for name in (b"fc_b", b"fc_c"):
        content = content.replace(b"net/" + name, b"xxx_yyyy")
    check = check_operator_architecture(plan_of(), TfliteFile(content))
    assert (check.status, check.unchecked) == (
        "unchecked",
        "names in the file do not tell fc_b, fc_c apart",
    )


HEADS = "in(batch_input_shape=[None, 3]) > age:Dense[3, 2]; in > name:Dense[3, 2]"


def exported_heads(folder, outputs):
    net = Exported()
    made = {
        each: net.add(
            f"net/{each}/MatMul",
            "MatMul",
            "x",
            net.variable(f"net/{each}/MatMul", 3, 2),
            shape=(-1, 2),
        )
        for each in ("age", "name")
    }
    named = {name: made[layer] for name, layer in outputs.items()}
    return ExportedFile(read_operations(net.write(folder, (-1, 3), named)))


def converted_heads(outputs):
    x, *made = ["serving_default_in:0", "StatefulPartitionedCall:0", "StatefulPartitionedCall:1"]
    kernels = ["net/age/MatMul", "net/name/MatMul"]
    parts = [Part(x, (1, 3)), *(Part(each, (1, 2)) for each in made)]
    parts += [Part(each, values=np.full((2, 3), at, "f4")) for at, each in enumerate(kernels)]
    operators = [
        ("FULLY_CONNECTED", [x, each], [end]) for each, end in zip(kernels, made, strict=True)
    ]
    ends = {name: made[layer == "name"] for name, layer in outputs.items()}
    return TfliteFile(tflite_bytes(parts, operators, ends))


SAME_ENDS = (
    {"output_0": "age", "output_1": "name"},
    {"output_1": "name", "output_0": "age"},
    {"name": "name", "age": "age"},
    {"first": "name", "second": "age"},
)
OTHER_ENDS = ({"output_0": "name", "output_1": "age"}, {"age": "name", "name": "age"})


@pytest.mark.parametrize("ends", [*SAME_ENDS, *OTHER_ENDS], ids=str)
def test_outputs_in_another_order_are_drift_where_their_names_tell_it(ends, tmp_path):
    plan = make_plan(build_graph(HEADS), KEEP)
    wanted = ("same", []) if ends in SAME_ENDS else ("differs", [("", "model")])
    assert found(plan, exported_heads(tmp_path, ends)) == wanted
    assert found(plan, converted_heads(ends)) == wanted
