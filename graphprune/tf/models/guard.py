"""The places where Keras turns a name into an object, held against the allow-list while a model
loads.

`archive.allowed.find_refused` has judged every name of the config before; this stands behind it,
for names that Keras makes up on the way, such as a text that a class of the user's hands to
`activations.get`, which looks it up among all that Keras's module holds. Nothing is imported here
because a file names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tf_keras.src.saving import serialization_lib
from tf_keras.src.saving.legacy import serialization as legacy

from graphprune.archive.allowed.entries import keras_kinds, string_fits
from graphprune.archive.allowed.keras_names import KERAS, OPTIMIZER
from graphprune.errors import ArchiveError


@contextmanager
def names_guarded(place: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Let Keras find what the user gave and what is on the list, and raise an ArchiveError for
    anything else.
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
    """Return whether an object is the user's by its registered name; the older lookup knows the
    class name alone.
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
