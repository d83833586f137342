"""The pruning state as a child of a model or layer, saved and loaded with it by Keras.

It is the group `graphprune` in the weights file: settings as JSON, masks as bits, thresholds,
steps and the states of random generators. Keras ignores a group without a matching attribute in the
model, so the file also loads where graphprune is not installed.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras.src.saving.keras_saveable import KerasSaveable
from numpy.typing import NDArray

from graphprune.archive.pruning_state import (
    GROUP,
    SETTINGS,
    mask_key,
    pack_mask,
    settings_from_bytes,
    settings_to_bytes,
    unpack_mask,
)
from graphprune.engine.schedules import PruningSchedule
from graphprune.errors import ArchiveError
from graphprune.keras3.backend import read, read_generator, write_generator
from graphprune.keras3.frozen import find_frozen
from graphprune.keras3.held import HeldLayer, HeldTensor, StepCounter
from graphprune.keras3.layers import unique_layers
from graphprune.sparsity.pruning import Provenance, Pruning

_NUMBER = re.compile(r"_\d+(?![^./])")
"""The number at the end of a name in an address, such as that of `dense_1`."""


class PruningState(KerasSaveable):
    """The pruned layers of a model, or of one layer that is not in a model yet.

    Attributes:
        layers: The pruned layers by address in the owner; the owner itself is `""`.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = weakref.ref(owner)
        self.layers: dict[str, HeldLayer] = {}
        self._generator: NDArray[np.uint8] | None = None
        setattr(owner, GROUP, self)

    def __dir__(self) -> list[str]:
        """Return no names, so that Keras does not search the object for state to save."""
        return []

    def _obj_type(self) -> str:
        return "Layer"  # Keras before 3.11 does not know "Operation"

    def save_own_variables(self, store: Any) -> None:
        """Write the state into the group of a weights file."""
        masks = list(self._tensors())
        owner = self._owner()
        frozen = find_frozen(owner) if isinstance(owner, keras.Model) else None
        store[SETTINGS] = settings_to_bytes(self._settings(), frozen)
        for index, tensor in enumerate(masks):
            store[mask_key(index)] = pack_mask(tensor.read_mask())
        for index, generator in enumerate(self._generators()):
            store[f"seed_{index}"] = read(generator.state)
        state = read_generator()
        if state is not None:
            store["generator"] = state

    def load_own_variables(self, store: Any) -> None:
        """Read the state that `save_own_variables` wrote; a file without state changes nothing.

        Raises:
            ArchiveError: the file has the state of other layers.
        """
        if SETTINGS not in store.keys():  # noqa: SIM118 - the stores of Keras are no mappings
            return
        found = self._by_own_address(settings_from_bytes(store[SETTINGS]))
        self._check(found)
        self.share_counters(
            {address: (entry["step"], entry["updates"]) for address, entry in found.items()}
        )
        for address, held in self.layers.items():
            _restore(held, found[address])
        for index, tensor in enumerate(self._tensors()):
            mask = unpack_mask(store[mask_key(index)], tensor.shape)
            tensor.write_mask(mask, tensor.threshold)
        for index, generator in enumerate(self._generators()):
            if f"seed_{index}" in store.keys():  # noqa: SIM118
                generator.state.assign(store[f"seed_{index}"])
        if "generator" in store.keys():  # noqa: SIM118
            self._generator = np.asarray(store["generator"], np.uint8)

    def restore_generator(self) -> None:
        """Restore the backend's global random generator from the loaded training, once."""
        if self._generator is not None:
            write_generator(self._generator)
            self._generator = None

    def share_counters(self, steps: Mapping[str, Any] | None = None) -> None:
        """Let layers of the same step share a counter, and other layers have their own.

        Args:
            steps: What tells the steps of layers apart, by address; their steps so far if None.
        """
        if steps is None:
            steps = {address: held.read_step() for address, held in self.layers.items()}
        by_step: dict[Any, StepCounter] = {}
        for address, held in self.layers.items():
            step = steps[address]
            if step not in by_step:
                is_taken = any(held.counter is other for other in by_step.values())
                by_step[step] = held.counter.twin() if is_taken else held.counter
            held.counter = by_step[step]

    def _by_own_address(self, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the settings of a file by the addresses of this model.

        Keras numbers layers without a name anew in each model that a process makes, and finds
        weights by place; so do settings if only the numbers in names differ.
        """
        own = list(self.layers)
        if [_NUMBER.sub("", one) for one in own] != [_NUMBER.sub("", one) for one in found]:
            return found
        return dict(zip(own, found.values(), strict=True))

    def _check(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        own = {address: list(held.pruning.weights) for address, held in self.layers.items()}
        stored = {address: list(entry["pruning"]["weights"]) for address, entry in found.items()}
        if own != stored:
            different = sorted(
                address
                for address in own.keys() | stored.keys()
                if own.get(address) != stored.get(address)
            )
            raise ArchiveError(
                f"the file has the masks of other layers than the model ({', '.join(different)});"
                " load the whole model under graphprune.prune_scope()"
            )

    def _settings(self) -> dict[str, dict[str, Any]]:
        """Return the settings of each layer; a counter that layers share is read once."""
        counters = {id(held.counter): held.counter for held in self.layers.values()}
        steps = {key: (one.read(), one.updates) for key, one in counters.items()}
        return {
            address: _settings_of(held, *steps[id(held.counter)])
            for address, held in self.layers.items()
        }

    def _tensors(self) -> Iterator[HeldTensor]:
        return (tensor for held in self.layers.values() for tensor in held.tensors)

    def _generators(self) -> list[Any]:
        """Return the random generators of the owner's layers, each once, in order."""
        owner = self._owner()
        return seed_generators(owner) if isinstance(owner, keras.Model) else []


def seed_generators(model: Any) -> list[Any]:
    """Return the random generators of a model's layers, each once, in order."""
    layers = model._flatten_layers()
    found = {id(one): one for layer in layers for one in layer._seed_generators}
    return list(found.values())


def state_of(owner: Any) -> PruningState | None:
    """Return the state that a model or layer holds itself, or None."""
    found = vars(owner).get(GROUP)
    return found if isinstance(found, PruningState) else None


def adopt(owner: Any, settings: Mapping[str, Mapping[str, Any]]) -> PruningState:
    """Return a new state for the layers of `owner` that the settings of a file name.

    Raises:
        ArchiveError: the model has no such layer.
    """
    layers = {"": owner} if "" in settings else unique_layers(owner)
    state = PruningState(owner)
    for address, entry in settings.items():
        if address not in layers:
            raise ArchiveError(
                f"the file has masks for a layer {address!r} that is not in the model"
            )
        state.layers[address] = HeldLayer(
            layers[address],
            Pruning.from_config(entry["pruning"]),
            _read_schedule(entry.get("own_schedule")),
            Provenance.from_config(entry["provenance"]),
            entry.get("places", {}),
        )
    state.share_counters()
    return state


def _settings_of(held: HeldLayer, step: int, updates: int | None) -> dict[str, Any]:
    settings = {
        "pruning": held.pruning.to_config(),
        "provenance": held.provenance.to_config(),
        "step": step,
        "updates": updates,
        "last_update": held.read_last_update(),
        "thresholds": [float(tensor.threshold) for tensor in held.tensors],
    }
    if held.places:
        settings["places"] = held.places
    if held.own_schedule is not None:
        settings["own_schedule"] = keras.saving.serialize_keras_object(held.own_schedule)
    return settings


def _restore(held: HeldLayer, settings: Mapping[str, Any]) -> None:
    held.pruning = Pruning.from_config(settings["pruning"])
    held.counter.restore(int(settings["step"]), settings["updates"])
    held.write_last_update(int(settings["last_update"]))
    for tensor, threshold in zip(held.tensors, settings["thresholds"], strict=True):
        tensor.threshold = float(threshold)


def _read_schedule(value: Any) -> PruningSchedule | None:
    if value is None:
        return None
    found: PruningSchedule = keras.saving.deserialize_keras_object(value)
    return found
