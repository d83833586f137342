"""The layers that a file of Keras 3 has and no config: those inside custom layers and own models.

Keras saves a layer at the path of attributes that leads to it. From these paths come the layers of
subclassed models, of models whose config is the arguments of a constructor (as in KerasHub), and of
custom layers. Nothing says how they are connected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.archive import GroupFacts
from graphprune.archive.entries import Entry, is_entry, to_snake_case, type_of
from graphprune.archive.pruning_state import is_state_group
from graphprune.graph.classes.builtin_layers import known_class, weights_of
from graphprune.graph.classes.inference import INFERRED, UNKNOWN, infer_entry
from graphprune.graph.classes.quantization import quantized_weights
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.weight_faults import Named

SEEDS = "seed_generator"
"""How the groups of random generators end, which hold no weights."""
MODEL = ""
"""The holder of a layer that is directly in the model."""
SELF = "self"
"""The address of the weights that a subclassed model has itself."""


@dataclass(frozen=True, slots=True)
class InnerLayer:
    """A layer that only the weights of a file show.

    Attributes:
        address: The address of the layer around it and the path at which it is saved, joined by
            dots.
        holder: The address of the layer around it that the config has; `MODEL` if there is none.
        entry: What is known of its class and config.
        named: Its weights by name; by number where the class is not known.
    """

    address: str
    holder: str
    entry: Entry
    named: Named


def inner_layers(
    archive: Archive, groups: Iterable[str], layer: Layer, path: str
) -> list[InnerLayer]:
    """Return the layers in `groups` below `path`, at which the file holds `layer`."""
    return [
        _inner(archive.stored[group], facts, layer.address, group[len(path) + 1 :], layer.entry)
        for group, facts in archive.describe(_in_order(groups)).items()
    ]


def layers_of_model(archive: Archive) -> list[InnerLayer]:
    """Return the layers of a model whose config has none, after the weights of its own."""
    entry, own = archive.config, archive.stored.get("", ())
    groups = [group for group in archive.stored if group and not is_state_group(group)]
    found = archive.describe(_in_order(groups))
    return [
        *([InnerLayer(SELF, MODEL, entry, {tensor.name: tensor for tensor in own})] if own else ()),
        *(
            _inner(archive.stored[group], facts, MODEL, group, entry)
            for group, facts in found.items()
            if not _is_state(archive.stored[group])
        ),
    ]


def _is_state(stored: Sequence[StoredTensor]) -> bool:
    """Return whether a group holds only numbers, as those of metrics do."""
    return all(not tensor.shape for tensor in stored)


def _inner(
    stored: Sequence[StoredTensor], facts: GroupFacts, holder: str, path: str, around: Entry
) -> InnerLayer:
    """Return the layer saved at `path` in `holder`, which has the entry `around`."""
    shapes, dtypes = [tensor.shape for tensor in stored], [tensor.dtype for tensor in stored]
    entry = facts.entry or _entry_in(around["config"], path.split("/"))
    if entry is None:
        whole = f"{to_snake_case(around['class_name'])}/{path}"
        entry = infer_entry(whole, facts.name, shapes, dtypes)
    names = _names(entry, dtypes) or [tensor.name for tensor in stored]
    steps = [holder, *path.split("/")] if holder else path.split("/")
    return InnerLayer(".".join(steps), holder, entry, dict(zip(names, stored, strict=True)))


def _entry_in(config: Mapping[str, Any], path: Sequence[str]) -> Entry | None:
    """Return the entry at a path of attributes, if the configs of custom layers have it."""
    found: Any = {"class_name": "", "config": config}
    for part in path:
        found = found["config"].get(part) if is_entry(found) else None
    return found if is_entry(found) and known_class(found) is not None else None


def _names(entry: Entry, dtypes: Sequence[str]) -> list[str] | None:
    """Return the names of a layer's own weights; None where its class does not tell them."""
    weights = [weight for weight in weights_of(entry) or () if not weight.path]
    if len(weights) != len(dtypes):
        weights = list(quantized_weights(weights, dtypes) or ())
    return [weight.name for weight in weights] if len(weights) == len(dtypes) else None


def _in_order(groups: Iterable[str]) -> list[str]:
    """Return groups with numbers in the order of numbers (`dense_2` before `dense_10`)."""
    kept = (group for group in groups if not is_seed(group))
    return sorted(kept, key=lambda group: [_natural(part) for part in group.split("/")])


def _natural(part: str) -> tuple[str, int]:
    name, number = re.fullmatch(r"(.*?)_?(\d{0,9})", part, re.DOTALL).groups()  # type: ignore[union-attr]
    return name, int(number or 0)


def is_seed(group: str) -> bool:
    """Return whether a group is that of a random generator.

    Example:
        >>> is_seed("layers/dropout/seed_generator"), is_seed("layers/dense_1")
        (True, False)
    """
    return re.fullmatch(rf"_?{SEEDS}(_\d+)?", group.rpartition("/")[2]) is not None


def with_inner_layers(graph: LayerGraph, inner: Sequence[InnerLayer]) -> LayerGraph:
    """Return the graph with these layers, each after the layer around it."""
    if not inner:
        return graph
    by_holder: dict[str, list[InnerLayer]] = {}
    for layer in inner:
        by_holder.setdefault(layer.holder, []).append(layer)
    layers = {found.address: _layer(graph, found) for found in by_holder.pop(MODEL, ())}
    for address, holder in graph.layers.items():
        layers[address] = holder
        layers |= {found.address: _layer(graph, found) for found in by_holder.get(address, ())}
    return replace(graph, layers=MappingProxyType(layers))


def _layer(graph: LayerGraph, inner: InnerLayer) -> Layer:
    holder = graph.layers.get(inner.holder)
    return Layer(
        address=inner.address,
        type=type_of(inner.entry),
        entry=inner.entry,
        bases=_bases(inner.entry),
        container=None if holder is None else holder.container,
        holder=inner.holder,
        trainable=_is_trainable(graph, inner) and (holder is None or holder.trainable),
        calls=1 if holder is None else holder.calls,
    )


def _bases(entry: Entry) -> tuple[str, ...]:
    known = known_class(entry)
    return known.bases if known else ()


def _is_trainable(graph: LayerGraph, inner: InnerLayer) -> bool:
    model = graph.frames[""].entry["config"]
    return bool(model.get("trainable", True)) and bool(inner.entry["config"].get("trainable", True))


def describe_connections(graph: LayerGraph) -> str:
    """Return one sentence on a model without connections; empty for others."""
    if graph.is_connected:
        return ""
    return (
        f"The config of {graph.type} does not describe its layers: they come from the weights and"
        " are not connected, so rules can use names, types, weights and sizes, but not connections."
    )


def describe_inferred(layers: Iterable[Layer]) -> str:
    """Return one sentence on layers whose classes the file does not name; empty without any."""
    inferred = [layer for layer in layers if INFERRED in layer.entry]
    if not inferred:
        return ""
    unknown = sum(layer.type == UNKNOWN for layer in inferred)
    many = len(inferred)
    text = (
        f"The file does not name the {'class of 1 inner layer' if many == 1 else 'classes of'}"
        f"{'' if many == 1 else f' {many:,} inner layers'}; types follow from names and weights"
    )
    rest = f", and {unknown:,} {'is' if unknown == 1 else 'are'} unknown ({UNKNOWN})"
    return f"{text}{rest if unknown else ''}."


def inner_to_config(layer: Layer) -> dict[str, Any]:
    """Return an inner layer as plain data, without its weights."""
    return {"holder": layer.holder, "entry": dict(layer.entry)}


def inner_from_config(address: str, value: Mapping[str, Any]) -> InnerLayer:
    """Return the layer that `inner_to_config` wrote, without weights.

    Raises:
        KeyError, TypeError: the value is damaged.
    """
    if not isinstance(value["holder"], str) or not is_entry(value["entry"]):
        raise TypeError("holder must be text, and entry a layer")
    return InnerLayer(address, value["holder"], value["entry"], {})
