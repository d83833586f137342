"""The table of built-in layers says what tf_keras does."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from layer_zoo import ARGUMENTS, CELLS, PRUNABLE, STRINGS, WEIGHTED, Sample, exported_classes
from tf_keras.src.saving.serialization_lib import serialize_keras_object

from graphprune.archive import read_archive
from graphprune.archive.entries import to_snake_case
from graphprune.graph import locate_weights, read_graph
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS, weights_of
from graphprune.graph.classes.layer_class import Weight
from graphprune.tf.layers.live_tensors import find_weight, tensor_facts

pytestmark = [pytest.mark.tf, pytest.mark.usefixtures("own_input_spec")]

EXPORTED = exported_classes()
ABSTRACT = {
    "Layer",
    "Wrapper",
    "AbstractRNNCell",
    "PreprocessingLayer",
    "InputLayer",
    "DenseFeatures",
}
"""Classes that are not built here: they need a subclass, or feature columns."""


def own_weights(layer: tf_keras.layers.Layer) -> list[Weight]:
    weights = weights_of(serialize_keras_object(layer))
    assert weights is not None
    return [weight for weight in weights if not weight.is_copy]


def assert_table_fits(layer: tf_keras.layers.Layer, sample: Sample) -> None:
    """Compare names, order, trainability, axes and prunable tensors with a built layer."""
    weights = own_weights(layer)
    variables = [variable for variable in layer.weights if isinstance(variable, tf.Variable)]
    bare = [variable.name.split("/")[-1].removesuffix(":0") for variable in variables]
    assert [
        weight.name.rsplit(".", 1)[-1] if stored != "Variable" else stored
        for weight, stored in zip(weights, bare, strict=True)
    ] == bare
    if layer.trainable:
        assert [weight.trainable for weight in weights] == [
            variable.trainable for variable in variables
        ]
    assert tensor_facts(layer) == tuple(
        (weight.name, facts[1], facts[2])
        for weight, facts in zip(weights, tensor_facts(layer), strict=True)
    )
    found = {}
    for weight, variable in zip(weights, variables, strict=True):
        assert len(weight.axes) in (0, len(variable.shape))
        assert len(set(weight.axes)) == len(weight.axes)
        if weight.prunable:
            assert find_weight(layer, weight.name) is variable
            found[weight.name] = dict(zip(weight.axes, variable.shape, strict=True))
    if layer.trainable:
        assert found == sample.lengths
        assert [list(axes) for axes in found.values()] == [
            list(axes) for axes in sample.lengths.values()
        ]


@cache
def model_of(name: str) -> tf_keras.Model:
    """Return the model of a sample, the same for all tests: building one takes longest."""
    return (FILES | STRINGS)[name].model()


@pytest.mark.parametrize("name", [*PRUNABLE, *WEIGHTED, *STRINGS])
def test_weights_are_those_of_the_class_in_storage_order(name: str) -> None:
    sample = (PRUNABLE | WEIGHTED | STRINGS)[name]
    assert_table_fits(model_of(name).layers[-1], sample)


@pytest.mark.parametrize("name", CELLS)
def test_cells_have_the_weights_of_the_table(name: str) -> None:
    cell = CELLS[name].make()
    tf_keras.layers.RNN(cell)(np.zeros((1, 3, 5), "float32"))
    assert_table_fits(cell, CELLS[name])


def spectral() -> tf_keras.layers.Layer:
    return tf_keras.layers.SpectralNormalization(tf_keras.layers.Conv2D(7, (2, 3)))


def test_spectral_normalization_has_its_layers_weights_and_a_vector() -> None:
    layer = spectral()
    layer(np.zeros((1, 6, 8, 5), "float32"))
    sample = Sample(spectral, lengths={"layer.kernel": {"h": 2, "w": 3, "in": 5, "out": 7}})
    assert_table_fits(layer, sample)
    layer.trainable = False
    assert [name for name, _, _ in tensor_facts(layer)] == [
        "layer.kernel",
        "vector_u",
        "layer.bias",
    ]


FILES = {**PRUNABLE, **WEIGHTED, "spectral": Sample(spectral, ((6, 8, 5),))}


@pytest.mark.parametrize("format", ["keras", "h5"])
@pytest.mark.parametrize("name", FILES)
def test_files_are_read_by_the_names_of_the_table(name: str, format: str, tmp_path: Path) -> None:
    model = model_of(name)
    layer = model.layers[-1]
    variables = [variable for variable in layer.weights if isinstance(variable, tf.Variable)]
    for variable in variables:
        if variable.shape.is_fully_defined():
            variable.assign(tf.cast(tf.random.uniform(variable.shape, maxval=1000), variable.dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / f"m.{format}")
    archive = read_archive(tmp_path / f"m.{format}")
    graph = read_graph(archive)
    weights = locate_weights(archive, graph)
    names = [facts[0] for facts in tensor_facts(layer)]
    assert {tensor.name for tensor in graph.layer(layer.name).tensors} == set(names)
    for variable_name, variable in zip(names, variables, strict=True):
        np.testing.assert_array_equal(weights.read(layer.name, variable_name), variable.numpy())
    own = {weight.name: weight.axes for weight in own_weights(layer)}
    assert {tensor.name: tensor.axes for tensor in graph.layer(layer.name).tensors} == own


OF_TF_KERAS = {name: known for name, known in BUILTIN_LAYERS.items() if 2 in known.versions}
WEIGHTLESS = sorted(
    name for name, known in OF_TF_KERAS.items() if known.has_no_weights and name not in ABSTRACT
)


@pytest.mark.parametrize("name", WEIGHTLESS)
def test_other_classes_have_no_weights(name: str) -> None:
    layer = EXPORTED[name](**ARGUMENTS.get(name, {}))
    rank = next(
        (int(digit) for digit in name if digit.isdigit()),
        (
            2
            if name in ("Flatten", "Masking") or name.startswith(("Random", "Center", "Resiz"))
            else 0
        ),
    )
    inputs = tf.constant(
        np.zeros(
            (2, *(4,) * rank, 1 if name == "HashedCrossing" else 5),
            "int64" if name.startswith("Hash") else "float32",
        )
    )
    layer(
        [inputs, inputs]
        if "_Merge" in BUILTIN_LAYERS[name].bases or name == "HashedCrossing"
        else inputs
    )
    assert layer.weights == []


def test_the_table_holds_exactly_the_exported_classes() -> None:
    assert sorted(OF_TF_KERAS) == sorted(EXPORTED)
    built = {
        type(sample.make()).__name__
        for sample in (*PRUNABLE.values(), *WEIGHTED.values(), *STRINGS.values())
    } | {*CELLS, "SpectralNormalization"}
    assert built | {*WEIGHTLESS} | ABSTRACT == {*EXPORTED}


@pytest.mark.parametrize("name", [*OF_TF_KERAS])
def test_bases_and_file_names_are_those_of_the_class(name: str) -> None:
    layer = tf_keras.layers.Layer
    assert list(BUILTIN_LAYERS[name].bases) == [
        base.__name__
        for base in EXPORTED[name].__mro__[1:]
        if issubclass(base, layer) and base is not layer
    ]
    assert to_snake_case(name) == tf_keras.src.utils.generic_utils.to_snake_case(name)
