"""Small nets, and what LiteRT does with them where XNNPACK has its sparse convolutions in use.

Each has a stem, two 1x1 convolutions with three quarters of zeros around a part that is tried, and
a head. The outcomes are those of ai-edge-litert 2.3.0 on aarch64 and on x86 without AVX, which are
the same; `test_xnnpack_rule.py` finds them again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

Part = Callable[[Any], Any]
SIZE = 16
LOUD = 2
"""The channel of images that reaches the first channel of the stem alone, a thousand times larger.

The first 1x1 convolution has only zeros for it, so an infinite value there makes NaN of it where
the convolution runs dense, and nothing where it runs sparse.
"""


def pointwise(filters: int = 16, **given: Any) -> Any:
    return layers.Conv2D(filters, 1, **{"padding": "same", **given})


def deep(size: int, **given: Any) -> Any:
    return layers.DepthwiseConv2D(size, **{"padding": "same", **given})


def padded(padding: Any, *behind: Any) -> Part:
    return then(layers.ZeroPadding2D(padding), *behind)


def then(*parts: Any) -> Part:
    def apply(x: Any) -> Any:
        for part in parts:
            x = part(x)
        return x

    return apply


def stem(padding: Any = 1, **given: Any) -> Part:
    settings = {"strides": 2, "name": "stem", **given}
    return then(layers.ZeroPadding2D(padding), layers.Conv2D(16, 3, **settings))


def pool(*, keepdims: bool = True) -> Any:
    return layers.GlobalAveragePooling2D(keepdims=keepdims)


def classes(*parts: Any) -> Part:
    """A head: parts, then one value for each class."""
    return then(*parts, layers.Dense(4))


def flat_head() -> Part:
    return classes(pool(), layers.Flatten())


@dataclass(frozen=True)
class Net:
    """A net; parts are made when it is built.

    Attributes:
        part: Makes what is between two 1x1 convolutions.
        stem, head: Make the beginning and the end.
        is_residual: Whether what is behind the first 1x1 convolution is added to the last one.
    """

    part: Callable[[], Part] = layers.ReLU
    stem: Callable[[], Part] = stem
    head: Callable[[], Part] = flat_head
    is_residual: bool = True

    def build(self, seed: int = 0) -> Any:
        """Return the model, with weights and with normalizations that change something."""
        tf_keras.backend.clear_session()
        image = layers.Input((SIZE, SIZE, 3), name="image")
        x = first = pointwise()(layers.ReLU()(self.stem()(image)))
        x = pointwise()(self.part()(x))
        x = layers.Add()([x, first]) if self.is_residual else x
        model = tf_keras.Model(image, self.head()(x), name="net")
        random = np.random.default_rng(seed)
        for layer in model._flatten_layers():
            _set_weights(layer, random)
        next(filter(_is_pointwise, model.layers)).kernel[:, :, 0].assign(tf.zeros((1, 1, 16)))
        kernel = model.get_layer("stem").kernel.numpy()
        kernel[:, :, LOUD], kernel[..., 0], kernel[1, 1, LOUD, 0] = 0, 0, 1000
        model.get_layer("stem").kernel.assign(kernel)
        return model


def _is_pointwise(layer: Any) -> bool:
    return isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1)


def _set_weights(layer: Any, random: np.random.Generator) -> None:
    if isinstance(layer, layers.BatchNormalization):
        layer.set_weights([random.uniform(0.5, 1.5, each.shape) for each in layer.weights])
    if _is_pointwise(layer) or isinstance(layer, layers.Dense):
        kernel = layer.kernel.numpy()
        zeros = random.random(kernel.shape) < 0.75
        layer.kernel.assign(np.where(zeros & _is_pointwise(layer), 0, kernel))


def activation(name: str) -> Net:
    return Net(lambda: layers.Activation(name))


def on_one(apply: Part) -> Net:
    """A net with an operation."""
    return Net(lambda: apply)


def with_copy(join: Callable[[Any, Any], Any], other: Callable[[], Any] = layers.ReLU) -> Net:
    """A net that joins a tensor with another that is made of it."""
    return Net(lambda: lambda x: join(x, other()(x)))


def ended(head: Callable[[], Part]) -> Net:
    return Net(head=head)


def begun(beginning: Callable[[], Part]) -> Net:
    return Net(stem=beginning)


def gate(*parts: Callable[[], Any]) -> Net:
    """A net with squeeze and excitation."""
    return with_copy(
        lambda x, y: layers.Multiply()([x, y]), lambda: then(pool(), *(part() for part in parts))
    )


def both(layer: Any) -> Callable[[Any, Any], Any]:
    return lambda x, y: layer()([x, y])


def shared(layer: Any) -> Part:
    return lambda x: layer(x) + layer(layers.ReLU()(x))


def hard_swish(x: Any) -> Any:
    return x * tf.nn.relu6(x + 3.0) / 6.0


VECTOR = np.arange(16, dtype="float32") / 8
PIXELS = np.arange(64, dtype="float32").reshape(1, 8, 8, 1) / 64
UNARY = {
    "abs": tf.abs,
    "negative": tf.negative,
    "square": tf.square,
    "exp": tf.exp,
    "square root": lambda x: tf.sqrt(tf.abs(x)),
    **{
        f"tf.nn.{name}": getattr(tf.nn, name)
        for name in ("relu", "relu6", "leaky_relu", "elu", "sigmoid", "tanh", "silu", "gelu")
    },
}
SPARSE_ACTIVATIONS = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "swish", "gelu", "tanh", "sigmoid"),
    "exponential",
)
DENSE_ACTIVATIONS = ("softmax", "softplus", "softsign", "selu", "mish")
SPARSE = {
    "relu": Net(),
    "relu 6": Net(lambda: layers.ReLU(6.0)),
    "relu 3": Net(lambda: layers.ReLU(3.0)),
    "relu with a slope": Net(lambda: layers.ReLU(negative_slope=0.1)),
    "leaky relu": Net(lambda: layers.LeakyReLU(0.1)),
    "elu": Net(layers.ELU),
    **{f"activation {name}": activation(name) for name in SPARSE_ACTIVATIONS},
    **{
        f"1x1 with {name}": Net(lambda name=name: pointwise(activation=name))
        for name in SPARSE_ACTIVATIONS
    },
    **{
        f"depthwise with {name}": Net(lambda name=name: deep(3, activation=name))
        for name in ("relu", "tanh", "swish", "gelu")
    },
    **{name: on_one(apply) for name, apply in UNARY.items()},
    "without bias": Net(lambda: pointwise(use_bias=False)),
    "valid padding": Net(lambda: pointwise(padding="valid")),
    "norm": Net(lambda: then(pointwise(), layers.BatchNormalization(), layers.ReLU())),
    "norm behind depthwise": Net(lambda: then(deep(5), layers.BatchNormalization())),
    "depthwise 3": Net(lambda: deep(3)),
    "depthwise 5": Net(lambda: deep(5)),
    "padded depthwise 3": Net(lambda: padded(1, layers.DepthwiseConv2D(3))),
    "padded depthwise 5": Net(lambda: padded(2, layers.DepthwiseConv2D(5))),
    "half of the size": Net(
        lambda: padded(1, layers.DepthwiseConv2D(3, strides=2)), is_residual=False
    ),
    "half of the size 5": Net(
        lambda: padded(2, layers.DepthwiseConv2D(5, strides=2)), is_residual=False
    ),
    "padding that two take": Net(
        lambda: padded(1, lambda x: layers.DepthwiseConv2D(3)(x) + layers.DepthwiseConv2D(3)(x))
    ),
    "inverted bottleneck": Net(
        lambda: then(
            *(pointwise(32), layers.BatchNormalization(), layers.ReLU(6.0)),
            *(deep(3), layers.BatchNormalization(), layers.ReLU(6.0)),
            *(pointwise(), layers.BatchNormalization()),
        )
    ),
    "factor": on_one(lambda x: x * 0.5),
    "rescaling": Net(lambda: layers.Rescaling(0.5)),
    "square by itself": on_one(lambda x: x * x),
    "sum": with_copy(lambda x, y: x + y),
    "sum of three": with_copy(lambda x, y: layers.Add()([x, y, layers.Activation("tanh")(x)])),
    "average": with_copy(both(layers.Average)),
    "product": with_copy(both(layers.Multiply)),
    "gate by 1x1": gate(pointwise, lambda: pointwise(activation="sigmoid")),
    "sum with a pooled 1x1": with_copy(both(layers.Add), lambda: then(pool(), pointwise())),
    "gate of one channel": with_copy(
        both(layers.Multiply), lambda: pointwise(1, activation="sigmoid")
    ),
    "shared 1x1": Net(lambda: shared(pointwise())),
    "nested model": Net(lambda: tf_keras.Sequential([pointwise(), layers.ReLU(), deep(3)])),
    "dropout": Net(lambda: layers.Dropout(0.3)),
    "other noise": Net(
        lambda: then(
            layers.SpatialDropout2D(0.3),
            layers.GaussianDropout(0.3),
            layers.AlphaDropout(0.3),
            layers.GaussianNoise(0.3),
            layers.ActivityRegularization(0.1),
        )
    ),
    "identity": on_one(tf.identity),
    "bilinear": Net(lambda: layers.UpSampling2D(2, interpolation="bilinear"), is_residual=False),
    "stem with norm": begun(lambda: then(stem(use_bias=False), layers.BatchNormalization())),
    "stem with swish": begun(lambda: stem(activation="swish")),
    "stem behind scaling": begun(lambda: then(layers.Rescaling(0.5), stem())),
    "stem and 1x1": begun(lambda: then(stem(), pointwise(), layers.ReLU())),
    "pool without keepdims": ended(lambda: classes(pool(keepdims=False))),
    "pool at the end": ended(lambda: pool(keepdims=False)),
    "reshape behind the pool": ended(lambda: classes(pool(), layers.Reshape((16,)))),
    "dropout behind the pool": ended(
        lambda: classes(pool(), layers.Dropout(0.2), layers.Flatten())
    ),
    "two pools in a row": ended(lambda: classes(pool(), pool(), layers.Flatten())),
    "1x1 behind reshape": ended(
        lambda: then(
            *(pool(keepdims=False), layers.Reshape((1, 1, 16)), pointwise(4), layers.Flatten())
        )
    ),
    "two heads": ended(lambda: lambda x: [flat_head()(x), pool(keepdims=False)(x)]),
}
"""What runs sparse, with equal outputs."""
DENSE = {
    "relu 6 with a slope": Net(lambda: layers.ReLU(6.0, negative_slope=0.1)),
    "relu with a threshold": Net(lambda: layers.ReLU(threshold=0.2)),
    "elu 0.5": Net(lambda: layers.ELU(0.5)),
    "prelu": Net(lambda: layers.PReLU(shared_axes=[1, 2])),
    **{f"activation {name}": activation(name) for name in (*DENSE_ACTIVATIONS, "hard_sigmoid")},
    **{
        f"1x1 with {name}": Net(lambda name=name: pointwise(activation=name))
        for name in DENSE_ACTIVATIONS
    },
    "depthwise with softplus": Net(lambda: deep(3, activation="softplus")),
    "norm behind relu": Net(lambda: then(layers.ReLU(), layers.BatchNormalization())),
    "norm behind 1x1 with relu": Net(
        lambda: then(pointwise(activation="relu"), layers.BatchNormalization())
    ),
    "norm of what others take": Net(lambda: then(layers.BatchNormalization(), layers.ReLU())),
    "depthwise 7": Net(lambda: deep(7)),
    "dilated depthwise": Net(lambda: deep(3, dilation_rate=2)),
    "depthwise with two channels each": Net(lambda: deep(3, depth_multiplier=2)),
    "padding before relu": Net(lambda: padded(1, layers.ReLU(), layers.DepthwiseConv2D(3))),
    "groups": Net(lambda: pointwise(groups=2)),
    "convolution 3x3": Net(lambda: layers.Conv2D(16, 3, padding="same")),
    "convolution 1x3": Net(lambda: layers.Conv2D(16, (1, 3), padding="same")),
    "separable": Net(lambda: layers.SeparableConv2D(16, 3, padding="same")),
    "dense on pixels": Net(lambda: layers.Dense(16)),
    "gate by dense": gate(lambda: layers.Dense(16, "relu"), lambda: layers.Dense(16, "sigmoid")),
    "gate by hard sigmoid": gate(pointwise, lambda: lambda x: tf.nn.relu6(x + 3.0) * (1 / 6)),
    "added number": on_one(lambda x: x + 1.0),
    "added vector": on_one(lambda x: x + VECTOR),
    "subtracted number": on_one(lambda x: x - 1.0),
    "rescaling with an offset": Net(lambda: layers.Rescaling(0.5, offset=1.0)),
    "factor before the pool": ended(lambda: then(lambda x: x * 0.5, flat_head())),
    "factor for each channel": on_one(lambda x: x * VECTOR),
    "factor for each pixel": on_one(lambda x: x * PIXELS),
    "sum with itself": Net(lambda: lambda x: layers.Add()([x, x])),
    "difference": with_copy(lambda x, y: x - y),
    "maximum": with_copy(both(layers.Maximum), lambda: layers.Activation("tanh")),
    "concatenation": with_copy(both(layers.Concatenate)),
    "max pool": Net(lambda: layers.MaxPooling2D(2, strides=1, padding="same")),
    "average pool": Net(lambda: layers.AveragePooling2D(2, strides=1, padding="same")),
    "nearest": Net(lambda: layers.UpSampling2D(2), is_residual=False),
    "permute": Net(lambda: layers.Permute((2, 1, 3))),
    "reshape": Net(lambda: then(layers.Reshape((64, 16)), layers.Reshape((8, 8, 16)))),
    "layer norm": Net(layers.LayerNormalization),
    "transposed": Net(lambda: layers.Conv2DTranspose(16, 2, strides=2), is_residual=False),
    "stem that pads by itself": begun(
        lambda: layers.Conv2D(16, 3, strides=2, padding="same", name="stem")
    ),
    "stem padded at one side": begun(lambda: stem(((0, 1), (0, 1)))),
    "stem without strides": begun(lambda: stem(strides=1)),
    "max pool at the end": ended(lambda: classes(layers.GlobalMaxPooling2D())),
    "flatten at the end": ended(lambda: classes(layers.Flatten())),
    "average pool at the end": ended(lambda: classes(layers.AveragePooling2D(8), layers.Flatten())),
    "output beside the pool": ended(lambda: lambda x: [flat_head()(x), layers.Flatten()(x)]),
}
"""What runs dense, with equal outputs."""
WRONG = {
    "padding before a sum": Net(
        lambda: padded(1, lambda x: layers.Add()([x, layers.ReLU()(x)])), is_residual=False
    ),
    "depthwise with strides, same": Net(lambda: deep(3, strides=2), is_residual=False),
    "depthwise without padding": Net(lambda: layers.DepthwiseConv2D(3), is_residual=False),
    "depthwise 3 padded by 2": Net(lambda: padded(2, layers.DepthwiseConv2D(3)), is_residual=False),
    "padding before 1x1": Net(lambda: padded(1, pointwise(padding="valid")), is_residual=False),
    "1x1 with strides": Net(lambda: pointwise(strides=2), is_residual=False),
    "max pool with strides": Net(lambda: layers.MaxPooling2D(2), is_residual=False),
    "cropping": Net(lambda: layers.Cropping2D(1), is_residual=False),
    "norm at the end": ended(lambda: then(layers.BatchNormalization(), layers.ReLU(), flat_head())),
    "pool with keepdims at the end": ended(pool),
    "softmax behind the pool": ended(lambda: then(pool(), layers.Activation("softmax"))),
}
"""What gives other outputs than the model."""
REFUSED = {
    "sum with a pool": with_copy(both(layers.Add), pool),
    "product with a pool": gate(),
    "1x1 behind the pool": ended(lambda: then(pool(), pointwise(4), layers.Flatten())),
    "relu behind the pool": ended(lambda: classes(pool(), layers.ReLU(), layers.Flatten())),
    "dense behind the pool": ended(lambda: classes(pool())),
}
"""What LiteRT does not load."""
UNKNOWN_SPARSE = {
    "1x1 with hard_sigmoid": Net(lambda: pointwise(activation="hard_sigmoid")),
    "depthwise with hard_sigmoid": Net(lambda: deep(3, activation="hard_sigmoid")),
    "hard swish": on_one(hard_swish),
    "quotient": on_one(lambda x: x / 2.0),
    "lambda": Net(lambda: layers.Lambda(lambda x: x * 2.0)),
    "two norms": Net(
        lambda: then(pointwise(), layers.BatchNormalization(), layers.BatchNormalization())
    ),
}
"""What runs sparse, and the rule refuses."""
ACCEPTED_DENSE = ("factor for each channel", "factor for each pixel")
"""What runs dense, and the rule accepts: it does not see constants."""
OUTCOMES = {
    **dict.fromkeys(SPARSE, "sparse"),
    **dict.fromkeys(DENSE, "dense"),
    **dict.fromkeys(WRONG, "wrong"),
    **dict.fromkeys(REFUSED, "refused"),
    **dict.fromkeys(UNKNOWN_SPARSE, "sparse"),
}
NETS = {**SPARSE, **DENSE, **WRONG, **REFUSED, **UNKNOWN_SPARSE}
