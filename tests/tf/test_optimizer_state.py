"""What optimizers carry from step to step: all of it is in checkpoints, whatever the optimizer
keeps it in.
"""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

import graphprune
from graphprune.runs.run_options import Compiling
from graphprune.tf.layers.optimizer_state import (
    attribute_variables,
    hidden_variables,
    listed_variables,
    python_numbers,
)
from graphprune.tf.pruning.surgery import strip_model
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.hidden_state import (
    read_optimizer_attributes,
    read_optimizer_rest,
    restore_optimizer_attributes,
    restore_optimizer_rest,
)

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:.*")]

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 3)).astype("float32"), RNG.normal(size=(8, 2)).astype("float32")
CLASSES = [
    (module, name)
    for module in (tf_keras.optimizers, tf_keras.optimizers.legacy)
    for name, value in sorted(vars(module).items())
    if isinstance(value, type) and name not in ("Optimizer", "LossScaleOptimizer")
]
IDS = [
    f"{'legacy.' if module is tf_keras.optimizers.legacy else ''}{name}" for module, name in CLASSES
]


def build(module, name, *, scaled=False, eager=False):
    tf_keras.utils.set_random_seed(1)
    optimizer = getattr(module, name)(learning_rate=0.05)
    if scaled:
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(
            optimizer, initial_scale=64, dynamic_growth_steps=2
        )
    model = tf_keras.Sequential(
        [layers.Input((3,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")]
    )
    model.compile(optimizer, "mse", run_eagerly=eager)
    return model


def step(model, times):
    for _ in range(times):
        model.train_on_batch(X, Y)


def all_state(value, path="", depth=0):
    """Yield every variable, tensor, array and number below an object's attributes."""
    if isinstance(value, tf.Variable | tf.Tensor | np.ndarray | int | float):
        yield path, np.array(value.numpy()) if hasattr(value, "numpy") else value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from all_state(item, f"{path}[{key}]", depth)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from all_state(item, f"{path}[{index}]", depth)
    elif depth < 4 and type(value).__module__.partition(".")[0] == "tf_keras":
        for name, item in vars(value).items():
            yield from all_state(item, f"{path}.{name}", depth + 1)


DERIVED = ("_m_cache_read",)  # legacy Nadam sets it from `_m_cache` before each step


REST = [(False, True, ".keras"), (True, False, ".h5"), (False, False, ".h5")]
QUICK = {"Adafactor", "AdamW", "Ftrl", "Nadam", "SGD", "legacy.Nadam", "legacy.RMSprop"}
"""Optimizers with every kind of state; the others have some of it."""
BY_CLASS = [
    pytest.param(*pair, marks=() if id in QUICK else pytest.mark.slow, id=id)
    for pair, id in zip(CLASSES, IDS, strict=True)
]


@pytest.mark.parametrize(("module", "name"), CLASSES, ids=IDS)
def test_all_that_changes_in_an_optimizer_is_what_checkpoints_hold(module, name):
    model = build(module, name, scaled=True, eager=True)
    step(model, 1)
    before = {path: np.copy(value) for path, value in all_state(model.optimizer)}
    step(model, 2)
    changed = {
        path: value
        for path, value in all_state(model.optimizer)
        if path in before and not np.array_equal(before[path], value)
    }
    assert any("iterations" in path for path in changed)
    known = [*read_optimizer_rest(model).values(), *read_optimizer_attributes(model).values()]
    lost = [
        path
        for path, value in changed.items()
        if not path.endswith(DERIVED) and not any(np.array_equal(value, array) for array in known)
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("scaled", "eager", "suffix"),
    [(False, False, ".keras"), *(pytest.param(*rest, marks=pytest.mark.slow) for rest in REST)],
)
@pytest.mark.parametrize(("module", "name"), BY_CLASS)
def test_training_goes_on_bit_for_bit_from_a_checkpoint(
    tmp_path, module, name, scaled, eager, suffix
):
    first = build(module, name, scaled=scaled, eager=eager)
    compile_model(first, Compiling(), "here")
    step(first, 3)
    graphprune.save_model(first, tmp_path / f"m{suffix}")
    rest, attributes = read_optimizer_rest(first), read_optimizer_attributes(first)
    second = graphprune.load_model(tmp_path / f"m{suffix}")
    compile_model(second, Compiling(), "here")
    restore_optimizer_rest(second, rest)
    restore_optimizer_attributes(second, attributes)
    for model in (first, second):
        step(model, 3)
    for one, two in zip(
        [*first.weights, *listed_variables(first.optimizer)],
        [*second.weights, *listed_variables(second.optimizer)],
        strict=True,
    ):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize(
    "module", [tf_keras.optimizers, tf_keras.optimizers.legacy], ids=["new", "legacy"]
)
def test_wrapping_and_stripping_keep_the_hidden_state(module, eager):
    model = build(module, "Nadam", eager=eager)
    # slots made before the step is traced, as in the copy: rounding depends on it
    compile_model(model, Compiling(), "here")
    step(model, 3)
    twin = strip_model(graphprune.prune_low_magnitude(model, graphprune.ConstantSparsity(0.5, 0)))
    for each in (model, twin):
        step(each, 2)
    for one, two in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_nadam_hides_a_product_and_a_counter():
    model = build(tf_keras.optimizers, "Nadam", eager=True)
    step(model, 2)
    assert "_u_product" in hidden_variables(model.optimizer)
    assert python_numbers(model)["_u_product_counter"] == 3
    assert "_momentums/0" in attribute_variables(model.optimizer)


def test_a_checkpoint_of_another_optimizer_is_refused():
    nadam, adam = build(tf_keras.optimizers, "Nadam"), build(tf_keras.optimizers, "SGD")
    step(nadam, 1)
    step(adam, 1)
    with pytest.raises(graphprune.CheckpointError) as caught:
        restore_optimizer_attributes(adam, read_optimizer_attributes(nadam))
    assert str(caught.value) == "the checkpoint was written with another optimizer; start a new run"
    restore_optimizer_attributes(nadam, {})  # as an older graphprune wrote it


def test_h5_files_keep_steps_per_execution_and_compiled_steps(tmp_path):
    model = build(tf_keras.optimizers, "SGD")
    model.compile("sgd", "mse", steps_per_execution=3, jit_compile=True, run_eagerly=False)
    for saved in (
        model,
        graphprune.prune_low_magnitude(model, graphprune.ConstantSparsity(0.5, 0)),
    ):
        graphprune.save_model(saved, tmp_path / "m.h5")
        loaded = graphprune.load_model(tmp_path / "m.h5")
        assert (loaded.steps_per_execution.numpy(), loaded.jit_compile) == (3, True)
        assert tf_keras.models.load_model(tmp_path / "m.h5").optimizer is not None
        graphprune.save_model(loaded, tmp_path / "n.h5")
        assert graphprune.load_model(tmp_path / "n.h5").jit_compile is True
    model.compile("sgd", "mse", run_eagerly=True)
    graphprune.save_model(model, tmp_path / "e.h5")
    assert graphprune.load_model(tmp_path / "e.h5").run_eagerly is True


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("scaled", [True, False])
def test_loss_scaling_and_its_slots_come_back(tmp_path, scaled, suffix, capfd):
    policy = tf_keras.mixed_precision.Policy("mixed_float16")
    tf_keras.mixed_precision.set_global_policy("mixed_float16" if scaled else "float32")
    try:
        model = tf_keras.Sequential(
            [layers.Input((3,)), layers.Dense(4, dtype=policy), layers.Dense(2, dtype="float32")]
        )
        model.compile("adam", "mse")  # which scales the loss under the global policy only
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    step(model, 3)
    model.save(tmp_path / f"m{suffix}")
    capfd.readouterr()
    loaded = graphprune.load_model(tmp_path / f"m{suffix}")
    assert isinstance(loaded.optimizer, tf_keras.mixed_precision.LossScaleOptimizer) == scaled
    assert "freshly initialized" not in capfd.readouterr().err
    for one, two in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    graphprune.save_model(loaded, tmp_path / "again.keras")
    assert (
        isinstance(
            graphprune.load_model(tmp_path / "again.keras").optimizer,
            tf_keras.mixed_precision.LossScaleOptimizer,
        )
        == scaled
    )
