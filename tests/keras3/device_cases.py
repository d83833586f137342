"""Training on two devices of one backend of Keras 3: masks and weights are equal on both."""

import inspect
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import keras
import numpy as np

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )

from keras3.child import Cases
from keras3.models import SAMPLES, VERSION, array, assert_same, operations
from keras3.training_cases import assert_exact

import graphprune
from graphprune import PolynomialDecay, Run, UpdatePruningStep, prune_scope

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())
TARGETS = np.random.default_rng(4).normal(size=(SAMPLES, 4)).astype("float32")
HALF, EPOCHS, STEPS = 2, 4, 3


class Mirrored:
    """`tf.distribute.MirroredStrategy` on two logical CPUs."""

    def __init__(self):
        self._strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        self.scope = self._strategy.scope

    def copies(self, variable):
        return [np.array(one) for one in self._strategy.experimental_local_results(variable.value)]


class Distributed:
    """A distribution of `keras.distribution`, for JAX."""

    def __init__(self, distribution):
        self.scope = distribution.scope

    def copies(self, variable):
        return [np.array(shard.data) for shard in variable.value.addressable_shards]


def data_parallel():
    return Distributed(keras.distribution.DataParallel(devices=keras.distribution.list_devices()))


def model_parallel():
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, 2), ["batch", "model"], devices)
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["a/kernel"], layouts["b/kernel"] = (None, "model"), ("model", None)
    arguments = {"layout_map": layouts, "batch_dim_name": "batch"}
    return Distributed(keras.distribution.ModelParallel(device_mesh=mesh, **arguments))


class EqualEverywhere(keras.callbacks.Callback):
    """Holds that each device has the masks of its weights, and zeros where they say so."""

    def __init__(self, devices):
        super().__init__()
        self.devices, self.seen = devices, 0

    def on_train_batch_end(self, batch, logs=None):
        for held in graphprune.collect_prunable_layers(self.model):
            for tensor in held.tensors:
                self._check(tensor, self.devices.copies)
        self.seen += 1

    def _check(self, tensor, copies):
        weights, masks = copies(tensor.weight), copies(tensor.mask)
        assert len(weights) == len(masks) == 2
        for weight, mask in zip(weights, masks, strict=True):
            if VERSION < (3, 10) and weight.shape != mask.shape:  # each device has the whole mask
                weight = array(tensor.weight)
            assert weight.shape == mask.shape
            assert not weight[~mask].any()
        for average in [] if tensor.average is None else copies(tensor.average):
            assert average.shape != tensor.shape or not average[~tensor.read_mask()].any()
        if weights[0].shape == tensor.shape:
            for one, other in (weights, masks):
                np.testing.assert_array_equal(one, other)


def pruned(devices, *, inside=True):
    """Return a pruned model of two devices, pruned in the scope that it was made in or outside."""
    keras.utils.set_random_seed(3)
    with devices.scope():
        model, x = operations()
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True), "mse")
    with devices.scope() if inside else nullcontext():
        return graphprune.prune_low_magnitude(model, PolynomialDecay(0.2, 0.75, 0, 6, 3, 2)), x


def fit(model, x, *callbacks, begin=0, end=EPOCHS):
    model.fit(
        x,
        TARGETS,
        batch_size=8,
        initial_epoch=begin,
        epochs=end,
        shuffle=False,
        verbose=0,
        callbacks=[UpdatePruningStep(run=Run(STEPS, EPOCHS)), *callbacks],
    )


def state(model):
    held = graphprune.collect_prunable_layers(model)
    masks = [tensor.read_mask() for layer in held for tensor in layer.tensors]
    return [*(array(one) for one in model.weights), *masks]


def trained_and_resumed(devices):
    """Train on two devices, and hold that a checkpoint of half of it continues bit for bit."""
    path, equal = str(FOLDER / "epoch-{epoch}.keras"), EqualEverywhere(devices)
    model, x = pruned(devices)
    with devices.scope():
        fit(model, x, equal, keras.callbacks.ModelCheckpoint(path))
        assert equal.seen == EPOCHS * STEPS
        assert_exact(model)
        with prune_scope():
            loaded = keras.models.load_model(path.format(epoch=HALF))
        fit(loaded, x, equal, begin=HALF)
        assert equal.seen == (EPOCHS + EPOCHS - HALF) * STEPS
    assert_same(state(model), state(loaded))
    stripped = graphprune.strip_pruning(model)
    assert_same([array(one) for one in stripped.weights], [array(one) for one in model.weights])


if keras.config.backend() == "tensorflow":

    @CASES
    def mirrored_strategy():
        trained_and_resumed(Mirrored())

    @CASES
    def pruned_outside_of_the_strategy():
        devices = Mirrored()
        model, x = pruned(devices, inside=False)
        equal = EqualEverywhere(devices)
        fit(model, x, equal)
        assert equal.seen
        assert_exact(model)

else:

    @CASES
    def data_parallel_training():
        trained_and_resumed(data_parallel())

    @CASES
    def masks_are_split_like_their_weights():
        devices = model_parallel()
        trained_and_resumed(devices)
        model, _ = pruned(devices)
        first = graphprune.collect_prunable_layers(model)[0].tensors[0]
        if "layout" in inspect.signature(model.optimizer.add_variable).parameters:
            assert [copy.shape for copy in devices.copies(first.mask)] == [(8, 8), (8, 8)]


if __name__ == "__main__":
    CASES.run()
