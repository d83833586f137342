"""Which tensor of an `.h5` file is which weight: by the layer's group and the variable's name.

The groups are those of the model's own layers; layers inside them are found by the names of
variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.entries import canonical
from graphprune.archive.tfmot import PREFIX, is_toolkit_config
from graphprune.errors import ArchiveError
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.classes.layer_class import names_in_order
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.out_of_reach import find_held_graph
from graphprune.graph.weight_faults import Named, misfit
from graphprune.graph.wrappers import TOOLKIT_STATE, names_in_wrapper, toolkit_state_names
from graphprune.wrapper_names import is_state


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf:
    """A layer that is not a model, in a nested model or in one that a layer holds.

    Attributes:
        address: Of the layer of the graph that it is, or that holds it.
        layer: The layer itself.
        scopes: The names of the models and layers around it.
        prefix: What begins the names of its weights, in a held model.
        holds: Whether it is the holder of a model, whose layers are leaves themselves.
    """

    address: str
    layer: Layer
    scopes: frozenset[str]
    prefix: str = ""
    holds: bool = False


def locate_legacy(archive: Archive, graph: LayerGraph) -> dict[str, Named]:
    """Return the tensors of each layer by bare name, the state of pruning wrappers included.

    Raises:
        ArchiveError: the weights are damaged or do not fit the config.
    """
    located: dict[str, Named] = {}
    for member in graph.frames[""].members:
        stored = archive.stored.get(member.name, ())
        leaves = list(_leaves(graph, member.name, frozenset())) if stored else []
        if len(leaves) == 1 and leaves[0].address == member.name:
            located[member.name] = _name_legacy(archive, leaves[0].layer, stored)
        elif stored:
            located |= _join(archive, _split(archive, member.name, leaves, stored))
    return located


def _leaves(
    graph: LayerGraph, address: str, scopes: frozenset[str], outer: tuple[str, str] | None = None
) -> Iterator[_Leaf]:
    """Yield the layers at `address`, those of nested and held models included.

    `outer` is the address of the layer that holds `graph`, and the prefix of all its weight
    names.
    """
    layer = graph.layers[address]
    holder, prefix = (address, "") if outer is None else (outer[0], f"{outer[1]}{address}.")
    inside = scopes | {layer.name}
    if address in graph.frames:
        frame = graph.frames[address]
        for member in frame.members:
            yield from _leaves(graph, frame.address_of(member.name), inside, outer)
        return
    held = find_held_graph(layer)
    if held is not None:
        for member in held.graph.frames[""].members:
            yield from _leaves(held.graph, member.name, inside, (holder, f"{prefix}{held.prefix}"))
    yield _Leaf(holder, layer, scopes, prefix, held is not None)


def _name_legacy(archive: Archive, layer: Layer, stored: Sequence[StoredTensor]) -> Named:
    """Return the tensors of one layer by bare name.

    Those of a known class are told by variable name, or by order where the names say nothing.
    """
    is_toolkit = layer.wrap is not None and is_toolkit_config(layer.wrap.entry["config"])
    state = [
        tensor
        for tensor in stored
        if layer.wrap is not None
        and (_last(tensor) in TOOLKIT_STATE if is_toolkit else is_state(_last(tensor)))
    ]
    lasts = [_last(tensor) for tensor in state]
    state_names = (
        toolkit_state_names(lasts, layer.wrap.pruning)
        if is_toolkit and layer.wrap is not None
        else lasts
    )
    own = [tensor for tensor in stored if tensor not in state]
    weights = weights_of(layer.entry)
    if weights is None:
        named = {_after(tensor, layer.name): tensor for tensor in own}
        own_named = named if len(named) == len(own) else {_bare(tensor): tensor for tensor in own}
        names_told = names_in_wrapper(layer)
        if len(names_told) == len(own):
            own_named = dict(zip(names_told, own, strict=True))
    elif own:
        names = names_in_order(weights, [_bare(tensor) for tensor in own])
        if names is None:
            own_names = [weight.name for weight in weights if not weight.is_copy]
            raise misfit(archive, layer, own_names, len(own), _missing(own_names, own))
        by_name = dict(zip(names, own, strict=True))
        own_named = {weight.name: by_name[weight.name] for weight in weights if not weight.is_copy}
    else:
        own_named = {}
    return {**own_named, **dict(zip(state_names, state, strict=True))}


def _missing(names: Sequence[str], stored: Sequence[StoredTensor]) -> list[str]:
    """Return which weights of a layer are missing, where the names of its variables tell."""
    known = {name.rpartition(".")[2] for name in names}
    there = {_last(tensor) for tensor in stored}
    return (
        [name for name in names if name.rpartition(".")[2] not in there]
        if len(known) == len(names) and there < known
        else []
    )


def _bare(tensor: StoredTensor) -> str:
    return re.sub(r":\d+$", "", tensor.name)


def _last(tensor: StoredTensor) -> str:
    return _bare(tensor).rsplit("/", 1)[-1]


def _after(tensor: StoredTensor, layer: str) -> str:
    """Return a variable's name after its layer's name, `a/my/inner/w:0` of `my` as `inner.w`."""
    text = f"/{_bare(tensor)}"
    at = text.find(f"/{layer}/")
    return (text[at + len(layer) + 2 :] if at >= 0 else text[1:]).replace("/", ".")


def _split(
    archive: Archive, member: str, leaves: Sequence[_Leaf], stored: Sequence[StoredTensor]
) -> dict[_Leaf, list[StoredTensor]]:
    """Return the weights of a nested model, or of a layer that holds one, by the layer inside.

    Their group holds all of them; variable names tell them apart.
    """
    by_name, holders = (
        _by_name([leaf for leaf in leaves if not leaf.holds]),
        _by_name([leaf for leaf in leaves if leaf.holds]),
    )
    split: dict[_Leaf, list[StoredTensor]] = {}
    for tensor in stored:
        parts = _bare(tensor).split("/")
        candidates = (
            _candidates(parts, by_name)
            or _candidates(parts, holders)
            or [leaf for leaf in leaves if leaf.holds and leaf.address == member]
        )
        free = (
            [leaf for leaf in candidates if not _has_like(split.get(leaf, ()), tensor)]
            if len(candidates) > 1
            else candidates
        )
        if not free:
            raise ArchiveError(
                f"cannot tell which layer of the nested model {member!r} holds the"
                f" weight {tensor.name!r}; save the model as .keras instead",
                place=archive.path,
            )
        split.setdefault(free[0], []).append(tensor)
    found = _with_shared(by_name, split)
    return {leaf: found[leaf] for leaf in leaves if leaf in found}


def _by_name(leaves: Sequence[_Leaf]) -> dict[str, list[_Leaf]]:
    """Return the layers by what may stand for them in the path of a variable."""
    found: dict[str, list[_Leaf]] = {}
    for leaf in leaves:
        for before in ("", PREFIX) if leaf.layer.wrap is not None else ("",):
            found.setdefault(f"{before}{leaf.layer.name}", []).append(leaf)
    return found


def _has_like(stored: Sequence[StoredTensor], tensor: StoredTensor) -> bool:
    return any(_bare(other) == _bare(tensor) or _last(other) == _last(tensor) for other in stored)


def _with_shared(
    by_name: Mapping[str, list[_Leaf]], split: dict[_Leaf, list[StoredTensor]]
) -> dict[_Leaf, list[StoredTensor]]:
    """Return the weights with those of layers that several inner models share.

    The file stores shared layers once.
    """
    found = dict(split)
    for leaves in by_name.values():
        holders = [leaf for leaf in leaves if leaf in split]
        for leaf in leaves if holders else ():
            same = [
                holder
                for holder in holders
                if canonical(holder.layer.entry) == canonical(leaf.layer.entry)
            ]
            if same:
                found.setdefault(leaf, split[same[0]])
    return found


def _candidates(parts: Sequence[str], leaves: Mapping[str, list[_Leaf]]) -> list[_Leaf]:
    """Return the layers whose name is in a variable's path.

    The outermost, longest name counts; layers in models that the path names come first.
    """
    for start in range(len(parts)):
        for end in range(len(parts) - 1, start, -1):
            found = leaves.get("/".join(parts[start:end]))
            if found:
                scopes = set(parts[:start])
                return sorted(found, key=lambda leaf: -len(scopes & leaf.scopes))
    return []


def _join(archive: Archive, split: Mapping[_Leaf, Sequence[StoredTensor]]) -> dict[str, Named]:
    """Return the weights by address; those of a held model are its holder's.

    A weight that several of its layers share is listed for the first of them.
    """
    located: dict[str, dict[str, StoredTensor]] = {}
    for leaf, tensors in split.items():
        named = located.setdefault(leaf.address, {})
        taken = {tensor.path for tensor in named.values()}
        named.update(
            (f"{leaf.prefix}{name}", tensor)
            for name, tensor in _name_legacy(archive, leaf.layer, tensors).items()
            if tensor.path not in taken
        )
    return dict(located)
