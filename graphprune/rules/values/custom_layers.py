"""Custom layers that rule files describe: their prunable weights and the meaning of the axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.graph import Layer, LayerGraph, Tensor
from graphprune.graph.classes.builtin_layers import is_custom
from graphprune.suggestions import closest, find_close


@dataclass(frozen=True, slots=True)
class CustomLayer:
    """The description of one class in a rule file.

    Attributes:
        type: Registered class name.
        where: The position of the entry.
        axes: Axis names of each prunable weight; by name, in the order of the file.
        weights: The names of all weights in the order in which the layer makes them. `.keras` files
            number the weights of custom layers; without this list the first of them are those of
            `axes`.
        places: The position of each name in `axes`.
    """

    type: str
    where: Where
    axes: Mapping[str, tuple[str, ...]]
    weights: tuple[str, ...] = ()
    places: Mapping[str, Where] = field(default_factory=dict, compare=False)


def teach_layers(graph: LayerGraph, table: Sequence[CustomLayer]) -> LayerGraph:
    """Return the graph with names, axes and prunable tensors for the custom layers of `table`.

    Applying it twice changes nothing more.

    For a class that names its prunable weights itself (`PrunableLayer`), the table has precedence:
    only the weights in the table can be pruned.
    """
    if not table:
        return graph
    known = {custom.type: custom for custom in table}
    taught = {
        address: replace(layer, tensors=_taught(layer, known[layer.type]))
        for address, layer in graph.layers.items()
        if layer.type in known and _is_custom(layer)
    }
    for address in tuple(taught):
        for path, inner in _inside(graph, address).items():
            part = _part(known[graph.layers[address].type], path)
            if part.axes:
                taught[inner.address] = replace(inner, tensors=_taught(inner, part))
    return replace(graph, layers=MappingProxyType({**graph.layers, **taught})) if taught else graph


def taught_zeros(
    before: LayerGraph, after: LayerGraph, zeros: Mapping[tuple[str, str], int]
) -> Mapping[tuple[str, str], int]:
    """Return measured zeros under the names from the table."""
    if after is before:
        return zeros
    renamed = {
        (address, old.name): new.name
        for address, layer in after.layers.items()
        for old, new in zip(before.layers[address].tensors, layer.tensors, strict=True)
        if old.name != new.name
    }
    return (
        {
            (address, renamed.get((address, name), name)): count
            for (address, name), count in zeros.items()
        }
        if renamed
        else zeros
    )


def stored_names(graph: LayerGraph) -> Mapping[tuple[str, str], str]:
    """Return, by address and name, the names in the file of tensors that the table renames."""
    return {
        (address, tensor.name): tensor.stored_as
        for address, layer in graph.layers.items()
        for tensor in layer.tensors
        if tensor.stored_as
    }


def find_layer_faults(graph: LayerGraph, table: Sequence[CustomLayer]) -> Iterator[Diagnostic]:
    """Yield the faults of `table` against a graph with its layers applied, once per type.

    A type that looks misspelt is a warning.
    """
    layers = [layer for layer in graph.layers.values() if table and _is_custom(layer)]
    types = {layer.type for layer in layers}
    for custom in table:
        layer = next(
            (
                layer
                for layer in layers
                if layer.type == custom.type and (layer.tensors or _inside(graph, layer.address))
            ),
            None,
        )
        if layer is not None:
            shapes = {tensor.name: tensor.shape for tensor in layer.tensors}
            for path, inner in _inside(graph, layer.address).items():
                shapes |= {f"{path}.{tensor.name}": tensor.shape for tensor in inner.tensors}
            yield from _tensor_faults(layer, custom, shapes)
        elif custom.type not in types and find_close(
            custom.type, types - {other.type for other in table}
        ):
            message = f"layers: no layer of the model has the type {custom.type!r}"
            yield Diagnostic(
                "type/unknown",
                message,
                custom.where,
                closest(custom.type, types),
                severity="warning",
            )


def _is_custom(layer: Layer) -> bool:
    return layer.kind == "layer" and is_custom(layer.entry)


def _inside(graph: LayerGraph, address: str) -> dict[str, Layer]:
    """Return the layers inside a custom layer by their path there, as Keras 3 saves them."""
    return {
        layer.address[len(address) + 1 :]: layer
        for layer in graph.layers.values()
        if layer.holder == address
    }


def _part(custom: CustomLayer, path: str) -> CustomLayer:
    """Return what an entry says of the layer at `path` inside the custom layer."""
    start = f"{path}."

    def below(names: Iterable[str]) -> list[str]:
        found = (name.removeprefix(start) for name in names if name.startswith(start))
        return [name for name in found if "." not in name]

    axes = {name: custom.axes[f"{start}{name}"] for name in below(custom.axes)}
    return replace(custom, axes=axes, weights=tuple(below(custom.weights)))


def _taught(layer: Layer, custom: CustomLayer) -> tuple[Tensor, ...]:
    labels = _labels(
        [tensor.name for tensor in layer.tensors], custom.weights or tuple(custom.axes)
    )
    named = ((tensor, labels.get(tensor.name, tensor.name)) for tensor in layer.tensors)
    return tuple(_taught_tensor(tensor, name, custom.axes.get(name)) for tensor, name in named)


def _labels(names: Sequence[str], listed: Sequence[str]) -> dict[str, str]:
    """Return the names in `listed` of the weights that have only numbers in `names`.

    Each inner layer has its own numbers: the first weight of `a` is `a.0`.

    Example:
        >>> _labels(["0", "a.0", "a.1"], ["a.kernel", "a.bias", "scale"])
        {'a.0': 'a.kernel', 'a.1': 'a.bias', '0': 'scale'}
        >>> _labels(["a.0", "a.1"], ["a.1"]), _labels(["w"], ["v"])
        ({}, {})
    """
    counts = Counter(name.rpartition(".")[0] for name in names)
    numbers: dict[str, Iterator[str]] = {
        inside: iter(
            [
                number
                for index in range(count)
                if (number := _join(inside, str(index))) not in listed
            ]
        )
        for inside, count in counts.items()
        if all(_join(inside, str(index)) in names for index in range(count))
    }
    free = (
        (next(numbers[inside], None), name)
        for name in listed
        if name not in names and (inside := name.rpartition(".")[0]) in numbers
    )
    return {number: name for number, name in free if number is not None}


def _join(inside: str, name: str) -> str:
    return f"{inside}.{name}" if inside else name


def _taught_tensor(tensor: Tensor, name: str, axes: tuple[str, ...] | None) -> Tensor:
    fits = axes is not None and len(axes) == len(tensor.shape)
    stored_as = tensor.name if name != tensor.name else tensor.stored_as
    return replace(
        tensor,
        name=name,
        axes=axes if axes is not None and fits else tensor.axes,
        prunable=fits,
        stored_as=stored_as,
    )


def _tensor_faults(
    layer: Layer, custom: CustomLayer, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[Diagnostic]:
    for name, axes in custom.axes.items():
        place = custom.places.get(name, custom.where)
        if name not in shapes:
            message = f"layers: {custom.type} has no weight {name!r} (layer {layer.address!r})"
            yield Diagnostic(
                "layer/not-prunable",
                message,
                place,
                closest(name, shapes) or f"it has {', '.join(map(repr, shapes))}",
            )
        elif len(axes) != len(shapes[name]):
            message = (
                f"layers: the weight {name!r} of {custom.type} has shape {list(shapes[name])}"
                f" (layer {layer.address!r}), got {len(axes)} axes"
            )
            yield Diagnostic(
                "layer/not-prunable",
                message,
                place,
                "name each axis, such as [in, out]; where weights are numbered, list all under"
                " 'weights'",
            )
