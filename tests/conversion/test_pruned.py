"""Pruned models of one Keras as those of the other: the same masks, steps and next update."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from commands import run_command
from pruned_files import masks_of, state_of, train_on

import graphprune
from graphprune.archive.optimizer_state import has_optimizer_state
from graphprune.archive.read import read_archive
from graphprune.errors import GraphError, OutputError

pytestmark = pytest.mark.tf

KERASES = {2: tf_keras, 3: keras}
X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 2)).astype("float32")
RAMP = "schedule: {curve: polynomial, begin: 2 steps, end: 12 steps, every: 2 steps, from: 20%}"
RULES = f"""
version: 1
rules:
  - id: shared
    match: {{name: shared}}
    overrides: [rest]
    prune: {{sparsity: 75%, pattern: {{block: {{in: 4, out: 1}}}}, {RAMP}}}
  - id: rest
    match: {{type: Dense}}
    prune: {{sparsity: 80%, {RAMP}}}
"""


def build(version: int) -> Any:
    """Return a model with a shared layer, a nested model and a slash where a Keras allows it."""
    layers = KERASES[version].layers
    keras.utils.set_random_seed(1)
    one = layers.Input((8,), name="x")
    shared = layers.Dense(8, activation="tanh", name="shared")
    inside = [layers.Input((8,), name="y"), layers.Dense(6, name="a/b" if version == 2 else "a_b")]
    inner = KERASES[version].Sequential(inside, name="inner")
    both = layers.Add(name="add")([inner(shared(one)), inner(shared(shared(one)))])
    return KERASES[version].Model(one, layers.Dense(2, name="out")(both), name="m")


@cache
def pruned(version: int) -> Any:
    """Return a model that was pruned by rules and trained for four steps; no test changes it."""
    model = build(version)
    model.compile(KERASES[version].optimizers.Adam(0.01), "mse")
    model = graphprune.apply_rules(model, RULES)
    callbacks = [graphprune.UpdatePruningStep()]
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)
    return model


def check_same(before: Path, after: Path) -> None:
    """Check state, outputs, and that training goes on in the same way."""
    renamed = {address.replace("/", "_"): state for address, state in state_of(before).items()}
    assert {key.replace("/", "_"): state for key, state in state_of(after).items()} == renamed
    one, other = graphprune.load_model(before), graphprune.load_model(after)
    assert {type(model).__module__.partition(".")[0] for model in (one, other)} == {
        "keras",
        "tf_keras",
    }
    np.testing.assert_allclose(np.asarray(other(X)), np.asarray(one(X)), rtol=1e-6, atol=1e-6)
    first = masks_of(one)
    for model in (one, other):
        train_on(model, X, Y)
    found = masks_of(one)
    assert {key.replace("/", "_"): mask for key, mask in found.items()} == {
        key.replace("/", "_"): mask for key, mask in masks_of(other).items()
    }
    assert found != first  # there was an update


@pytest.mark.parametrize("form", ["two.keras", "two.h5", "two"])
def test_wrapped_models_go_on_in_keras_3(tmp_path, form):
    two, three, back = tmp_path / form, tmp_path / "three.keras", tmp_path / "back.keras"
    pruned(2).save(two)
    done = run_command("convert", two, "-o", three, "--keras", "3")
    assert done.out == (
        "renamed  inner::a/b -> inner::a_b\n"
        f"{three}: written for Keras 3, 6 layers, 3 of them pruned, with masks and steps,"
        " 140 parameters\n"
        "the optimizer's state is not carried over; training starts with a new one\n"
    ), done.err
    assert {state[2:4] for state in state_of(three).values()} == {(4, 4)}
    check_same(two, three)
    graphprune.convert(three, back, keras=2)
    assert state_of(back) == state_of(three)


@pytest.mark.parametrize("form", ["two.keras", "two.h5"])
def test_pruned_models_of_keras_3_get_wrappers(tmp_path, form):
    pruned(3).save(tmp_path / "three.keras")
    graphprune.convert(tmp_path / "three.keras", tmp_path / form, keras=2)
    check_same(tmp_path / "three.keras", tmp_path / form)


def test_a_plan_and_training_take_the_model_in_the_other_keras(tmp_path):
    pruned(2).save(tmp_path / "two.keras")
    model = graphprune.load_model(tmp_path / "two.keras", keras=3)
    assert isinstance(model, keras.Model)
    assert len(graphprune.collect_prunable_layers(model)) == 3


def test_an_h5_file_of_keras_3_holds_no_masks(tmp_path):
    pruned(2).save(tmp_path / "two.keras")
    with pytest.raises(OutputError, match=r"an \.h5 file cannot hold the masks"):
        graphprune.convert(tmp_path / "two.keras", tmp_path / "three.h5", keras=3)
    assert not (tmp_path / "three.h5").exists()


def own_schedule(version: int) -> Any:
    """Return a schedule of a class of the user's own."""
    register = KERASES[version].utils.register_keras_serializable("mine", f"Half{version}")

    @register
    class Half(graphprune.PruningSchedule):
        begin_step = 0

        def __call__(self, step: Any) -> tuple[Any, Any]:
            return step >= 0, 0.5

        def get_config(self) -> dict[str, Any]:
            return {}

    return Half()


@pytest.mark.parametrize("version", [2, 3])
def test_a_schedule_of_the_users_own_class_is_refused_by_name(tmp_path, version):
    model = graphprune.prune_low_magnitude(build(version), own_schedule(version))
    path = tmp_path / "own.keras"
    graphprune.save_model(model, path)
    with pytest.raises(GraphError) as raised:
        graphprune.convert(path, tmp_path / "other.keras", keras=5 - version)
    assert str(raised.value) == (
        f"{path}: layer 'shared': its pruning schedule is of a class of your own"
        f" (mine>Half{version}), so it cannot be converted; strip the model first, and convert"
        " the result"
    )


@pytest.mark.parametrize("form", ["m.keras", "m.h5", "m"])
def test_a_file_without_optimizer_state_loses_none(tmp_path, form):
    model = build(2)
    model.compile("adam", "mse", run_eagerly=True)
    model.save(tmp_path / form)
    assert not has_optimizer_state(read_archive(tmp_path / form))
    arguments = ("convert", tmp_path / form, "-o", tmp_path / "three.keras", "--keras", "3")
    assert "optimizer's" not in run_command(*arguments).out
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(tmp_path / form)
    assert has_optimizer_state(read_archive(tmp_path / form))
    told = json.loads(run_command(*arguments, "--force", "--format", "json").out)
    assert (told["optimizer_state_dropped"], told["pruned_layers"]) == (True, 0)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_optimizer_state_of_keras_3_is_seen(tmp_path, suffix):
    model, path = build(3), tmp_path / f"three{suffix}"
    model.compile("adam", "mse", run_eagerly=True)
    model.save(path)
    assert not has_optimizer_state(read_archive(path))
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(path)
    assert has_optimizer_state(read_archive(path))


@pytest.mark.parametrize("form", ["two.keras", "two.h5", "two"])
def test_strip_writes_files_that_plain_keras_3_loads(tmp_path, form):
    pruned(2).save(tmp_path / form)
    outputs = [tmp_path / "sparse.keras", tmp_path / "sparse.h5"]
    done = run_command("strip", tmp_path / form, "-o", outputs[0], "-o", outputs[1], "--keras", "3")
    assert done.code == 0, done.err
    expected = np.asarray(graphprune.strip_pruning(graphprune.load_model(tmp_path / form))(X))
    for path in outputs:
        model = keras.models.load_model(path)
        np.testing.assert_allclose(np.asarray(model(X)), expected, rtol=1e-6, atol=1e-6)
        assert state_of(path) == {}
        assert np.count_nonzero(np.asarray(model.get_layer("out").kernel) == 0) > 0


def test_a_plan_of_one_keras_applies_in_the_other(tmp_path):
    build(2).save(tmp_path / "two.keras")
    graphprune.convert(tmp_path / "two.keras", tmp_path / "three.keras", keras=3)
    graphprune.convert(tmp_path / "three.keras", tmp_path / "back.keras", keras=2)
    (tmp_path / "rules.yaml").write_text(RULES)
    for made, used in (("back", "three"), ("three", "back")):
        plan = tmp_path / f"{made}.json"
        paths = [tmp_path / f"{name}.keras" for name in (made, used, f"{used}-pruned")]
        done = run_command("plan", paths[0], "-r", tmp_path / "rules.yaml", "-o", plan)
        assert done.code == 0, done.err
        done = run_command("apply", paths[1], "--plan", plan, "-o", paths[2])
        assert done.code == 0, done.err
        assert state_of(paths[2]).keys() == {"shared", "inner::a_b", "out"}
