"""A layer graph as one JSON document: everything that rules and plans need of a model.

It is strict JSON (RFC 8259), which has no NaN and no infinities. Configs of Keras hold some (a mask
of minus infinity, an activation without an upper bound); Python writes them bare, and most other
readers refuse the whole document. Here each is an object `{"$float": "NaN"}`,
`{"$float": "Infinity"}` or `{"$float": "-Infinity"}`. An object of a config that has only the key
`$float` itself is written as `{"$float": [value]}`, so that every value comes back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from graphprune.errors import GraphError
from graphprune.graph.from_config import TensorFacts, graph_from_config, graph_with_tensors
from graphprune.graph.inner_layers import (
    InnerLayer,
    inner_from_config,
    inner_to_config,
    with_inner_layers,
)
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.weight_faults import find_shape_fault
from graphprune.graph.wrappers import attach_pruning
from graphprune.nested import values_in
from graphprune.sparsity.pruning import Provenance, Pruning

MARK = "$float"
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_strict(value: Any) -> Any:
    """Return plain data in which JSON can say every number; lists for tuples.

    Example:
        >>> to_strict({"rate": float("-inf"), "shape": (1, 2.5)})
        {'rate': {'$float': '-Infinity'}, 'shape': [1, 2.5]}
    """
    if isinstance(value, dict):
        kept = {key: to_strict(item) for key, item in value.items()}
        return {MARK: [kept[MARK]]} if kept.keys() == {MARK} else kept
    if isinstance(value, list | tuple):
        return [to_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        infinity = "Infinity" if value > 0 else "-Infinity"
        return {MARK: "NaN" if math.isnan(value) else infinity}
    return value


def from_strict(value: Any) -> Any:
    """Return what `to_strict` was given; an object that it never writes stays as it is.

    Example:
        >>> from_strict(to_strict({"rate": float("inf"), "mine": {"$float": "NaN"}}))
        {'rate': inf, 'mine': {'$float': 'NaN'}}
    """
    if isinstance(value, dict):
        inner = value.get(MARK) if len(value) == 1 else None
        if isinstance(inner, str) and inner in _NUMBERS:
            return _NUMBERS[inner]
        if isinstance(inner, list) and len(inner) == 1:
            return {MARK: from_strict(inner[0])}
        return {key: from_strict(item) for key, item in value.items()}
    return [from_strict(item) for item in value] if isinstance(value, list) else value


FORMAT_VERSION = "1.0"
KIND = "graphprune.graph"
INNER = "inner_layers"
"""The key of layers that no config has; left out if there are none."""
PRUNED = "pruned"
"""The key of the layers that are pruned without a wrapper (Keras 3); left out if there are none."""
_KEYS = frozenset({"format_version", "kind", "graph_sha256", "is_bare", "config", "tensors"})


def graph_to_config(graph: LayerGraph) -> dict[str, Any]:
    """Return the graph as strict JSON data: the model's config, and the tensors by address.

    It is the inverse of `graph_from_json_config`.

    Raises:
        GraphError: the config holds objects that JSON cannot express, as that of a live model may.
    """
    config = graph.to_config()
    _check_plain(config, graph.name)
    tensors = {
        address: [
            {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}
            for tensor in layer.tensors
        ]
        for address, layer in graph.layers.items()
        if layer.tensors
    }
    inner = {
        address: inner_to_config(layer)
        for address, layer in graph.layers.items()
        if layer.holder is not None
    }
    document = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "graph_sha256": graph.sha256,
        "is_bare": graph.is_bare,
        "config": to_strict(config),
        "tensors": tensors,
        **({INNER: to_strict(inner)} if inner else {}),
    }
    pruned = {
        address: {
            "pruning": layer.wrap.pruning and layer.wrap.pruning.to_config(),
            "provenance": layer.wrap.provenance.to_config(),
        }
        for address, layer in graph.layers.items()
        if layer.wrap is not None and layer.wrap.is_attached
    }
    return document | ({PRUNED: pruned} if pruned else {})


def graph_from_json_config(document: Mapping[str, Any], place: str = "graph JSON") -> LayerGraph:
    """Return the graph of a document that `graph_to_config` made; `place` begins error texts.

    Raises:
        GraphError: the document is damaged, or of another kind or version.
    """
    _check_document(document, place)
    config = from_strict(document["config"])
    known = with_inner_layers(
        graph_from_config(config, place=place), _inner_layers(document.get(INNER, {}), place)
    )
    known = _with_pruned(known, document, place)
    tensors = {
        str(address): [
            _facts(address, raw, place) for raw in _list(raws, f"the tensors of {address!r}", place)
        ]
        for address, raws in document["tensors"].items()
    }
    unknown = [address for address in tensors if address not in known.layers]
    if unknown:
        raise GraphError(
            f"tensors of {unknown[0]!r}, which is no layer of the model; export the graph again",
            place=place,
        )
    graph = graph_with_tensors(known, tensors)
    if document["graph_sha256"] != graph.sha256:
        hashes = (
            f"graph_sha256 says {str(document['graph_sha256'])[:12]!r}, got {graph.sha256[:12]!r}"
        )
        raise GraphError(
            f"its config was changed after it was exported ({hashes}); export it again", place=place
        )
    fault = find_shape_fault(graph)
    if fault is not None:
        raise GraphError(fault, place=place)
    return graph


def _inner_layers(value: Any, place: str) -> list[InnerLayer]:
    """Return the layers that no config has, whose holders come first or are in the config."""
    try:
        return [
            inner_from_config(str(address), from_strict(inner)) for address, inner in value.items()
        ]
    except (AttributeError, KeyError, TypeError) as err:
        raise GraphError(
            f"{INNER!r} does not describe layers inside others ({err}); export the graph again",
            place=place,
        ) from err


def is_graph_document(value: object) -> bool:
    """Return whether this is meant to be a layer graph as JSON data."""
    return isinstance(value, Mapping) and value.get("kind") == KIND


def _check_document(document: Mapping[str, Any], place: str) -> None:
    if isinstance(document.get("weight_map"), Mapping):
        raise GraphError(
            "lists the files of a model's weights (save_weights with max_shard_size writes it),"
            " which hold no layers; give the .keras file that model.save() wrote",
            place=place,
        )
    if not is_graph_document(document):
        raise GraphError(
            f"no layer graph, kind must be {KIND!r}, got"
            f" {repr(document.get('kind'))[:60]}; export one with graphprune graph MODEL -o"
            " FILE.json",
            place=place,
        )
    version = document.get("format_version")
    if (
        not isinstance(version, str)
        or version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]
    ):
        raise GraphError(
            f"format_version must be {FORMAT_VERSION!r}, got {str(version)[:60]!r}; export"
            " the graph again with this version of graphprune",
            place=place,
        )
    missing = sorted(_KEYS - set(document))
    unknown = sorted(set(document) - _KEYS - {PRUNED, INNER})
    if missing or unknown:
        fault = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is not known"
        raise GraphError(f"{fault}; export the graph again", place=place)
    if not isinstance(document["config"], Mapping) or not isinstance(document["tensors"], Mapping):
        raise GraphError("config and tensors must be objects; export the graph again", place=place)


def _with_pruned(graph: LayerGraph, document: Mapping[str, Any], place: str) -> LayerGraph:
    """Return the graph with the layers pruned that the document names as pruned."""
    try:
        pruned = {
            str(address): (
                Pruning.from_config(entry["pruning"]),
                Provenance.from_config(entry["provenance"]),
            )
            for address, entry in document.get(PRUNED, {}).items()
        }
        return attach_pruning(graph, pruned)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise GraphError(
            f"{PRUNED!r} does not say how layers are pruned ({err}); export the graph again",
            place=place,
        ) from err


def _facts(address: str, raw: Any, place: str) -> TensorFacts:
    if (
        isinstance(raw, Mapping)
        and set(raw) == {"name", "shape", "dtype"}
        and isinstance(raw["name"], str)
        and isinstance(raw["dtype"], str)
    ):
        shape = _list(raw["shape"], f"the shape of {raw['name']!r}", place)
        if all(type(length) is int and length >= 0 for length in shape):
            return raw["name"], shape, raw["dtype"]
    raise GraphError(
        f"a tensor of {address!r} must have name, shape and dtype, got {str(raw)[:60]!r};"
        " export the graph again",
        place=place,
    )


def _list(value: Any, what: str, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise GraphError(
            f"{what} must be a list, got {type(value).__name__}; export the graph again",
            place=place,
        )
    return value


def _check_plain(config: Any, name: str) -> None:
    for item in values_in(config):
        if item is not None and not isinstance(
            item, str | bool | int | float | dict | list | tuple
        ):
            raise GraphError(
                f"{name}: its config holds a {type(item).__name__} object, which JSON cannot"
                " express; save the model and export the file's graph"
            )
