"""Clones of live Keras 3 models: new layers, the same names, config, weights and compile settings.

A model is rebuilt from its config, as when a file is loaded, but each layer is cloned from the live
one, so its class need not be registered and functions stay the same objects.
"""

from __future__ import annotations

import itertools
import tempfile
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras

from graphprune.errors import GraphError
from graphprune.graph.precision import PolicyChange
from graphprune.keras3.backend import scope_of
from graphprune.keras3.layers import (
    check_model,
    class_entry,
    is_layered_model,
    is_unbuilt,
    parts_of,
)
from graphprune.keras3.optimizers import LIKE_MODEL, Scaling, copy_compile_state, copy_of

_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Precision:
    """Another precision for a clone.

    Attributes:
        change: The dtype policies that change.
        kept: The layers that keep theirs, by `id`.
        scaling: Whether the optimizer scales the loss.
    """

    change: PolicyChange
    kept: frozenset[int]
    scaling: Scaling


def clone_model(model: Any, *, compiled: bool = True, precision: Precision | None = None) -> Any:
    """Return a clone with the model's weights and the states of its random generators.

    If `compiled`, it also has the compile settings and the optimizer state. It computes in the
    `precision` that is given, or like the model.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        TrainingError: the copy cannot be compiled like the model.
    """
    check_model(model)
    with scope_of(model):
        return _clone(model, compiled, precision)


def _clone(model: Any, compiled: bool, precision: Precision | None) -> Any:
    cloning = _Clone(precision)
    with _quietly():
        clone = cloning.of(model)
    if not is_unbuilt(model) and not clone.built:
        clone.build_from_config(model.get_build_config() or {})
        clone.built = True  # as Keras does where it loads a file
    variables = _copy_variables(model, clone)
    for old, new in zip(_all_layers(model), _all_layers(clone), strict=True):
        new.name = old.name  # of a layer inside a class of the user's own, Keras makes a new one
        _copy_rest(old, new)
    if compiled:
        scaling = LIKE_MODEL if precision is None else precision.scaling
        copy_compile_state(model, clone, variables, scaling)
    return clone


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the warnings of Keras about lambdas in a config, which the clone does not use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Ll]ambda.*")
        yield


@dataclass(frozen=True, slots=True)
class _Factory:
    """A replacement for a class in a config: `from_config` returns the clone of a live object."""

    cloning: _Clone
    layer: Any

    def from_config(self, config: Mapping[str, Any]) -> Any:
        return self.cloning.of(self.layer)


@dataclass(slots=True)
class _Clone:
    """A clone in progress; new layers are kept by the old one's `id`, so sharing is kept."""

    precision: Precision | None = None
    made: dict[int, Any] = field(default_factory=dict)

    def of(self, layer: Any) -> Any:
        if id(layer) not in self.made:
            self.made[id(layer)] = self._make(layer)
        return self.made[id(layer)]

    def _make(self, layer: Any) -> Any:
        try:
            config = layer.get_config()
        except NotImplementedError as err:
            raise GraphError(
                f"{layer.name}: {type(layer).__name__} has no get_config, so it cannot be copied;"
                " add one that returns the arguments of its constructor"
            ) from err
        if is_layered_model(layer) and isinstance(config.get("layers"), list):
            return self._make_model(layer, config)
        if self.precision is not None and id(layer) not in self.precision.kept:
            config = self.precision.change.config_of({**class_entry(layer), "config": config})
        return clone_layer(layer, config)

    def _make_model(self, model: Any, config: dict[str, Any]) -> Any:
        sequential = isinstance(model, keras.Sequential)
        live = {one.name: one for one in (model._layers if sequential else model.operations)}
        factories: dict[str, _Factory] = {}
        entries = []
        for entry in config["layers"]:
            name = f"graphprune>clone_{next(_NUMBERS)}"
            layer = live[entry.get("name") or entry["config"]["name"]]
            factories[name] = _Factory(self, layer)
            entries.append(_entry(entry, name))
        with keras.saving.custom_object_scope(factories):
            try:
                clone = type(model).from_config({**config, "layers": entries})
            except ValueError as err:
                raise GraphError(_explain_unbuildable(model, str(err))) from err
        clone._trainable = model._trainable
        return clone


def _explain_unbuildable(model: Any, fault: str) -> str:
    return (
        f"{model.name}: Keras cannot build this model from its own config ({fault}); it may have a"
        " layer both inside and outside of a nested model"
    )


def _entry(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the entry of a layer in a config, with a different class name."""
    kept = {key: value for key, value in entry.items() if key in ("name", "inbound_nodes")}
    made = {"module": None, "class_name": name, "registered_name": name}
    return {**kept, **made, "config": {"name": entry["config"].get("name")}}


def clone_layer(layer: Any, config: Mapping[str, Any]) -> Any:
    """Return a new layer, or model with a config of its own, with this config and without weights.

    Raises:
        GraphError: it cannot be made from the config.
    """
    config = {key: _live(layer, key, value) for key, value in config.items()}
    if type(layer) is keras.layers.Lambda:
        own = {"function": layer.function, "mask": layer.mask, "arguments": layer.arguments}
        shape = layer._output_shape
        base = {key: config[key] for key in ("name", "trainable", "dtype")}
        return keras.layers.Lambda(output_shape=shape, **own, **base)
    try:
        with keras.saving.custom_object_scope(dict(_live_objects(layer))):
            made = type(layer).from_config(config)
    except (TypeError, ValueError) as err:
        raise GraphError(
            f"{layer.name}: {type(layer).__name__} cannot be made from its get_config ({err})"
        ) from err
    if not isinstance(layer, keras.layers.Layer):
        made.name = layer.name  # Keras before 3.11 gives operations with arguments new ones
    return made


def _live(layer: Any, key: str, value: Any) -> Any:
    """Return the function that an attribute of the layer holds, instead of its config value."""
    held = getattr(layer, key, None)
    is_own = isinstance(held, types.FunctionType) and not held.__module__.startswith("keras.")
    return held if is_own else value


def _live_objects(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the classes and functions that the layer and the layers in it use, by name."""
    for owner in (layer, *(inner for _, inner in parts_of(layer))):
        for value in (owner, *vars(owner).values()):
            named = value if isinstance(value, types.FunctionType) else type(value)
            if named.__module__.partition(".")[0] not in ("keras", "builtins"):
                yield named.__name__, named
                yield keras.saving.get_registered_name(named), named
        if owner is not layer:
            yield from _live_objects(owner)


def _all_layers(model: Any) -> list[Any]:
    return list(model._flatten_layers())


def _copy_variables(model: Any, clone: Any) -> dict[int, Any]:
    """Copy the model's variables to the clone; return the clone's by `id` of the model's.

    Layers correspond by position; variables by name in their layer, or else by position. What is
    frozen in the model is frozen in the clone: configs do not say it of single variables, of layers
    inside custom layers, and of models whose config is the arguments of their constructor.
    """
    layers, others = _all_layers(model), _all_layers(clone)
    pairs = list(zip(layers, others, strict=False))
    if len(layers) != len(others) or any(map(_is_incomplete, pairs)):
        raise GraphError(_explain_incomplete(pairs, len(layers), len(others)))
    variables: dict[int, Any] = {}
    for old, new in reversed(pairs):  # inner layers first
        new._trainable = old._trainable  # its setter would set that of inner layers too
        taken = {id(other) for other in variables.values()}
        theirs = [other for other in new.variables if id(other) not in taken]
        mine = [one for one in old.variables if id(one) not in variables]
        for one, other in _pair(old.name, mine, theirs):
            variables[id(one)] = other
            other.assign(copy_of(one))
            other.trainable = one.trainable
            _copy_path(one, other)
    return variables


def _pair(name: str, some: Sequence[Any], others: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pair the variables of a layer and of its copy.

    `quantize` adds variables behind those that are there; a copy creates them first.

    Raises:
        GraphError: trained variables are in another order, which optimizers do not take.
    """
    by_name = {other.name: other for other in others}
    if len(by_name) < len(others) or by_name.keys() != {one.name for one in some}:
        return list(zip(some, others, strict=True))
    trained = [one.name for one in some if one.trainable]
    if trained != [other.name for other in others if other.name in trained]:
        raise GraphError(
            f"{name}: a layer that was quantized to float8 cannot be copied, because its copy"
            " creates its weights in another order; prune the model before it is quantized"
        )
    return [(one, by_name[one.name]) for one in some]


def _copy_path(old: Any, new: Any) -> None:
    """Give a variable the path of another: `MultiOptimizer` and layouts choose variables by it.

    Keras makes another one where it builds a layer otherwise than by a call, or under a new name.
    """
    setattr(new, "_path" if "_path" in vars(new) else "path", old.path)


def _is_incomplete(pair: tuple[Any, Any]) -> bool:
    return len(pair[0].variables) != len(pair[1].variables)


def _explain_incomplete(pairs: Sequence[tuple[Any, Any]], count: int, found: int) -> str:
    """Return which custom layer's copy lacks variables, or that Keras made another model.

    Keras before 3.14 makes another model of a config in which a layer is inside and outside of a
    nested model.

    Args:
        pairs: The layers of the model and of its clone, which are the first pair.
        count: The number of layers of the model.
        found: That of its clone.
    """
    for old, new in pairs:
        is_own = not type(old).__module__.startswith("keras.")
        if is_own and type(old) is type(new) and _is_incomplete((old, new)):
            return (
                f"{old.name}: its copy has {len(new.variables)} variables instead of"
                f" {len(old.variables)}; let {type(old).__name__} create all of them in build, from"
                " its get_config and get_build_config"
            )
    model, clone = pairs[0]
    return _explain_unbuildable(
        model,
        f"its copy has {found} layers with {len(clone.variables)} variables instead of {count} with"
        f" {len(model.variables)}",
    )


def _copy_rest(old: Any, new: Any) -> None:
    """Copy a layer's state outside variables: vocabularies, and values derived from weights."""
    if callable(getattr(old, "get_vocabulary", None)):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
    elif callable(getattr(new, "finalize_state", None)) and new.built:
        new.finalize_state()
