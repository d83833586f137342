"""The pruner of a model: decides on the host when masks change, and changes them."""

from __future__ import annotations

import warnings

import numpy as np

from graphprune.arguments import wrong_type
from graphprune.engine.channel_groups import led_groups
from graphprune.engine.held import HeldModel, PrunedLayer
from graphprune.engine.masks import project, update_masks
from graphprune.engine.progress import TensorProgress, overall, progress_of
from graphprune.engine.step_counting import StepCounting
from graphprune.engine.timetables import (
    Times,
    target_step,
    target_text,
    timetable_of,
    warn_never_reached,
)
from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Run


class Pruner:
    """Follows the schedules of all pruned layers of a model, nested models included.

    `start` it once before training; then call `on_step` after every optimizer update (more often
    does no harm). A step is what the optimizer counts as one: an update, or one that loss scaling
    skipped (mixed precision), so that a schedule that ends with the run reaches its target.

    Attributes:
        held: The model, as the engine sees it.
        layers: The layers that have something to prune, by address.
    """

    def __init__(self, held: HeldModel) -> None:
        self.held = held
        self.layers: dict[str, PrunedLayer] = {
            address: layer for address, layer in held.layers.items() if layer.pruning.weights
        }
        self._groups = led_groups(self.layers)
        self._steps = StepCounting(held, self.layers, self)
        self._planned: int | None = None
        self._timetables: dict[str, Times] = {}
        self._looked: dict[str, int] = {}

    def start(self, run: Run, *, done: int = 0) -> None:
        """Attach to the pruned layers and do the update that is due at step 0.

        Every schedule is turned into optimizer steps first.

        Args:
            run: The length of the run.
            done: Steps of the run that were done before, if a run is resumed.

        Warns with `schedule/never-reached` for layers whose schedule ends after the run.

        Raises:
            TrainingError: a schedule needs the length of an epoch or of the run, and `run` does not
                give it; the optimizer cannot prune a layer; or the distribution strategy is not
                supported.
        """
        if not isinstance(run, Run):
            raise wrong_type(
                "run",
                "a graphprune.Run",
                run,
                "such as Run(steps_per_epoch=100, epochs=10), or Run() where the length is not"
                " known",
            )
        self.held.check()
        for layer in self.layers.values():
            # the TensorFlow toolkit's mark for training that has not begun
            if layer.read_step() < 0:
                layer.write_step(0)
        self.follow(run)
        warn_never_reached(self.layers, run, done)
        self._attach()
        self._steps.begin()
        self._looked = {}
        self._planned = None if run.steps is None else self.step + run.steps - done
        self.on_step()

    def _attach(self) -> None:
        """Follow the layers, instead of an earlier pruner of the same model."""
        for layer in self.held.layers.values():
            for other in [other for other in layer.pruners if self._has_model_of(other)]:
                layer.pruners.discard(other)
            layer.pruners.add(self)

    def _has_model_of(self, other: object) -> bool:
        return isinstance(other, Pruner) and other.held.model is self.held.model

    def follow(self, run: Run) -> None:
        """Turn every schedule into optimizer steps, for `tensors`; prune nothing.

        Raises:
            TrainingError: a schedule needs the length of an epoch or of the run, and `run` does not
                give it.
        """
        self._timetables = {
            address: timetable_of(address, layer, run) for address, layer in self.layers.items()
        }

    def stop(self) -> None:
        """Detach from the pruned layers, which then need another pruner to be trained."""
        for layer in self.held.layers.values():
            layer.pruners.discard(self)

    def project(self) -> None:
        """Zero the masked weights again.

        Needed after weights are written outside an optimizer update, as at the end of weight
        averaging (`use_ema`).
        """
        self.held.sync()
        project(self.layers.values())

    def find_unmasked(self) -> tuple[str, ...]:
        """Return the addresses of layers with weights that are masked and are not zero."""
        self.held.sync()
        return tuple(
            address
            for address, layer in self.layers.items()
            if any(np.any((one.read() != 0) > one.read_mask()) for one in layer.tensors)
        )

    def on_step(self) -> None:
        """Update the masks that are due since the last update, on all replicas.

        Raises:
            TrainingError: it is called inside a training step.
        """
        self.held.check_between_steps("on_step")
        due = [item for item in self._steps.read().items() if self._is_due(*item)]
        if due:
            self.held.sync()
        for address, step in due:
            groups = self._groups.get(address, ())
            update_masks(self.layers[address], self._started(address), step, groups)

    @property
    def step(self) -> int:
        """Optimizer updates since the model was set up; the largest number where layers differ."""
        return max((layer.read_step() for layer in self.layers.values()), default=0)

    @property
    def last_target(self) -> int:
        """The step at which the last schedule reaches its target; see `follow`."""
        return max((target_step(times) for times in self._timetables.values()), default=0)

    @property
    def last_updates(self) -> tuple[int, ...]:
        """The step of each layer's last mask update."""
        return tuple(layer.read_last_update() for layer in self.layers.values())

    @property
    def is_finished(self) -> bool:
        """Whether every layer has had the update that reaches its target."""
        return all(
            layer.read_last_update() >= target_step(self._started(address))
            for address, layer in self.layers.items()
        )

    @property
    def has_advanced(self) -> bool:
        """Whether the optimizer has counted an update since `start`."""
        return self._steps.has_advanced

    def standing_still(self) -> tuple[str, ...]:
        """Return the addresses of layers that get no gradient.

        No update has reached them since `start`, although the optimizer has counted some.
        """
        return self._steps.standing_still()

    def tensors(self) -> tuple[TensorProgress, ...]:
        """Return the progress of each pruned tensor, in the model's order."""
        self.held.sync()
        steps = self._steps.read()
        return tuple(
            progress
            for address, layer in self.layers.items()
            for progress in progress_of(address, layer, self._started(address), steps[address])
        )

    def total_sparsity(self) -> float:
        """Return the measured share of zeros over all pruned tensors; 0 when there are none."""
        return overall(self.tensors())[1]

    def _is_due(self, address: str, step: int) -> bool:
        """Return whether masks change at `step`.

        The variable with the last update is read only if an update has come due since the last
        check.
        """
        looked, times = self._looked.get(address), self._started(address)
        self._looked[address] = step
        if looked is not None and (
            looked == step or (looked < step and not times.is_due(after=looked, step=step))
        ):
            return False
        return times.is_due(after=self.layers[address].read_last_update(), step=step)

    def _started(self, address: str) -> Times:
        if address not in self._timetables:
            raise TrainingError(
                "the pruner has not started; call start(Run(steps_per_epoch=..., epochs=...))"
                " before training"
            )
        return self._timetables[address]

    def check_pruned(self, callback: str) -> None:
        """Refuse to train a model without pruned layers when `callback` is given.

        Warns if its pruned layers have no weights.

        Raises:
            TrainingError: no layer of the model is pruned.
        """
        name = self.held.name
        if not self.held.layers:
            raise TrainingError(
                f"{name}: {callback} was given to a model without pruned layers, so nothing would"
                " be pruned; train the model that prune_low_magnitude or apply_rules returned (the"
                " original stays as it is), and load its file under graphprune.prune_scope()"
            )
        if not self.layers:
            warnings.warn(
                f"{name}: nothing is pruned, since its pruned layers have no weights to prune"
                f" ({', '.join(self.held.layers)}); prune layers with a kernel",
                stacklevel=2,
            )

    def warn_missed(self, *, was_stopped: bool) -> None:
        """Warn of layers that miss the target that the planned run should have reached.

        It happens when training is stopped (`was_stopped`), when weights of an earlier step are
        restored, as EarlyStopping does, or when the data end before the schedule, in a run whose
        length was not known when it began.
        """
        data_ended = self._planned is None and not was_stopped
        remedy = "let EarlyStopping begin later (start_from_epoch)"
        if data_ended:
            remedy = "train for longer"
        missed: dict[tuple[str, int, int], list[str]] = {}
        still = self.standing_still()
        for address, layer in self.layers.items():
            if address in still:
                continue  # warned of at the first step; longer training would not help
            end = target_step(self._started(address))
            is_planned = self._planned is None or end <= self._planned
            if is_planned and layer.read_last_update() < end:
                missed.setdefault((target_text(layer), end, layer.read_step()), []).append(address)
        for (target, end, step), addresses in missed.items():
            warnings.warn(
                f"schedule/never-reached: {', '.join(addresses)}: training ends with the weights of"
                f" step {step}, and the schedule reaches {target} at step {end}; {remedy}, or end"
                " the schedule earlier",
                stacklevel=2,
            )

    def warn_standing_still(self) -> None:
        """Warn of layers that get no gradient, after the first update of the optimizer."""
        still = self.standing_still()
        if still:
            warnings.warn(
                f"{', '.join(still)}: the loss gives these layers no gradient, so no optimizer"
                " update reaches them and their schedules stand still; leave them out of the"
                " rules, or freeze them (trainable = False) to prune them as they are",
                stacklevel=2,
            )


def no_pruner(name: str) -> TrainingError:
    """Return the error for a pruned layer that is trained without a pruner."""
    return TrainingError(
        f"{name}: a pruned layer is being trained and no pruner is attached, so it would stay"
        " dense; add graphprune.UpdatePruningStep() to the callbacks of fit, or start a graphprune"
        " Pruner and call its on_step() in a custom loop"
    )
