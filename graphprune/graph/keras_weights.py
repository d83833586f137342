"""Which tensor of a `.keras` file is which weight: layers by class and number, weights by order."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Sequence

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.entries import Entry, to_snake_case, type_of
from graphprune.archive.hdf5.index import LAYERS, LAYERS_UNTIL_2_14
from graphprune.archive.pruning_state import is_state_group
from graphprune.archive.tfmot import is_toolkit_config
from graphprune.graph.classes.builtin_layers import known_class, weights_of
from graphprune.graph.classes.layer_class import Weight
from graphprune.graph.classes.quantization import quantized_weights
from graphprune.graph.frames import Frame
from graphprune.graph.inner_layers import InnerLayer, inner_layers, is_seed, layers_of_model
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.out_of_reach import HeldGraph, find_held_graph
from graphprune.graph.weight_faults import Named, misfit
from graphprune.graph.wrappers import (
    TOOLKIT_STATE,
    names_in_wrapper,
    rename_by_wrapper,
    toolkit_state_names,
)
from graphprune.wrapper_names import state_names

Below = list[tuple[str, StoredTensor]]
"""Tensors with their groups."""


def locate_keras(archive: Archive, graph: LayerGraph) -> tuple[dict[str, Named], list[InnerLayer]]:
    """Return the tensors of each layer by bare name, the state of pruning wrappers included.

    Also return the layers that only the weights show; their tensors are among the others.

    Raises:
        ArchiveError: the weights are damaged or do not fit the config.
    """
    walk = _KerasWalk(archive)
    if graph.is_connected:
        found = walk.locate(graph, walk.layers)
    else:
        found, walk.inner = {}, layers_of_model(archive)
    return found | {layer.address: layer.named for layer in walk.inner}, walk.inner


def layer_addresses(archive: Archive, graph: LayerGraph) -> dict[str, str]:
    """Return the address of the layer that each group of a `.keras` file belongs to."""
    walk = _KerasWalk(archive)
    walk.locate(graph, walk.layers)
    return walk.addresses


def layers_group(archive: Archive) -> str:
    """Return the group of a model's layers in a `.keras` file.

    TensorFlow 2.12 to 2.14 had another one.
    """
    return (
        LAYERS_UNTIL_2_14
        if any(group.startswith(f"{LAYERS_UNTIL_2_14}/") for group in archive.stored)
        else LAYERS
    )


class _KerasWalk:
    """Walks a model as `_save_container_state` of tf_keras/src/saving/saving_lib.py does.

    A layer's group is its class in snake case with a counter, and each object is saved once: a
    layer that also stands in another model carries the same `shared_object_id` there, or has lost
    it on its first place, because nested models copy their configs before the second place is met.
    In Keras 3 such a layer takes a number there, although it has no group.

    TensorFlow 2.12 and 2.13 counted each layer with weights twice, also where it stood again
    (`_layer_checkpoint_dependencies` of keras/engine/functional.py).

    Attributes:
        layers: The group in which a model has its layers.
        inner: The layers inside custom layers that were met.
        addresses: The address of the first layer at each group, once it was located.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._groups = sorted(group for group in archive.stored if not is_state_group(group))
        self.addresses: dict[str, str] = {}
        self.layers = layers_group(archive)
        self._counts_twice = (
            self.layers == LAYERS_UNTIL_2_14 and not archive.keras_version.startswith("2.14.")
        )
        self.inner: list[InnerLayer] = []
        self._shared: dict[int, str] = {}
        self._marks: Counter[int | None] = Counter()
        self._by_name: dict[tuple[str, str], str] = {}
        self._inside: dict[str, list[str]] = {}
        """By the place of a model's layers, the places of all of them: a model that stands in the
        file again has no others.
        """

    def locate(self, graph: LayerGraph, path: str) -> dict[str, Named]:
        """Return the tensors of each layer of a model whose layers are stored below `path`."""
        self._marks.update(
            _shared_id(graph.layers[frame.address_of(member.name)])
            for frame in graph.frames.values()
            for member in frame.members
        )
        return dict(self._walk(graph, graph.frames[""], path))

    def _walk(self, graph: LayerGraph, frame: Frame, path: str) -> Iterator[tuple[str, Named]]:
        counters: dict[str, int] = {}
        known, places = self._inside.get(path, ()), list[str]()
        for index, member in enumerate(frame.members):
            address = frame.address_of(member.name)
            layer = graph.layers[address]
            place = known[index] if index < len(known) else self._place(layer, path, counters)
            places.append(place)
            self.addresses.setdefault(place, address)
            if address in graph.frames:
                yield from self._walk(graph, graph.frames[address], f"{place}/{self.layers}")
            elif named := self._name(layer, place):
                yield address, named
        self._inside.setdefault(path, places)

    def _place(self, layer: Layer, path: str, counters: dict[str, int]) -> str:
        entry, shared = _outer_entry(layer), _shared_id(layer)
        known = (type_of(entry), layer.name)
        record = known_class(entry)
        own = entry["class_name"].rsplit(">", 1)[-1]
        name = to_snake_case(own if record is None else record.file_class or own)
        if self._archive.dialect == "keras3":
            name = name.removeprefix("private")
        if self._counts_twice:
            return self._place_counted_twice(known, f"{path}/{name}", counters)
        number = counters.get(name, -1) + 1
        if self._archive.dialect == "keras3":
            counters[name] = number  # also taken by a layer that was saved before
        if shared is not None and self._marks[shared] == 1 and known in self._by_name:
            return self._by_name[known]
        if shared in self._shared:
            return self._shared[shared]
        counters[name] = number
        place = f"{path}/{name}_{number}" if number else f"{path}/{name}"
        if shared is not None:
            self._shared[shared] = place
        self._by_name.setdefault(known, place)
        return place

    def _place_counted_twice(
        self, known: tuple[str, str], group: str, counters: dict[str, int]
    ) -> str:
        """Return the group of a layer; a layer that occurs again takes numbers without tensors."""
        number = counters.get(group, -1) + 1
        own = f"{group}_{number}" if number else group
        place = own if self._below(own) else self._by_name.get(known, own)
        counters[group] = number + bool(self._below(place))
        self._by_name.setdefault(known, place)
        return place

    def _name(self, layer: Layer, path: str) -> Named:
        stored = self._archive.stored
        if layer.wrap is None:
            return self._own(layer, path)
        state = stored.get(path, ())
        if is_toolkit_config(layer.wrap.entry["config"]):
            return {**self._own(layer, f"{path}/layer"), **self._toolkit_state(layer, state)}
        pruned = layer.wrap.pruning.weights if layer.wrap.pruning else ()
        names = state_names(pruned)
        if len(names) != len(state):
            raise misfit(self._archive, layer, names, len(state))
        return {**self._own(layer, f"{path}/layer"), **dict(zip(names, state, strict=True))}

    def _toolkit_state(self, layer: Layer, state: Sequence[StoredTensor]) -> Named:
        """Return the state of a wrapper of tfmot, which comes after its pruned weights."""
        count, rest = divmod(len(state), 3)
        pruning = None if layer.wrap is None else layer.wrap.pruning
        if rest != 1 or (pruning is not None and len(pruning.weights) != count):
            raise misfit(self._archive, layer, TOOLKIT_STATE, len(state))
        return dict(
            zip(
                toolkit_state_names([*("mask", "threshold") * count, "pruning_step"], pruning),
                state[count:],
                strict=True,
            )
        )

    def _own(self, layer: Layer, path: str) -> Named:
        weights = weights_of(layer.entry)
        below = self._below(path)
        if not below:
            return {}
        if weights is not None:
            return self._known(layer, weights, path)
        if self._archive.dialect == "keras3" and not self._archive.describe([path])[path].is_whole:
            groups = dict.fromkeys(group for group, _ in below if group != path)
            self.inner += inner_layers(self._archive, groups, layer, path)
            return {tensor.name: tensor for group, tensor in below if group == path}
        held = find_held_graph(layer)
        if held is not None:
            return self._held(held, path, below)
        names = names_in_wrapper(layer)
        numbered = _named_by_place(path, below)
        if (named := rename_by_wrapper(layer, "keras", numbered)) is not numbered:
            return named
        # in one group, the order is that of `layer.weights`
        if len(names) == len(below) and len({group for group, _ in below}) == 1:
            return {name: tensor for name, (_, tensor) in zip(names, below, strict=True)}
        record = known_class(layer.entry)
        twice = "" if record is None else record.stored_twice
        return _named_by_place(
            path,
            [
                (group, tensor)
                for group, tensor in below
                if not (twice and _stands_in(group, f"{path}/{twice}"))
            ],
        )

    def _known(self, layer: Layer, weights: Sequence[Weight], path: str) -> Named:
        by_group: dict[str, list[Weight]] = {}
        for weight in weights:
            inside = self._path_inside(weight, path)
            by_group.setdefault(f"{path}/{inside}" if inside else path, []).append(weight)
        found: dict[str, StoredTensor] = {}
        for group, members in by_group.items():
            stored = self._archive.stored.get(group, ())
            if len(stored) != len(members) and self._archive.dialect == "keras3":
                quantized = quantized_weights(members, [tensor.dtype for tensor in stored])
                members = members if quantized is None else list(quantized)
            if len(stored) != len(members):
                raise misfit(
                    self._archive,
                    layer,
                    [weight.name for weight in members],
                    len(stored),
                    _missing(members, stored),
                )
            found.update(
                (weight.name, tensor)
                for weight, tensor in zip(members, stored, strict=True)
                if not weight.is_copy
            )
        own = [weight.name for weight in weights if weight.name in found]
        return {name: found[name] for name in own} | found

    def _path_inside(self, weight: Weight, path: str) -> str:
        """Return where the layer stored at `path` has a weight.

        Keras 3 names the parts of a layer by their public properties where they have one,
        `query_dense` for `_query_dense`.
        """
        public = "/".join(part.removeprefix("_") for part in weight.path.split("/"))
        if self._archive.dialect == "keras3" and f"{path}/{public}" in self._archive.stored:
            return public
        return weight.path

    def _held(self, held: HeldGraph, path: str, below: Below) -> Named:
        """Return the weights of a model inside a layer, then the layer's own."""
        inside = held.join(self.locate(held.graph, "/".join((path, *held.path, self.layers))))
        taken = {tensor.path for tensor in inside.values()}
        return inside | _named_by_place(
            path, [(group, tensor) for group, tensor in below if tensor.path not in taken]
        )

    def _below(self, path: str) -> Below:
        """Return the tensors in the group `path` and below it, without Keras 3's seeds."""
        found = [(path, tensor) for tensor in self._archive.stored.get(path, ())]
        first = bisect.bisect_left(self._groups, f"{path}/")
        for index in range(first, len(self._groups)):
            group = self._groups[index]
            if not group.startswith(f"{path}/"):
                break
            found += [(group, tensor) for tensor in self._archive.stored[group]]
        return [item for item in found if self._archive.dialect != "keras3" or not is_seed(item[0])]


def _named_by_place(path: str, below: Below) -> dict[str, StoredTensor]:
    """Return tensors by where they stand below `path`: nothing else is known of them."""
    return {
        f"{group[len(path) + 1 :]}/{tensor.name}".lstrip("/").replace("/", "."): tensor
        for group, tensor in below
    }


def _stands_in(group: str, path: str) -> bool:
    return group == path or group.startswith(f"{path}/")


def _missing(weights: Sequence[Weight], stored: Sequence[StoredTensor]) -> list[str]:
    """Return which of the weights of one group are not there, where their numbers tell."""
    numbers = {tensor.name for tensor in stored}
    wanted = {str(number): weight.name for number, weight in enumerate(weights)}
    return (
        [name for number, name in wanted.items() if number not in numbers]
        if numbers < wanted.keys()
        else []
    )


def _outer_entry(layer: Layer) -> Entry:
    return layer.entry if layer.wrap is None else layer.wrap.entry


def _shared_id(layer: Layer) -> int | None:
    entry = _outer_entry(layer)
    shared = entry.get("shared_object_id") if "module" in entry else None
    return shared if isinstance(shared, int) else None
