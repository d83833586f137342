"""The algorithm in plain NumPy: a small network, SGD, and masks by magnitude; what every way of
training is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tf_keras
from reference_masks import magnitude_mask
from tf_keras import layers

from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning

RATE = 0.25
RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(48, 6)), RNG.normal(size=(48, 2))
BATCH = 4
STEPS = len(X) // BATCH
BATCHES = [(X[at : at + BATCH], Y[at : at + BATCH]) for at in range(0, len(X), BATCH)]


@dataclass
class Reference:
    """Two dense layers, tanh between them, mean squared error, plain SGD.

    Attributes:
        weights: kernel, bias, kernel, bias.
        pruning: Of both kernels.
        look_every: After how many steps masks may change: 1, or the steps that one call of the
            train function executes.
        frozen: Whether the first layer has no updates.
        max_norm: The largest norm of the columns of the first kernel, as its own constraint; None
            for none.
    """

    weights: list[np.ndarray]
    pruning: Pruning
    look_every: int = 1
    frozen: bool = False
    max_norm: float | None = None
    step: int = 0
    masks: list[np.ndarray] = field(default_factory=list)
    last_update: int = -1

    def __post_init__(self):
        self.weights = [np.array(weight, "float64") for weight in self.weights]
        self.masks = [np.ones(self.weights[at].shape, bool) for at in (0, 2)]
        self.look()

    def look(self):
        """Choose the masks anew where an update is due."""
        timetable = self.pruning.schedule.to_timetable(Run())
        if timetable.is_due(after=self.last_update, step=self.step):
            share = timetable.sparsity_at(self.step, self.pruning.sparsity)
            self.masks = [magnitude_mask(self.weights[at], share) for at in (0, 2)]
            self.last_update = self.step
            self.project()

    def project(self):
        for mask, at in zip(self.masks, (0, 2), strict=True):
            self.weights[at] = np.where(mask, self.weights[at], 0.0)

    def train(self, batches: Sequence[tuple[np.ndarray, np.ndarray]]):
        for x, y in batches:
            kernel, bias, kernel_2, bias_2 = self.weights
            hidden = np.tanh(x @ kernel + bias)
            slope = 2 * (hidden @ kernel_2 + bias_2 - y) / y.size
            back = slope @ kernel_2.T * (1 - hidden**2)
            gradients = [x.T @ back, back.sum(0), hidden.T @ slope, slope.sum(0)]
            rates = [0.0, 0.0, RATE, RATE] if self.frozen else [RATE] * 4
            self.weights = [
                weight - rate * gradient
                for weight, rate, gradient in zip(self.weights, rates, gradients, strict=True)
            ]
            if self.max_norm is not None:
                norms = np.sqrt((self.weights[0] ** 2).sum(0))
                self.weights[0] = (
                    self.weights[0] * np.clip(norms, 0, self.max_norm) / (1e-7 + norms)
                )
            self.project()
            self.step += 1
            if self.step % self.look_every == 0:
                self.look()
        self.look()


def small_model(seed: int = 4, **first) -> tf_keras.Model:
    """Return the network of `Reference`; keyword arguments are of its first layer."""
    tf_keras.utils.set_random_seed(seed)
    x = layers.Input((6,))
    return tf_keras.Model(
        x,
        layers.Dense(2, name="b")(layers.Dense(5, activation="tanh", name="a", **first)(x)),
        name="small",
    )
