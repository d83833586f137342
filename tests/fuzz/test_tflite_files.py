"""Mutated TensorFlow Lite files held against a plan: compared, or refused by our own errors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import flatbuffers
import numpy as np
from fuzz.harness import Target
from fuzz.mutations import mutate_bytes
from fuzz.plans import MAX_MESSAGE, plan_of
from tflite_files import Part, options, tflite_bytes

from graphprune.archive.tflite.file import TfliteFile
from graphprune.archive.tflite.schema import load_schema
from graphprune.errors import ArchiveError
from graphprune.plan.tflite import verify_tflite
from graphprune.serving.xnnpack_region import find_region

PLAN = plan_of(
    "in(batch_input_shape=[None, 4, 6]) > fc(activation='selu')[6, 8] > norm:LayerNormalization"
    " > up:UpSampling1D(size=2) > turn:Permute(dims=[2, 1])"
    " > view:Reshape(target_shape=[4, 16]) > lstm[16, 12] > out(activation='mish')[3, 2]"
)


def kernel(*shape: int) -> np.ndarray:
    return np.ones(shape, "float32")


def whole(*values: int) -> np.ndarray:
    return np.array(values, "int32")


@cache
def main_file() -> bytes:
    """One operator, or more, of each kind that has a reader of its own."""
    one = np.float32(1)
    parts = [
        Part("in", (1, 4, 6)),
        Part("net/fc/MatMul", values=kernel(8, 6)),
        *(Part(f"net/fc/{n}", (1, 4, 8)) for n in ("x", "gt", "mul", "exp", "less", "selu")),
        Part("one", values=np.array([one])),
        Part("axes", values=whole(2)),
        *(Part(f"net/norm/{n}", (1, 4, 1)) for n in ("mean", "variance", "shifted", "root")),
        *(Part(f"net/norm/{n}", (1, 4, 8)) for n in ("squares", "scaled", "out")),
        *(Part(f"net/norm/{n}", (1, 4, 1)) for n in ("moved", "negative")),
        *(Part(f"net/up/split{n}", (1, 1, 8)) for n in range(4)),
        Part("net/up/concat", (1, 8, 8)),
        Part("net/up/wide", (1, 8, 1, 8)),
        Part("times", values=whole(1, 1, 2, 1)),
        Part("net/up/tile", (1, 8, 2, 8)),
        Part("sizes", values=whole(16, 4)),
        Part("net/up/resize", (1, 16, 4, 8)),
        Part("order", values=whole(0, 2, 1)),
        Part("net/turn/transpose", (1, 8, 8)),
        Part("net/att/scores", (1, 2, 8, 8)),
        Part("net/att/softmax", (1, 2, 8, 8)),
        Part("shape", values=whole(-1, 4, 16)),
        Part("net/view/Reshape", (1, 4, 16)),
        Part("net/lstm/reverse", (1, 4, 16)),
        *(Part(f"w{n}", values=kernel(3, 16)) for n in range(4)),
        *(Part(f"u{n}", values=kernel(3, 3)) for n in range(4)),
        Part("net/lstm/out", (1, 4, 3)),
        Part("begin", values=whole(0, -1, 0)),
        Part("net/lstm/last", (1, 3)),
        Part("net/out/MatMul", values=kernel(2, 3)),
        Part("out", (1, 2)),
    ]
    x, norm, up = "net/fc/x", "net/norm/", "net/up/"
    operators = [
        ("FULLY_CONNECTED", ["in", "net/fc/MatMul"], [x]),
        ("GREATER", [x, "one"], ["net/fc/gt"]),
        ("MUL", [x, "one"], ["net/fc/mul"]),
        ("EXP", [x], ["net/fc/exp"]),
        ("SUB", ["net/fc/exp", "one"], ["net/fc/less"]),
        ("SELECT_V2", ["net/fc/gt", "net/fc/mul", "net/fc/less"], ["net/fc/selu"]),
        ("MEAN", ["net/fc/selu", "axes"], [f"{norm}mean"]),
        ("SQUARED_DIFFERENCE", ["net/fc/selu", f"{norm}mean"], [f"{norm}squares"]),
        ("MEAN", [f"{norm}squares", "axes"], [f"{norm}variance"]),
        ("ADD", [f"{norm}variance", "one"], [f"{norm}shifted"]),
        ("RSQRT", [f"{norm}shifted"], [f"{norm}root"]),
        ("MUL", ["net/fc/selu", f"{norm}root"], [f"{norm}scaled"]),
        ("MUL", [f"{norm}mean", f"{norm}root"], [f"{norm}moved"]),
        ("NEG", [f"{norm}moved"], [f"{norm}negative"]),
        ("ADD", [f"{norm}scaled", f"{norm}negative"], [f"{norm}out"]),
        ("SPLIT", ["axes", f"{norm}out"], [f"{up}split{n}" for n in range(4)]),
        (
            "CONCATENATION",
            [f"{up}split{n // 2}" for n in range(8)],
            [f"{up}concat"],
            options("ConcatenationOptions", axis=2),
        ),
        ("RESHAPE", [f"{up}concat", "shape"], [f"{up}wide"]),
        ("TILE", [f"{up}wide", "times"], [f"{up}tile"]),
        (
            "RESIZE_NEAREST_NEIGHBOR",
            [f"{up}tile", "sizes"],
            [f"{up}resize"],
            options("ResizeNearestNeighborOptions", halfPixelCenters=True),
        ),
        ("TRANSPOSE", [f"{up}resize", "order"], ["net/turn/transpose"]),
        ("BATCH_MATMUL", ["net/turn/transpose", "net/turn/transpose"], ["net/att/scores"]),
        ("SOFTMAX", ["net/att/scores"], ["net/att/softmax"]),
        ("RESHAPE", ["net/att/softmax", "shape"], ["net/view/Reshape"]),
        ("REVERSE_V2", ["net/view/Reshape", "axes"], ["net/lstm/reverse"]),
        (
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            ["net/lstm/reverse", *(f"{w}{n}" for w in "wu" for n in range(4))],
            ["net/lstm/out"],
            options("UnidirectionalSequenceLSTMOptions", fusedActivationFunction=4),
        ),
        (
            "STRIDED_SLICE",
            ["net/lstm/out", "begin"],
            ["net/lstm/last"],
            options("StridedSliceOptions", shrinkAxisMask=2),
        ),
        ("FULLY_CONNECTED", ["net/lstm/last", "net/out/MatMul"], ["out"]),
    ]
    return tflite_bytes(parts, operators)


@cache
def loop_file() -> bytes:
    """A loop, whose body is the second subgraph."""
    schema = load_schema()
    main = tflite_bytes(
        [Part("in", (4, 1, 16)), Part("net/lstm/while", (4, 1, 3))],
        [
            (
                "WHILE",
                ["in"],
                ["net/lstm/while"],
                options("WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=1),
            )
        ],
    )
    body = tflite_bytes(
        [
            *(Part(name, (1, 3)) for name in ("state", "read", "a", "b", "sum", "gate", "out")),
            Part("lstm/while/MatMul", values=kernel(12, 16)),
            Part("lstm/while/MatMul_1", values=kernel(12, 3)),
        ],
        [
            ("LOGISTIC", ["read"], ["gate"]),
            ("FULLY_CONNECTED", ["gate", "lstm/while/MatMul"], ["a"]),
            ("FULLY_CONNECTED", ["state", "lstm/while/MatMul_1"], ["b"]),
            ("ADD", ["a", "b"], ["sum"]),
            ("TANH", ["sum"], ["out"]),
        ],
    )
    first, second = (
        schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)) for content in (main, body)
    )
    graph, buffers, codes = second.subgraphs[0], len(first.buffers), len(first.operatorCodes)
    for tensor in graph.tensors:
        tensor.buffer += buffers
    for operator in graph.operators:
        operator.opcodeIndex += codes
    first.subgraphs.append(graph)
    first.buffers += second.buffers
    first.operatorCodes += second.operatorCodes
    return packed(first)


@cache
def mobile_file() -> bytes:
    """What XNNPACK turns to channels first, from a padded stem to the average."""
    image = (1, 4, 4, 3)
    parts = [
        Part("in", (1, 8, 8, 3)),
        *(
            Part(f"pad{n}", values=np.array([[0, 0], [1, 1], [1, 1], [0, 0]], "int32"))
            for n in "ab"
        ),
        Part("net/stem/pad", (1, 10, 10, 3)),
        Part("net/stem/kernel", values=kernel(3, 3, 3, 3)),
        Part("net/deep/pad", (1, 6, 6, 3)),
        Part("net/deep/kernel", values=kernel(1, 3, 3, 3)),
        Part("net/wide/kernel", values=kernel(3, 1, 1, 3)),
        *(Part(f"net/{name}", image) for name in ("stem", "deep", "wide", "sum")),
        Part("axes", values=whole(1, 2)),
        Part("net/mean", (1, 3)),
        Part("net/fc/MatMul", values=kernel(8, 3)),
        Part("out", (1, 8)),
    ]
    valid = {"padding": 1, "strideH": 1, "strideW": 1}
    halved = options("Conv2DOptions", padding=1, strideH=2, strideW=2)
    return tflite_bytes(
        parts,
        [
            ("PAD", ["in", "pada"], ["net/stem/pad"]),
            ("CONV_2D", ["net/stem/pad", "net/stem/kernel"], ["net/stem"], halved),
            ("PAD", ["net/stem", "padb"], ["net/deep/pad"]),
            (
                "DEPTHWISE_CONV_2D",
                ["net/deep/pad", "net/deep/kernel"],
                ["net/deep"],
                options("DepthwiseConv2DOptions", **valid),
            ),
            (
                "CONV_2D",
                ["net/deep", "net/wide/kernel"],
                ["net/wide"],
                options("Conv2DOptions", **valid),
            ),
            ("ADD", ["net/wide", "net/stem"], ["net/sum"]),
            ("MEAN", ["net/sum", "axes"], ["net/mean"]),
            ("FULLY_CONNECTED", ["net/mean", "net/fc/MatMul"], ["out"]),
        ],
    )


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def make(random: Random, _folder: Path) -> bytes:
    content = random.choice((main_file, loop_file, mobile_file))()
    if random.random() < 0.2:
        return mutate_bytes(random, content)
    schema = load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for _ in range(random.randint(1, 4)):
        change(random, model)
    return packed(model)


def change(random: Random, model: Any) -> None:
    """Give an operator, a tensor or a setting another value, which may be impossible."""
    graph = random.choice(model.subgraphs)
    operator, tensor = random.choice(graph.operators), random.choice(graph.tensors)
    number = random.choice((-1, 0, 1, 2, 3, 7, 40, 2**31 - 1))
    what = random.randrange(8)
    ends = random.choice(("inputs", "inputs", "outputs"))
    if what == 0 and len(getattr(operator, ends)):
        changed = [int(index) for index in getattr(operator, ends)]
        changed[random.randrange(len(changed))] = number
        setattr(operator, ends, changed)
    elif what == 1:
        operator.inputs = list(operator.inputs)[: random.randrange(3)]
    elif what == 2:
        operator.opcodeIndex = random.randrange(len(model.operatorCodes))
    elif what == 3:
        tensor.shape = [number % 9 for _ in range(random.randrange(6))]
    elif what == 4:
        tensor.buffer = max(number, 0) % (2 * len(model.buffers))
    elif what == 5:
        tensor.name = random.choice(("net/turn/x", "net/lstm/while/MatMul;net/fc/y", ";/;", ""))
    elif what == 6:
        random.shuffle(graph.operators)
    elif operator.builtinOptions is not None:
        name = random.choice(list(vars(operator.builtinOptions)) or [""])
        before = getattr(operator.builtinOptions, name, None)
        if isinstance(before, bool | int):
            setattr(operator.builtinOptions, name, type(before)(abs(number) % 100))


def check(content: bytes) -> None:
    text = ""
    try:
        file = TfliteFile(content, "net.tflite")
        region = find_region(file)
        assert len(region.operators) <= len(file.operators)
        found = verify_tflite(PLAN, file)
    except ArchiveError as error:
        text = str(error)
    assert "\n" not in text
    assert len(text) < MAX_MESSAGE
    assert text or found.architecture.status in ("same", "differs", "unchecked")


def test_a_mutated_tflite_file_is_compared_or_refused(fuzz):
    for whole_file in (main_file, loop_file, mobile_file):
        check(whole_file())
    assert len(find_region(TfliteFile(mobile_file(), "net.tflite")).operators) == 6
    assert fuzz(Target(make, check), count=100) > 0
