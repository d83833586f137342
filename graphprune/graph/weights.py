"""Which stored tensor is which weight of which layer, without building the model."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.toolkit import PREFIX, is_toolkit_config
from graphprune.errors import ArchiveError, GraphError
from graphprune.graph.checkpoint_weights import locate_checkpoint
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.classes.layer_class import Weight, names_in_order
from graphprune.graph.entries import Entry, canonical, to_snake_case, type_of
from graphprune.graph.frames import Frame
from graphprune.graph.from_config import is_wrapper_state
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Layer
from graphprune.graph.toolkit import TOOLKIT_STATE, toolkit_state_names

Named = Mapping[str, StoredTensor]


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The tensors of one archive by layer address and bare name, in storage order, the state of pruning wrappers included."""

    archive: Archive
    tensors: Mapping[str, Named]

    def read(self, address: str, name: str) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            GraphError: there is no such tensor.
            ArchiveError: the file is damaged.
        """
        return self.archive.read(self.find(address, name))

    def find(self, address: str, name: str) -> StoredTensor:
        """Return where one tensor is stored.

        Raises:
            GraphError: there is no such tensor.
        """
        named = self.tensors.get(address, {})
        if name not in named:
            is_pruned = self.archive.format == "keras" and f"mask_{name}" in named
            way_out = "; save the model as .h5, which names the weights that a custom layer has in layers inside it" if is_pruned else ""
            raise GraphError(f"{self.archive.path}: layer {address!r} has no tensor {name!r}; it has {', '.join(named) or 'none'}{way_out}")
        return named[name]


def locate_weights(archive: Archive, graph: LayerGraph) -> ModelWeights:
    """Return where the file holds each weight of `graph`, which was read from the same file.

    Raises:
        ArchiveError: the weights are damaged or do not fit the config.
    """
    located: Mapping[str, Named]
    if archive.format == "savedmodel":
        located = locate_checkpoint(archive, graph)
    else:
        located = _KerasWalk(archive, graph).located if archive.format == "keras" else _locate_legacy(archive, graph)
    return ModelWeights(archive, MappingProxyType(located))


class _KerasWalk:
    """Walks a model as `_save_container_state` of tf_keras/src/saving/saving_lib.py does.

    A layer's group is its class in snake case with a counter, and each object is saved once: a layer that also stands in another model carries the same
    `shared_object_id` there, or has lost it on its first place, because nested models copy their configs before the second place is met.
    """

    def __init__(self, archive: Archive, graph: LayerGraph) -> None:
        self.located: dict[str, Named] = {}
        self._archive = archive
        self._graph = graph
        self._groups = sorted(archive.stored)
        self._shared: dict[int, str] = {}
        self._marks = Counter(_shared_id(graph.layers[frame.address_of(member.name)]) for frame in graph.frames.values() for member in frame.members)
        self._by_name: dict[tuple[str, str], str] = {}
        self._walk(graph.frames[""], "layers")

    def _walk(self, frame: Frame, path: str) -> None:
        counters: dict[str, int] = {}
        for member in frame.members:
            address = frame.address_of(member.name)
            layer = self._graph.layers[address]
            place = self._place(layer, path, counters)
            if address in self._graph.frames:
                self._walk(self._graph.frames[address], f"{place}/layers")
            elif named := self._name(layer, place):
                self.located[address] = named

    def _place(self, layer: Layer, path: str, counters: dict[str, int]) -> str:
        entry, shared = _outer_entry(layer), _shared_id(layer)
        known = (type_of(entry), layer.name)
        if shared is not None and self._marks[shared] == 1 and known in self._by_name:
            return self._by_name[known]
        if shared in self._shared:
            return self._shared[shared]
        name = to_snake_case(entry["class_name"].rsplit(">", 1)[-1])
        number = counters.get(name, -1) + 1
        counters[name] = number
        place = f"{path}/{name}_{number}" if number else f"{path}/{name}"
        if shared is not None:
            self._shared[shared] = place
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
        names = [f"{kind}_{weight}" for weight in pruned for kind in ("mask", "threshold")] + ["pruning_step", "last_update"]
        if len(names) != len(state):
            raise _misfit(self._archive, layer, names, len(state))
        return {**self._own(layer, f"{path}/layer"), **dict(zip(names, state, strict=True))}

    def _toolkit_state(self, layer: Layer, state: Sequence[StoredTensor]) -> Named:
        """Return the state of a wrapper of the TensorFlow toolkit; its pruned weights stand before it once more."""
        count, rest = divmod(len(state), 3)
        pruning = None if layer.wrap is None else layer.wrap.pruning
        if rest != 1 or (pruning is not None and len(pruning.weights) != count):
            raise _misfit(self._archive, layer, TOOLKIT_STATE, len(state))
        return dict(zip(toolkit_state_names([*("mask", "threshold") * count, "pruning_step"], pruning), state[count:], strict=True))

    def _own(self, layer: Layer, path: str) -> Named:
        below = self._below(path)
        weights = weights_of(layer.entry)
        if self._archive.dialect == "keras3":
            below = [(group, tensor) for group, tensor in below if not group.endswith("seed_generator")]
        names = _names_in_wrapper(layer)
        if weights is None and len(names) == len(below) and len({group for group, _ in below}) == 1:  # in one group, the order is that of `layer.weights`
            return {name: tensor for name, (_, tensor) in zip(names, below, strict=True)}
        if weights is None or not below:
            return {f"{group[len(path) + 1 :]}/{tensor.name}".lstrip("/").replace("/", "."): tensor for group, tensor in below}
        by_group: dict[str, list[Weight]] = {}
        for weight in weights:
            inside = _public_path(weight.path) if self._archive.dialect == "keras3" else weight.path
            by_group.setdefault(f"{path}/{inside}" if inside else path, []).append(weight)
        found: dict[str, StoredTensor] = {}
        for group, members in by_group.items():
            stored = self._archive.stored.get(group, ())
            if len(stored) != len(members):
                raise _misfit(self._archive, layer, (weight.name for weight in members), len(stored))
            found.update((weight.name, tensor) for weight, tensor in zip(members, stored, strict=True) if not weight.is_copy)
        return {weight.name: found[weight.name] for weight in weights if not weight.is_copy}

    def _below(self, path: str) -> list[tuple[str, StoredTensor]]:
        """Return the tensors in the group `path` and in those inside it."""
        found = [(path, tensor) for tensor in self._archive.stored.get(path, ())]
        first = bisect.bisect_left(self._groups, f"{path}/")
        for index in range(first, len(self._groups)):
            group = self._groups[index]
            if not group.startswith(f"{path}/"):
                break
            found += [(group, tensor) for tensor in self._archive.stored[group]]
        return found


def _names_in_wrapper(layer: Layer) -> list[str]:
    """Return the names of a custom layer's weights where its wrapper tells them, in the order of the layer; `.keras` files number them."""
    names = layer.wrap.entry["config"].get("weight_names") if layer.wrap is not None else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names) else []


def _public_path(path: str) -> str:
    """Return where Keras 3 holds a weight: it names the parts of a layer by their public properties, `query_dense` for `_query_dense`."""
    return "/".join(part.removeprefix("_") for part in path.split("/"))


def _outer_entry(layer: Layer) -> Entry:
    return layer.entry if layer.wrap is None else layer.wrap.entry


def _shared_id(layer: Layer) -> int | None:
    entry = _outer_entry(layer)
    shared = entry.get("shared_object_id") if "module" in entry else None
    return shared if isinstance(shared, int) else None


def _misfit(archive: Archive, layer: Layer, names: Iterable[str], count: int) -> ArchiveError:
    holds = f"should hold {', '.join(names) or 'no weights'}, the file holds {count} tensor{'' if count == 1 else 's'} there"
    return ArchiveError(f"{archive.path}: layer {layer.address!r} ({layer.type}) {_find_extra(layer) or f'{holds}; save the model again'}")


def _find_extra(layer: Layer) -> str | None:
    """Return what Keras 3 keeps beside or instead of a layer's own weights, with a way out; None for an ordinary layer.

    A quantized layer names its mode in its dtype policy (keras/src/dtype_policies/dtype_policy.py of Keras 3), one with LoRA its rank (`enable_lora`).
    """
    policy = layer.config.get("dtype")
    inside = policy.get("config") if isinstance(policy, Mapping) else None
    mode = inside.get("mode") if isinstance(inside, Mapping) else None
    if mode is not None:
        return f"is quantized to {str(mode)[:40]}, with integers or scales for weights; prune a model before it is quantized, and give the one that was not"
    rank = layer.config.get("lora_rank")
    return rank and f"has LoRA weights of rank {str(rank)[:40]} beside its own; load and save the model with Keras 3.15, which merges them into the kernel"


def _locate_legacy(archive: Archive, graph: LayerGraph) -> dict[str, Named]:
    located: dict[str, Named] = {}
    for member in graph.frames[""].members:
        stored = archive.stored.get(member.name, ())
        if member.name in graph.frames:
            for leaf, tensors in _split_nested(archive, graph, member.name, stored).items():
                located[leaf] = _name_legacy(archive, graph.layers[leaf], tensors)
        elif stored:
            located[member.name] = _name_legacy(archive, graph.layers[member.name], stored)
    return located


def _name_legacy(archive: Archive, layer: Layer, stored: Sequence[StoredTensor]) -> Named:
    """Return the tensors of one layer by bare name; those of a known class by variable name, or by order where the names say nothing."""
    is_toolkit = layer.wrap is not None and is_toolkit_config(layer.wrap.entry["config"])
    state = [tensor for tensor in stored if layer.wrap is not None and (_last(tensor) in TOOLKIT_STATE if is_toolkit else is_wrapper_state(_last(tensor)))]
    lasts = [_last(tensor) for tensor in state]
    state_names = toolkit_state_names(lasts, layer.wrap.pruning) if is_toolkit and layer.wrap is not None else lasts
    own = [tensor for tensor in stored if tensor not in state]
    weights = weights_of(layer.entry)
    if weights is None:
        named = {_after(tensor, layer.name): tensor for tensor in own}
        own_named = named if len(named) == len(own) else {_bare(tensor): tensor for tensor in own}
        names_told = _names_in_wrapper(layer)
        if len(names_told) == len(own):
            own_named = dict(zip(names_told, own, strict=True))
    elif own:
        names = names_in_order(weights, [_bare(tensor) for tensor in own])
        if names is None:
            raise _misfit(archive, layer, (weight.name for weight in weights if not weight.is_copy), len(own))
        by_name = dict(zip(names, own, strict=True))
        own_named = {weight.name: by_name[weight.name] for weight in weights if not weight.is_copy}
    else:
        own_named = {}
    return {**own_named, **dict(zip(state_names, state, strict=True))}


def _bare(tensor: StoredTensor) -> str:
    return re.sub(r":\d+$", "", tensor.name)


def _last(tensor: StoredTensor) -> str:
    return _bare(tensor).rsplit("/", 1)[-1]


def _after(tensor: StoredTensor, layer: str) -> str:
    """Return a variable's name without what stands before the layer's own name, `a/my/inner/w:0` of `my` as `inner.w`."""
    text = f"/{_bare(tensor)}"
    at = text.find(f"/{layer}/")
    return (text[at + len(layer) + 2 :] if at >= 0 else text[1:]).replace("/", ".")


def _split_nested(archive: Archive, graph: LayerGraph, model: str, stored: Sequence[StoredTensor]) -> dict[str, list[StoredTensor]]:
    """Return the weights of a nested model by the address of the layer inside; their group holds all of them, told apart by variable names."""
    leaves: dict[str, list[str]] = {}
    for address in _leaves(graph, model):
        leaves.setdefault(graph.layers[address].name, []).append(address)
        if graph.layers[address].wrap is not None:
            leaves.setdefault(f"{PREFIX}{graph.layers[address].name}", []).append(address)
    split: dict[str, list[StoredTensor]] = {}
    for tensor in stored:
        candidates = _candidates(_bare(tensor).split("/"), leaves)
        taken = {address for address in candidates if any(_bare(other) == _bare(tensor) or _last(other) == _last(tensor) for other in split.get(address, ()))}
        free = [address for address in candidates if address not in taken] if len(candidates) > 1 else candidates
        if not free:
            raise ArchiveError(
                f"{archive.path}: cannot tell which layer of the nested model {model!r} holds the weight {tensor.name!r}; save the model as .keras instead"
            )
        split.setdefault(free[0], []).append(tensor)
    return _with_shared(graph, leaves, split)


def _with_shared(graph: LayerGraph, leaves: Mapping[str, list[str]], split: dict[str, list[StoredTensor]]) -> dict[str, list[StoredTensor]]:
    """Return the weights with those of layers that stand in several models inside the nested one: they are stored once, and not even the names are twice."""
    found = dict(split)
    for addresses in leaves.values():
        holders = [address for address in addresses if address in split]
        for address in addresses if holders else ():
            same = [holder for holder in holders if canonical(graph.layers[holder].entry) == canonical(graph.layers[address].entry)]
            if same:
                found.setdefault(address, split[same[0]])
    return found


def _leaves(graph: LayerGraph, model: str) -> Iterable[str]:
    frame = graph.frames[model]
    for member in frame.members:
        address = frame.address_of(member.name)
        if address in graph.frames:
            yield from _leaves(graph, address)
        else:
            yield address


def _candidates(parts: Sequence[str], leaves: Mapping[str, list[str]]) -> list[str]:
    """Return the layers whose name stands in a variable's path; the outermost, longest name counts, and layers in models that the path names come first."""
    for start in range(len(parts)):
        for end in range(len(parts) - 1, start, -1):
            found = leaves.get("/".join(parts[start:end]))
            if found:
                scopes = set(parts[:start])
                return sorted(found, key=lambda address: -len(scopes & set(address.split(SEPARATOR)[:-1])))
    return []
