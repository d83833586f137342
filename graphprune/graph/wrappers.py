"""What the config of a pruning wrapper says: graphprune's own, and that of tfmot.

tfmot is the TensorFlow Model Optimization toolkit. Its files do not say `sparsity_m_by_n`
(`get_config` in pruning_wrapper.py leaves it out), so a wrapper read from a file prunes single
weights, as it does in tfmot; of a live wrapper the pattern is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.archive import StoredTensor
from graphprune.archive.entries import Entry, type_of
from graphprune.archive.tfmot import is_toolkit_config
from graphprune.errors import GraphError
from graphprune.graph.classes.builtin_layers import layer_class, weights_of
from graphprune.graph.classes.python_patterns import PatternArguments
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Wrap
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.sparsity.schedules import Schedule
from graphprune.wrapper_names import REGISTERED

TOOLKIT_STATE = ("mask", "threshold", "pruning_step")
TOOLKIT_KEYS = ("pruning_schedule", "block_size", "block_pooling_type")
_TARGETS = {"ConstantSparsity": "target_sparsity", "PolynomialDecay": "final_sparsity"}


def read_wrap(entry: Entry, address: str, place: str) -> Wrap:
    """Return what the pruning wrapper with this entry was told to do; `place` begins error texts.

    Raises:
        GraphError: the wrapper is damaged.
    """
    config = entry["config"]
    try:
        inner = config["layer"]
        if not isinstance(inner["class_name"], str) or not isinstance(inner["config"], Mapping):
            raise TypeError("the layer inside is not a layer")
        pruning = (
            read_toolkit_pruning(config)
            if is_toolkit_config(config)
            else Pruning.from_config(config["pruning"])
        )
        return Wrap(
            type_of(entry), entry, pruning, Provenance.from_config(config.get("provenance") or {})
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise GraphError(
            f"the pruning wrapper of layer {address!r} is damaged ({type(err).__name__}:"
            f" {err}); save the model again",
            place=place,
        ) from err


def attach_pruning(
    graph: LayerGraph, pruned: Mapping[str, tuple[Pruning, Provenance]]
) -> LayerGraph:
    """Return the graph with these layers pruned, by address, as Keras 3 holds it: unwrapped."""
    return graph.replace(
        {
            address: replace(
                graph.layers[address],
                wrap=Wrap(
                    REGISTERED, graph.layers[address].entry, pruning, provenance, is_attached=True
                ),
            )
            for address, (pruning, provenance) in pruned.items()
        }
    )


def names_in_wrapper(layer: Layer) -> list[str]:
    """Return the names of a custom layer's weights, in order, where its wrapper has them.

    `.keras` files only number them.
    """
    names = layer.wrap.entry["config"].get("weight_names") if layer.wrap is not None else None
    return (
        names
        if isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
        else []
    )


def rename_by_wrapper(
    layer: Layer, kind: str, found: Mapping[str, StoredTensor]
) -> Mapping[str, StoredTensor]:
    """Return a custom layer's tensors under the names in its wrapper, given by places."""
    names, places = (
        names_in_wrapper(layer),
        layer.wrap.entry["config"].get("weight_places") if layer.wrap is not None else None,
    )
    listed = places.get(kind) if isinstance(places, Mapping) else None
    if not isinstance(listed, list) or len(listed) != len(names) or set(listed) != found.keys():
        return found
    return {name: found[place] for name, place in zip(names, listed, strict=True)}


def read_toolkit_pruning(config: Mapping[str, Any]) -> Pruning | None:
    """Return how tfmot's wrapper with this config prunes; None where only user classes can tell.

    Raises:
        KeyError, TypeError, ValueError: the config is not a wrapper's.
    """
    is_known = (
        config["pruning_schedule"].get("class_name") in _TARGETS
        and weights_of(config["layer"]) is not None
    )
    return toolkit_pruning(config) if is_known else None


def toolkit_state_names(stored: Sequence[str], pruning: Pruning | None) -> list[str]:
    """Return graphprune's names for tfmot's state variables, which are given in storage order.

    All masks have one name there.

    Example:
        >>> toolkit_state_names(["mask", "threshold", "pruning_step"], None)
        ['mask_0', 'threshold_0', 'pruning_step']
    """
    names, pairs = [], {kind: itertools.count() for kind in TOOLKIT_STATE}
    weights = (
        pruning.weights
        if pruning is not None and len(pruning.weights) == stored.count("mask")
        else tuple(map(str, range(len(stored))))
    )
    for kind in stored:
        names.append(kind if kind == "pruning_step" else f"{kind}_{weights[next(pairs[kind])]}")
    return names


def toolkit_pruning(config: Mapping[str, Any], names: Sequence[str] | None = None) -> Pruning:
    """Return how the toolkit's wrapper with this config prunes the layer inside.

    Args:
        config: The wrapper's config.
        names: The weights that it prunes, of a layer that is not of Keras; none of them are known
            without it.

    Raises:
        ValueError: its schedule is of a user's own class, or the config is not a wrapper's.
    """
    schedule, groups = config["pruning_schedule"], config.get("sparsity_m_by_n")
    patterns = PatternArguments(
        tuple(config.get("block_size") or (1, 1)),
        config.get("block_pooling_type") or "AVG",
        groups and tuple(groups),
    )
    kind, own = schedule.get("class_name"), schedule.get("config")
    if kind not in _TARGETS:
        raise ValueError(
            f"schedule {kind!r} of the TensorFlow toolkit is not known; known are"
            f" {', '.join(_TARGETS)}"
        )
    return patterns.pruning_for(
        config["layer"],
        _pruned(config["layer"], names),
        float(own[_TARGETS[kind]]),
        _schedule(kind, own),
    )


def _schedule(kind: str, config: Mapping[str, Any]) -> Schedule:
    begin, every = (Position(config[key], "step") for key in ("begin_step", "frequency"))
    if kind == "ConstantSparsity":
        end = None if config.get("end_step", -1) == -1 else Position(config["end_step"], "step")
        return Schedule(curve="constant", begin=begin, end=end, every=every)
    end, initial, power = (
        Position(config["end_step"], "step"),
        float(config["initial_sparsity"]),
        float(config["power"]),
    )
    return Schedule(
        curve="polynomial", begin=begin, end=end, every=every, initial=initial, power=power
    )


def _pruned(entry: Entry, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is not None:
        return tuple(names)
    fewer = layer_class(type_of(entry)).tfmot_prunes
    if fewer is not None:
        return fewer
    return tuple(
        weight.name for weight in weights_of(entry) or () if weight.prunable and not weight.is_copy
    )
