"""Layers of live Keras 3 models: their addresses and their prunable weights."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import keras
from keras.src import api_export
from keras.src.backend import Variable  # Keras before 3.7 has another as keras.Variable
from keras.src.saving import saving_lib
from keras.src.saving.keras_saveable import KerasSaveable
from keras.src.utils.naming import to_snake_case

from graphprune.archive.entries import Entry, is_builtin
from graphprune.engine.finite import find_nonfinite, refuse_nonfinite
from graphprune.errors import GraphError, PlanError
from graphprune.graph.classes.builtin_layers import known_class, weights_of
from graphprune.graph.classes.layer_class import Weight
from graphprune.graph.layers import SEPARATOR
from graphprune.keras3.backend import read_in_place
from graphprune.keras3.guards import refuse_lora
from graphprune.keras3.quick_walks import quick_walks

OTHER_NAMES = {"depthwise_kernel": "kernel"}
"""The attributes of weights that files and tf_keras call differently, in DepthwiseConv1D and 2D."""


def addressed_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (address, layer) of every layer, nested models before the layers in them.

    The address is the layer's name, preceded by the names of the models around it. Inside a layer
    or model whose config does not describe its layers, it is the path at which Keras saves the
    layer (`block.dense`, `block.blocks.dense_1`), so that a file has the same addresses.
    """
    if has_layer_config(model):
        for layer in model.layers:
            yield from _visit(layer, str(layer.name))
    else:
        for path, layer in saved_parts(model):
            yield path, layer


def _visit(layer: Any, address: str) -> Iterator[tuple[str, Any]]:
    yield address, layer
    if has_layer_config(layer):
        for inner in layer.layers:
            yield from _visit(inner, f"{address}{SEPARATOR}{inner.name}")
    elif _known_weights(layer) is None and not says_what_to_prune(layer):
        for path, inner in saved_parts(layer):
            yield f"{address}.{path}", inner


def has_layer_config(layer: Any) -> bool:
    """Return whether this is a model whose config describes its layers.

    A subclass of Functional with a constructor of its own, as those of KerasHub, has the arguments
    of its constructor as config.
    """
    if not is_layered_model(layer):
        return False
    if type(layer) in (keras.Model, keras.Sequential, keras.src.models.functional.Functional):
        return True
    try:
        return isinstance(layer.get_config().get("layers"), list)
    except NotImplementedError:
        return False


INTERNAL = frozenset({"_layers", "_functional", "_operations", "_nodes", "_tracker"})
"""Attributes in which Keras stores layers a second time."""


def unique_layers(model: Any) -> dict[str, Any]:
    """Return the layers by address, each once, at its first address."""
    found: dict[int, tuple[str, Any]] = {}
    for address, layer in addressed_layers(model):
        found.setdefault(id(layer), (address, layer))
    return dict(found.values())


def is_layered_model(layer: object) -> bool:
    """Return whether this is a Sequential or Functional model, whose layers are known."""
    return isinstance(layer, keras.Sequential | keras.src.models.functional.Functional)


def is_unbuilt(model: object) -> bool:
    """Return whether this is a Sequential model without a known input shape."""
    return isinstance(model, keras.Sequential) and not model.built


def saved_parts(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path, layer) of the layers inside `owner`, at any depth, as Keras saves them.

    Each is yielded once, at its first path; layers in lists and dicts are named by class and number
    (`blocks.dense_1`). A layer whose weights are in layers inside it (LSTM, MultiHeadAttention) is
    left out, as these are yielded.
    """
    seen = {id(owner)}

    def walk(holder: Any, path: str) -> Iterator[tuple[str, Any]]:
        with quick_walks():
            parts = list(saving_lib._walk_saveable(holder))
        for name, value in parts:
            if isinstance(value, KerasSaveable):
                yield from visit(value, f"{path}{name}")
            elif isinstance(value, list | dict | tuple):
                yield from walk_items(value, f"{path}{name}")

    def walk_items(items: Any, path: str) -> Iterator[tuple[str, Any]]:
        if id(items) in seen:
            return
        seen.add(id(items))
        used: Counter[str] = Counter()
        for item in items.values() if isinstance(items, dict) else items:
            is_list = isinstance(item, list | dict | tuple)
            if not is_list and not isinstance(item, KerasSaveable):
                continue
            kind = "container" if is_list else to_snake_case(type(item).__name__)
            name = f"{kind}_{used[kind]}" if used[kind] else kind
            used[kind] += 1
            yield from (walk_items if is_list else visit)(item, f"{path}.{name}")

    def visit(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if id(value) in seen or isinstance(value, keras.optimizers.Optimizer):
            return
        seen.add(id(value))
        if isinstance(value, keras.layers.Layer) and not _holds_weights_inside(value):
            yield path, value
        if not says_what_to_prune(value):
            yield from walk(value, f"{path}.")

    yield from walk(owner, "")


def _holds_weights_inside(layer: Any) -> bool:
    return any(weight.path for weight in _known_weights(layer) or ())


def parts_of(layer: Any) -> list[tuple[str, Any]]:
    """Return the layers in the attributes of a layer, with their paths; public ones first."""
    inside = {id(inner) for inner in getattr(layer, "_layers", ())}
    found: dict[int, tuple[str, Any]] = {}
    waiting: deque[tuple[str, Any]] = deque(_attributes(layer))
    while waiting:
        path, value = waiting.popleft()
        if id(value) in inside:
            found.setdefault(id(value), (path, value))
        elif isinstance(value, list | tuple):
            waiting.extend((f"{path}.{index}", part) for index, part in enumerate(value))
        elif isinstance(value, dict):
            waiting.extend((f"{path}.{key}", part) for key, part in value.items())
    return list(found.values())


def _attributes(layer: Any) -> list[tuple[str, Any]]:
    """Return the attributes of a layer, including PyTorch's separate dict of modules."""
    own = {**vars(layer), **(vars(layer).get("_modules") or {})}
    named = [(name, value) for name, value in own.items() if name not in {*INTERNAL, "_modules"}]
    return sorted(named, key=lambda item: item[0].startswith("_"))


def says_what_to_prune(layer: object) -> bool:
    """Return whether the layer names its weights to prune itself (`graphprune.PrunableLayer`)."""
    return callable(getattr(layer, "get_prunable_weights", None))


def prunable_names(layer: Any) -> tuple[str, ...]:
    """Return the names of the weights that may be pruned, in storage order.

    A layer that names its weights to prune has names only once it is built. In a built layer,
    weights that are not floating point (int8) are left out.

    Raises:
        PlanError: `get_prunable_weights` returns something that is not a weight of the layer.
    """
    if says_what_to_prune(layer):
        return _own_names(layer)
    known = _known_weights(layer) or ()
    names = tuple(weight.name for weight in known if weight.prunable and not weight.is_copy)
    if not layer.built:
        return names
    return tuple(name for name in names if _is_floating(_look_up(layer, name)))


def is_builtin_layer(layer: Any) -> bool:
    """Return whether the layer's class comes with Keras."""
    return is_builtin(class_entry(layer))


def entry_of(layer: Any) -> Entry:
    """Return the layer as the table of layers reads it."""
    return {**class_entry(layer), "config": layer.get_config()}


def class_entry(layer: Any) -> dict[str, Any]:
    """Return the class as files name it: that of GroupQueryAttention is GroupedQueryAttention."""
    kind = type(layer)
    exported = api_export.get_name_from_symbol(kind) or kind.__name__
    return {"class_name": exported.rpartition(".")[2], "module": kind.__module__}


def _known_weights(layer: Any) -> tuple[Weight, ...] | None:
    """Return the weights in the table of layers; the config is read only if there may be some."""
    known = known_class(class_entry(layer))
    if known is None or known.has_no_weights:
        return None if known is None else ()
    return weights_of(entry_of(layer))


def _is_floating(weight: Any) -> bool:
    return weight is not None and "float" in keras.backend.standardize_dtype(weight.dtype)


def _own_names(layer: Any) -> tuple[str, ...]:
    if not layer.built:
        return ()
    names = []
    for index, weight in enumerate(layer.get_prunable_weights()):
        path = find_path(layer, weight)
        if path is None:
            raise PlanError(
                f"{layer.name}: get_prunable_weights of {type(layer).__name__} returns an item that"
                f" is not a weight of the layer (item {index}); return variables that its"
                " attributes hold"
            )
        names.append(_public_name(layer, path, weight))
    return tuple(names)


def _public_name(layer: Any, path: str, weight: Any) -> str:
    """Return the path with `kernel` for `_kernel` if both are the weight, as in Dense."""
    parent, _, last = path.rpartition(".")
    name = f"{parent}.{last.lstrip('_')}".lstrip(".")
    return name if _look_up(layer, name) is weight else path


def find_path(layer: Any, weight: Any) -> str | None:
    """Return the shortest attribute path from `layer` to `weight`, such as `blocks.0.kernel`.

    Public attributes come first.
    """
    waiting: deque[tuple[str, Any]] = deque([("", layer)])
    seen: set[int] = set()
    while waiting:
        path, value = waiting.popleft()
        if value is weight:
            return path
        if id(value) in seen:
            continue
        seen.add(id(value))
        parts: list[tuple[str, Any]] = []
        if isinstance(value, list | tuple):
            parts = [(str(index), part) for index, part in enumerate(value)]
        elif isinstance(value, dict):
            parts = [(str(key), part) for key, part in value.items()]
        elif isinstance(value, keras.layers.Layer):
            parts = _attributes(value)
        waiting.extend((f"{path}.{name}" if path else name, part) for name, part in parts)
    return None


def find_weight(layer: Any, name: str) -> Any:
    """Return the variable of a built layer that has this name in the table of layers.

    Such names are `kernel`, `forward_layer.kernel`, `query.kernel`.

    Raises:
        PlanError: the layer has no such variable.
        TrainingError: the weight is a sum of others (LoRA), so no mask can keep it zero.
    """
    if getattr(find_holder(layer, name), "lora_enabled", False):
        raise refuse_lora(layer.name)
    found = _look_up(layer, name)
    if not isinstance(found, Variable):
        known = ", ".join(variable.name for variable in layer.weights) or "none"
        raise PlanError(
            f"{layer.name}: {type(layer).__name__} has no weight named {name!r}; it has {known}"
        )
    return found


def find_holder(layer: Any, name: str) -> Any:
    """Return the layer that holds the weight `name`: `layer` itself, or one inside it."""
    inner = _look_up(layer, name.rpartition(".")[0]) if "." in name else layer
    return inner if isinstance(inner, keras.layers.Layer) else layer


def _look_up(layer: Any, name: str) -> Any:
    found: Any = layer
    for part in name.split("."):
        found = _part(found, part)
    return found


def _part(owner: Any, part: str) -> Any:
    """Return the object that `part` of a weight's name refers to, or None.

    It is an item, or an attribute of a layer or of its cell.
    """
    if part.isdecimal() and isinstance(owner, list | tuple):
        return owner[int(part)] if int(part) < len(owner) else None
    if isinstance(owner, dict):
        return owner.get(part)
    known = known_class(class_entry(owner))
    attributes = {} if known is None else known.attributes
    for name in (attributes.get(part, part), OTHER_NAMES.get(part, part)):
        if (found := getattr(owner, name, None)) is not None:
            return found
    return getattr(getattr(owner, "cell", None), part, None)


def check_finite(model: Any, place: str, way_out: str) -> None:
    """Refuse a model with weights that are not finite.

    Raises:
        TrainingError: some weights hold NaN or infinity.
    """
    floating = (
        (variable.path, read_in_place(variable))
        for variable in model.weights
        if _is_floating(variable)
    )
    refuse_nonfinite(find_nonfinite(floating), place, way_out)


def names_its_weights(layer: Any) -> bool:
    """Return whether the table of layers has the names of a layer's weights in files."""
    return _known_weights(layer) is not None and not says_what_to_prune(layer)


def check_built(model: Any) -> None:
    """Raise unless this is a model with weights.

    Raises:
        GraphError: it is none of Keras 3, or has no weights yet.
    """
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise GraphError(f"{kind} is not a Keras 3 model; give a model")
    if is_unbuilt(model):
        raise GraphError(
            f"{model.name}: the model is not built, so it has no weights yet; call"
            " model.build(input_shape) first"
        )
    check_model(model)


def check_model(model: Any) -> None:
    """Raise unless the model is built, or is a Sequential model without a known input shape.

    Raises:
        GraphError: it has no weights yet.
    """
    if not model.built and not is_unbuilt(model):
        raise GraphError(
            f"{model.name}: the model is not built, so it has no weights yet; call it on a batch of"
            " data, or call model.build(input_shape), first"
        )
