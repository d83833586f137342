"""The interface between the engine and a Keras: protocols of a live model with pruned layers.

A Keras implements `PrunedTensor`, `PrunedLayer` and `HeldModel` on the state that it keeps in its
models. The engine reads and writes NumPy arrays and Python numbers through them.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableSet, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graphprune.engine.schedules import PruningSchedule
from graphprune.sparsity.mask_kernels import apply_mask, is_masked
from graphprune.sparsity.pruning import Provenance, Pruning


class PrunedTensor(Protocol):
    """A pruned weight of a live layer, with its mask and threshold."""

    @property
    def name(self) -> str:
        """The tensor's name in its layer, as in `Pruning.weights`."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight."""
        ...

    def read(self) -> NDArray[Any]:
        """Return the values of the weight."""
        ...

    def write(self, values: NDArray[Any]) -> None:
        """Assign the values of the weight."""
        ...

    def read_mask(self) -> NDArray[np.bool_]:
        """Return the mask; True keeps a weight."""
        ...

    def read_threshold(self) -> float:
        """Return the smallest score that the last mask update kept."""
        ...

    def write_mask(self, mask: NDArray[np.bool_], threshold: float) -> None:
        """Assign the mask, and the smallest score that it keeps."""
        ...


def zero_masked(tensor: PrunedTensor, values: NDArray[Any], mask: NDArray[np.bool_]) -> None:
    """Zero the masked weights of a tensor that holds `values`, unless all of them are zero.

    The values are changed too where they can be, which takes no further memory.
    """
    if not is_masked(values, mask):
        tensor.write(apply_mask(values, mask, in_place=values.flags.writeable))


class PrunedLayer(Protocol):
    """A layer of a live model that is set up for pruning."""

    @property
    def pruning(self) -> Pruning:
        """What to prune, how much, and when."""
        ...

    @property
    def own_schedule(self) -> PruningSchedule | None:
        """The schedule, if it is of a user's own class; None if `pruning` describes it."""
        ...

    @property
    def provenance(self) -> Provenance:
        """The rule and the plan that asked for the pruning."""
        ...

    @property
    def trainable(self) -> bool:
        """Whether the optimizer updates the layer."""
        ...

    @property
    def pruners(self) -> MutableSet[Any]:
        """The started pruners that follow this layer.

        Several if models share the layer and train in turn. Where a Keras can detect it, it refuses
        to train a layer that no pruner follows (`engine.pruner.no_pruner`).
        """
        ...

    @property
    def tensors(self) -> Sequence[PrunedTensor]:
        """The pruned tensors in the order of `pruning.weights`; empty before the layer is built."""
        ...

    def read_step(self) -> int:
        """Return the optimizer updates that this layer has had since it was set up."""
        ...

    def write_step(self, step: int) -> None:
        """Assign the number that `read_step` returns."""
        ...

    def read_last_update(self) -> int:
        """Return the step of the last mask update; -1 before the first."""
        ...

    def write_last_update(self, step: int) -> None:
        """Assign the number that `read_last_update` returns."""
        ...


class HeldModel(Protocol):
    """A live model with pruned layers, and the optimizer that trains it."""

    @property
    def model(self) -> Any:
        """The model; two pruners follow the same model if this is the same object."""
        ...

    @property
    def name(self) -> str:
        """The model's name, for messages."""
        ...

    @property
    def layers(self) -> Mapping[str, PrunedLayer]:
        """The layers set up for pruning, by address; also those that have nothing to prune."""
        ...

    def read_updates(self) -> int:
        """Return the optimizer's step count; 0 if there is no optimizer."""
        ...

    def read_steps(self) -> dict[str, int]:
        """Return `read_step` of each layer, by address; a variable that several share is read once.

        It is called after each step of the training.
        """
        ...

    @property
    def skips_updates(self) -> bool:
        """Whether the optimizer counts updates that layers never see: loss scaling skips some."""
        ...

    def check(self) -> None:
        """Refuse a model that cannot be pruned while it trains, before training starts.

        Raises:
            TrainingError: a layer is not built, or its optimizer or strategy is not supported.
        """
        ...

    def check_between_steps(self, call: str) -> None:
        """Refuse the method named `call` inside a training step.

        Raises:
            TrainingError: a training step is running.
        """
        ...

    def sync(self) -> None:
        """Write state that training holds elsewhere (JAX) to variables; called before reads."""
        ...
