"""Optimizers of Keras 3: masks among their variables, their step count, and their copies."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from graphprune.errors import TrainingError
from graphprune.keras3.backend import read, read_count
from graphprune.keras3.torch_optimizer import TorchOptimizer

MASK = "graphprune_mask"
"""The prefix of the names of all masks."""
Scaling = Literal["like-model", "scaled", "unscaled"]
"""Whether the optimizer of a copy scales the loss."""
LIKE_MODEL: Scaling = "like-model"
_SKIP, _STATELESS_SKIP = "_stateful_handle_non_finite_grads", "_stateless_handle_non_finite_grads"
"""The methods of `LossScaleOptimizer` that are called instead of an update."""


def innermost(optimizer: Any) -> list[Any]:
    """Return the optimizers that update variables: those inside loss scaling and MultiOptimizer."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return list(getattr(inner, "optimizers", ())) or [inner]


def build_optimizer(model: Any, optimizer: Any) -> None:
    """Create the variables of the optimizer for those of the model, as its first update would."""
    if not optimizer.built:
        optimizer.build(model.trainable_variables)


def add_mask(optimizer: Any, weight: Any, mask: NDArray[np.bool_], name: str) -> Any:
    """Return a variable with the value `mask`, which the optimizer that updates `weight` tracks."""
    part = _part_of(optimizer, weight)
    value = keras.ops.convert_to_tensor(mask, dtype="bool")  # without the dtype JAX compiles
    used = {variable.name for variable in optimizer.variables}
    plain = f"{MASK}_{''.join(c if c.isalnum() else '_' for c in name)}"
    names = (plain if index == 0 else f"{plain}_{index}" for index in range(len(used) + 1))
    return part.add_variable(
        shape=mask.shape,
        dtype="bool",
        initializer=lambda shape, dtype=None: value,  # JAX would compile one that makes ones
        name=next(name for name in names if name not in used),
        **_layout_of(weight, part),
    )


def _layout_of(weight: Any, optimizer: Any) -> dict[str, Any]:
    """Return the argument by which a mask is split over devices as its weight is.

    Keras before 3.10 takes none: each device has the whole mask there.
    """
    layout = getattr(weight, "_layout", None)
    is_taken = "layout" in inspect.signature(optimizer.add_variable).parameters
    return {"layout": layout} if layout is not None and is_taken else {}


def _part_of(optimizer: Any, weight: Any) -> Any:
    """Return the innermost optimizer that updates `weight`; the first one if none does."""
    parts = innermost(optimizer)
    return next((part for part in parts if _place_of(part, weight) is not None), parts[0])


def _place_of(part: Any, weight: Any) -> int | None:
    return next(
        (place for place, one in enumerate(part._trainable_variables) if one is weight), None
    )


def average_of(optimizer: Any, weight: Any) -> Any:
    """Return the moving average (EMA) that the optimizer keeps of `weight`; None if it has none."""
    part = _part_of(optimizer, weight)
    place = _place_of(part, weight)
    averages = getattr(part, "_model_variables_moving_average", ())
    return averages[place] if averages and place is not None else None


def tracks(optimizer: Any, mask: Any) -> bool:
    """Return whether a variable is among those of the optimizer."""
    return any(variable is mask for variable in optimizer.variables)


def read_updates(model: Any, optimizer: Any) -> int:
    """Return the number of updates that the optimizer has made, or that loss scaling skipped.

    Batches whose gradients it only accumulated do not count.
    """
    if isinstance(optimizer, TorchOptimizer):
        return optimizer.updates
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    every = getattr(inner, "gradient_accumulation_steps", None) or 1
    counts = [_count_of(part) for part in ((inner,) if inner is optimizer else (optimizer, inner))]
    return sum(read_count(model, optimizer, count) for count in counts) // int(every)


def counts_batches(optimizer: Any) -> bool:
    """Return whether `iterations` counts batches where the optimizer accumulates gradients.

    Since Keras 3.5 it counts updates, and `_iterations` batches.
    """
    return not hasattr(optimizer, "_iterations")


def _count_of(optimizer: Any) -> Any:
    """Return the variable that counts the calls of an optimizer; skipped ones if it scales."""
    return optimizer.iterations if counts_batches(optimizer) else optimizer._iterations


def count_skipped_updates(optimizer: Any) -> None:
    """Make an optimizer that scales the loss count the updates that it skips, as in tf_keras.

    Keras 3 counts only those that it makes, so a schedule that ends with the run would miss its
    target. Skipped ones are counted in the optimizer's own `_iterations`, which Keras leaves at 0:
    it is state in a stateless step (JAX) and is saved with the optimizer.
    """
    if hasattr(optimizer, "inner_optimizer") and _SKIP not in vars(optimizer):
        for name, count in ((_SKIP, _skip), (_STATELESS_SKIP, _skip_stateless)):
            setattr(optimizer, name, partial(count, optimizer))


def _skip(optimizer: Any) -> None:
    getattr(type(optimizer), _SKIP)(optimizer)
    _count_of(optimizer).assign_add(1)


def _skip_stateless(optimizer: Any, values: Any, trainable: Any) -> tuple[Any, list[Any]]:
    trainable, left = getattr(type(optimizer), _STATELESS_SKIP)(optimizer, values, trainable)
    count = _count_of(optimizer)
    is_count = [variable is count for variable in optimizer.variables]
    return trainable, [one + 1 if here else one for one, here in zip(left, is_count, strict=True)]


def leave_masks_out_of_files(optimizer: Any) -> None:
    """Make the optimizer save and load only its own variables.

    Its state then also loads into a model without pruned layers.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    for part in {id(part): part for part in (optimizer, inner, *innermost(optimizer))}.values():
        if part is not None and "save_own_variables" not in vars(part):
            part.save_own_variables = partial(_save_without_masks, part)
            part.load_own_variables = partial(_load_without_masks, part)


def _save_without_masks(optimizer: Any, store: Any) -> None:
    """Write the optimizer's own variables, without the copies that Keras makes of them."""
    with masks_hidden(optimizer):
        theirs = type(optimizer).save_own_variables
        if theirs is not keras.optimizers.Optimizer.save_own_variables:
            theirs(optimizer, store)
            return
        for index, variable in enumerate(optimizer.variables):
            store[str(index)] = variable


def _load_without_masks(optimizer: Any, store: Any) -> None:
    with masks_hidden(optimizer):
        type(optimizer).load_own_variables(optimizer, store)


@contextmanager
def masks_hidden(optimizer: Any) -> Iterator[None]:
    """Remove the masks from `optimizer.variables` temporarily."""
    parts = innermost(optimizer)
    stores = [part._variables for part in parts]
    try:
        for part, store in zip(parts, stores, strict=True):
            own = [variable for variable in store if not variable.name.startswith(MASK)]
            # not by assignment: TensorFlow cannot save an object whose tracked list was changed
            vars(part)["_variables"] = own
        yield
    finally:
        for part, store in zip(parts, stores, strict=True):
            vars(part)["_variables"] = store


def copy_compile_state(
    source: Any, target: Any, variables: Mapping[int, Any], scaling: Scaling = LIKE_MODEL
) -> None:
    """Compile `target` like `source`, with a copy of its optimizer and its state.

    The copy of an uncompiled model stays uncompiled.

    Args:
        source: The model that was copied.
        target: The copy.
        variables: The copy's variable for each of the model's, by `id`.
        scaling: Whether the copy's optimizer scales the loss.

    Raises:
        TrainingError: the copy cannot be compiled like the model.
    """
    if not source.compiled:
        return
    settings = dict(source._compile_config.config)
    settings["optimizer"] = copy_optimizer(source, variables, scaling)
    for name in ("metrics", "weighted_metrics"):
        settings[name] = _new_metrics(settings.get(name))
    try:
        target.compile(**settings, auto_scale_loss=False)
    except (TypeError, ValueError) as err:
        raise TrainingError(
            f"{source.name}: its copy cannot be compiled like it ({err}); compile the model without"
            " custom settings first"
        ) from err


def copy_optimizer(model: Any, variables: Mapping[int, Any], scaling: Scaling = LIKE_MODEL) -> Any:
    """Return a copy of the model's optimizer for the variables of another model, with its state.

    Slots follow their variables, regardless of the order of variables in the other model.

    Raises:
        TrainingError: the optimizer cannot be made from its config.
    """
    optimizer = model.optimizer
    if optimizer is None:
        return None
    if scaling == "unscaled":
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    copied = _remake(optimizer, model.name)
    whole = _scaled(copied) if scaling == "scaled" else copied
    if optimizer.built:
        whole.build([variables[id(variable)] for variable in optimizer._trainable_variables])
    with masks_hidden(optimizer):
        for old, new in zip(optimizer.variables, copied.variables, strict=True):
            new.assign(copy_of(old))
    return whole


def _remake(optimizer: Any, name: str) -> Any:
    """Return a new optimizer with the config of another, that of a model of this name.

    Raises:
        TrainingError: the optimizer cannot be made from its config.
    """
    rates = [getattr(part, "_learning_rate", None) for part in innermost(optimizer)]
    parts = (optimizer, *innermost(optimizer), *rates)
    try:
        with keras.saving.custom_object_scope({type(part).__name__: type(part) for part in parts}):
            return type(optimizer).from_config(optimizer.get_config())
    except (NotImplementedError, TypeError, ValueError) as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0].partition(". ")[0]
        raise TrainingError(
            f"{name}: optimizer {type(optimizer).__name__} cannot be made from its get_config"
            f" ({reason}); compile the model with another optimizer first, and what is returned"
            " with this one"
        ) from err


def renew_optimizer(model: Any) -> Any:
    """Compile a model with a new optimizer of the same config, for what it trains now; return that.

    Raises:
        TrainingError: the optimizer cannot be made from its config.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.built:
        return optimizer
    made = _remake(optimizer, model.name)
    made.build(model.trainable_variables)
    settings = {**model._compile_config.config, "optimizer": made}
    model.compile(**settings, auto_scale_loss=False)
    return made


def _scaled(optimizer: Any) -> Any:
    """Return an optimizer that scales the loss for the given one, unless that one does."""
    if hasattr(optimizer, "inner_optimizer"):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")


def copy_of(variable: Any) -> NDArray[Any]:
    """Return the value of a variable as an array of its own: JAX deletes arrays that it trains."""
    return np.array(read(variable))


def _new_metrics(metrics: Any) -> Any:
    """Return the metrics with every Metric object replaced by a new one like it."""
    if isinstance(metrics, keras.metrics.Metric):
        with keras.saving.custom_object_scope({type(metrics).__name__: type(metrics)}):
            return type(metrics).from_config(metrics.get_config())
    if isinstance(metrics, Mapping):
        return {name: _new_metrics(metric) for name, metric in metrics.items()}
    return [_new_metrics(one) for one in metrics] if isinstance(metrics, list | tuple) else metrics
