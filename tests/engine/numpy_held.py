"""A model of NumPy arrays that the engine prunes, in place of one of a Keras."""

from __future__ import annotations

import numpy as np

from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.sparsity.schedules import Schedule

RAMP = Schedule(
    begin=Position(2, "step"), end=Position(6, "step"), every=Position(2, "step"), power=1.0
)


class NumpyTensor:
    def __init__(self, name, values):
        self.name, self.values = name, values
        self.mask, self.threshold = np.ones(values.shape, bool), 0.0

    @property
    def shape(self):
        return self.values.shape

    def read(self):
        return self.values

    def write(self, values):
        self.values = values

    def read_mask(self):
        return self.mask

    def read_threshold(self):
        return self.threshold

    def write_mask(self, mask, threshold):
        self.mask, self.threshold = mask, threshold


class NumpyLayer:
    def __init__(self, pruning, own_schedule=None):
        self.pruning, self.own_schedule, self.provenance = pruning, own_schedule, Provenance()
        self.trainable, self.pruners, self.step, self.last_update = True, set(), 0, -1
        random = np.random.default_rng(len(pruning.weights))
        self.tensors = [
            NumpyTensor(name, random.normal(size=(5, 4)).astype("float32"))
            for name in pruning.weights
        ]

    def read_step(self):
        return self.step

    def write_step(self, step):
        self.step = step

    def read_last_update(self):
        return self.last_update

    def write_last_update(self, step):
        self.last_update = step


class NumpyModel:
    """A model whose optimizer updates the layers that get a gradient."""

    name = "numpy"
    skips_updates = False

    def __init__(self, **layers):
        self.model, self.layers, self.updates, self.synced = object(), layers, 0, 0

    def read_updates(self):
        return self.updates

    def read_steps(self):
        return {address: layer.read_step() for address, layer in self.layers.items()}

    def check(self):
        pass

    def check_between_steps(self, call):
        pass

    def sync(self):
        self.synced += 1

    def train(self, *names):
        """One optimizer update, which reaches the layers of these names."""
        self.updates += 1
        for name in names:
            self.layers[name].step += 1
            for tensor in self.layers[name].tensors:
                tensor.values = np.where(tensor.mask, tensor.values + 0.5, 0).astype("float32")


def layer(sparsity=0.8, schedule=RAMP, weights=("kernel",), **kwargs):
    return NumpyLayer(Pruning(sparsity, schedule, weights), **kwargs)
