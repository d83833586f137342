"""The model of a run, made ready for its first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tf_keras

from graphprune.errors import TrainingError
from graphprune.plan import Plan
from graphprune.runs.run_options import Compiling
from graphprune.tf.layers.finite import check_finite
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.surgery import apply_plan
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.data import Data
from graphprune.tf.training.evaluation import check_data_fits
from graphprune.tf.training.gradients import check_gradients

Load = Callable[[str | Path], tf_keras.Model]
"""Loads a saved model with the user's own classes."""


def make_ready(
    model: tf_keras.Model, plan: Plan | None, asked: Compiling, data: Data, place: str
) -> tf_keras.Model:
    """Return the model wrapped by `plan` and compiled as asked, once it was found to fit the data.

    Raises:
        TrainingError: no layer is pruned, a weight is not finite, or a setting does not exist.
        DataError: the data does not fit.
    """
    if plan is not None:
        model = apply_plan(model, plan)
    if not find_wrappers(model) and plan is not None:
        raise TrainingError(
            "the plan wraps no layer, so there is nothing to train for; graphprune plan shows why",
            place=place,
        )
    if not find_wrappers(model):
        raise TrainingError(
            "no layer is pruned; give rules with -r RULES (rules in Python), or wrap the"
            " model first with graphprune apply",
            place=place,
        )
    check_finite(model, place, "such a model cannot be pruned by magnitude; train it anew")
    compile_model(model, asked, place)
    check_data_fits(model, data)
    check_gradients(model, data, place)
    return model
