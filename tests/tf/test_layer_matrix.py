"""Every class of `tf_keras.layers` stands in a model that is pruned: wrapped, trained, saved and
loaded in each format, stripped.

Models that hold many classes side by side go the whole way once, and a test a class looks at its
branch. With `--slow`, each class goes it alone too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from layer_matrix import (
    CASES,
    NO_CASE,
    SPARSITY,
    STEPS,
    Bench,
    Journey,
    build_bench,
    class_of,
    travel,
)
from layer_zoo import exported_classes

from graphprune.archive import read_archive
from graphprune.archive.entries import canonical
from graphprune.errors import ArchiveError, OutputError
from graphprune.graph import locate_weights, measure_mask_faults, read_graph
from graphprune.sparsity.counts import zero_count
from graphprune.sparsity.positions import Run
from graphprune.tf.layers.live_tensors import find_weight
from graphprune.tf.models.export import write_saved_model
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.addresses import inner_layer
from graphprune.tf.pruning.keras_api import (
    collect_prunable_layers,
    prune_low_magnitude,
    strip_pruning,
)
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

pytestmark = [pytest.mark.tf, pytest.mark.usefixtures("own_input_spec")]

FORMATS = (".keras", ".h5", "")
"""File suffixes; none means a SavedModel folder. Without `--slow`, all classes go through the first
one, and those of FAMILIES through the others.
"""
FAMILIES = ("dense", "einsum", "embedding", "conv2", "separable2", "LSTMCell", "batch_norm")
IN_FILES = [name for name, case in CASES.items() if case.place != "dynamic"]
TOGETHER = [name for name in IN_FILES if CASES[name].place != "alone"]
WITH_TENSORS = [name for name in TOGETHER if CASES[name].sample.lengths]


@dataclass(frozen=True, slots=True)
class Travelled:
    """A shared model's way: its folder, what became of it, and what each branch gives, by model:
    wrapped, loaded from each format, stripped.
    """

    folder: Path
    journey: Journey
    outputs: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def travelled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Travelled]:
    """Return the way of the shared model of a place, which it goes once."""

    formats = FORMATS if request.config.getoption("--slow") else FORMATS[:1]

    @cache
    def go(place: str) -> Travelled:
        folder = tmp_path_factory.mktemp(place)
        journey = travel(
            build_bench(name for name in IN_FILES if CASES[name].place == place), folder, formats
        )
        return Travelled(folder, journey, journey.outputs())

    return go


def assert_exact(wrapper: PruneLowMagnitude, layer: tf_keras.layers.Layer) -> None:
    """Check the zeros of each pruned tensor of `layer`, which is that of `wrapper` or of a copy."""
    for name in wrapper.pruning.weights:
        weight = find_weight(layer, name).numpy()
        assert weight.size - np.count_nonzero(weight) == zero_count(weight.size, SPARSITY)


def assert_whole(journey: Journey, name: str) -> None:
    """Check a case's layer after training, in each loaded model and in the stripped one."""
    bench, lengths = journey.bench, CASES[name].sample.lengths
    address = bench.branches[name].layer
    trained = journey.wrapped.get_layer(address)
    assert isinstance(trained, PruneLowMagnitude) == bool(lengths)
    if lengths:
        assert set(trained.pruning.weights) == set(lengths)
        assert trained.pruning_step.numpy() == STEPS
        assert_exact(trained, trained.layer)
    for model in (*journey.loaded.values(), journey.stripped):
        assert_same_values(inner_layer(trained), inner_layer(model.get_layer(address)))
    for model in journey.loaded.values():
        assert described(model.get_layer(address).get_config()) == described(trained.get_config())
    assert described(journey.stripped.get_layer(address).get_config()) == described(
        bench.model.get_layer(address).get_config()
    )


def assert_same_optimizer(journey: Journey) -> None:
    """Check that every loaded model has the trained one's step and slots."""
    trained = journey.wrapped.optimizer
    assert trained.iterations.numpy() == STEPS
    for model in journey.loaded.values():
        for wanted, got in zip(trained.variables, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(wanted.numpy(), got.numpy())


def described(config: object) -> object:
    """Return a config in its canonical form, without bytecode, which Python does not write twice
    alike.
    """

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {
                key: None if key == "function" and "function_type" in value else plain(item)
                for key, item in value.items()
            }
        return [plain(item) for item in value] if isinstance(value, list) else value

    return plain(canonical(config))


def assert_same_values(one: tf_keras.layers.Layer, other: tf_keras.layers.Layer) -> None:
    for left, right in zip(one.weights, other.weights, strict=True):
        if isinstance(left, tf.Variable):  # or a handle on a table, which the outputs tell of
            np.testing.assert_array_equal(left.numpy(), right.numpy())


def assert_same_outputs(outputs: dict[str, dict[str, object]], name: str) -> None:
    for given in outputs.values():
        tf.nest.map_structure(np.testing.assert_array_equal, outputs["wrapped"][name], given[name])


def test_every_exported_class_has_a_case_or_a_reason() -> None:
    assert sorted({class_of(case) for case in CASES.values()} | {*NO_CASE}) == sorted(
        exported_classes()
    )
    assert not {class_of(case) for case in CASES.values()} & {*NO_CASE}
    assert len(exported_classes()) == 117


@pytest.mark.parametrize("name", TOGETHER)
def test_a_class_goes_the_whole_way_side_by_side(
    name: str, travelled: Callable[[str], Travelled]
) -> None:
    found = travelled(CASES[name].place)
    assert_whole(found.journey, name)
    assert_same_outputs(found.outputs, name)


@pytest.mark.parametrize("place", ["prunable", "others"])
def test_a_model_of_many_classes_is_the_same_after_the_whole_way(
    place: str, travelled: Callable[[str], Travelled]
) -> None:
    folder, journey = travelled(place).folder, travelled(place).journey
    assert len(journey.losses) == STEPS
    assert all(math.isfinite(loss) for loss in journey.losses)
    for wrapper in collect_prunable_layers(journey.wrapped):
        assert_exact(wrapper, wrapper.layer)
    assert_same_optimizer(journey)
    assert described(journey.stripped.get_config()) == described(journey.bench.model.get_config())
    for suffix in journey.loaded:
        archive = read_archive(folder / f"model{suffix}")
        graph = read_graph(archive)
        assert set(measure_mask_faults(locate_weights(archive, graph)).values()) == {0}
        for wrapper in collect_prunable_layers(journey.wrapped):
            assert (
                tuple(tensor.name for tensor in graph.layer(wrapper.name).prunable)
                == wrapper.pruning.weights
            )


def test_a_model_with_a_layer_of_each_family_goes_through_every_format(tmp_path: Path) -> None:
    journey = travel(build_bench(FAMILIES), tmp_path, FORMATS[1:])
    outputs = journey.outputs()
    for name in FAMILIES:
        assert_whole(journey, name)
        assert_same_outputs(outputs, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_FILES)
def test_a_class_goes_the_whole_way_alone(name: str, tmp_path: Path) -> None:
    journey = travel(build_bench([name]), tmp_path, FORMATS, is_compiled=True)
    assert_whole(journey, name)
    assert_same_optimizer(journey)
    assert_same_outputs(journey.outputs(), name)
    assert all(math.isfinite(loss) for loss in journey.losses)


def test_layers_under_construction_are_wrapped_and_pruned() -> None:
    made: list[tf_keras.layers.Layer] = []

    def prepare(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        made.append(layer)
        return prune_low_magnitude(layer)

    bench = build_bench(WITH_TENSORS, prepare)
    Pruner(bench.model).start(Run(steps_per_epoch=1, epochs=1))
    for name, layer in zip(WITH_TENSORS, made, strict=True):
        wrapper = bench.model.get_layer(bench.branches[name].layer)
        assert (wrapper.layer, set(wrapper.pruning.weights)) == (
            layer,
            set(CASES[name].sample.lengths),
        )
        for weight, mask, _ in wrapper.pruning_vars:
            assert int(tf.size(weight)) - np.count_nonzero(weight.numpy()) == zero_count(
                int(tf.size(weight)), 0.5
            )
            assert np.count_nonzero(mask.numpy()) == np.count_nonzero(weight.numpy())


def test_layers_under_construction_without_tensors_to_prune_are_wrapped_with_nothing() -> None:
    names = [name for name in TOGETHER if not CASES[name].sample.lengths]
    bench = build_bench(names, prune_low_magnitude)
    for name in names:
        wrapper = bench.model.get_layer(bench.branches[name].layer)
        assert (type(wrapper), wrapper.pruning_vars) == (PruneLowMagnitude, [])
    plain = strip_pruning(bench.model)
    tf.nest.map_structure(
        np.testing.assert_array_equal, bench.outputs(bench.model), bench.outputs(plain)
    )


@pytest.fixture(scope="module")
def dynamic() -> Bench:
    return build_bench(name for name, case in CASES.items() if case.place == "dynamic")


def test_vocabularies_that_grow_are_pruned_around(dynamic: Bench, tmp_path: Path) -> None:
    wrapped, name = prune_low_magnitude(dynamic.model), dynamic.branches["dynamic_lookup"].layer
    stripped = strip_pruning(wrapped)
    for model in (wrapped, stripped):
        tf.nest.map_structure(
            np.testing.assert_array_equal, dynamic.outputs(dynamic.model), dynamic.outputs(model)
        )
    for suffix in (".keras", ".h5"):
        with pytest.raises(OutputError) as refused:
            save_model(wrapped, tmp_path / f"m{suffix}")
        assert (
            str(refused.value)
            == f"m{suffix}: layer '{name}' is a DynamicLookup, which Keras cannot rebuild from a"
            " file; write a SavedModel folder, which TensorFlow runs, or keep such a table outside"
            " the model"
        )
    write_saved_model(stripped, tmp_path / "m")
    served = tf.saved_model.load(tmp_path / "m").signatures["serving_default"](x0=dynamic.inputs())
    np.testing.assert_allclose(*served.values(), dynamic.model(dynamic.inputs()), rtol=1e-6)
    with pytest.raises(ArchiveError) as unread:
        load_model(tmp_path / "m")
    assert (
        str(unread.value)
        == f"{tmp_path}/m: layer '{name}' is a DynamicLookup, which Keras cannot rebuild from a"
        " file; keep such a table outside the model"
    )


def test_a_learned_vocabulary_is_refused_in_h5() -> None:
    words = tf_keras.layers.StringLookup(name="words")
    words.adapt([["ham", "eggs"]])
    text = tf_keras.Input((2,), dtype="string")
    model = tf_keras.Model(text, words(text))
    with pytest.raises(OutputError) as caught:
        save_model(model, "m.h5")
    assert (
        str(caught.value)
        == "m.h5: the vocabulary of layer 'words' was learned from data, which .h5 files do not"
        " hold; save the model as .keras"
    )


def test_a_lambda_of_a_function_that_keras_cannot_describe_is_carried_over() -> None:
    x = tf_keras.Input((3,))
    model = tf_keras.Model(x, tf_keras.layers.Dense(4)(tf_keras.layers.Lambda(tf.abs)(x)))
    wrapped = prune_low_magnitude(model)
    np.testing.assert_array_equal(wrapped(-tf.ones((1, 3))), model(-tf.ones((1, 3))))


@pytest.mark.parametrize(
    "name", ["attention_by_keyword", pytest.param("decoder", marks=pytest.mark.slow)]
)
def test_calls_with_keyword_tensors_are_served_as_they_were(name: str, tmp_path: Path) -> None:
    bench = build_bench([name])
    wrapped = prune_low_magnitude(bench.model)
    write_saved_model(wrapped, tmp_path / "m")
    served = tf.saved_model.load(tmp_path / "m").signatures["serving_default"]
    inputs = dict(zip((tensor.name for tensor in wrapped.inputs), bench.inputs(), strict=True))
    np.testing.assert_allclose(
        *served(**inputs).values(), bench.model(list(inputs.values())), rtol=1e-5
    )


def test_spectral_layers_are_built_where_keras_itself_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tf_keras.Sequential(
        [tf_keras.layers.SpectralNormalization(tf_keras.layers.Dense(3), input_shape=(4,))]
    )
    save_model(model, tmp_path / "m.keras")
    monkeypatch.setattr(tf.keras.layers, "InputSpec", object)
    loaded = load_model(tmp_path / "m.keras")
    for twin in (loaded, strip_pruning(prune_low_magnitude(model))):
        np.testing.assert_array_equal(twin(tf.ones((1, 4))), model(tf.ones((1, 4))))
