"""What is frozen in a live Keras 3 model, written with its pruning state and restored from it.

A config does not say it of single weights, of layers inside custom layers, and of models whose
config is the arguments of their constructor (KerasHub's backbones). Keras loads these as trainable,
so that the state of their optimizer does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.archive.pruning_state import FrozenPart
from graphprune.errors import ArchiveError
from graphprune.keras3.layers import unique_layers
from graphprune.keras3.optimizers import renew_optimizer


def find_frozen(model: Any) -> dict[str, FrozenPart]:
    """Return the frozen parts of a model by place."""
    return {place: part for place, layer in _placed_layers(model) if (part := _part_of(layer))}


def restore_frozen(model: Any, frozen: Mapping[str, FrozenPart]) -> None:
    """Freeze these parts of a loaded model and nothing else, before its optimizer's state is read.

    Raises:
        ArchiveError: the model has no such part.
    """
    placed = dict(_placed_layers(model))
    for place, part in frozen.items():
        if place not in placed or max(part.weights, default=0) >= _size(placed[place]):
            raise ArchiveError(f"the file has a frozen part {place!r} that is not in the model")
    before = list(map(id, model.trainable_variables))
    for place, layer in placed.items():
        part = frozen.get(place, FrozenPart())
        layer._trainable = not part.is_layer  # its setter would set that of inner layers too
        for index, weight in enumerate(layer._trainable_variables):
            weight.trainable = index not in part.weights
    if before != list(map(id, model.trainable_variables)):
        renew_optimizer(model)


def _size(layer: Any) -> int:
    return max(1, len(layer._trainable_variables))


def _part_of(layer: Any) -> FrozenPart | None:
    """Return what is frozen in a layer itself; None if that is nothing."""
    weights = enumerate(layer._trainable_variables)
    part = FrozenPart(
        not layer.trainable, tuple(index for index, weight in weights if not weight.trainable)
    )
    return part if part != FrozenPart() else None


def _placed_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (place, layer) of the model and of all layers in it, each once.

    The place is the address; of layers inside a layer that have none, its address and a number.
    """
    addressed = {"": model, **unique_layers(model)}
    seen = set(map(id, addressed.values()))
    yield from addressed.items()
    for address, owner in reversed(addressed.items()):  # inner layers first
        inner = [layer for layer in owner._flatten_layers() if id(layer) not in seen]
        seen.update(map(id, inner))
        yield from ((f"{address}:{index}", layer) for index, layer in enumerate(inner))
