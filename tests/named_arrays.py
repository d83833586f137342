"""Samples with two inputs, two outputs and weights, and a run on them that is stopped midway."""

import numpy as np

RANDOM = np.random.default_rng(3)
COUNT = 22
HERE = 4
"""The step at which runs are stopped: the second of the second epoch."""
IMAGE, SIZE = RANDOM.normal(size=(COUNT, 4, 4)).astype("float32"), RANDOM.normal(size=(COUNT, 1))
HEADS, BOX = RANDOM.integers(0, 3, COUNT), RANDOM.normal(size=(COUNT, 2))
ARRAYS = {
    "x_train.image": IMAGE,
    "x_train.size": SIZE,
    "y_train.heads": HEADS,
    "y_train.box": BOX,
    "w_train": RANDOM.random(COUNT),
    "x_val.image": IMAGE[:9],
    "x_val.size": SIZE[:9],
    "y_val.heads": HEADS[:9],
    "y_val.box": BOX[:9],
    "w_val": RANDOM.random(9),
}
RULES = """
version: 1
rules:
  - id: all
    match: {type: Dense}
    prune:
      sparsity: 0.5
      schedule: {curve: polynomial, from: 0, begin: 0%, end: 100%, every: 1 step}
"""
SETTINGS = {"epochs": 2, "checkpoint_every": "1 step", "seed": 5}
