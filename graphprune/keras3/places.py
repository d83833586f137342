"""Where Keras 3 saves each variable of a model or layer: its group and name in the weights file.

Weights of custom layers have no other names in files.
"""

from __future__ import annotations

from typing import Any

from keras.src.backend import Variable  # Keras before 3.7 has another as keras.Variable
from keras.src.saving import saving_lib

from graphprune.archive.pruning_state import GROUP, is_state_group
from graphprune.errors import PlanError
from graphprune.keras3.quick_walks import quick_walks


class PlaceStore(saving_lib.H5IOStore):
    """A store for Keras to save a model into, which notes the place of each variable.

    Attributes:
        groups: What was saved by group and name: variables, and values that Keras computed.
    """

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return True

    def make(self, path: str, metadata: Any = None) -> dict[str, Any]:
        """Return the group at a path, for Keras to fill."""
        return self.groups.setdefault(path, {})


def saved_places(saveable: Any, without: Any = None) -> dict[str, dict[str, Any]]:
    """Return what Keras saves of a model or layer, by group and name, except of `without`."""
    store = PlaceStore()
    with quick_walks():
        saving_lib._save_state(
            saveable, store, assets_store=None, inner_path="", visited_saveables={id(without)}
        )
    return {group: entries for group, entries in store.groups.items() if entries}


def place_of(layer: Any, variable: Any) -> str | None:
    """Return where a layer saves a variable (`inner/vars/0`); None if it saves it nowhere."""
    return next((place for place, found in _by_place(layer).items() if found is variable), None)


def variable_at(layer: Any, place: str) -> Any:
    """Return the variable that `place_of` found at a place.

    Raises:
        PlanError: the layer saves no variable there.
    """
    found = _by_place(layer).get(place)
    if not isinstance(found, Variable):
        raise PlanError(
            f"{layer.name}: {type(layer).__name__} saves no weight at {place!r}; its class is"
            " another than that of the pruned model"
        )
    return found


def _by_place(layer: Any) -> dict[str, Any]:
    own_state = vars(layer).get(GROUP)  # which asks for the places of the layer's weights itself
    return {
        f"{group}/vars/{name}".lstrip("/"): value
        for group, entries in saved_places(layer, without=own_state).items()
        if not is_state_group(group)
        for name, value in entries.items()
    }
