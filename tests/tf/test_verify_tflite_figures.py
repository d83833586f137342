"""Layers with factors, axes and sizes of their own in `.tflite` files, and other ones in plans."""

import pytest
import tf_keras
from converted_files import check_folder, convert, plan_of

from graphprune.plan.operator_architecture import check_operator_architecture

pytestmark = pytest.mark.tf


def net(keras, **changed):
    """A net of one layer of each kind, whose settings `changed` has by the names of layers."""

    def layer(kind, name, **settings):
        return getattr(keras.layers, kind)(name=name, **(settings | changed.get(name, {})))

    image = keras.layers.Input((6, 6, 3), batch_size=1, name="image")
    x = layer("Conv2D", "conv", filters=4, kernel_size=1)(image)
    x = layer("ELU", "elu", alpha=0.5)(x)
    x = layer("ReLU", "limited", max_value=4.0)(layer("DepthwiseConv2D", "deep", kernel_size=1)(x))
    x = layer("Conv2D", "wide", filters=4, kernel_size=1)(x)
    x = layer("ReLU", "sloped", max_value=3.0, negative_slope=0.3, threshold=0.5)(x)
    x = layer("Resizing", "resize", height=5, width=4)(x)
    x = keras.layers.Reshape((5, 4, 2, 2), name="volume")(x)
    x = layer("Conv3D", "conv_3d", filters=4, kernel_size=(2, 1, 2))(x)
    x = layer("Conv3DTranspose", "back", filters=2, kernel_size=2, strides=(1, 2, 1))(x)
    x = keras.layers.Reshape((-1, 16), name="sequence")(x)
    x = layer("Softmax", "softmax", axis=1)(layer("Dense", "dense", units=8)(x))
    y = layer("UnitNormalization", "unit")(x)
    x = layer("Dense", "lengths", units=10)(layer("Dot", "dot", axes=2)([y, x]))
    x = layer("Dense", "scores", units=8)(x)
    causal = changed.get("causal", True)
    heads = layer("MultiHeadAttention", "heads", num_heads=2, key_dim=4)
    x = heads(x, x, use_causal_mask=causal)
    if keras is not tf_keras:
        x = layer("LayerNormalization", "deviation", rms_scaling=True)(x)
        x = layer("RMSNormalization", "rms")(layer("Dense", "between", units=8)(x))
        sizes = {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2}
        x = layer("GroupQueryAttention", "group", **sizes)(x, x, use_causal_mask=causal)
    else:
        x = layer("ThresholdedReLU", "above", theta=0.5)(x)
    x = layer("Dense", "out", units=3, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(image, x, name="net")


CHANGES = (
    {
        "elu": {"alpha": 0.7},
        "limited": {"max_value": 5.0},
        "sloped": {"negative_slope": 0.2},
        "resize": {"interpolation": "nearest"},
        "conv_3d": {"kernel_size": (1, 2, 2)},
        "softmax": {"axis": 2},
        "unit": {"axis": 1},
        "heads": {"num_heads": 4, "key_dim": 2},
        "above": {"theta": 1.0},
        "rms": {"epsilon": 1e-3},
        "deviation": {"epsilon": 1e-5},
        "group": {"num_key_value_heads": 1},
    },
    {
        "sloped": {"threshold": 1.0},
        "back": {"kernel_size": (2, 2, 1)},
        "dot": {"axes": 1},
        "causal": False,
    },
)


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_figures_of_layers_are_compared(name, tmp_path):
    keras = pytest.importorskip(name)
    model = net(keras)
    plan, file = plan_of(model, tmp_path / "net.keras"), convert(model, tmp_path / "net")
    for found in (check_operator_architecture(plan, file), check_folder(plan, tmp_path / "net")):
        assert (found.status, found.differences, found.unchecked) == ("same", (), "")
    layers = {layer.name for layer in model.layers}
    for changed in CHANGES:
        other = plan_of(net(keras, **changed), tmp_path / "other.keras")
        differences = check_operator_architecture(other, file).differences
        assert layers & set(changed) <= {one.address for one in differences}
    assert "heads" in {one.address for one in differences}, "it has no causal mask"
