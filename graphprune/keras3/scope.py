"""The scope in which Keras 3 loads a model together with its pruning state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.saving import saving_lib

from graphprune.archive.pruning_state import GROUP, SETTINGS, frozen_from_bytes, settings_from_bytes
from graphprune.keras3.frozen import restore_frozen
from graphprune.keras3.model import KerasModel
from graphprune.keras3.quick_walks import quick_walks
from graphprune.keras3.state import adopt, state_of
from graphprune.replaced import replaced


@contextmanager
def prune_scope() -> Iterator[None]:
    """Load models with the pruning state in their files, which Keras otherwise ignores.

    Keras loads the state of each object of a model through `saving_lib._load_state`; inside the
    scope, an object whose file has a group `graphprune` gets its state before that.
    """
    load = saving_lib._load_state

    def load_state(saveable: Any, weights_store: Any, *args: Any, **kwargs: Any) -> Any:
        inner_path = args[1] if len(args) > 1 else kwargs["inner_path"]
        _adopt_stored(saveable, weights_store, inner_path)
        return load(saveable, weights_store, *args, **kwargs)

    with quick_walks(), replaced((saving_lib, "_load_state", load_state)):
        yield


def load_pickled(buffer: Any) -> Any:
    """Return the pruned model that `pickle` or `copy.deepcopy` has written to `buffer`."""
    with prune_scope():
        return keras.Model._unpickle_model(buffer)


def _adopt_stored(saveable: Any, weights_store: Any, inner_path: str) -> None:
    if not isinstance(saveable, keras.layers.Layer) or state_of(saveable) is not None:
        return
    path = f"{inner_path}/{GROUP}".lstrip("/")
    store = weights_store.get(path)
    if SETTINGS not in store.keys():  # noqa: SIM118 - the stores of Keras are no mappings
        return
    settings = store[SETTINGS]
    adopt(saveable, settings_from_bytes(settings))
    if isinstance(saveable, keras.Model) and inner_path == "":
        frozen = frozen_from_bytes(settings)
        if frozen is not None:
            restore_frozen(saveable, frozen)
        KerasModel(saveable).attach()
