"""The guard of Keras's own look-ups while it loads a model: only names on the list are found.

`find_refused` has already checked every name in the config. The guard checks names that arise
during loading, such as a string that a custom class passes to `activations.get`, which looks it up
in Keras's whole module. Nothing is imported here because a file names it.

Both Kerases look names up by functions of the same names, in modules that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from graphprune.archive.allowed.entries import keras_kinds, string_fits
from graphprune.archive.allowed.keras_names import KERAS, OPTIMIZER
from graphprune.errors import ArchiveError


@contextmanager
def names_guarded(
    place: str, given: Mapping[str, Any], lookup: Any, legacy: Any, *, foreign: str = ""
) -> Iterator[None]:
    """Let Keras find only objects that the user gave or that are on the list.

    Raises an ArchiveError for anything else.

    Args:
        place: The file, for error texts.
        given: The user's own classes and functions.
        lookup: Keras's module `saving.serialization_lib`.
        legacy: Keras's module that reads the objects of `.h5` files.
        foreign: The package of the other Keras, if none of its modules may be imported.
    """
    find, build = lookup._retrieve_class_or_fn, legacy.deserialize_keras_object
    refused: list[ArchiveError] = []

    def refuse(name: str) -> ArchiveError:
        refused.append(
            ArchiveError(
                f"{name} may not be named by a model file; it is not safe to load", place=place
            )
        )
        return refused[-1]

    lookup._retrieve_class_or_fn = _guard_modules(find, given, refuse, foreign)
    legacy.deserialize_keras_object = _guard_texts(build, given, refuse)
    try:
        yield
    except Exception as fault:  # Keras wraps errors raised while it builds a layer
        if refused and fault not in refused:
            raise refused[0] from fault
        raise
    finally:
        lookup._retrieve_class_or_fn, legacy.deserialize_keras_object = find, build


def _guard_modules(
    find: Callable[..., Any],
    given: Mapping[str, Any],
    refuse: Callable[[str], ArchiveError],
    foreign: str,
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
        if not keras_kinds(full_config) or str(module).partition(".")[0] == foreign:
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
