"""Accumulation of gradients over several batches, which optimizers of tf_keras have no setting for.

As in Keras 3 (`gradient_accumulation_steps`), an update takes the mean of the gradients of N
batches: clipping, weight decay, averages, constraints and learning rate schedules see updates, not
batches. The optimizer stays one of the user's own class with its own config and variables, so its
files load without graphprune. Sums and count are attributes of the optimizer that only checkpoints
of runs hold (`hidden_variables`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.tf.layers.optimizer_state import inner_optimizer

_SUMS, _COUNT = "_graphprune_sums", "_graphprune_batches"


def accumulate_gradients(optimizer: Any, variables: Sequence[Any], every: int) -> None:
    """Let a built optimizer update its variables once in `every` batches.

    An optimizer that scales the loss skips the whole update where the gradients of one of its
    batches are not finite, as it would with a batch of all their samples.

    Args:
        optimizer: The optimizer of a model; changed in place.
        variables: What it updates. Sums are made in the current distribution strategy.
        every: Batches whose gradients make one update; with 1 nothing is changed.
    """
    if every > 1 and not isinstance(vars(optimizer).get("apply_gradients"), _Accumulation):
        optimizer.apply_gradients = _Accumulation(optimizer, variables, every)


class _Accumulation:
    """The method `apply_gradients` of an optimizer that accumulates; called in a replica."""

    def __init__(self, optimizer: Any, variables: Sequence[Any], every: int) -> None:
        self._apply, self._every = optimizer.apply_gradients, every
        self._inner = inner_optimizer(optimizer)
        self._places = {id(variable): place for place, variable in enumerate(variables)}
        self._sums = [_zeros_like(variable) for variable in variables]
        self._count = _zero_variable((), tf.int64, "batches")
        # not tracked: files and TensorFlow's checkpoints of the optimizer stay as they are
        setattr(self._inner, _SUMS, self._inner._no_dependency(self._sums))
        setattr(self._inner, _COUNT, self._inner._no_dependency(self._count))

    def __call__(self, grads_and_vars: Iterable[tuple[Any, Any]], *args: Any, **named: Any) -> Any:
        """Add the gradients of a batch to the sums; update with their means if they are enough."""
        pairs = self._aggregated(list(grads_and_vars))
        for gradient, variable in pairs:
            if gradient is not None:
                _add(self._sums[self._places[id(variable)]], gradient)
        self._count.assign_add(1)
        updated = [(gradient is not None, variable) for gradient, variable in pairs]
        is_due = tf.equal(self._count, self._every)
        _if_in_all_replicas(is_due, lambda: self._update(updated, args, named))
        return self._inner.iterations

    def _aggregated(self, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Return the gradients summed over all replicas, so that the sums are equal on them."""
        if isinstance(self._inner, OptimizerV2):
            pairs = self._inner._transform_unaggregated_gradients(pairs)
            return list(self._inner._aggregate_gradients(pairs))
        return list(self._inner.aggregate_gradients(pairs))

    def _update(self, updated: list[tuple[bool, Any]], args: Any, named: dict[str, Any]) -> None:
        means = []
        for has_gradient, variable in updated:
            total = self._sums[self._places[id(variable)]]
            mean = total / tf.cast(self._every, total.dtype)
            means.append((mean if has_gradient else None, variable))
        self._apply(means, *args, **{**named, **self._aggregated_already})
        for total in self._sums:
            total.assign(tf.zeros_like(total))
        self._count.assign(0)

    @property
    def _aggregated_already(self) -> dict[str, bool]:
        """The argument that tells `apply_gradients` not to sum over replicas again."""
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return {}  # optimizers of the user's own need not know the argument
        if isinstance(self._inner, OptimizerV2):
            return {"experimental_aggregate_gradients": False}
        return {"skip_gradients_aggregation": True}


def _if_in_all_replicas(condition: tf.Tensor, action: Callable[[], None]) -> None:
    """Do `action` in every replica if `condition`, which is the same on all of them, is true.

    `action` may call `merge_call`, which TensorFlow only supports in a condition outside replicas.
    """
    if tf.__internal__.distribute.strategy_supports_no_merge_call():
        tf.cond(condition, action, lambda: None)
        return

    def merged(strategy: tf.distribute.Strategy, conditions: Any) -> None:
        def act() -> None:
            strategy.extended.call_for_each_replica(action)

        first = strategy.experimental_local_results(conditions)[0]
        tf.cond(first, act, lambda: None)

    tf.distribute.get_replica_context().merge_call(merged, args=(condition,))


def _add(total: tf.Variable, gradient: Any) -> None:
    if isinstance(gradient, tf.IndexedSlices):
        total.scatter_add(gradient)
        return
    total.assign_add(gradient)


def _zeros_like(variable: Any) -> tf.Variable:
    # a variable in mixed precision reports the dtype that it computes in
    dtype = getattr(variable, "true_dtype", variable.dtype)
    return _zero_variable(variable.shape, dtype, f"gradients/{variable.name.partition(':')[0]}")


def _zero_variable(shape: Any, dtype: tf.DType, name: str) -> tf.Variable:
    return tf.Variable(
        tf.zeros(shape, dtype),
        name=name,
        trainable=False,
        # each replica writes its own copy, all with the same values
        aggregation=tf.VariableAggregation.NONE,
    )
