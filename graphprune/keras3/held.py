"""Pruned layers of Keras 3 for the engine: masks in the optimizer, projections on weights.

The layer itself is not changed. The `constraint` of a pruned weight is the projection, which every
optimizer applies after its update; the mask is a variable of that optimizer, so that JAX's
stateless step sees it as state and not as a constant.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, MutableSet
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from graphprune.engine.pruner import no_pruner
from graphprune.engine.schedules import PruningSchedule
from graphprune.errors import TrainingError
from graphprune.keras3.backend import (
    is_constant,
    masked,
    masked_in_place,
    read_in_place,
    read_or_memory,
    write,
)
from graphprune.keras3.guards import guard_layer
from graphprune.keras3.layers import find_holder, find_weight, names_its_weights, prunable_names
from graphprune.keras3.optimizers import add_mask, average_of, tracks
from graphprune.keras3.places import place_of, variable_at
from graphprune.sparsity.pruning import Provenance, Pruning


class Projection(keras.constraints.Constraint):
    """The constraint of a pruned weight: the layer's own constraint, then the mask."""

    def __init__(self, own: Callable[[Any], Any] | None, tensor: HeldTensor) -> None:
        self.own, self.tensor = own, tensor

    def __call__(self, weight: Any) -> Any:
        """Return the value that the optimizer assigns to `weight`.

        Raises:
            TrainingError: no pruner follows the layer, or another optimizer keeps its masks.
        """
        mask = self.tensor.mask_in_step()
        self.tensor.project_average(mask)
        if self.own is None:
            return masked_in_place(weight, mask)
        return masked(keras.ops.convert_to_tensor(self.own(weight)), mask)


class HeldTensor:
    """A pruned weight of a live layer, with its mask and threshold.

    Attributes:
        name: Its name in the layer.
        weight: The variable.
        mask: The variable with the mask; None until an optimizer holds it.
        average: The optimizer's moving average of the weight (EMA); None if it keeps none.
        threshold: The smallest score that the last mask update kept.
    """

    def __init__(self, held: HeldLayer, name: str, weight: Any) -> None:
        self._held, self.name, self.weight = held, name, weight
        self.mask: Any = None
        self.average: Any = None
        self.threshold = 0.0
        self._waiting: NDArray[np.bool_] = np.ones(tuple(weight.shape), np.bool_)
        own = weight.constraint
        weight.constraint = Projection(own.own if isinstance(own, Projection) else own, self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight."""
        return tuple(self.weight.shape)

    def read(self) -> NDArray[Any]:
        """Return the values of the weight, to be used before it changes: they may be its memory."""
        return read_or_memory(self.weight)

    def write(self, values: NDArray[Any]) -> None:
        """Assign the values of the weight."""
        write(self.weight, values)

    def read_mask(self) -> NDArray[np.bool_]:
        """Return the mask; True keeps a weight."""
        if self.mask is None:
            return self._waiting
        return read_in_place(self.mask).astype(np.bool_)

    def read_threshold(self) -> float:
        """Return the smallest score that the last mask update kept."""
        return self.threshold

    def write_mask(self, mask: NDArray[np.bool_], threshold: float) -> None:
        """Assign the mask, and the smallest score that it keeps."""
        self.threshold = threshold
        if self.mask is None:
            self._waiting = mask
        else:
            write(self.mask, mask)
            self.project_average(mask)

    def project_average(self, mask: Any) -> None:
        """Zero the masked entries of the moving average (EMA) of the weight.

        The optimizer averages the weight before it applies the projection. Keras assigns the
        average to the weight when training ends, and `SwapEMAWeights` exchanges the two.
        """
        if self.average is not None:
            self.average.assign(masked_in_place(self.average, mask))

    def project(self) -> None:
        """Zero the masked weights after a step of an optimizer that applies no constraints.

        Raises:
            TrainingError: no pruner follows the layer.
        """
        mask = self.mask_in_step()
        self.weight.assign(masked_in_place(self.weight, mask))

    def attach(self, optimizer: Any, name: str) -> None:
        """Add the mask, with its current value, to the variables of `optimizer`."""
        if self.mask is None or not tracks(optimizer, self.mask):
            self.mask = add_mask(optimizer, self.weight, self.read_mask(), name)
        self.average = average_of(optimizer, self.weight)

    def mask_in_step(self) -> Any:
        """Return the mask as the step that is being run or traced sees it.

        Raises:
            TrainingError: no pruner follows the layer, or another optimizer keeps its masks.
        """
        if self.mask is None or not self._held.pruners:
            raise _as_it_is(no_pruner(self._held.layer.name))
        if is_constant(self.mask):
            name = self._held.layer.name
            error = TrainingError(
                f"{name}: the optimizer of this step does not keep the masks of the pruned layers,"
                " so they would be constants in the compiled step; start the pruner with it:"
                " Pruner(model, optimizer).start(Run(...))"
            )
            raise _as_it_is(error)
        return keras.ops.convert_to_tensor(self.mask)


def _as_it_is(error: TrainingError) -> TrainingError:
    """Return the error, marked so that TensorFlow's autograph does not rewrite its text."""
    error.ag_pass_through = True  # type: ignore[attr-defined]
    return error


class HeldLayer:
    """A layer of a live model that is set up for pruning.

    Args:
        places: Where the layer saves weights, by name, if the names are not those of its
            attributes (see `places.place_of`).

    Attributes:
        layer: The layer.
        pruning: What to prune, how much, and when.
        own_schedule: The schedule, if it is of a user's own class.
        provenance: The rule and the plan that asked for it.
        counter: The step counter of the model that holds it.
    """

    def __init__(
        self,
        layer: Any,
        pruning: Pruning,
        own_schedule: PruningSchedule | None = None,
        provenance: Provenance | None = None,
        places: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.layer, self.pruning, self.own_schedule = layer, pruning, own_schedule
        self.provenance = Provenance() if provenance is None else provenance
        self._places = places
        self.pruners: MutableSet[Any] = weakref.WeakSet()
        self.counter = StepCounter()
        self._last_update = -1
        self._tensors: list[HeldTensor] = []
        self._hold_when_built()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {type(self.layer).__name__} {self.layer.name!r}>"

    def _hold_when_built(self) -> None:
        """Set the projections on the weights: now, or when the layer is built."""
        if self.layer.built:
            self._hold()
            return
        build = self.layer.build

        @functools.wraps(build)  # Keras reads the signature
        def build_and_hold(*args: Any, **kwargs: Any) -> None:
            build(*args, **kwargs)
            self._hold()

        self.layer.build = build_and_hold

    def _hold(self) -> None:
        if self._tensors:
            return
        if not self.pruning.weights:
            names = prunable_names(self.layer)
            self.pruning = Pruning(self.pruning.sparsity, self.pruning.schedule, names)
        self._tensors = [
            HeldTensor(self, name, self.find_in(self.layer, name)) for name in self.pruning.weights
        ]
        holders = [find_holder(self.layer, tensor.name) for tensor in self._tensors]
        for layer in {id(layer): layer for layer in (self.layer, *holders)}.values():
            guard_layer(layer)

    def find_in(self, layer: Any, name: str) -> Any:
        """Return the weight `name` of the layer, or of a layer of a clone in its place."""
        if name in self._places:
            return variable_at(layer, self._places[name])
        return find_weight(layer, name)

    @property
    def places(self) -> dict[str, str]:
        """Where the layer saves each pruned weight, if only its class knows its weights."""
        if names_its_weights(self.layer):
            return {}
        found = {tensor.name: place_of(self.layer, tensor.weight) for tensor in self._tensors}
        return {name: place for name, place in found.items() if place is not None}

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def trainable(self) -> bool:
        """Whether the optimizer updates the layer."""
        return bool(self.layer.trainable)

    @property
    def tensors(self) -> list[HeldTensor]:
        """The pruned tensors; empty before the layer is built."""
        return self._tensors

    @property
    def pruning_vars(self) -> list[tuple[Any, Any, float]]:
        """(weight, mask, threshold) of each pruned tensor, in the order of `pruning.weights`."""
        return [
            (
                tensor.weight,
                tensor.read_mask() if tensor.mask is None else tensor.mask,
                tensor.threshold,
            )
            for tensor in self._tensors
        ]

    @property
    def pruning_step(self) -> int:
        """Optimizer updates since the layer was set up for pruning."""
        return self.read_step()

    def read_step(self) -> int:
        """Return the optimizer updates since the layer was set up for pruning."""
        return self.counter.read()

    def write_step(self, step: int) -> None:
        """Assign the number that `read_step` returns."""
        self.counter.write(step)

    def read_last_update(self) -> int:
        """Return the step of the last mask update; -1 before the first."""
        return self._last_update

    def write_last_update(self, step: int) -> None:
        """Assign the number that `read_last_update` returns."""
        self._last_update = step


class StepCounter:
    """Counts the steps of a model by its optimizer, also after the optimizer changes.

    Attributes:
        optimizer: The optimizer; None if there is none yet.
    """

    def __init__(self) -> None:
        self.optimizer: Any = None
        self._base = 0
        self._from: int | None = None
        self._updates: Callable[[], int] | None = None

    def follow(self, optimizer: Any, updates: Callable[[], int]) -> None:
        """Count by `updates`, which returns what `optimizer` has counted, from now on."""
        if self._updates is not None:
            self.write(self.read())
        self.optimizer, self._updates = optimizer, updates
        if self._from is None:
            self._from = updates()

    def read(self) -> int:
        """Return the steps so far."""
        if self._updates is None:
            return self._base
        now = self._updates()
        if self._from is None or now < self._from:
            self._from = now
        return self._base + now - self._from

    def write(self, step: int) -> None:
        """Set the steps so far."""
        self._base, self._from = step, None

    def twin(self) -> StepCounter:
        """Return a counter of its own, of the same optimizer and with the same steps."""
        other = StepCounter()
        other.optimizer, other._updates = self.optimizer, self._updates
        other.write(self.read())
        return other

    def restore(self, step: int, updates: int | None) -> None:
        """Set the steps so far, at which the optimizer had counted `updates`.

        If the optimizer is not restored too, its count is lower; steps are then counted from its
        first reading.
        """
        self._base, self._from = step, updates

    @property
    def updates(self) -> int | None:
        """The optimizer's step count; None if there is no optimizer yet."""
        return None if self._updates is None else self._updates()
