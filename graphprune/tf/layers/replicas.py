"""Models on several replicas (`tf.distribute`), where a variable has a copy for each replica.

Training works under `MirroredStrategy`, `MultiWorkerMirroredStrategy` and `OneDeviceStrategy`:
gradients are summed over the replicas, so weights stay equal on all of them, and so do the masks
chosen from them. Each process chooses the masks once, on the host between steps, and assigns them
to its replicas.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.errors import TrainingError
from graphprune.tf.layers.live_tensors import unburied

_SUPPORTED = (
    tf.distribute.MirroredStrategy,
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.OneDeviceStrategy,
)


def copies(variable: Any) -> tuple[tf.Variable, ...]:
    """Return the copies of a variable, one for each replica of this process.

    It is the variable itself if it is not distributed.
    """
    # mixed precision wraps it in an AutoCastVariable
    bare = getattr(variable, "_variable", variable)
    return tuple(bare.values) if isinstance(bare, tf.distribute.DistributedValues) else (bare,)


def strategy_scope(model: tf_keras.Model) -> AbstractContextManager[Any]:
    """Return the scope to make a copy of `model` in.

    It is the scope that the caller is in, or that of the model's own strategy.
    """
    strategy = getattr(model, "_distribution_strategy", None)
    return nullcontext() if strategy is None or tf.distribute.has_strategy() else strategy.scope()


def check_strategy(model: tf_keras.Model) -> None:
    """Refuse a model whose distribution strategy is not supported.

    Raises:
        TrainingError: the strategy is not supported.
    """
    strategy = getattr(model, "_distribution_strategy", None)
    if strategy is not None and not isinstance(strategy, _SUPPORTED):
        raise TrainingError(
            f"{model.name}: made under {type(strategy).__name__}, where pruning is not supported; "
            "train it under MirroredStrategy, MultiWorkerMirroredStrategy or OneDeviceStrategy"
        )


def check_between_steps(call: str) -> None:
    """Refuse to choose masks inside a step.

    Raises:
        TrainingError: the call is inside `strategy.run` or a compiled function.
    """
    if not tf.executing_eagerly() or (
        tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()
    ):
        fault = (
            f"{call} was called inside of strategy.run or of a tf.function; call it after the step,"
            " in the Python loop around it"
        )
        raise unburied(TrainingError(fault))
