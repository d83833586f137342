"""Saving and resuming on one backend of Keras 3: bit for bit like the uninterrupted training."""

import functools
import json
import tempfile
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers
from keras3.child import Cases, refusal
from keras3.models import SAMPLES, array, assert_same, custom_layers, numbers, subclassed, values

import graphprune
from graphprune import PolynomialDecay, UpdatePruningStep, prune_scope
from graphprune.errors import ArchiveError, OutputError

CASES = Cases()
BATCH, EPOCHS, HALF = 8, 6, 3
X, TARGETS = numbers(8), np.random.default_rng(4).normal(size=(SAMPLES, 4)).astype("float32")
FOLDER = Path(tempfile.mkdtemp())


def rates():
    return keras.optimizers.schedules.ExponentialDecay(0.05, 4, 0.9)


OPTIMIZERS = {
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "momentum and learning rate schedule": lambda: keras.optimizers.SGD(rates(), momentum=0.9),
    "averages": lambda: keras.optimizers.AdamW(0.01, use_ema=True, ema_overwrite_frequency=2),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
}
if hasattr(keras.optimizers, "MultiOptimizer"):
    OPTIMIZERS["several"] = lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.Adam(0.01), {"a/.*": keras.optimizers.SGD(0.1, momentum=0.9)}
        )
    )


def net(seed=None):
    inputs = keras.Input((8,))
    x = layers.Dense(16, activation="relu", name="a")(inputs)
    x = layers.Dropout(0.3, seed=seed)(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(4, name="b")(x), name="net")


def schedule():
    return PolynomialDecay(0.1, 0.8, 1, 12, frequency=2)


def pruned_net(optimizer="Adam", seed=None):
    keras.utils.set_random_seed(8)
    model = net(seed)
    model.compile(OPTIMIZERS[optimizer](), "mse")
    return graphprune.prune_low_magnitude(model, schedule())


def fit(model, *callbacks, begin=0, end=EPOCHS):
    model.fit(
        X,
        TARGETS,
        batch_size=BATCH,
        initial_epoch=begin,
        epochs=end,
        shuffle=False,
        verbose=0,
        callbacks=[UpdatePruningStep(run=graphprune.Run()), *callbacks],
    )
    return model


@functools.cache
def whole_of(optimizer="Adam"):
    """A model that was trained without a break; for cases that do not change it."""
    return fit(pruned_net(optimizer))


@functools.cache
def half_of(optimizer="Adam"):
    """A model after half of that training; for cases that do not change it."""
    return fit(pruned_net(optimizer), end=HALF)


def state(model):
    """All that a resumed training must have like the uninterrupted one."""
    pruned = graphprune.collect_prunable_layers(model)
    masks = [tensor.read_mask() for held in pruned for tensor in held.tensors]
    steps = [np.array([held.read_step(), held.read_last_update()]) for held in pruned]
    thresholds = [np.array(tensor.threshold) for held in pruned for tensor in held.tensors]
    return [*values(model), *masks, *steps, *thresholds]


def load(path):
    with prune_scope():
        return load_plainly(path)


def load_plainly(path):
    """Load without any warning of Keras, such as that optimizer state was left out."""
    with warnings.catch_warnings(action="error", category=UserWarning):
        return keras.models.load_model(path)


def without_generators(model):
    own = [one for one in model.optimizer.variables if "graphprune" not in one.name]
    return [array(one) for one in (*model.weights, *own)]


# Keras writes averages into the weights when a fit ends, so only one that was broken off goes on
@CASES.each(
    [name for name in OPTIMIZERS if name != "averages"],
    fast=("Adam", "momentum and learning rate schedule"),
)
def saved_model_goes_on(name):
    whole, half = whole_of(name), half_of(name)
    half.save(FOLDER / "half.keras")
    keras.utils.set_random_seed(77)
    loaded = load(FOLDER / "half.keras")
    assert_same(state(half), state(loaded))
    assert_same(state(whole), state(fit(loaded, begin=HALF)))


@CASES.slowly
def a_model_that_is_compiled_again_goes_on():
    def twice(end):
        model = fit(pruned_net("averages"), end=1)
        model.compile(OPTIMIZERS["momentum and learning rate schedule"](), "mae")
        return fit(model, begin=1, end=end)

    whole, half = twice(EPOCHS), twice(HALF)
    half.save(FOLDER / "again.keras")
    assert_same(state(whole), state(fit(load(FOLDER / "again.keras"), begin=HALF)))


@CASES.each(["Adam", "averages"], fast=("Adam",))
def checkpoints_of_each_epoch_go_on(name):
    path = str(FOLDER / "epoch-{epoch}.keras")
    whole = fit(pruned_net(name), keras.callbacks.ModelCheckpoint(path))
    for epoch in (1, 5):
        loaded = load(path.format(epoch=epoch))
        assert_same(state(whole), state(fit(loaded, begin=epoch)))


@CASES.fast_on("jax")
def checkpoints_inside_of_an_epoch_hold_the_masks_of_their_step():
    path = str(FOLDER / "inside.keras")

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if not Path(path).exists():
                return
            self.seen = state(load(path))
            if batch == 1:
                assert_same(state(self.model), self.seen)

    look = Look()
    fit(pruned_net(), keras.callbacks.ModelCheckpoint(path, save_freq=2), look, end=1)
    assert look.seen


@CASES
def saved_weights_go_on():
    whole, half = whole_of(), half_of()
    half.save_weights(FOLDER / "half.weights.h5")
    other = pruned_net()
    other.load_weights(FOLDER / "half.weights.h5")
    assert_same(state(half), state(other))
    assert_same(state(whole), state(fit(other, begin=HALF)))


@CASES.fast_on("tensorflow")
def saved_weights_go_on_in_a_model_whose_layers_have_other_numbers():
    def numbered():
        model = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dense(4)])
        model.compile("sgd", "mse", run_eagerly=True)
        return graphprune.prune_low_magnitude(model, schedule())

    saved, other = fit(numbered(), end=1), numbered()
    assert saved.graphprune.layers.keys().isdisjoint(other.graphprune.layers)
    saved.save_weights(FOLDER / "numbered.weights.h5")
    other.load_weights(FOLDER / "numbered.weights.h5")
    masks = [
        [
            mask
            for held in graphprune.collect_prunable_layers(model)
            for _, mask, _ in held.pruning_vars
        ]
        for model in (saved, other)
    ]
    assert_same(*[[array(mask) for mask in part] for part in masks])
    steps = [held.pruning_step for held in graphprune.collect_prunable_layers(other)]
    assert steps == [SAMPLES // BATCH] * 2


class Stop(keras.callbacks.Callback):
    """Breaks training off."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == HALF + 1:
            raise KeyboardInterrupt


@CASES.fast_on("jax")
def backup_and_restore():
    folder = str(FOLDER / "backup")
    try:
        fit(pruned_net(), keras.callbacks.BackupAndRestore(folder), Stop())
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("training was not broken off")
    again = fit(pruned_net(), keras.callbacks.BackupAndRestore(folder))
    assert_same(state(whole_of()), state(again))


@CASES.fast_on("jax")
def mixed_precision_goes_on():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        whole = fit(pruned_net())
        half = fit(pruned_net(), end=HALF)
    finally:
        keras.config.set_dtype_policy("float32")
    half.save(FOLDER / "mixed.keras")
    loaded = load(FOLDER / "mixed.keras")
    assert type(loaded.optimizer).__name__ == "LossScaleOptimizer"
    assert_same(state(whole), state(fit(loaded, begin=HALF)))


if keras.config.backend() == "torch":
    import torch

    from graphprune.keras3 import backend

    @CASES
    def the_random_generator_of_a_gpu_goes_on_too():
        first, second = (torch.full((16,), value, dtype=torch.uint8) for value in (7, 8))
        kept = backend._is_on_gpu, torch.cuda.get_rng_state, torch.cuda.set_rng_state
        held = {"gpu": first}
        backend._is_on_gpu = lambda: True
        torch.cuda.get_rng_state = lambda: held["gpu"]
        torch.cuda.set_rng_state = lambda state: held.update(gpu=state)
        try:
            state, drawn = backend.read_generator(), torch.rand(3)
            held["gpu"] = second
            backend.write_generator(state)
            assert torch.equal(held["gpu"], first)
            assert torch.equal(torch.rand(3), drawn)
            backend._is_on_gpu = lambda: False  # training goes on without the GPU
            held["gpu"] = second
            backend.write_generator(state)
            assert torch.equal(held["gpu"], second)
            assert torch.equal(torch.rand(3), drawn)
        finally:
            backend._is_on_gpu, torch.cuda.get_rng_state, torch.cuda.set_rng_state = kept


@CASES
def plain_keras_loads_the_file():
    half = half_of()
    half.save(FOLDER / "plain.keras")
    with zipfile.ZipFile(FOLDER / "plain.keras") as archive:
        config = archive.read("config.json").decode()
    assert "graphprune" not in config
    plain = load_plainly(FOLDER / "plain.keras")
    assert_same(without_generators(half), without_generators(plain))
    assert len(half.optimizer.variables) == len(plain.optimizer.variables) + 2
    np.testing.assert_array_equal(array(half(X)), array(plain(X)))
    plain.fit(X, TARGETS, verbose=0)
    fresh = net()
    assert json.dumps(fresh.get_config()["layers"][1]["config"], default=str) == json.dumps(
        plain.get_config()["layers"][1]["config"], default=str
    )


@CASES.fast_on("tensorflow")
def the_state_is_one_group_of_the_weights_file():
    half = half_of()
    half.save_weights(FOLDER / "group.weights.h5")
    with h5py.File(FOLDER / "group.weights.h5") as file:
        group = file["graphprune/vars"]
        settings = json.loads(group["settings"][:].tobytes())
        assert list(settings["layers"]) == ["a", "b"]
        assert settings["layers"]["a"]["step"] == HALF * 3
        mask = np.unpackbits(group["mask_0"][:])[: 8 * 16].reshape(8, 16)
        assert "seed_0" in group
        optimizer = file["optimizer/vars"]
        assert len(optimizer) == len(half.optimizer.variables) - 2
    held = graphprune.collect_prunable_layers(half)[0]
    np.testing.assert_array_equal(mask.astype(bool), held.tensors[0].read_mask())


@CASES.fast_on("tensorflow")
def stripped_models_load_in_plain_keras():
    half = whole_of()
    stripped = graphprune.strip_pruning(half)
    stripped.save(FOLDER / "stripped.keras")
    with h5py.File(zipfile.ZipFile(FOLDER / "stripped.keras").open("model.weights.h5")) as file:
        assert "graphprune" not in file
    plain = load_plainly(FOLDER / "stripped.keras")
    np.testing.assert_array_equal(array(plain(X)), array(half(X)))
    assert_same(without_generators(stripped), without_generators(plain))
    stripped.save(FOLDER / "stripped.h5")
    old = keras.models.load_model(FOLDER / "stripped.h5", compile=False)
    np.testing.assert_array_equal(array(old(X)), array(half(X)))


@keras.saving.register_keras_serializable("frozen")
class Pair(layers.Layer):
    """A custom layer whose config says nothing of the layers in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(8), layers.Dense(8)

    def build(self, shape):
        self.first.build(shape)
        self.second.build(shape)

    def call(self, x):
        return self.second(self.first(x))

    def get_config(self):
        return super().get_config()


@keras.saving.register_keras_serializable("frozen")
class Backbone(keras.Model):
    """A functional model whose config is the arguments of its constructor, as in KerasHub."""

    def __init__(self, units=4, **kwargs):
        inputs = keras.Input((8,))
        pair, head = Pair(name="pair"), layers.Dense(units, name="head")
        both = layers.Bidirectional(layers.SimpleRNN(2), name="both")
        outputs = head(both(layers.Reshape((2, 4))(pair(inputs))))
        super().__init__(inputs, outputs, **kwargs)  # before layers are set, for PyTorch
        self.units, self.pair, self.head, self.both = units, pair, head, both

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable, "units": self.units}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


FROZEN = {
    "a layer": lambda model: [model.head],
    "a layer inside a custom one": lambda model: [model.pair.first],
    "a layer inside one of Keras": lambda model: [model.both.forward_layer],
    "a weight": lambda model: [model.head.kernel],
    "all layers but one": lambda model: [model.pair, model.both],
}
"""What is frozen of `Backbone`, in configs of Keras that do not say so."""


def trained_parts(model):
    """Return the places of trainable weights, and whether each layer is trainable."""
    every = [id(one) for one in model.weights]
    places = [every.index(id(one)) for one in model.trainable_weights]
    return places, [layer.trainable for layer in model._flatten_layers()]


@CASES.each(FROZEN, fast=("a layer inside a custom one", "a weight"))
def what_is_frozen_stays_frozen_and_goes_on(name):
    keras.utils.set_random_seed(8)
    model = Backbone()
    for part in FROZEN[name](model):
        part.trainable = False
    model.compile("adam", "mse", run_eagerly=keras.config.backend() == "tensorflow")
    wanted = trained_parts(model)
    assert 0 < len(wanted[0]) < len(trained_parts(Backbone())[0])
    pruned = fit(graphprune.prune_low_magnitude(model, schedule()), end=1)
    assert trained_parts(pruned) == wanted
    pruned.save(FOLDER / "frozen.keras")
    loaded = load(FOLDER / "frozen.keras")
    assert trained_parts(loaded) == wanted
    assert_same(state(pruned), state(loaded))
    fit(pruned, begin=1, end=2)
    fit(loaded, begin=1, end=2)
    assert_same(state(pruned), state(loaded))
    for place, (one, other) in enumerate(zip(model.weights, pruned.weights, strict=True)):
        old, new = array(one), array(other)
        assert np.array_equal(np.where(new == 0, 0, old), new) == (place not in wanted[0]), place
    assert trained_parts(graphprune.strip_pruning(pruned)) == wanted


@CASES.fast_on("jax")
def a_file_that_is_not_compiled_goes_on_with_a_new_optimizer():
    half = half_of()
    half.save(FOLDER / "half.keras")
    with prune_scope():
        loaded = keras.models.load_model(FOLDER / "half.keras", compile=False)
    loaded.compile("sgd", "mse")
    fit(loaded, end=2)
    assert {held.read_step() for held in graphprune.collect_prunable_layers(loaded)} == {
        HALF * 3 + 6
    }


@CASES.slowly
def custom_layers_and_subclassed_models():
    for build in (custom_layers, subclassed):
        keras.utils.set_random_seed(8)
        model, x = build()
        model.compile("adam", "mse")
        model = graphprune.prune_low_magnitude(model, schedule())
        model.fit(x, TARGETS, verbose=0, callbacks=[UpdatePruningStep(run=graphprune.Run())])
        model.save(FOLDER / "custom.keras")
        from keras3 import models

        objects = {kind.__name__: kind for kind in (models.Block, models.Scaled, models.Net)}
        objects["own_function"] = models.own_function
        with prune_scope():
            loaded = keras.models.load_model(
                FOLDER / "custom.keras", custom_objects=objects, safe_mode=False
            )
        assert_same(state(model), state(loaded))


@CASES.fast_on("tensorflow")
def the_old_format_is_refused():
    half = half_of()
    assert refusal(lambda: half.save(FOLDER / "half.h5"), OutputError) == (
        f"{FOLDER}/half.h5: an .h5 file cannot hold the masks of a pruned Keras 3 model; save it as"
        " .keras, or save what strip_pruning returns"
    )


if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    @CASES
    def tensorflow_saves_a_model_after_keras_has():
        model = net()
        model.compile("adam", "mse", run_eagerly=True)
        pruned = fit(graphprune.prune_low_magnitude(model, schedule()), end=1)
        pruned.save(FOLDER / "first.keras")
        graphprune.strip_pruning(pruned)
        tf.train.Checkpoint(model=pruned).save(str(FOLDER / "checkpoint"))
        pruned.export(str(FOLDER / "exported"))


@CASES.fast_on("tensorflow")
def masks_of_other_layers_are_refused():
    half = half_of()
    half.save_weights(FOLDER / "two.weights.h5")
    model = net()
    model.compile("adam", "mse")

    class OnlyFirst:
        def ensure_model_supports_pruning(self, model): ...

        def allow_pruning(self, layer):
            return layer.name == "a"

    other = graphprune.prune_low_magnitude(model, schedule(), pruning_policy=OnlyFirst())
    text = refusal(
        lambda: other.load_weights(FOLDER / "two.weights.h5"), (ArchiveError, ValueError)
    )
    assert "has the masks of other layers than the model (b)" in text


@CASES.fast_on("tensorflow")
def the_scope_leaves_keras_as_it_was():
    from keras.src.saving import saving_lib

    before = saving_lib._load_state
    with prune_scope():
        assert saving_lib._load_state is not before
    assert saving_lib._load_state is before


@CASES.fast_on("jax")
def a_file_that_cannot_be_written_is_not_the_fault_of_the_model():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])

    def fail(path, **_):
        raise RuntimeError("Can't decrement id ref count (errno = 27, error message = 'File')")

    model.save, path = fail, FOLDER / "limited.h5"
    assert refusal(lambda: graphprune.save_model(model, path), OutputError) == (
        f"{path}: cannot be written: File too large; raise the limit on the size of files"
        " (ulimit -f), or give another place"
    )


if __name__ == "__main__":
    CASES.run()
