"""The table of built-in layers says what tf_keras does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tf_keras

from graphprune.graph.builtin_layers import BUILTIN_LAYERS, weights_of
from graphprune.graph.weights import to_snake_case

pytestmark = pytest.mark.tf

INPUTS = {1: (6, 4), 2: (6, 6, 4), 3: (6, 6, 6, 4)}


def variants() -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    """Yield class, constructor arguments and input shape, each class with and without its optional weights."""
    for name in BUILTIN_LAYERS:
        rank = next((int(digit) for digit in name if digit.isdigit()), 0)
        for optional in (True, False):
            if "ConvLSTM" in name:
                yield name, {"filters": 2, "kernel_size": 2, "use_bias": optional}, (3, *INPUTS[rank])
            elif "Depthwise" in name:
                yield name, {"kernel_size": 2, "use_bias": optional}, INPUTS[rank]
            elif rank:
                yield name, {"filters": 2, "kernel_size": 2, "use_bias": optional}, INPUTS[rank]
            elif "Normalization" in name:
                yield name, {"scale": optional, "center": not optional, **({"groups": 2} if "Group" in name else {})}, (4,)
            elif name in ("SimpleRNN", "LSTM", "GRU"):
                yield name, {"units": 2, "use_bias": optional}, (5, 4)
    yield from [("Dense", {"units": 2}, (4,)), ("Dense", {"units": 2, "use_bias": False}, (4,)), ("Embedding", {"input_dim": 5, "output_dim": 2}, (4,))]
    yield from [("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": axes}, (4,)) for axes in ("c", None)]
    yield ("PReLU", {}, (4,))


def find_class(name: str) -> type[tf_keras.layers.Layer]:
    return getattr(tf_keras.layers, name, None) or getattr(tf_keras.layers.experimental, name)


@pytest.mark.parametrize(("name", "arguments", "shape"), list(variants()))
def test_weights_are_those_of_the_class_in_storage_order(name: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    layer = find_class(name)(**arguments)
    layer(np.zeros((1, *shape), "float32"))
    entry = {"module": "keras.layers", "class_name": name, "config": layer.get_config(), "registered_name": None}
    weights = weights_of(entry)
    assert weights is not None
    assert [weight.name for weight in weights] == [variable.name.split("/")[-1].removesuffix(":0") for variable in layer.weights]
    assert [weight.trainable for weight in weights] == [variable.trainable for variable in layer.weights]
    for weight, variable in zip(weights, layer.weights, strict=True):
        assert len(weight.axes) in (0, len(variable.shape))
        lengths = dict(zip(weight.axes, variable.shape, strict=False))
        if weight.prunable and "ConvLSTM" not in name and name != "Embedding" and weight.name in ("kernel", "depthwise_kernel"):
            assert lengths["in"] == shape[-1]


@pytest.mark.parametrize("name", [*BUILTIN_LAYERS])
def test_bases_and_file_names_are_those_of_the_class(name: str) -> None:
    kind = find_class(name)
    layer = tf_keras.layers.Layer
    bases = [base.__name__ for base in kind.__mro__[1:] if issubclass(base, layer) and base is not layer]
    assert kind.__name__ == name
    assert list(BUILTIN_LAYERS[name].bases) == bases
    assert to_snake_case(name) == tf_keras.src.utils.generic_utils.to_snake_case(name)
