"""Mutated graphs of exported SavedModels held against a plan: compared, or refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from fuzz.harness import Target
from fuzz.mutations import mutate_bytes
from fuzz.plans import MAX_MESSAGE, plan_of
from saved_model_graphs import Exported

from graphprune.archive.saved_model.operations import read_operations
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.errors import ArchiveError
from graphprune.plan.operator_architecture import check_operator_architecture

PLAN = plan_of(
    "in(batch_input_shape=[None, 4, 6]) > fc(activation='relu6')[6, 8]"
    " > norm:LayerNormalization > view:Reshape(target_shape=[2, 16]) > out[16, 3]"
)


@cache
def graph() -> bytes:
    """A graph whose normalization has a shape that depends on that of the input."""
    net = Exported()
    kernel = net.variable("net/fc/MatMul", 6, 8)
    x = net.add("net/fc/MatMul", "BatchMatMulV2", "x", kernel, shape=(-1, 4, 8))
    x = net.add("net/fc/Relu6", "Relu6", x, shape=(-1, 4, 8))
    lengths = net.add("net/norm/Shape", "Shape", x, shape=(3,))
    ends = [net.constant(f"net/norm/{name}", [at]) for name, at in (("a", 0), ("b", 2), ("c", 1))]
    before = net.add("net/norm/slice", "StridedSlice", lengths, *ends, shape=(2,))
    axes = net.constant("net/norm/axes", [0])
    count = net.add("net/norm/Prod", "Prod", before, axes, shape=())
    parts = [net.constant(f"net/norm/{name}", number) for name, number in (("one", 1), ("n", 8))]
    shape = net.add("net/norm/shape", "Pack", parts[0], count, parts[1], parts[0], shape=(4,))
    flat = net.add("net/norm/Reshape", "Reshape", x, shape, shape=(1, -1, 8, 1))
    ones = net.add(
        "net/norm/ones", "Fill", net.add("net/norm/p", "Pack", count, shape=(1,)),
        net.constant("net/norm/v", np.array(1, "float32")), shape=(-1,),
    )  # fmt: skip
    made = net.add(
        "net/norm/FusedBatchNormV3", "FusedBatchNormV3", flat, ones, ones, ones, ones,
        shape=(1, -1, 8, 1), data_format="NCHW", epsilon=0.001,
    )  # fmt: skip
    back = net.add("net/norm/Back", "Reshape", made.replace("output", "y"), lengths, shape=())
    gamma = net.variable("net/norm/mul", 8)
    x = net.add("net/norm/mul", "Mul", back, gamma, shape=(-1, 4, 8))
    view = net.constant("net/view/shape", [-1, 2, 16])
    x = net.add("net/view/Reshape", "Reshape", x, view, shape=(-1, 2, 16))
    kernel = net.variable("net/out/einsum", 16, 3)
    x = net.add("net/out/einsum", "Einsum", x, kernel, shape=(-1, 2, 3), equation="abc,cd->abd")
    return content_of(net, (-1, 4, 6), x)


@cache
def loop() -> bytes:
    """A graph of two recurrent layers, one of which keeps its state."""
    net = Exported()
    made = [net.recurrence("net/a", "x"), net.recurrence("net/b", "x", state="net/b/state")]
    return content_of(net, (4, 2, 3), net.add("net/add", "AddV2", *made, shape=(4, 2, 5)))


def content_of(net: Exported, shape: tuple[int, ...], output: str) -> bytes:
    with TemporaryDirectory() as folder:
        return Path(net.write(Path(folder), shape, output), "saved_model.pb").read_bytes()


def make(random: Random, _folder: Path) -> bytes:
    content = random.choice((graph, loop))()
    if random.random() < 0.5:
        return mutate_bytes(random, content)
    changed = bytearray(content)
    for _ in range(random.randint(1, 4)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def check(content: bytes) -> str:
    text = ""
    with TemporaryDirectory() as folder:
        Path(folder, "saved_model.pb").write_bytes(content)
        try:
            operations = read_operations(folder)
            found = (
                "unchecked"
                if operations is None
                else check_operator_architecture(PLAN, ExportedFile(operations)).status
            )
        except ArchiveError as error:
            found, text = "refused", str(error)
    assert "\n" not in text
    assert len(text) < MAX_MESSAGE
    assert found in ("same", "differs", "unchecked", "refused")
    return found


def test_a_mutated_graph_is_compared_or_refused(fuzz):
    assert check(graph()) == "same"
    assert check(loop()) == "differs"
    assert fuzz(Target(make, lambda content: check(content) and None), count=100) > 0
