"""The names of a custom layer's weights.

Plans read from a file and wrappers of the loaded model use the same names.

Each format names the weights of a custom layer in its own way, because none knows the class:
`.keras` files by attribute and number (`a.0`, `blocks.dense.0`), `.h5` files by the paths of
variables (`dense.kernel`), SavedModels by attributes (`a.kernel`, `blocks.0.kernel`). A loaded
layer keeps the names of its file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import tensorflow as tf
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.saving import saving_lib
from tf_keras.src.utils.generic_utils import to_snake_case

from graphprune.archive.saved_model.folder import NOT_OWN
from graphprune.tf.layers.prunable_layer import find_path

_ATTRIBUTE = "_graphprune_stored_names"


@dataclass(frozen=True, slots=True)
class StoredNames:
    """The names of a layer's weights, in the order of `layer.weights`.

    Attributes:
        names: One name per weight.
        listed: The same names in the order of the file.
        decided: Whether a plan or a wrapper gave the names; if not, a `PrunableLayer` uses its
            own.
    """

    names: tuple[str, ...]
    listed: tuple[str, ...] = ()
    decided: bool = False


def variables_of(layer: Layer) -> list[tf.Variable]:
    """Return the layer's weights without handles on tables, which lookup layers list as well."""
    return [weight for weight in layer.weights if isinstance(weight, tf.Variable)]


def keep_names(
    layer: Layer, names: Sequence[str], listed: Sequence[str] = (), *, decided: bool = False
) -> None:
    """Record the names of a layer's weights on it, in the order of `layer.weights`.

    Names that are not unique are not recorded.
    """
    if names and len(set(names)) == len(names):
        setattr(layer, _ATTRIBUTE, StoredNames(tuple(names), tuple(listed), decided))


def kept_names(layer: Layer) -> StoredNames | None:
    """Return the recorded names; None without any, or if their number does not fit the weights."""
    found: StoredNames | None = getattr(layer, _ATTRIBUTE, None)
    return found if found is not None and len(found.names) == len(variables_of(layer)) else None


def copy_names(source: Layer, target: Layer) -> None:
    """Give a clone the names of the layer that it was cloned from."""
    found: StoredNames | None = getattr(source, _ATTRIBUTE, None)
    if found is not None:
        setattr(target, _ATTRIBUTE, found)


def names_in_layout(layer: Layer, kind: str, stored: Sequence[str]) -> tuple[str, ...]:
    """Return the names that a file of this layout has for a layer's weights.

    The order is that of `layer.weights`.

    Args:
        layer: The layer, loaded from the file.
        kind: The layout, see `Archive.layout`.
        stored: The names in the file; an `.h5` file has them in the order of the layer.

    Returns:
        The names; empty if they do not fit the layer.
    """
    if kind == "h5":
        names = tuple(stored)
    elif kind == "keras":
        names = keras_places(layer)
    else:
        names = _tracked_names(layer, stored)
    return names if len(names) == len(variables_of(layer)) and set(names) == set(stored) else ()


def names_like(layer: Layer, asked: Collection[str]) -> tuple[str, ...]:
    """Return the names of all weights of a layer, in the style of `asked`.

    Names can be attributes, places in a `.keras` file, or variable names; the result is empty if
    `asked` matches none of these.
    """
    ways: tuple[Callable[[Layer], tuple[str, ...]], ...] = (
        attribute_paths,
        keras_places,
        _variable_paths,
    )
    found = (
        names
        for way in ways
        if len(names := way(layer)) == len(set(names)) == len(variables_of(layer))
    )
    return next((names for names in found if asked and set(asked) <= set(names)), ())


def places_of(layer: Layer, names: Sequence[str]) -> dict[str, list[str]]:
    """Return where `.keras` files and SavedModels store the weights of these names, by format.

    A format is left out if it uses the same names. The built layer is searched once: a model's
    config, which each save needs, asks several times.
    """
    known, own = _PLACES.setdefault(layer, {}), tuple(names)
    if own not in known:
        found = {"keras": keras_places(layer), "savedmodel": tracked_paths(layer)}
        known[own] = {
            kind: list(places)
            for kind, places in found.items()
            if own and len(places) == len(own) and own != places
        }
    return known[own] if own else {}


_PLACES: WeakKeyDictionary[Layer, dict[tuple[str, ...], dict[str, list[str]]]] = WeakKeyDictionary()


def attribute_paths(layer: Layer) -> tuple[str, ...]:
    """Return the attribute path of each weight (`a.kernel`); empty if one has none."""
    found = [find_path(layer, weight) for weight in variables_of(layer)]
    return () if None in found else tuple(str(path) for path in found)


def tracked_paths(layer: Layer) -> tuple[str, ...]:
    """Return where a SavedModel stores each weight.

    It is the shortest path among the objects that TensorFlow tracks, which lists a variable by its
    name before its attribute.
    """
    paths: dict[int, str] = {}
    waiting: deque[tuple[str, Any]] = deque([("", layer)])
    seen = {id(layer)}
    while waiting:
        path, owner = waiting.popleft()
        if isinstance(owner, tf.Variable):
            paths[id(owner)] = path
            continue
        for name, child in owner._trackable_children().items():
            if id(child) not in seen and not NOT_OWN.fullmatch(name):
                seen.add(id(child))
                waiting.append((f"{path}.{name}" if path else name, child))
    found = [paths.get(id(variable)) for variable in variables_of(layer)]
    return () if None in found else tuple(str(path) for path in found)


def keras_places(layer: Layer) -> tuple[str, ...]:
    """Return where a `.keras` file stores each weight below the layer (`a.0`); empty if unknown."""
    places = {id(variable): place for place, variable in _walk(layer, "", set())}
    found = [places.get(id(variable)) for variable in variables_of(layer)]
    return () if None in found else tuple(str(place) for place in found)


def _walk(owner: Any, path: str, seen: set[int]) -> Iterator[tuple[str, tf.Variable]]:
    """Yield place and variable as `_save_state` of tf_keras/src/saving/saving_lib.py does."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    if isinstance(owner, Layer):
        own = [*owner._trainable_weights, *owner._non_trainable_weights]
        yield from ((f"{path}{index}", variable) for index, variable in enumerate(own))
    for attribute, part in saving_lib._walk_trackable(owner):
        if saving_lib._is_keras_trackable(part):
            yield from _walk(part, f"{path}{attribute}.", seen)
        elif isinstance(part, list | dict | tuple | set):
            yield from _walk_container(part, f"{path}{attribute}.", seen)


def _walk_container(container: Any, path: str, seen: set[int]) -> Iterator[tuple[str, tf.Variable]]:
    used: dict[str, int] = {}
    for part in list(container.values() if isinstance(container, dict) else container):
        if saving_lib._is_keras_trackable(part) and id(part) not in seen:
            kind = to_snake_case(type(part).__name__)
            used[kind] = used.get(kind, -1) + 1
            yield from _walk(
                part, f"{path}{kind}_{used[kind]}." if used[kind] else f"{path}{kind}.", seen
            )


def _tracked_names(layer: Layer, stored: Sequence[str]) -> tuple[str, ...]:
    """Return, for each weight, the name in `stored` that leads to it; empty if one has none.

    The names are paths of objects that TensorFlow tracks.
    """
    by_variable = {id(_follow(layer, name)): name for name in stored}
    found = [by_variable.get(id(variable)) for variable in variables_of(layer)]
    return () if None in found else tuple(str(name) for name in found)


def _follow(layer: Layer, name: str) -> Any:
    found: Any = layer
    for part in name.split("."):
        found = None if found is None else found._lookup_dependency(part)
    return found


def _variable_paths(layer: Layer) -> tuple[str, ...]:
    """Return the names of variables below the layer's own, as an `.h5` file saved now has them."""
    paths = (f"/{variable.name.split(':')[0]}" for variable in variables_of(layer))
    return tuple(
        (path.partition(f"/{layer.name}/")[2] or path[1:]).replace("/", ".") for path in paths
    )
