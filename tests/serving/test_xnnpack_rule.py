"""`builtin:xnnpack-latency` held against LiteRT on nets of many kinds.

The rule accepts what runs sparse and computes the same, and refuses the rest. What LiteRT does is
written down in `xnnpack_nets.py`, and found again where a processor without AVX is at hand.
"""

import re

import numpy as np
import pytest
from serving.without_avx import find_prefix, run_without_avx
from serving.xnnpack_nets import ACCEPTED_DENSE, LOUD, NETS, OUTCOMES, SIZE, SPARSE, UNKNOWN_SPARSE

import graphprune
from graphprune.archive.tflite.file import read_tflite
from graphprune.errors import RuleError
from graphprune.plan import make_plan
from graphprune.rules.text.files import find_rule_file
from graphprune.serving import tflite_writing
from graphprune.serving.predicting import open_predictor
from graphprune.serving.processor import Processor, read_processor
from graphprune.serving.sparse_layers import find_layer_runs, find_misfit
from graphprune.serving.xnnpack_region import find_region
from graphprune.tf.models.export import write_model

pytestmark = pytest.mark.tf
ALWAYS = (
    *("relu", "1x1 with swish", "padded depthwise 3", "gate by 1x1", "relu 6 with a slope"),
    *("relu with a threshold", "elu 0.5", "1x1 with softplus", "padding before 1x1"),
    *("product with a pool", "1x1 behind the pool", "pool with keepdims at the end"),
)
"""Nets whose verdict is checked in the suite; the others under --slow."""
REGION_EXCEPTIONS = ("separable", "sum with itself")
"""Nets that run dense although their operators fit; their outputs are equal."""
PREFIX = find_prefix(read_processor())


def faults_of(path):
    rules = graphprune.read_rules(find_rule_file("builtin:xnnpack-latency"))
    try:
        make_plan(graphprune.read_graph(path), rules)
    except RuleError as fault:
        return re.findall(r"check '([a-z0-9-]+)'", str(fault))
    return []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in NETS]
)
def test_the_rule_accepts_what_runs_sparse_with_equal_outputs(name, tmp_path):
    NETS[name].build().save(tmp_path / "net.keras")
    is_accepted = faults_of(tmp_path / "net.keras") == []
    assert is_accepted == (name in SPARSE or name in ACCEPTED_DENSE)


def outcome_of(path, model, image):
    """Return what LiteRT does with a file: a loud image changes nothing where it runs sparse."""
    loud = image.copy()
    loud[..., LOUD] = 1e38
    made = run_without_avx(PREFIX, path, [image, loud])
    if made is None:
        return "refused"
    wanted = model(image)
    outputs = wanted if isinstance(wanted, list) else [wanted]
    by_shape = {tuple(output.shape): output.numpy() for output in outputs}
    for output in made[0]:
        right = by_shape.get(output.shape)
        if right is None or not np.allclose(output, right, atol=1e-4):
            return "wrong"
    return "sparse" if all(map(np.array_equal, *made)) else "dense"


def convert(model, path):
    """Write a model without its zeros, as `strip` does, and return the file."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    path.write_bytes(converter.convert())
    return read_tflite(path)


@pytest.mark.parametrize(
    ("name", "misfit", "reason"),
    [
        ("gate by 1x1", None, "XNNPACK skips its zeros"),
        (
            "1x1 behind the pool",
            "RESHAPE",
            "RESHAPE does not fit where XNNPACK could run it sparse",
        ),
    ],
)
def test_the_operators_of_a_file_say_whether_it_runs_sparse(name, misfit, reason, tmp_path):
    path = tmp_path / "net.tflite"
    convert(NETS[name].build(), path)
    runs = find_layer_runs(path, Processor("aarch64"))
    assert {run.reason for run in runs if run.zeros > 0.5} == {reason}
    assert find_misfit(path, Processor("x86_64", "", True)) == misfit
    for processor in (Processor("aarch64"), Processor("x86_64", "", False)):
        assert find_misfit(path, processor) is None  # it can be run there


def test_what_may_compute_something_else_elsewhere_is_stored_dense(monkeypatch, tmp_path):
    monkeypatch.setattr(tflite_writing, "read_processor", lambda: Processor("x86_64", "", True))
    made = write_model(NETS["padding before 1x1"].build(), tmp_path / "net.tflite")
    assert str(made.form) == "float32"
    assert [str(rejected.form) for rejected in made.rejected] == ["float32, sparse"]
    assert made.rejected[0].reason == (
        "LiteRT may compute something else on processors without AVX, because of PAD beside sparse"
        " convolutions"
    )


@pytest.mark.slow
@pytest.mark.skipif(PREFIX is None, reason="needs a processor without AVX, or qemu-x86_64")
@pytest.mark.parametrize("name", NETS)
def test_litert_does_so(name, tmp_path):
    pytest.importorskip("ai_edge_litert")
    model, path = NETS[name].build(), tmp_path / "net.tflite"
    file = convert(model, path)
    pointwise = [tensor for tensor in file.tensors if tensor.shape[:2] == (16, 1)]
    assert any(tensor.is_sparse for tensor in pointwise)
    image = np.random.default_rng(1).normal(size=(1, SIZE, SIZE, 3)).astype("float32")
    image[..., LOUD] = 0
    outcome = outcome_of(path, model, image)
    assert outcome == OUTCOMES[name]
    region = find_region(file)
    fits = region.operators != () and region.misfit is None
    assert fits == (outcome == "sparse") or name in REGION_EXCEPTIONS


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SPARSE, *UNKNOWN_SPARSE])
def test_the_file_that_strip_writes_of_it_computes_the_same_here(name, tmp_path):
    model = NETS[name].build()
    made = write_model(model, tmp_path / "net.tflite")
    assert str(made.form) == "float32, sparse"
    x = np.random.default_rng(1).normal(size=(2, SIZE, SIZE, 3)).astype("float32")
    with open_predictor(tmp_path / "net.tflite") as compute:
        found = compute({"image": x})
    wanted = model(x)
    outputs = wanted if isinstance(wanted, list) else [wanted]
    assert len(found) == len(outputs)
    for output, right in zip(found.values(), outputs, strict=True):
        np.testing.assert_allclose(output, right, atol=1e-3)


def test_the_table_has_each_net_once():
    assert len(NETS) == len(OUTCOMES) > 120
    assert set(ALWAYS) | set(ACCEPTED_DENSE) <= set(NETS)
