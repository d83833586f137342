"""Pruned layers of a model that is converted: wrappers of tf_keras, attached masks of Keras 3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from graphprune.archive import Archive
from graphprune.archive.entries import Entry, type_of
from graphprune.archive.pruning_state import SETTINGS, is_state_group, settings_from_bytes
from graphprune.errors import GraphError
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.read import ModelFile

_OWN = "own_schedule"


def unwrapped_config(
    graph: LayerGraph, learned: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the config of a model without its pruning wrappers; names stay the same.

    Args:
        graph: The model.
        learned: Settings to add, by address (`learned_settings`).
    """
    changed = {
        address: replace(layer, wrap=None, entry=_with_settings(layer.entry, learned.get(address)))
        for address, layer in graph.layers.items()
        if layer.holder is None and (layer.wrap is not None or address in learned)
    }
    return graph.replace(changed).to_config()


def _with_settings(entry: Entry, settings: Mapping[str, Any] | None) -> Entry:
    return entry if settings is None else {**entry, "config": {**entry["config"], **settings}}


def check_schedules(source: ModelFile) -> None:
    """Refuse wrappers whose pruning is unknown, and schedules of a user's own class.

    The other Keras has no such class, and nothing in the file is run.

    Raises:
        ArchiveError: the file is damaged.
        GraphError: there is one; the text names the layer.
    """
    for layer in source.graph.layers.values():
        if layer.wrap is not None and layer.wrap.pruning is None:
            raise _refused(source, layer.address, "how its pruning wrapper prunes is unknown")
    for address, kind in _own_schedules(source):
        raise _refused(source, address, f"its pruning schedule is of a class of your own ({kind})")


def _refused(source: ModelFile, address: str, why: str) -> GraphError:
    return GraphError(
        f"layer {address!r}: {why}, so it cannot be converted; strip the model first, and convert"
        " the result",
        "convert/refused",
        place=source.path,
    )


def _own_schedules(source: ModelFile) -> Iterator[tuple[str, str]]:
    """Yield the address of each layer with a schedule of a user's own class, and the class."""
    for layer in source.graph.layers.values():
        if layer.wrap is not None and not layer.wrap.is_attached:
            schedule = layer.wrap.entry["config"].get(_OWN)
            if schedule is not None:
                yield layer.address, _class_of(schedule)
    for address, settings in _attached(source.need_archive()):
        if settings.get(_OWN) is not None:
            yield address, _class_of(settings[_OWN])


def _attached(archive: Archive) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the settings of each layer in the groups `graphprune` of a Keras 3 file."""
    for group in archive.stored:
        if is_state_group(group):
            stored = next(one for one in archive.stored[group] if one.name == SETTINGS)
            yield from settings_from_bytes(archive.read(stored), archive.path).items()


def _class_of(schedule: Any) -> str:
    return type_of(schedule) if isinstance(schedule, Mapping) else str(schedule)


def check_all_pruned(source: ModelFile, made: ModelFile, renamed: Mapping[str, str]) -> None:
    """Check that every layer that was pruned is pruned in the result.

    Raises:
        GraphError: one is not; the text names it.
    """
    before = [address for address, layer in source.graph.layers.items() if is_pruned(layer)]
    places = {address: _places(source, address) for address in before}
    reached = [
        places[address]
        for address in before
        if is_pruned(made.graph.layers[renamed.get(address, address)])
    ]
    for address in before:
        # of a layer that stands in several models, a file of Keras 3 names one place
        if places[address] not in reached:
            raise _refused(source, address, "the other Keras builds it in another place")


def is_pruned(layer: Layer) -> bool:
    """Return whether weights of a layer are pruned; tfmot also wraps layers without such."""
    pruning = None if layer.wrap is None else layer.wrap.pruning
    return pruning is not None and len(pruning.weights) > 0


def _places(source: ModelFile, address: str) -> list[str]:
    return [tensor.path for tensor in source.weights.tensors[address].values()]
