"""Guards on Keras while it loads a model: names are checked, and endless loops are refused.

`archive.allowed.find_refused` has already checked every name in the config. `names_guarded` checks
names that arise during loading, such as a string that a custom class passes to `activations.get`,
which looks it up in Keras's whole module. Nothing is imported here because a file names it.

Keras builds a model by repeating its pending calls until all are made; a call that can never be
made is an endless loop, which `stuck_calls_refused` ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tf_keras.src.engine import functional
from tf_keras.src.saving import serialization_lib
from tf_keras.src.saving.legacy import serialization as legacy

from graphprune.archive.allowed.entries import keras_kinds, string_fits
from graphprune.archive.allowed.keras_names import KERAS, OPTIMIZER
from graphprune.errors import ArchiveError


@contextmanager
def names_guarded(place: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Let Keras find only objects that the user gave or that are on the list.

    Raises an ArchiveError for anything else.
    """
    find, build = serialization_lib._retrieve_class_or_fn, legacy.deserialize_keras_object
    refused: list[ArchiveError] = []

    def refuse(name: str) -> ArchiveError:
        refused.append(
            ArchiveError(
                f"{name} may not be named by a model file; it is not safe to load", place=place
            )
        )
        return refused[-1]

    serialization_lib._retrieve_class_or_fn = _guard_modules(find, given, refuse)
    legacy.deserialize_keras_object = _guard_texts(build, given, refuse)
    try:
        yield
    except Exception as fault:  # Keras wraps errors raised while it builds a layer
        if refused and fault not in refused:
            raise refused[0] from fault
        raise
    finally:
        serialization_lib._retrieve_class_or_fn, legacy.deserialize_keras_object = find, build


def _guard_modules(
    find: Callable[..., Any], given: Mapping[str, Any], refuse: Callable[[str], ArchiveError]
) -> Callable[..., Any]:
    def guarded(
        name: str,
        registered_name: Any,
        module: Any,
        obj_type: str,
        full_config: Any,
        custom_objects: Any = None,
    ) -> Any:
        names = (name,) if obj_type == "function" else (registered_name, name)
        owned = next(
            (given[known] for known in names if isinstance(known, str) and known in given), None
        )
        if owned is not None:
            return owned
        if not keras_kinds(full_config):
            raise refuse(f"{name!r} of {module!r}")
        return find(name, registered_name, module, obj_type, full_config, custom_objects)

    return guarded


def _guard_texts(
    build: Callable[..., Any], given: Mapping[str, Any], refuse: Callable[[str], ArchiveError]
) -> Callable[..., Any]:
    def guarded(
        identifier: Any,
        module_objects: Any = None,
        custom_objects: Any = None,
        printable_module_name: str = "object",
    ) -> Any:
        # build the same name that was checked
        if isinstance(identifier, Mapping) and _registered(identifier, given):
            identifier = {**identifier, "class_name": identifier["registered_name"]}
        name = identifier.get("class_name") if isinstance(identifier, Mapping) else identifier
        if (
            isinstance(name, str)
            and name in (module_objects or {})
            and name not in given
            and not _is_known(name, identifier)
        ):
            raise refuse(repr(name))
        return build(identifier, module_objects, custom_objects, printable_module_name)

    return guarded


def _registered(identifier: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether an object is the user's by its registered name.

    The older lookup uses only the class name.
    """
    registered = identifier.get("registered_name")
    return (
        isinstance(registered, str)
        and registered in given
        and identifier.get("class_name") != "function"
    )


def _is_known(name: str, identifier: Any) -> bool:
    """Return whether a text, or an object without a module, names something on the list."""
    if isinstance(identifier, Mapping):  # Keras turns the name of an optimizer into an object
        return bool(keras_kinds({"class_name": name})) or string_fits(name, OPTIMIZER)
    return any(string_fits(name, kind) for kind in KERAS)


@contextmanager
def stuck_calls_refused(place: str) -> Iterator[None]:
    """Raise an ArchiveError that begins with `place` if Keras would never finish building a model.

    `graph.from_config.check_models` finds what the config alone shows. A keyword argument that uses
    the third tensor of a layer with two outputs is found only here (`reconstruct_from_config`,
    tf_keras/src/engine/functional.py).
    """
    rebuild = functional.reconstruct_from_config

    def watched(
        config: dict[str, Any], custom_objects: Any = None, created_layers: Any = None
    ) -> Any:
        created = _Created(created_layers or {})
        return rebuild(
            {**config, "layers": _Layers(config["layers"], created, place)}, custom_objects, created
        )

    functional.reconstruct_from_config = watched
    try:
        yield
    finally:
        functional.reconstruct_from_config = rebuild


class _Created(OrderedDict):
    """The layers made so far by name.

    It is true even when empty, so that Keras fills this dict and not another.
    """

    def __bool__(self) -> bool:
        return True


class _Layers(list):
    """The layers of a config.

    Keras iterates once to make them, then once for each round of calls; a round must make at least
    one call.
    """

    def __init__(self, layers: list[Any], created: _Created, place: str) -> None:
        super().__init__(layers)
        self._created, self._place, self._made = created, place, [-2, -1]

    def __iter__(self) -> Iterator[Any]:
        self._made = [
            self._made[1],
            sum(len(getattr(layer, "_inbound_nodes", ())) for layer in self._created.values()),
        ]
        if self._created and self._made[0] == self._made[1]:
            raise ArchiveError(
                "a keyword argument of a layer takes a tensor that no layer"
                " produces; save the model again",
                place=self._place,
            )
        return super().__iter__()
