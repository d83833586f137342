"""`builtin:xnnpack-latency` held against LiteRT: what it accepts is converted, run and compared.

On x86 with AVX, XNNPACK switches its sparse convolutions off, so only wrong results and refused
files are seen there; on Arm the same test runs the sparse kernels.
"""

import re

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

import graphprune
from graphprune.errors import RuleError
from graphprune.plan import make_plan
from graphprune.rules.text.files import find_rule_file
from graphprune.serving.predicting import open_predictor
from graphprune.tf.models.export import write_model

pytestmark = pytest.mark.tf
RANDOM = np.random.default_rng(0)


def pointwise(filters, **given):
    return layers.Conv2D(filters, 1, padding="same", **given)


def net(middle, *, stem="padded"):
    """A convolutional net with a layer, or several, between two 1x1 convolutions."""
    x = image = layers.Input((16, 16, 3), name="image")
    if stem == "padded":
        x = layers.Conv2D(16, 3, strides=2)(layers.ZeroPadding2D(1)(x))
    else:
        x = layers.Conv2D(16, 3, strides=2, padding="same")(x)
    x = first = pointwise(16)(layers.ReLU(6.0)(x))
    x = middle(x)
    x = layers.Add()([pointwise(16)(x), first])
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    model = tf_keras.Model(image, layers.Dense(4)(layers.Flatten()(x)), name="net")
    for layer in model.layers:  # normalizations that change something
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([RANDOM.uniform(0.5, 1.5, each.shape) for each in layer.weights])
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            kernel = layer.kernel.numpy()
            layer.kernel.assign(np.where(RANDOM.random(kernel.shape) < 0.25, kernel, 0))
    return model


def then(*parts):
    def apply(x):
        for part in parts:
            x = part(x)
        return x

    return apply


def deep(size, **given):
    return layers.DepthwiseConv2D(size, padding="same", **given)


NETS = {
    "relu": (lambda: layers.ReLU(), []),
    "relu6": (lambda: layers.ReLU(6.0), []),
    "leaky relu": (lambda: layers.LeakyReLU(0.1), []),
    "elu": (lambda: layers.ELU(), []),
    "swish": (lambda: layers.Activation("swish"), []),
    "gelu": (lambda: layers.Activation("gelu"), []),
    "tanh": (lambda: layers.Activation("tanh"), []),
    "sigmoid": (lambda: layers.Activation("sigmoid"), []),
    "softmax": (lambda: layers.Activation("softmax"), ["body-runs-sparse"]),
    "norm": (lambda: then(pointwise(16), layers.BatchNormalization(), layers.ReLU()), []),
    "norm of a convolution that others take": (
        lambda: then(layers.BatchNormalization(), layers.ReLU()),
        ["body-runs-sparse"],
    ),
    "late norm": (lambda: then(layers.ReLU(), layers.BatchNormalization()), ["body-runs-sparse"]),
    "depthwise": (lambda: then(deep(3), layers.BatchNormalization(), layers.ReLU()), []),
    "wide depthwise": (lambda: deep(5), []),
    "dilated depthwise": (lambda: deep(3, dilation_rate=2), ["body-runs-sparse"]),
    "padded depthwise": (lambda: then(layers.ZeroPadding2D(1), layers.DepthwiseConv2D(3)), []),
    "whole convolution": (lambda: layers.Conv2D(16, 3, padding="same"), ["body-runs-sparse"]),
    "factor": (lambda: lambda x: x * 0.5, []),
    "gate": (lambda: lambda x: layers.Multiply()([x, layers.Activation("sigmoid")(x)]), []),
    "constant": (lambda: lambda x: x + 1.0, ["body-runs-sparse"]),
    "difference": (lambda: lambda x: x - layers.ReLU()(x), ["body-runs-sparse"]),
    "max pool": (lambda: layers.MaxPooling2D(2, strides=1, padding="same"), ["body-runs-sparse"]),
}


def faults_of(path):
    rules = graphprune.read_rules(find_rule_file("builtin:xnnpack-latency"))
    try:
        make_plan(graphprune.read_graph(path), rules)
    except RuleError as fault:
        return re.findall(r"check '([a-z0-9-]+)'", str(fault))
    return []


def check(model, wanted, folder):
    """The rule says what it should, and the file of a net that it accepts computes the same."""
    model.save(folder / "net.keras")
    assert faults_of(folder / "net.keras") == wanted
    if wanted:
        return
    made = write_model(model, folder / "net.tflite")
    assert made.rejected == ()
    x = RANDOM.normal(size=(2, 16, 16, 3)).astype("float32")
    with open_predictor(folder / "net.tflite") as compute:
        (found,) = compute({"image": x}).values()
    np.testing.assert_allclose(found, model(x), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_what_the_rule_accepts_computes_the_same_in_litert(name, tmp_path):
    middle, wanted = NETS[name]
    check(net(middle()), wanted, tmp_path)


@pytest.mark.slow
def test_a_stem_that_pads_itself_is_refused(tmp_path):
    check(net(layers.ReLU(), stem="same"), ["stem-on-every-input"], tmp_path)
