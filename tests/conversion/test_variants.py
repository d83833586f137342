"""Every layer that both Kerases have computes the same after conversion, with every argument that
matters; what only one of them knows is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from layer_variants import GROUPS, ONLY_KERAS_3, ONLY_TF_KERAS, VARIANTS, WORDS, Variant

import graphprune
from graphprune.errors import GraphError
from graphprune.tf.layers.building import spectral_layers_buildable

pytestmark = pytest.mark.tf

KERASES = {2: tf_keras, 3: keras}
SHORT = (
    *("dense gelu", "leaky relu slope", "initializer Identity", "constraint MaxNorm", "mixed"),
    *("conv2 up more", "depthwise2", "AveragePooling2 same 2", "up lanczos3", "resize crop area"),
    *("batch axis", "group axis", "spectral", "gru before", "lstm gates", "both ave", "cells"),
    *("dot normalized", "heads axes", "hash words", "bins", "words weighted", "text counts"),
)


def build(version: int, variants: Iterable[Variant]) -> Any:
    """Return a model of layers side by side, each with inputs of its own."""
    library, inputs, outputs = KERASES[version], [], []
    library.backend.clear_session()
    library.utils.set_random_seed(1)
    for variant in variants:
        given = [
            library.layers.Input(variant.shape, dtype=variant.dtype, name=f"x{len(inputs) + index}")
            for index in range(variant.inputs)
        ]
        layer = variant.make(library.layers)
        inputs += given
        called = given if variant.by_name else [given if given[1:] else given[0]]
        with spectral_layers_buildable():
            outputs.append(layer(*called))
    model = library.Model(inputs, outputs)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        is_number = "float" in str(weight.dtype) and None not in tuple(weight.shape)
        if is_number:  # moving variances must not be negative
            weight.assign(np.abs(rng.normal(size=weight.shape)) * 0.3 + 0.1)
    return model


def sample(variant: Variant, rng: np.random.Generator) -> list[Any]:
    """Return the inputs of a layer for three examples."""
    shape, found = (3, *variant.shape), []
    for _ in range(variant.inputs):
        if variant.dtype == WORDS:
            found.append(rng.choice(["a", "b", "c", "d", "other", "b c"], shape))
        elif "int" in variant.dtype:
            found.append(rng.integers(0, 4, shape).astype(variant.dtype))
        else:
            found.append(rng.normal(size=shape).astype(variant.dtype))
    return [tf.constant(array) for array in found]


def check_equal(folder: Path, version: int, variants: dict[str, Variant]) -> None:
    """Convert a model of these layers to the other Keras, and compare their outputs."""
    before, after = folder / "before.keras", folder / "after.keras"
    graphprune.save_model(build(version, variants.values()), before)
    graphprune.convert(before, after, keras=5 - version)
    rng = np.random.default_rng(3)
    inputs = [each for variant in variants.values() for each in sample(variant, rng)]
    given = inputs if inputs[1:] else inputs[0]
    one, other = (graphprune.load_model(path)(given, training=False) for path in (before, after))
    if len(variants) == 1:
        one, other = [one], [other]
    different = {
        name: fault
        for name, left, right in zip(variants, one, other, strict=True)
        if (fault := difference(left, right))
    }
    assert different == {}


def difference(left: Any, right: Any) -> str:
    """Return how the outputs of a layer differ; empty if they agree to 1e-6."""
    for one, other in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        found, wanted = np.asarray(other), np.asarray(one)
        if found.dtype.kind in "OSU":
            if not np.array_equal(found, wanted):
                return f"{wanted.ravel()[:4]} -> {found.ravel()[:4]}"
        elif not np.allclose(found.astype("float64"), wanted.astype("float64"), 1e-6, 1e-6):
            return f"{wanted.ravel()[:4]} -> {found.ravel()[:4]}"
    return ""


@pytest.mark.parametrize("version", [2, 3])
def test_some_layers_of_every_kind_compute_the_same(tmp_path, version):
    check_equal(tmp_path, version, {name: VARIANTS[name] for name in SHORT})


def test_bins_of_fractions_are_the_same_in_a_compiled_model(tmp_path):
    before, after = tmp_path / "before.keras", tmp_path / "after.keras"
    graphprune.save_model(build(2, [VARIANTS["bins"]]), before)
    graphprune.convert(before, after, keras=3)
    given = np.linspace(-2, 2, 12, dtype="float32").reshape(2, 6)
    one, other = (graphprune.load_model(path).predict(given, verbose=0) for path in (before, after))
    assert one.tolist() == other.tolist()


def test_random_contrast_keeps_its_bounds(tmp_path):
    before, after = tmp_path / "before.keras", tmp_path / "after.keras"
    images = Variant(lambda layers: layers.RandomContrast(0.5, name="r"), (8, 8, 3))
    graphprune.save_model(build(2, [images]), before)
    graphprune.convert(before, after, keras=3)
    assert list(graphprune.load_model(after).get_layer("r").factor) == [0.5, 0.5]
    assert ", 0 reconfigured," in str(graphprune.diff_models(before, after))


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("group", GROUPS)
def test_all_layers_compute_the_same(tmp_path, group, version):
    check_equal(tmp_path, version, dict(GROUPS[group]))


def check_refused(folder: Path, version: int, variant: Variant, text: str) -> None:
    before, after = folder / "before.keras", folder / "after.keras"
    graphprune.save_model(build(version, [variant]), before)
    with pytest.raises(GraphError, match=rf"layer '\w+' \(\w+\): .*{text}"):
        graphprune.convert(before, after, keras=5 - version)
    assert not after.exists()


@pytest.mark.parametrize("name", ["UpSampling2D gaussian", "causal", "hard sigmoid"])
def test_what_keras_3_does_not_know_is_refused_by_name(tmp_path, name):
    check_refused(tmp_path, 2, *ONLY_TF_KERAS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ONLY_TF_KERAS)
def test_all_that_keras_3_does_not_know_is_refused_by_name(tmp_path, name):
    check_refused(tmp_path, 2, *ONLY_TF_KERAS[name])


@pytest.mark.parametrize("name", ["dense log_softmax", "rms"])
def test_what_tf_keras_does_not_know_is_refused_by_name(tmp_path, name):
    check_refused(tmp_path, 3, *ONLY_KERAS_3[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ONLY_KERAS_3)
def test_all_that_tf_keras_does_not_know_is_refused_by_name(tmp_path, name):
    check_refused(tmp_path, 3, *ONLY_KERAS_3[name])


def test_the_table_has_every_layer_that_both_have():
    made = {type(variant.make(keras.layers)).__name__ for variant in VARIANTS.values()}
    assert shared_classes() - made == LEFT_OUT


def shared_classes() -> set[str]:
    """Return the classes of layers that both Kerases export, without cells and base classes."""
    found = {
        name: value
        for name, value in vars(keras.layers).items()
        if isinstance(value, type) and isinstance(getattr(tf_keras.layers, name, None), type)
    }
    return {value.__name__ for name, value in found.items() if value.__name__ == name}


LEFT_OUT = {
    *("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"),  # stand in an RNN
    *("InputLayer", "InputSpec", "Layer", "Wrapper"),
    *("Lambda", "RandomCrop"),  # refused: `NO_COUNTERPART` of test_convert.py
}
