"""Checks before training that pruned layers get gradients from the loss.

A layer without gradients never follows its schedule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.training_utils import RespectCompiledTrainableState

from graphprune.engine.faults import explain_fault
from graphprune.engine.gradients import nothing_gets_a_gradient, nothing_trainable
from graphprune.errors import GraphpruneError, TrainingError
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.training.data import Data
from graphprune.tf.training.randomness import saved_randomness

_NO_GRADIENT = re.compile(r"gradient registry has no entry for: (?P<type>\w+)")
"""TensorFlow's LookupError (framework/registry.py), which has no code."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Blocked:
    """A weight that gets no gradient.

    Attributes:
        variable: The weight.
        reason: Why not.
    """

    variable: Any
    reason: str


def check_gradients(model: tf_keras.Model, data: Data, place: str) -> None:
    """Refuse a compiled model if the loss gives a pruned layer, or every weight, no gradient.

    Its losses and metrics must be built.

    A training step is traced and not run, so weights, statistics, states and random numbers stay as
    they are. A model with a training step of its own class is not checked: what it does with
    gradients is not known.

    Raises:
        TrainingError: a weight gets none; the text names the layers and what stops the gradient.
    """
    if type(model).train_step is not tf_keras.Model.train_step or model.run_eagerly:
        return
    # as in `fit`: layers frozen after `compile` still train
    with RespectCompiledTrainableState(model):
        _check_gradients(model, data, place)


def _check_gradients(model: tf_keras.Model, data: Data, place: str) -> None:
    if not model.trainable_variables:
        raise nothing_trainable(place)
    watched = _watched(model)
    trained = {id(variable) for variable in model.trainable_variables}
    blocked = {
        id(found.variable): found.reason
        for found in _trace(model, data, model.trainable_variables, place)
    }
    blocked |= {
        id(weight): "a layer inside it is frozen"
        for _, weight in watched
        if id(weight) not in trained
    }
    if all(id(variable) in blocked for variable in model.trainable_variables):
        reasons = dict.fromkeys(blocked[id(variable)] for variable in model.trainable_variables)
        raise nothing_gets_a_gradient(place, reasons)
    missed = [
        f"{address} ({blocked[id(weight)]})" for address, weight in watched if id(weight) in blocked
    ]
    if missed:
        more = f" and {len(missed) - _SHOWN} more" if len(missed) > _SHOWN else ""
        raise TrainingError(
            f"pruned layers that get no gradient from the loss would never reach their"
            f" target: {', '.join(missed[:_SHOWN])}{more}; leave them out of the rules, or freeze"
            " them (trainable = False) to prune them as they are",
            place=place,
        )


def _watched(model: tf_keras.Model) -> list[tuple[str, Any]]:
    """Return the weights whose updates count the steps of the trainable pruned layers.

    Empty under loss scaling, where the optimizer's steps count.
    """
    if isinstance(model.optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        return []
    return [
        (address, wrapper.pruning_vars[0][0])
        for address, wrapper in Pruner(model).wrappers.items()
        if wrapper.trainable
    ]


def _trace(model: tf_keras.Model, data: Data, variables: list[Any], place: str) -> list[_Blocked]:
    """Trace a step as `fit` would, and return the variables that it gives no gradient."""
    found: list[_Blocked] = []
    graphs: list[Any] = []

    def step(batch: Any) -> None:
        x, y, weights = tf_keras.utils.unpack_x_y_sample_weight(batch)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True), weights)
        graphs.append(loss.graph)
        found[:] = _without(model, variables, tape.gradient(loss, variables), loss)

    @tf.function
    def traced(batch: Any) -> None:
        model.distribute_strategy.run(step, args=(batch,))

    try:
        with saved_randomness(model, 0), _pruned(model):
            traced.get_concrete_function(data.element_spec)
    except GraphpruneError:
        raise
    # layers may raise anything; `fit` would fail in the same way after creating the run's folder
    except Exception as fault:
        raise TrainingError(f"{_explain_failure(model, fault, graphs)}", place=place) from fault
    return found


@tf.autograph.experimental.do_not_convert
def _without(
    model: tf_keras.Model, variables: list[Any], gradients: list[Any], loss: tf.Tensor
) -> list[_Blocked]:
    without = [
        variable
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is None
    ]
    return [_Blocked(variable, _explain(model, variable, loss)) for variable in without]


def _explain_failure(model: tf_keras.Model, fault: Exception, graphs: list[Any]) -> str:
    """Return what is wrong with a step that cannot be traced.

    The layer is named if the cause is an operation that TensorFlow has no gradient for.
    """
    missing = _NO_GRADIENT.search(str(fault))
    if missing is None:
        return f"a training step fails: {explain_fault(fault)}"
    names = [
        operation.name
        for graph in graphs
        for operation in graph.get_operations()
        if operation.type == missing["type"]
    ]
    layer = f"layer {_layer_of(model, names[0])!r}" if names else "the model"
    return (
        f"{layer} uses the operation {missing['type']}, for which TensorFlow has no gradient; put"
        " it where no trained layer comes before it"
    )


@contextmanager
def _pruned(model: tf_keras.Model) -> Iterator[None]:
    """Let the pruned layers be called for training, as if a pruner had started."""
    pruner = Pruner(model)
    for wrapper in pruner.attached.values():
        wrapper.pruners.add(pruner)
    try:
        yield
    finally:
        pruner.stop()


def _explain(model: tf_keras.Model, variable: Any, loss: tf.Tensor) -> str:
    """Return why the loss gives `variable` no gradient.

    The value is followed forward to the first operation that stops the gradient although its output
    gets one.
    """
    tensors = _reached_from(variable, loss.graph)
    differentiable = [tensor for tensor in tensors if _is_differentiable(tensor)]
    gradients = tf.gradients(loss, differentiable) if differentiable else []
    ends = {
        id(tensor)
        for tensor, gradient in zip(differentiable, gradients, strict=True)
        if gradient is not None
    }
    end = next((tensor for tensor in tensors if id(tensor) in ends or tensor is loss), None)
    if end is None:
        return "its output does not reach the loss"
    operation, reached = end.op, {id(tensor) for tensor in tensors}
    while whole := [
        tensor
        for tensor in operation.inputs
        if id(tensor) in reached and not _is_differentiable(tensor) and tensor.dtype != tf.resource
    ]:
        # integers in between: the operation that made them from floats stops the gradient
        operation = whole[0].op
    return f"layer {_layer_of(model, operation.name)!r} stops it: {operation.type}"


def _is_differentiable(tensor: tf.Tensor) -> bool:
    return bool(tensor.dtype.is_floating or tensor.dtype.is_complex)


def _reached_from(variable: Any, graph: Any) -> list[tf.Tensor]:
    """Return the tensors that depend on `variable`, the nearest first."""
    handles = [
        inside for outside, inside in graph.captures if outside is getattr(variable, "handle", None)
    ]
    found, queue = {id(handle): handle for handle in handles}, list(handles)
    for tensor in queue:
        for consumer in tensor.consumers():
            for output in consumer.outputs:
                if id(output) not in found:
                    found[id(output)] = output
                    queue.append(output)
    return queue


def _layer_of(model: tf_keras.Model, operation: str) -> str:
    """Return the name of the innermost layer whose scope an operation is in."""
    names = {layer.name for layer in model._flatten_layers()}
    return next((part for part in reversed(operation.split("/")) if part in names), model.name)
