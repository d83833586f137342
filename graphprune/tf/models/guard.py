"""Guards on Keras while it loads a model: names are checked, and calls that never end are refused.

`archive.allowed.find_refused` has judged every name of the config before. `names_guarded` checks
those that Keras makes up on the way, such as a string that a class of the user's hands to
`activations.get`, which looks it up among all that Keras's module holds. Nothing is imported here
because a file names it.

Keras builds a model by going through its calls again and again until all are made; if one never can
be, it goes on for ever. `stuck_calls_refused` ends that.
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
    """Let Keras find only what the user gave and what is on the list.

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
    except Exception as fault:  # Keras wraps what is raised while it builds a layer
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
        # what was judged is what is built
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

    The older lookup knows the class name alone.
    """
    registered = identifier.get("registered_name")
    return (
        isinstance(registered, str)
        and registered in given
        and identifier.get("class_name") != "function"
    )


def _is_known(name: str, identifier: Any) -> bool:
    """Return whether a text, or an object without a module, names something on the list."""
    if isinstance(identifier, Mapping):  # Keras makes an object of the name of an optimizer
        return bool(keras_kinds({"class_name": name})) or string_fits(name, OPTIMIZER)
    return any(string_fits(name, kind) for kind in KERAS)


@contextmanager
def stuck_calls_refused(place: str) -> Iterator[None]:
    """Raise an ArchiveError that begins with `place` where Keras would build a model without end.

    `graph.from_config.check_models` finds what a config alone tells. That a keyword argument takes
    the third tensor of a layer that makes two is seen only here (`reconstruct_from_config`,
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
                "a layer takes a tensor that no other makes; a keyword argument"
                " names it, save the model again",
                place=self._place,
            )
        return super().__iter__()
