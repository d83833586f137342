"""The pruning state as a child of a model or layer, saved and loaded with it by Keras.

It is the group `graphprune` in the weights file: settings as JSON, masks as bits, thresholds,
steps and the states of random generators. Keras ignores a group without a matching attribute in the
model, so the file also loads where graphprune is not installed.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras.src.saving.keras_saveable import KerasSaveable
from numpy.typing import NDArray

from graphprune.engine.schedules import PruningSchedule
from graphprune.errors import ArchiveError
from graphprune.keras3.backend import read, read_generator, write_generator
from graphprune.keras3.held import HeldLayer, HeldTensor
from graphprune.keras3.layers import unique_layers
from graphprune.sparsity.pruning import Provenance, Pruning

ATTRIBUTE = "graphprune"
"""The attribute that holds the state, and the name of its group in a weights file."""
SETTINGS, VERSION = "settings", 1


class PruningState(KerasSaveable):
    """The pruned layers of a model, or of one layer that is not in a model yet.

    Attributes:
        layers: The pruned layers by address in the owner; the owner itself is `""`.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = weakref.ref(owner)
        self.layers: dict[str, HeldLayer] = {}
        self._generator: NDArray[np.uint8] | None = None
        setattr(owner, ATTRIBUTE, self)

    def __dir__(self) -> list[str]:
        """Return no names, so that Keras does not search the object for state to save."""
        return []

    def _obj_type(self) -> str:
        return "Operation"

    def save_own_variables(self, store: Any) -> None:
        """Write the state into the group of a weights file."""
        masks = list(self._tensors())
        settings = {
            "version": VERSION,
            "layers": {address: _settings_of(held) for address, held in self.layers.items()},
        }
        store[SETTINGS] = np.frombuffer(json.dumps(settings).encode(), np.uint8)
        for index, tensor in enumerate(masks):
            store[f"mask_{index}"] = np.packbits(tensor.read_mask())
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
        found = read_settings(store)
        self._check(found)
        for address, held in self.layers.items():
            _restore(held, found[address])
        for index, tensor in enumerate(self._tensors()):
            bits = np.unpackbits(np.asarray(store[f"mask_{index}"], np.uint8))
            count = int(np.prod(tensor.shape))
            tensor.write_mask(bits[:count].astype(np.bool_).reshape(tensor.shape), tensor.threshold)
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

    def _tensors(self) -> Iterator[HeldTensor]:
        return (tensor for held in self.layers.values() for tensor in held.tensors)

    def _generators(self) -> list[Any]:
        """Return the random generators of the owner's layers, each once, in order."""
        owner = self._owner()
        if not isinstance(owner, keras.Model):
            return []
        layers = owner._flatten_layers()
        found = {id(one): one for layer in layers for one in layer._seed_generators}
        return list(found.values())


def state_of(owner: Any) -> PruningState | None:
    """Return the state that a model or layer holds itself, or None."""
    found = vars(owner).get(ATTRIBUTE)
    return found if isinstance(found, PruningState) else None


def read_settings(store: Any) -> dict[str, dict[str, Any]]:
    """Return the stored settings of each pruned layer, by address.

    Raises:
        ArchiveError: it was written by a newer version, or is damaged.
    """
    try:
        settings = json.loads(np.asarray(store[SETTINGS], np.uint8).tobytes())
        version, layers = settings["version"], settings["layers"]
    except (KeyError, TypeError, ValueError) as err:
        raise ArchiveError(
            f"the group {ATTRIBUTE!r} of the weights file is damaged ({err})"
        ) from err
    if version != VERSION:
        raise ArchiveError(
            f"the group {ATTRIBUTE!r} of the weights file has version {version}, this graphprune"
            f" reads version {VERSION}; update graphprune"
        )
    return dict(layers)


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
        )
    share_counter(state)
    return state


def share_counter(state: PruningState) -> None:
    """Give all layers of a state the same step counter."""
    held = list(state.layers.values())
    for other in held[1:]:
        other.counter = held[0].counter


def _settings_of(held: HeldLayer) -> dict[str, Any]:
    settings = {
        "pruning": held.pruning.to_config(),
        "provenance": held.provenance.to_config(),
        "step": held.read_step(),
        "updates": held.counter.updates,
        "last_update": held.read_last_update(),
        "thresholds": [float(tensor.threshold) for tensor in held.tensors],
    }
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
