"""Every optimizer of Keras 3 on one backend, with every setting: masked weights stay zero."""

import tempfile
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers
from keras.src.applications import convnext, nasnet
from keras3.child import Cases, refusal
from keras3.models import VERSION, array, assert_same, numbers, operations, subclassed, values
from keras3.training_cases import (
    BATCH,
    SHARE,
    STEPS,
    TARGETS,
    ZeroAfterEveryUpdate,
    assert_exact,
    pruned_operations,
    schedule,
    trained,
)

import graphprune
from graphprune import ConstantSparsity, Run, UpdatePruningStep, prune_scope
from graphprune.errors import TrainingError
from graphprune.keras3.training.compiling import EXECUTIONS

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())
OPTIMIZERS = sorted(
    name
    for name, kind in vars(keras.optimizers).items()
    if isinstance(kind, type)
    and issubclass(kind, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
)


@CASES.each(OPTIMIZERS, fast=("Adafactor", "Ftrl", "Muon", "ScheduleFreeAdamW"))
def optimizer(name):
    pruned, x = pruned_operations(getattr(keras.optimizers, name)(0.05))
    trained(pruned, x)


AVERAGES = {"use_ema": True, "ema_momentum": 0.9}
SETTINGS = {
    "eager": ({}, {"run_eagerly": True}),
    "compiled": ({}, {"jit_compile": True}),
    "not compiled": ({}, {"jit_compile": False}),
    "one step an execution": ({}, {"steps_per_execution": 1}),
    "four steps an execution": ({}, {"steps_per_execution": 4}),
    "weight decay": ({"weight_decay": 0.1}, {}),
    "accumulation": ({"gradient_accumulation_steps": 2}, {}),
    "averages": (AVERAGES, {}),
    "averages written often": ({**AVERAGES, "ema_overwrite_frequency": 2}, {}),
    "averages and accumulation": ({**AVERAGES, "gradient_accumulation_steps": 2}, {}),
    "clipped norm": ({"clipnorm": 0.1}, {}),
    "clipped values": ({"clipvalue": 0.01}, {}),
    "clipped norm of all": ({"global_clipnorm": 0.1}, {}),
    "scaled loss": ({"loss_scale_factor": 8.0}, {}),
    "learning rate schedule": (
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 9)},
        {},
    ),
}


def lacks_executions():
    """Return whether Keras itself fails at the end of an epoch with several steps an execution."""
    return keras.config.backend() == "tensorflow" and VERSION < EXECUTIONS


def with_setting(optimizer, name):
    arguments, compiled = SETTINGS[name]
    if keras.config.backend() == "torch" and ("steps_per_execution" in compiled or "jit" in name):
        return  # Keras has several steps an execution for the other backends only
    if name == "four steps an execution" and lacks_executions():
        return
    if keras.config.backend() == "torch" and name == "compiled":
        return  # it needs a C++ compiler
    kind = getattr(keras.optimizers, optimizer)
    pruned, x = pruned_operations(kind(**{"learning_rate": 0.05, **arguments}), **compiled)
    trained(pruned, x, epochs=6)


@CASES.each(
    SETTINGS, fast=("compiled", "four steps an execution", "accumulation", "averages written often")
)
def setting(name):
    with_setting("Adam", name)


@CASES.each(
    [
        f"{one}, {setting}"
        for one in OPTIMIZERS
        if one != "Adam"
        for setting in SETTINGS
        if not SETTINGS[setting][1]
    ],
    fast=(),
)
def both(pair):
    with_setting(*pair.split(", "))


def mixed_operations(optimizer, **settings):
    """Return a pruned model with a policy of mixed precision, which scales the loss."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return pruned_operations(optimizer, **settings)
    finally:
        keras.config.set_dtype_policy("float32")


@CASES.each(OPTIMIZERS, fast=("Adam",))
def loss_scaling(name):
    pruned, x = mixed_operations(getattr(keras.optimizers, name)(0.01, **AVERAGES))
    assert type(pruned.optimizer).__name__ == "LossScaleOptimizer"
    assert [tensor for tensor in tensors_of(pruned) if tensor.average is not None]
    trained(pruned, x, epochs=4)


def tensors_of(model):
    return [t for held in graphprune.collect_prunable_layers(model) for t in held.tensors]


SKIPPING = {
    "Adam": ({}, {}),
    "compiled": ({}, {"jit_compile": True}),
    "accumulation": ({"gradient_accumulation_steps": 2}, {}),
    "three steps an execution": ({}, {"steps_per_execution": 3}),
}


@CASES.each(SKIPPING, fast=("Adam",))
def updates_that_loss_scaling_skips_count_as_steps(name):
    arguments, compiled = SKIPPING[name]
    if keras.config.backend() == "torch" and compiled:
        return
    inner = keras.optimizers.Adam(0.01, **arguments)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**19)
    keras.utils.set_random_seed(2)
    pruned, x = mixed_operations(optimizer, **compiled)
    every = arguments.get("gradient_accumulation_steps", 1)
    trained(pruned, x, epochs=2 * every)
    assert array(pruned.optimizer.inner_optimizer.iterations) > 0
    assert array(pruned.optimizer.dynamic_scale) < 2.0**19, "some were skipped"
    assert {held.read_step() for held in graphprune.collect_prunable_layers(pruned)} == {2 * STEPS}
    path = FOLDER / "skipped.keras"
    pruned.save(path)
    with prune_scope():
        loaded = keras.models.load_model(path)
    for model in (pruned, loaded):
        trained(model, x, epochs=every, shuffle=False)
        steps = {held.read_step() for held in graphprune.collect_prunable_layers(model)}
        assert steps == {3 * STEPS}
    assert_same(values(pruned), values(loaded))


def optimizer_groups(path):
    """Return the number of variables in each group of an optimizer in a weights file."""
    found = {}
    with h5py.File(path) as file:
        file["optimizer"].visititems(
            lambda name, item: found.update({name: len(item)}) if name.endswith("vars") else None
        )
    return found


@CASES.each(["Adam", "scaled loss", "several optimizers"], fast=("scaled loss",))
def files_have_the_optimizer_of_a_dense_model(name):
    made = {
        "Adam": lambda: keras.optimizers.Adam(0.01),
        "scaled loss": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
        "several optimizers": several,
    }
    dense, x = operations()
    optimizer = made[name]()
    if optimizer is None:
        return
    dense.compile(optimizer, "mse")
    pruned = graphprune.prune_low_magnitude(dense, schedule())
    trained(pruned, x)
    dense.fit(x, TARGETS, verbose=0)
    for model, file in ((dense, "dense"), (pruned, "pruned")):
        model.save_weights(FOLDER / f"{file}.weights.h5")
    expected = optimizer_groups(FOLDER / "dense.weights.h5")
    assert expected
    assert optimizer_groups(FOLDER / "pruned.weights.h5") == expected


def several(chosen="a/.*"):
    """Return an optimizer of two, or None: Keras has it since 3.15."""
    optimizers = keras.optimizers
    if not hasattr(optimizers, "MultiOptimizer"):
        return None
    choice = optimizers.OptimizerMap(optimizers.Adam(0.01), {chosen: optimizers.SGD(0.1)})
    return optimizers.MultiOptimizer(choice)


@CASES
def several_optimizers():
    optimizer = several()
    if optimizer is not None:
        trained(*pruned_operations(optimizer))


@CASES.fast_on("jax")
def optimizers_chosen_by_a_function_are_refused():
    if several() is None:
        return
    adam = keras.optimizers.Adam(0.01)
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: adam)
    text = refusal(lambda: pruned_operations(optimizer), TrainingError)
    assert text == (
        "net: optimizer MultiOptimizer cannot be made from its get_config (Requested the"
        " deserialization of a Python lambda); compile the model with another optimizer first, and"
        " what is returned with this one"
    )
    pruned, x = pruned_operations()
    pruned.compile(optimizer, "mse")
    trained(pruned, x)


@CASES.fast_on("jax")
def several_optimizers_of_a_subclassed_model():
    model, x = subclassed()
    chosen = several(f"{model.blocks[0].kernel.path.rpartition('/')[0]}/.*")
    if chosen is None:
        return
    model.compile(chosen, "mse")
    model.fit(x, TARGETS, batch_size=BATCH, verbose=0)
    pruned = graphprune.prune_low_magnitude(model, schedule())
    mine, theirs = (
        [one.path.partition("/")[2] for one in each.optimizer.variables] for each in (model, pruned)
    )
    assert [path for path in theirs if "graphprune" not in path] == mine
    trained(pruned, x)


class Swapped(keras.callbacks.Callback):
    """Holds that weights are exact whenever the averages are in the model."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def look(self, place):
        for tensor in tensors_of(self.model):
            assert not tensor.read()[~tensor.read_mask()].any(), place
        self.seen.add(place)

    def on_epoch_end(self, epoch, logs=None):
        self.look("epoch")

    def on_test_begin(self, logs=None):
        self.look("test")

    def on_train_end(self, logs=None):
        self.look("end")


@CASES.each(["before", "after", "each epoch"], fast=("before", "each epoch"))
def averages_swapped_into_the_model(name):
    pruned, x = pruned_operations(keras.optimizers.Adam(0.05, **AVERAGES))
    swap, look = keras.callbacks.SwapEMAWeights(swap_on_epoch=name == "each epoch"), Swapped()
    update = UpdatePruningStep(run=Run(STEPS, 3))
    callbacks = [swap, update] if name == "before" else [update, swap]
    path = FOLDER / "swapped.keras"
    pruned.fit(
        x,
        TARGETS,
        batch_size=BATCH,
        epochs=3,
        verbose=0,
        validation_data=None if name == "each epoch" else (x, TARGETS),
        callbacks=[*callbacks, look, keras.callbacks.ModelCheckpoint(path)],
    )
    assert look.seen >= {"epoch", "end"}
    assert ("test" in look.seen) is (name != "each epoch")
    assert_exact(pruned)
    with prune_scope():
        assert_exact(keras.models.load_model(path))
    assert_exact(graphprune.prune_low_magnitude(pruned, ConstantSparsity(SHARE, 0)))
    stripped = graphprune.strip_pruning(pruned)
    assert_same([array(one) for one in stripped.weights], [array(one) for one in pruned.weights])


class Falling(keras.callbacks.Callback):
    """Makes one epoch the best of all."""

    def __init__(self, best):
        super().__init__()
        self.best = best

    def on_epoch_end(self, epoch, logs=None):
        logs["rank"] = float(epoch != self.best)


@CASES.each(["pruner first", "pruner last", "after the target"], fast=("pruner first",))
def weights_that_early_stopping_restores(name):
    model, x = pruned_operations(keras.optimizers.SGD(0.05))
    best = 2 if name == "after the target" else 0
    stop = keras.callbacks.EarlyStopping("rank", mode="min", patience=9, restore_best_weights=True)
    callbacks = [stop, UpdatePruningStep(run=Run(STEPS, 4))]
    callbacks = [Falling(best), *(callbacks if name == "pruner last" else callbacks[::-1])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, TARGETS, batch_size=BATCH, epochs=4, verbose=0, callbacks=callbacks)
    assert_exact(model)
    told = [str(one.message) for one in caught if "restored" in str(one.message)]
    assert len(told) == (0 if best else 1), told
    assert all("as EarlyStopping does, and the masks of " in text for text in told), told


@CASES
def averages_of_a_layer_without_a_gradient():
    inputs = keras.Input((8,))
    both = [layers.Dense(4, name=name)(inputs) for name in ("used", "unused")]
    model = keras.Model(inputs, both, name="net")
    model.compile(
        keras.optimizers.Adam(0.05, **AVERAGES, ema_overwrite_frequency=2), loss=["mse", None]
    )
    pruned = graphprune.prune_low_magnitude(model, schedule())
    trained(pruned, numbers(8), y=[TARGETS, TARGETS])


class Reversed(layers.Layer):
    """A layer that creates its parts in another order than it is given them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.last, self.first = layers.Dense(4, name="last"), layers.Dense(6, name="first")

    def build(self, shape):
        self.first.build(shape)
        self.last.build((*shape[:-1], 6))
        self.scale = self.add_weight(name="scale", shape=(4,), initializer="ones")
        super().build(shape)

    def call(self, x):
        return self.last(self.first(x)) * self.scale


@CASES
def slots_follow_their_variables():
    inputs = keras.Input((8,))
    late, early = layers.Dense(8, name="late"), layers.Dense(8, name="early")
    late.build((None, 8))
    early.build((None, 8))
    model = keras.Model(inputs, Reversed(name="own")(late(early(inputs)) + early(inputs)))
    slots_are_copied(model, numbers(8))


def slots_are_copied(model, x):
    """Hold that a pruned model continues the training of the original, bit for bit."""
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = x[:8], np.zeros((8, *model.output_shape[1:]), "float32")
    model.fit(x, y, batch_size=4, verbose=0, shuffle=False)
    pruned = graphprune.prune_low_magnitude(model, ConstantSparsity(0.0, 100))
    for one in (model, pruned):
        keras.utils.set_random_seed(1)
        callbacks = [UpdatePruningStep(run=Run())] if one is pruned else []
        one.fit(x, y, batch_size=4, verbose=0, shuffle=False, callbacks=callbacks)
    assert_same(values(model), values(pruned))


SMALL = {
    "ConvNeXt": lambda: convnext.ConvNeXt(
        depths=(1, 1, 1, 1),
        projection_dims=(4, 4, 8, 8),
        input_shape=(32, 32, 3),
        weights=None,
        classes=4,
    ),
    "NASNet": lambda: nasnet.NASNet(
        input_shape=(32, 32, 3),
        penultimate_filters=96,
        num_blocks=1,
        stem_block_filters=4,
        skip_reduction=False,
        weights=None,
        classes=4,
    ),
}


@CASES.each(SMALL, fast=())
def slots_of_small_applications(name):
    keras.utils.set_random_seed(2)
    slots_are_copied(SMALL[name](), numbers(32, 32, 3))


@CASES
def mask_variables_have_unique_names():
    inputs = keras.Input((8,))
    x = layers.Dense(4, name="a_b")(layers.Dense(8, name="a-b")(inputs))
    model = keras.Model(inputs, x, name="net")
    model.compile("adam", "mse")
    pruned = graphprune.prune_low_magnitude(model, schedule())
    trained(pruned, numbers(8))
    names = [one.name for one in pruned.optimizer.variables if "graphprune" in one.name]
    assert len(set(names)) == len(names) == 2
    pruned.compile("sgd", "mse")
    trained(pruned, numbers(8))


@CASES
def a_second_compile_attaches_again():
    pruned, x = pruned_operations(keras.optimizers.Adam(0.05, **AVERAGES))
    trained(pruned, x)
    zeros = ZeroAfterEveryUpdate()
    for optimizer in (keras.optimizers.SGD(0.5), keras.optimizers.Adam(0.05, **AVERAGES)):
        pruned.compile(optimizer, "mse")
        pruned.fit(
            x, TARGETS, batch_size=BATCH, verbose=0, callbacks=[UpdatePruningStep(run=Run()), zeros]
        )
        assert_exact(pruned)
        assert all(
            any(tensor.mask is one for one in optimizer.variables) for tensor in tensors_of(pruned)
        )
    assert zeros.seen == 2 * STEPS


if __name__ == "__main__":
    CASES.run()
