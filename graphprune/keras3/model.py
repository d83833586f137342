"""A live Keras 3 model with pruned layers, as the engine sees it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import keras

from graphprune.archive.files import check_holds_masks
from graphprune.engine.pruner import no_pruner
from graphprune.errors import GraphError, TrainingError
from graphprune.graph.layers import SEPARATOR
from graphprune.keras3.backend import is_in_step, scope_of, sync
from graphprune.keras3.guards import refuse_quantization
from graphprune.keras3.held import HeldLayer
from graphprune.keras3.layers import addressed_layers
from graphprune.keras3.optimizers import (
    build_optimizer,
    count_skipped_updates,
    leave_masks_out_of_files,
    read_updates,
)
from graphprune.keras3.state import PruningState, state_of
from graphprune.keras3.torch_optimizer import TorchOptimizer, as_keras_optimizer

EXPECTED = "_graphprune_expected"
"""The attribute of a model that holds the pruners of the callbacks given to `fit`."""


def states_in(model: Any) -> Iterator[tuple[str, PruningState]]:
    """Yield (address, state) of the model itself, at `""`, and of all layers with a state."""
    seen: set[int] = set()
    for address, owner in [("", model), *addressed_layers(model)]:
        state = state_of(owner)
        if state is not None and id(state) not in seen:
            seen.add(id(state))
            yield address, state


def held_layers(model: Any) -> dict[str, HeldLayer]:
    """Return the pruned layers by address, each once.

    Raises:
        GraphError: this is not a model of Keras 3.
    """
    if not isinstance(model, keras.Model):
        raise GraphError(
            f"{type(model).__module__}.{type(model).__qualname__} is not a Keras 3 model"
        )
    found: dict[int, tuple[str, HeldLayer]] = {}
    for prefix, state in states_in(model):
        for address, held in state.layers.items():
            whole = SEPARATOR.join(part for part in (prefix, address) if part)
            found.setdefault(id(held.layer), (whole, held))
    order = {id(layer): index for index, (_, layer) in enumerate(addressed_layers(model))}
    return dict(sorted(found.values(), key=lambda item: order.get(id(item[1].layer), len(order))))


class KerasModel:
    """A live model with pruned layers, and the optimizer that trains it.

    Args:
        model: The model.
        optimizer: The optimizer, if a loop of the user's own trains a model that is not compiled:
            one of Keras, or of PyTorch (`torch.optim`).

    Attributes:
        layers: The pruned layers by address.
    """

    def __init__(self, model: Any, optimizer: Any = None) -> None:
        self.model, self._given = model, as_keras_optimizer(optimizer)
        self.layers = held_layers(model)
        if self.layers and state_of(model) is None:
            PruningState(model)  # stores the random generators of a model built from pruned layers
        if self.layers:
            guard_training(model)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.model.name)

    @property
    def optimizer(self) -> Any:
        """The optimizer; None if there is none yet."""
        return getattr(self.model, "optimizer", None) if self._given is None else self._given

    @property
    def skips_updates(self) -> bool:
        """False: in Keras 3 the steps of layers are read from the optimizer, skipped ones too."""
        return False

    def read_updates(self) -> int:
        """Return the updates of the optimizer; 0 if there is no optimizer."""
        optimizer = self.optimizer
        return 0 if optimizer is None else read_updates(self.model, optimizer)

    def read_steps(self) -> dict[str, int]:
        """Return the optimizer updates of each layer; most layers share a counter."""
        counters = {id(held.counter): held.counter for held in self.layers.values()}
        steps = {key: counter.read() for key, counter in counters.items()}
        return {address: steps[id(held.counter)] for address, held in self.layers.items()}

    def attach(self) -> None:
        """Add the masks to the optimizer, unless it holds them already.

        `compile` creates a new optimizer or sets one without masks, so this is called before each
        training.
        """
        model, optimizer = self.model, self.optimizer
        if optimizer is None or not self.layers or not model.built:
            return
        sync(model)
        with scope_of(model):
            self._attach_to(optimizer)

    def _attach_to(self, optimizer: Any) -> None:
        model = self.model
        build_optimizer(model, optimizer)
        for address, held in self.layers.items():
            if held.counter.optimizer is not optimizer:
                held.counter.follow(optimizer, lambda: read_updates(model, optimizer))
            for tensor in held.tensors:
                tensor.attach(optimizer, f"{address}_{tensor.name}")
        if isinstance(optimizer, TorchOptimizer):
            optimizer.follow(tensor for held in self.layers.values() for tensor in held.tensors)
        else:
            leave_masks_out_of_files(optimizer)
            count_skipped_updates(optimizer)

    def check(self) -> None:
        """Attach the masks, or refuse a model that cannot be pruned while it trains.

        Raises:
            TrainingError: a layer is not built, or there is no optimizer.
        """
        for address, held in self.layers.items():
            if not held.layer.built:
                raise TrainingError(
                    f"{address}: the pruned layer is not built; call the model on a batch of data,"
                    " or call model.build(input_shape), first"
                )
        if self.optimizer is None:
            raise TrainingError(
                f"{self.name}: the model has no optimizer to keep its masks; compile it first, or"
                " give the optimizer of your loop: Pruner(model, optimizer)"
            )
        self.attach()

    def check_between_steps(self, call: str) -> None:
        """Refuse the method named `call` inside a training step.

        Raises:
            TrainingError: a training step is running.
        """
        if is_in_step():
            raise TrainingError(
                f"{call} runs inside a compiled training step, where masks cannot change; call it"
                " after the step, in the Python loop around it"
            )

    def sync(self) -> None:
        """Write training state back into the variables."""
        sync(self.model)

    def release(self, pruner: object) -> None:
        """Record that `pruner` no longer follows the model."""
        expected = vars(self.model).get(EXPECTED)
        if expected is not None:
            expected.discard(pruner)

    def expect(self, pruner: object) -> None:
        """Record that `pruner` will follow the model when training begins."""
        guard_training(self.model)
        vars(self.model)[EXPECTED].add(pruner)


def check_masks_fit(model: Any, path: Any) -> None:
    """Refuse to save a pruned model as `.h5`.

    Raises:
        OutputError: the file could not hold the masks.
    """
    if not str(path).endswith(".keras") and held_layers(model):
        check_holds_masks(path)


def guard_training(model: Any) -> None:
    """Make the model refuse training without a pruner and saving without its masks.

    `fit` and `train_on_batch` first call `make_train_function`, before JAX takes the state out of
    the model; an error inside a step would lose that state.
    """
    if EXPECTED in vars(model) or not hasattr(model, "make_train_function"):
        return
    make, expected = model.make_train_function, weakref.WeakSet[Any]()
    vars(model)[EXPECTED] = expected

    def make_train_function(*args: Any, **kwargs: Any) -> Any:
        for held in held_layers(model).values():
            if not held.pruners and not expected:
                raise no_pruner(held.name)
        return make(*args, **kwargs)

    model.make_train_function = make_train_function
    _guard_copies(model)


def _guard_copies(model: Any) -> None:
    """Make the model refuse to save as `.h5` and to be quantized, and pickle with its masks."""
    save: Any = model.save
    quantize: Any = getattr(model, "quantize", None)

    def save_with_masks(filepath: Any, *args: Any, **kwargs: Any) -> Any:
        check_masks_fit(model, filepath)
        return save(filepath, *args, **kwargs)

    def quantize_unpruned(*args: Any, **kwargs: Any) -> Any:
        if held_layers(model):
            raise refuse_quantization(model.name)
        return quantize(*args, **kwargs)

    def reduce(protocol: int) -> tuple[Any, ...]:
        from graphprune.keras3.scope import load_pickled  # it imports this module

        kind: Any = type(model)
        return load_pickled, kind.__reduce__(model)[1]

    model.save, model.__reduce_ex__ = save_with_masks, reduce
    if quantize is not None:  # not in all versions that are supported
        model.quantize = quantize_unpruned
