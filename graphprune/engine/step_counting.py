"""The step of each pruned layer, kept in agreement with the optimizer's count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.engine.held import HeldModel, PrunedLayer


class StepCounting:
    """Reads the step of each pruned layer, and corrects those that did not see every update.

    Layers count their own updates. Loss scaling skips updates that the optimizer counts, frozen
    layers see none, and layers without a gradient see none either. In the first two cases the step
    follows the optimizer or the other layers; a layer without a gradient keeps its step.

    Args:
        held: The model.
        layers: The layers that have something to prune, by address.
        pruner: The pruner that counts; layers that another pruner also follows are left to it.
    """

    def __init__(self, held: HeldModel, layers: Mapping[str, PrunedLayer], pruner: object) -> None:
        self._held, self._layers, self._pruner = held, layers, pruner
        self._seen: tuple[int | None, dict[str, int]] = (None, {})
        self._began: tuple[int, dict[str, int]] = (0, {})

    def begin(self) -> None:
        """Note where training starts."""
        self._seen = self._count()
        self._began = self._held.read_updates(), self._seen[1]

    @property
    def has_advanced(self) -> bool:
        """Whether the optimizer has counted an update since `begin`."""
        return self._held.read_updates() > self._began[0]

    def standing_still(self) -> tuple[str, ...]:
        """Return the addresses of layers that no update has reached since `begin`.

        It is empty until the optimizer has counted an update. Frozen layers are left out, because
        they follow the model, and so are shared layers that another model may train.
        """
        if not self.has_advanced:
            return ()
        return tuple(
            address
            for address, step in self._began[1].items()
            if self._layers[address].read_step() == step
            and self._layers[address].trainable
            and self._is_alone(address)
        )

    def read(self) -> dict[str, int]:
        """Return the step of each layer; each variable is read once, to keep batches cheap.

        Steps that loss scaling skipped since the last call are added. A step that went back,
        because earlier weights were restored, is kept. A frozen layer has no updates of its own and
        follows the other pruned layers, or the optimizer if all are frozen, unless another model
        also trains it.
        """
        before, known = self._seen
        counted, read = self._count()
        passed = 0 if counted is None or before is None else counted - before
        steps, all_frozen = dict(read), self._all_frozen
        for address in read if passed else ():
            is_counted = self._layers[address].trainable or (all_frozen and self._is_alone(address))
            if is_counted and 0 <= read[address] - known[address] < passed:
                steps[address] = known[address] + passed
        newest = max(steps.values(), default=0)
        for address in [address for address, step in steps.items() if step < newest]:
            if not self._layers[address].trainable and self._is_alone(address):
                steps[address] = newest
        for address in [address for address, step in steps.items() if step != read[address]]:
            self._layers[address].write_step(steps[address])
        self._seen = counted, steps
        return steps

    def _count(self) -> tuple[int | None, dict[str, int]]:
        """Return the optimizer's updates, if the layers cannot count them all, and their steps."""
        counted = (
            self._held.read_updates() if self._held.skips_updates or self._all_frozen else None
        )
        steps = self._held.read_steps()
        return counted, {address: steps[address] for address in self._layers}

    @property
    def _all_frozen(self) -> bool:
        return not any(layer.trainable for layer in self._layers.values())

    def _is_alone(self, address: str) -> bool:
        """Return whether no other pruner follows the layer."""
        pruners: set[Any] = set(self._layers[address].pruners)
        return pruners <= {self._pruner}
