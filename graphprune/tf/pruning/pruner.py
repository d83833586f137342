"""The pruner of a model: decides on the host when masks change, and changes them."""

from __future__ import annotations

import warnings
from typing import Any

import tf_keras
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.arguments import wrong_type
from graphprune.errors import TrainingError
from graphprune.sparsity.mask_kernels import apply_mask
from graphprune.sparsity.positions import Run
from graphprune.sparsity.schedules import Timetable
from graphprune.tf.layers.prunable_layer import live_class
from graphprune.tf.layers.replicas import check_between_steps, check_strategy
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.mask_choice import update_masks
from graphprune.tf.pruning.missing_pruner import WithPruner
from graphprune.tf.pruning.own_schedule import OwnTimetable
from graphprune.tf.pruning.target_steps import (
    target_step,
    target_text,
    timetable_of,
    warn_never_reached,
)
from graphprune.tf.pruning.tensor_progress import TensorProgress, progress_of
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


class Pruner:
    """Follows the schedules of all pruned layers of a model, nested models included.

    `start` it once before training; then call `on_step` after every optimizer update (more often
    does no harm). `UpdatePruningStep` does both in `fit`:

        pruner = Pruner(model)
        pruner.start(Run(steps_per_epoch=100, epochs=10))
        for x, y in batches:
            train_step(x, y)
            pruner.on_step()

    A step is what the optimizer counts as one: an update, or one that loss scaling skipped
    (`mixed_float16`), so that a schedule that ends with the run reaches its target. A custom loop
    whose model is not compiled gives a loss scaling optimizer as `optimizer`.

    Attributes:
        model: The model.
        wrappers: The pruned layers by address.
        attached: Those, and wrapped layers without anything to prune.
    """

    def __init__(self, model: tf_keras.Model, optimizer: Any = None) -> None:
        self.model = model
        self.attached = find_wrappers(model)
        self.wrappers = {
            address: wrapper
            for address, wrapper in self.attached.items()
            if wrapper.pruning.weights
        }
        self._optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer
        self._planned: int | None = None
        self._seen: tuple[int | None, dict[str, int]] = (None, {})
        self._timetables: dict[str, Timetable | OwnTimetable] = {}
        self._looked: dict[str, int] = {}
        self._began: tuple[int, dict[str, int]] = (0, {})
        for wrapper in self.attached.values():
            # under MirroredStrategy, a trace that the refusal broke off in another thread cannot be
            # repaired
            if wrapper.missed_pruner:
                model.train_function, wrapper.missed_pruner = None, False

    def start(self, run: Run, *, done: int = 0) -> None:
        """Turn every schedule into optimizer steps, attach to the pruned layers and do the update
        that is due at step 0.

        Args:
            run: The length of the run.
            done: Steps of the run that were done before, where a run is resumed.

        Warns with `schedule/never-reached` for layers whose schedule ends after the run.

        Raises:
            TrainingError: a schedule needs the length of an epoch or of the run, and `run` does not
                say; or the optimizer cannot prune a layer; or the model is distributed by a
                strategy that is not supported.
        """
        if not isinstance(run, Run):
            raise wrong_type(
                "run",
                "a graphprune.Run",
                run,
                "such as Run(steps_per_epoch=100, epochs=10), or Run() where the length is not"
                " known",
            )
        check_strategy(self.model)
        for address, wrapper in self.attached.items():
            if not wrapper.pruning_state:
                raise TrainingError(
                    f"{address}: the pruned layer is not built; call model.build(input_shape) first"
                )
        for address, wrapper in self.wrappers.items():
            if isinstance(self._optimizer, OptimizerV2) and _has_embedding(wrapper):
                raise TrainingError(
                    f"{address}: a legacy optimizer ({type(self._optimizer).__name__}) cannot prune"
                    f" an Embedding, whose gradients are sparse; {_new_optimizer(self._optimizer)}"
                )
            # the TensorFlow toolkit's way to say that training has not begun
            if int(wrapper.pruning_step.numpy()) < 0:
                wrapper.pruning_step.assign(0)
        self.follow(run)
        warn_never_reached(self.wrappers, run, done)
        for wrapper in self.attached.values():
            for other in [pruner for pruner in wrapper.pruners if pruner.model is self.model]:
                wrapper.pruners.discard(other)
            wrapper.pruners.add(self)
        self._seen, self._looked = self._count(), {}
        self._began = self._updates(), self._seen[1]
        self._planned = None if run.steps is None else self.step + run.steps - done
        self.on_step()

    def follow(self, run: Run) -> None:
        """Turn every schedule into optimizer steps, so that `tensors` can say what they ask for;
        nothing is pruned.

        Raises:
            TrainingError: a schedule needs the length of an epoch or of the run, and `run` does not
                say.
        """
        self._timetables = {
            address: timetable_of(address, wrapper, run)
            for address, wrapper in self.wrappers.items()
        }

    def stop(self) -> None:
        """Detach from the pruned layers; training them again needs a pruner again."""
        for wrapper in self.attached.values():
            wrapper.pruners.discard(self)
        function = getattr(self.model, "train_function", None)
        if function is not None and not isinstance(function, WithPruner):
            self.model.train_function = WithPruner(function, list(self.attached.values()))

    def project(self) -> None:
        """Zero what the masks mask, where something other than an optimizer update has written the
        weights: weight averaging (`use_ema`) when it ends.
        """
        for wrapper in self.wrappers.values():
            for weight, mask, _ in wrapper.pruning_vars:
                weight.assign(apply_mask(weight.numpy(), mask.numpy()))

    def on_step(self) -> None:
        """Update the masks that are due since the last update, on all replicas; nothing happens
        when none is.

        Raises:
            TrainingError: it is called inside of a step, where weights are changing.
        """
        check_between_steps("on_step")
        for address, step in self._read_steps().items():
            if self._is_due(address, step):
                update_masks(self.wrappers[address], self._started(address), step)
                self.wrappers[address].last_update.assign(step)

    @property
    def step(self) -> int:
        """Optimizer updates since the wrap; the largest number where layers differ."""
        return max(
            (int(wrapper.pruning_step.numpy()) for wrapper in self.wrappers.values()), default=0
        )

    @property
    def is_finished(self) -> bool:
        """Whether every layer has had the update that reaches its target."""
        return all(
            wrapper.last_update.numpy() >= target_step(self._started(address))
            for address, wrapper in self.wrappers.items()
        )

    @property
    def has_advanced(self) -> bool:
        """Whether the optimizer has counted an update since `start`."""
        return self._updates() > self._began[0]

    def standing_still(self) -> tuple[str, ...]:
        """Return the addresses of layers that no update has reached since `start`, although the
        optimizer has counted some: they get no gradient.

        Frozen layers follow the model, and those that several models share may be trained by
        another one.
        """
        if not self.has_advanced:
            return ()
        still = [
            address
            for address, step in self._began[1].items()
            if int(self.wrappers[address].pruning_step.numpy()) == step
        ]
        return tuple(
            address
            for address in still
            if self.wrappers[address].trainable and set(self.wrappers[address].pruners) <= {self}
        )

    def _updates(self) -> int:
        iterations = getattr(self._optimizer, "iterations", None)
        return 0 if iterations is None else int(iterations.numpy())

    def tensors(self) -> tuple[TensorProgress, ...]:
        """Return where each pruned tensor stands, in the model's order."""
        steps = self._read_steps()
        return tuple(
            progress
            for address, wrapper in self.wrappers.items()
            for progress in progress_of(address, wrapper, self._started(address), steps[address])
        )

    def total_sparsity(self) -> float:
        """Return the measured share of zeros over all pruned tensors; 0 when there are none."""
        tensors = self.tensors()
        return sum(tensor.zeros for tensor in tensors) / max(
            1, sum(tensor.size for tensor in tensors)
        )

    def _count(self) -> tuple[int | None, dict[str, int]]:
        """Return the optimizer's updates, where the layers cannot count them all, and the steps of
        each layer.

        Loss scaling counts updates that it skips, and layers that are all frozen see none.
        """
        is_scaled = isinstance(self._optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
        counted = self._updates() if is_scaled or self._all_frozen else None
        return counted, {
            address: int(wrapper.pruning_step.numpy()) for address, wrapper in self.wrappers.items()
        }

    @property
    def _all_frozen(self) -> bool:
        return not any(wrapper.trainable for wrapper in self.wrappers.values())

    def _read_steps(self) -> dict[str, int]:
        """Return the step of each layer, each variable read once: it is what a batch costs on the
        host.

        Layers get the steps since the last look that loss scaling skipped; what sets steps back
        (weights restored from earlier) is left as it is. A frozen layer has no updates of its own
        and follows the other pruned layers, or the optimizer where all are frozen, unless another
        model trains it in turn.
        """
        before, known = self._seen
        counted, read = self._count()
        passed, steps = (0 if counted is None or before is None else counted - before), dict(read)
        follows = self._all_frozen
        for address in read if passed else ():
            wrapper = self.wrappers[address]
            is_counted = wrapper.trainable or (follows and set(wrapper.pruners) <= {self})
            if is_counted and 0 <= read[address] - known[address] < passed:
                steps[address] = known[address] + passed
        newest = max(steps.values(), default=0)
        for address in [address for address, step in steps.items() if step < newest]:
            wrapper = self.wrappers[address]
            if not wrapper.trainable and set(wrapper.pruners) <= {self}:
                steps[address] = newest
        for address in [address for address, step in steps.items() if step != read[address]]:
            self.wrappers[address].pruning_step.assign(steps[address])
        self._seen = counted, steps
        return steps

    def _is_due(self, address: str, step: int) -> bool:
        """Return whether masks change at `step`; the variable with the last update is read only
        where the schedule asks for one since the last look.
        """
        looked, timetable = self._looked.get(address), self._started(address)
        self._looked[address] = step
        if looked is not None and (
            looked == step or (looked < step and not timetable.is_due(after=looked, step=step))
        ):
            return False
        return timetable.is_due(after=int(self.wrappers[address].last_update.numpy()), step=step)

    def _started(self, address: str) -> Timetable | OwnTimetable:
        if address not in self._timetables:
            raise TrainingError(
                "the pruner has not started; call start(Run(steps_per_epoch=..., epochs=...))"
                " before training"
            )
        return self._timetables[address]

    def check_pruned(self, callback: str) -> None:
        """Refuse to train a model in which no layer is pruned, with a callback that has nothing to
        do in it; warn where its pruned layers have no weights.

        Raises:
            TrainingError: no layer of the model is pruned.
        """
        name = self.model.name
        if not self.attached:
            raise TrainingError(
                f"{name}: {callback} was given to a model without pruned layers, so nothing would"
                " be pruned; train the model that prune_low_magnitude or apply_rules returned, the"
                " original stays as it is"
            )
        if not self.wrappers:
            warnings.warn(
                f"{name}: nothing is pruned, since its pruned layers have no weights to prune"
                f" ({', '.join(self.attached)}); prune layers with a kernel",
                stacklevel=2,
            )

    def warn_missed(self, *, was_stopped: bool) -> None:
        """Warn of layers that the planned run would have brought to their target and that are not
        there, where training ends.

        That is so when training was stopped (`was_stopped`), or when weights of an earlier step
        were restored: both are what EarlyStopping does.
        """
        missed: dict[tuple[str, int, int], list[str]] = {}
        still = self.standing_still()
        for address, wrapper in self.wrappers.items():
            if address in still:
                continue  # told at the first step, and not a matter of when training stops
            end = target_step(self._started(address))
            is_planned = was_stopped if self._planned is None else end <= self._planned
            if is_planned and int(wrapper.last_update.numpy()) < end:
                missed.setdefault(
                    (target_text(wrapper), end, int(wrapper.pruning_step.numpy())), []
                ).append(address)
        for (target, end, step), addresses in missed.items():
            warnings.warn(
                f"schedule/never-reached: {', '.join(addresses)}: training ends with the weights of"
                f" step {step}, and the schedule reaches {target} at step {end}; let EarlyStopping"
                " begin later (start_from_epoch), or end the schedule earlier",
                stacklevel=2,
            )

    def warn_standing_still(self) -> None:
        """Warn of layers that get no gradient, once the optimizer has made an update."""
        still = self.standing_still()
        if still:
            warnings.warn(
                f"{', '.join(still)}: the loss gives these layers no gradient, so no optimizer"
                " update reaches them and their schedules stand still; leave them out of the"
                " rules, or freeze them (trainable = False) to prune them as they are",
                stacklevel=2,
            )


def _new_optimizer(legacy: OptimizerV2) -> str:
    name = type(legacy).__name__
    known = name if hasattr(tf_keras.optimizers, name) else "Adam"
    return (
        f"compile with tf_keras.optimizers.{known}, or give --optimizer {known.lower()} to"
        " graphprune train"
    )


def _has_embedding(wrapper: PruneLowMagnitude) -> bool:
    return any(live_class(layer).has_sparse_gradients for layer in wrapper.layer._flatten_layers())
