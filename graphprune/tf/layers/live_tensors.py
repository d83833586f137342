"""The weights of a live layer: names, shapes, values.

They come from the table of built-in layers, and from custom layers that name their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.saving.serialization_lib import serialize_keras_object

from graphprune.archive.entries import is_builtin
from graphprune.engine.finite import find_nonfinite, refuse_nonfinite
from graphprune.engine.prunable_layer import PrunableLayer
from graphprune.errors import PlanError
from graphprune.graph.classes.builtin_layers import known_class, weights_of
from graphprune.graph.classes.layer_class import Weight, names_in_order
from graphprune.graph.from_config import TensorFacts
from graphprune.tf.layers.prunable_layer import class_entry, find_path, live_class, parts_of_builtin
from graphprune.tf.layers.stored_names import attribute_paths, kept_names, names_like, variables_of


def prunable_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of the weights that may be pruned, in storage order; empty if unknown.

    Layers of the table need not be built; a `PrunableLayer` must be, and until then has no names.

    Raises:
        PlanError: `get_prunable_weights` of a custom layer fails, or returns something that is not
            a weight of the layer.
    """
    if isinstance(layer, PrunableLayer):
        return _own_names(layer)
    known = _known_weights(layer)
    if known is not None:
        return tuple(weight.name for weight in known if weight.prunable and not weight.is_copy)
    parts = parts_of_builtin(layer) if is_builtin_layer(layer) else ()
    return tuple(f"{path}.{name}" for path, part in parts for name in prunable_names(part))


def holds_prunable_layer(layer: Layer) -> bool:
    """Return whether this is a `PrunableLayer`, or a layer of Keras around one (RNN around a cell).

    Its prunable weights are known once it has been called.
    """
    if isinstance(layer, PrunableLayer):
        return True
    return is_builtin_layer(layer) and any(
        holds_prunable_layer(part) for _, part in parts_of_builtin(layer)
    )


def tensor_facts(layer: Layer, asked: Collection[str] = ()) -> tuple[TensorFacts, ...]:
    """Return name, shape and dtype of a built layer's weights.

    `asked` are names that rules or a plan use for weights of a custom layer, as in `names_like`.
    """
    kept = kept_names(layer)
    named = dict(named_weights(layer, asked))
    listed = kept.listed if kept is not None and set(kept.listed) == named.keys() else named
    return tuple((name, _shape(named[name]), named[name].dtype.name) for name in listed)


def tensor_zeros(layer: Layer, asked: Collection[str] = ()) -> dict[str, int]:
    """Return the number of zeros in each of a built layer's weights, by name as `tensor_facts`."""
    return {
        name: int(tf.size(weight) - tf.math.count_nonzero(weight, dtype=tf.int32))
        for name, weight in named_weights(layer, asked)
        if weight.dtype.is_floating
    }


def weight_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of all weights of a built custom layer, in the order of `layer.weights`.

    Empty for layers of the table.
    """
    known = known_class(class_entry(type(layer)))
    is_told = known is not None and (known.has_fixed_weights or _known_weights(layer) is not None)
    return (
        ()
        if is_told and not isinstance(layer, PrunableLayer)
        else tuple(name for name, _ in named_weights(layer))
    )


def named_weights(layer: Layer, asked: Collection[str] = ()) -> list[tuple[str, tf.Variable]]:
    """Return the weights with their names.

    Names come from the table, else from the layer's file, else from variables, or from attributes
    if variable names are not unique. Weights that the layer itself lists for pruning are named by
    attribute.
    """
    weights = variables_of(layer)
    bare = [_bare_name(weight) for weight in weights]
    known = None if isinstance(layer, PrunableLayer) else _known_weights(layer)
    names = names_in_order(known or (), bare)
    if names is None:
        names = _custom_names(layer, weights, bare)
        if not set(asked) <= set(names):
            names = names_like(layer, asked) or names
    return list(zip(names, weights, strict=True))


def _custom_names(
    layer: Layer, weights: Sequence[tf.Variable], bare: Sequence[str]
) -> tuple[str, ...]:
    kept, says_itself = kept_names(layer), holds_prunable_layer(layer)
    if kept is not None and (kept.decided or not says_itself):
        return kept.names
    by_weight = (
        {id(find_weight(layer, name)): name for name in prunable_names(layer)}
        if says_itself
        else {}
    )
    own = [by_weight.get(id(weight)) for weight in weights]
    ways = (
        bare,
        attribute_paths(layer) if len(set(bare)) < len(bare) else (),
        [str(index) for index in range(len(bare))],
    )
    named = (
        [name or other for name, other in zip(own, way, strict=True)]
        for way in ways
        if len(way) == len(own)
    )
    return tuple(next(names for names in named if len(set(names)) == len(names)))


def _bare_name(weight: tf.Variable) -> str:
    return weight.name.rsplit("/", 1)[-1].split(":")[0]


def _shape(weight: tf.Variable) -> tuple[int, ...]:
    """Return the shape of a variable's value.

    Statistics that a layer collects from data have no static shape before they have a value.
    """
    return tuple(weight.shape if weight.shape.is_fully_defined() else weight.numpy().shape)


def type_name(layer: Layer) -> str:
    """Return the registered name of the layer's class, as used in files and rules."""
    return str(tf_keras.utils.get_registered_name(type(layer)))


def is_builtin_layer(layer: Layer) -> bool:
    """Return whether the layer's class comes with Keras."""
    return is_builtin(class_entry(type(layer)))


def _known_weights(layer: Layer) -> tuple[Weight, ...] | None:
    """Return the weights in the table of layers; None for unknown classes.

    The config is read only if the class alone does not decide: Keras cannot always describe the
    function of a Lambda.
    """
    known = known_class(class_entry(type(layer)))
    if known is None or known.has_no_weights:
        return None if known is None else ()
    return weights_of(serialize_keras_object(layer))


def bare_names(layer: Layer) -> list[str]:
    """Return the names of a layer's variables without scopes, in the order of `layer.weights`."""
    return [_bare_name(weight) for weight in variables_of(layer)]


def _own_names(layer: Any) -> tuple[str, ...]:
    if not layer.built:
        return ()
    try:
        weights = list(layer.get_prunable_weights())
    except AttributeError as err:
        raise unburied(
            PlanError(
                f"{layer.name}: get_prunable_weights of {type(layer).__name__} fails: {err}; make"
                " it return weights that the layer has"
            )
        ) from err
    names = [find_path(layer, weight) for weight in weights]
    if None in names:
        place = (
            f"get_prunable_weights of {type(layer).__name__} returns an item that is not a weight"
            f" of the layer (item {names.index(None)})"
        )
        raise unburied(
            PlanError(f"{layer.name}: {place}; return variables that its attributes hold")
        )
    return tuple(name for name in names if name is not None)


def find_weight(layer: Layer, name: str) -> tf.Variable:
    """Return the variable of a built layer that the table of layers calls `name`.

    Examples: `kernel`, `forward_layer.kernel`, `query.kernel`, `cells.0.kernel`. In a custom layer
    it is the name that `tensor_facts` gives: from its file, an attribute or the variable.

    Raises:
        PlanError: the layer has no such variable.
    """
    for find in _ways(layer):
        found = find(layer, name)
        if found is not None:
            return found
    known = ", ".join(name for name, _ in named_weights(layer)) or "none"
    raise unburied(
        PlanError(
            f"{layer.name}: {type(layer).__name__} has no weight named {name!r}; it has {known}"
        )
    )


def _ways(layer: Layer) -> tuple[Callable[[Layer, str], tf.Variable | None], ...]:
    """Return the ways to look up a name, in order.

    A layer that names what to prune is searched by attribute before the names of its file.
    """
    kept = kept_names(layer)
    if isinstance(layer, PrunableLayer):
        return (
            (_find_kept, _find_by_path, _find_by_variable)
            if kept is not None and kept.decided
            else (_find_by_path, _find_kept, _find_by_variable)
        )
    return _find_kept, _find_by_variable, _find_by_path


def _find_kept(layer: Layer, name: str) -> tf.Variable | None:
    kept = kept_names(layer)
    return (
        variables_of(layer)[kept.names.index(name)]
        if kept is not None and name in kept.names
        else None
    )


def _find_by_path(layer: Layer, name: str) -> tf.Variable | None:
    found: Any = layer
    for part in name.split("."):
        found = _find_part(found, part)
    return found if isinstance(found, tf.Variable) else None


def _find_by_variable(layer: Layer, name: str) -> tf.Variable | None:
    """Return the only weight of a custom layer whose variable has this name."""
    found = (
        []
        if is_builtin_layer(layer)
        else [
            weight
            for weight in layer.weights
            if isinstance(weight, tf.Variable) and _bare_name(weight) == name
        ]
    )
    return found[0] if len(found) == 1 else None


def _find_part(owner: Any, part: str) -> Any:
    """Return the object that `part` of a weight's name refers to, or None.

    It is an item of a list, or an attribute of a layer or of its cell.
    """
    if part.isdecimal():
        return owner[int(part)] if isinstance(owner, Sequence) and int(part) < len(owner) else None
    attributes = live_class(owner).attributes if isinstance(owner, Layer) else {}
    found = getattr(owner, attributes.get(part, part), None)
    return getattr(getattr(owner, "cell", None), part, None) if found is None else found


def unburied(error: Exception) -> Exception:
    """Return the error, marked so that Keras and autograph leave its text as it is."""
    error._keras_call_info_injected = True  # type: ignore[attr-defined]
    error.ag_pass_through = True  # type: ignore[attr-defined]
    return error


def check_finite(model: tf_keras.Model, place: str, way_out: str) -> None:
    """Refuse a model with weights that are not finite.

    Raises:
        TrainingError: some weights hold NaN or infinity.
    """
    floating = (
        # without the copy of `variable.numpy()`
        (variable.name.removesuffix(":0"), np.asarray(tf.convert_to_tensor(variable)))
        for variable in model.weights
        if variable.dtype.is_floating
    )
    refuse_nonfinite(find_nonfinite(floating), place, way_out)
