"""Files refused before loading, because building their models would run code; and why."""

from __future__ import annotations

import builtins
import sys
from typing import Any

from graphprune.archive.allowed.check import OPERATION, PATH, SIZE, Refusal, find_refused
from graphprune.archive.allowed.entries import KERAS_3, TF_KERAS, Given
from graphprune.archive.allowed.keras_names import LAYER, LIMITS
from graphprune.archive.archive import Archive
from graphprune.archive.entries import LAMBDA, holds_lambda_bytecode
from graphprune.errors import ArchiveError

_TRUST = "if you trust where the file comes from, pass --unsafe-{0} (unsafe_{0}=True in Python)"
MAX_NAME = 80
"""Characters of a name that a message shows."""


def check_loadable(
    archive: Archive, *, unsafe_lambda: bool, unsafe_ops: bool = False, given: Given | None = None
) -> None:
    """Raise unless Keras can build the model without running code from the file.

    Args:
        archive: The saved model.
        unsafe_lambda: Allow Python bytecode.
        unsafe_ops: Allow layers that run any operation of TensorFlow.
        given: The user's own classes and functions; None for a first check before they are
            imported, which does not check names.

    Raises:
        ArchiveError: it holds bytecode, or names a file, an operation that is not on the list, or a
            class or function that is neither on the list nor given or that is of the wrong kind.
    """
    model = {key: value for key, value in archive.config.items() if key != "compile_config"}
    if not unsafe_lambda and holds_lambda_bytecode(model):
        raise ArchiveError(
            f"a Lambda layer holds Python bytecode, which loading would run;"
            f" {_TRUST.format('lambda')}",
            place=archive.path,
        )
    refusal = find_refused(model, given, unsafe_ops=unsafe_ops)
    if refusal is not None:
        raise ArchiveError(f"{explain_refusal(refusal)}", place=archive.path)


def refuse_settings(archive: Archive, given: Given, *, unsafe_lambda: bool) -> str | None:
    """Return why the compile settings must not be restored; None if they may be."""
    settings: tuple[Any, ...] = (archive.training_config, archive.config.get("compile_config"))
    if not unsafe_lambda and holds_lambda_bytecode(settings):
        return "a lambda function in them holds Python bytecode"
    refusal = find_refused(settings, given, kind=None)
    return None if refusal is None else explain_refusal(refusal)


_LAMBDA_AS_CODE = (
    "a function in it is a lambda, which a model file cannot hold; write it as a function with a"
    " name (def) in the program that built the model, save the model again, and give the function"
    " with --custom-objects"
)
_LAMBDA_BY_NAME = (
    "a function in it is a lambda, and the model file holds only its name '<lambda>';"
    " give the function under that name, with --custom-objects '<lambda>=MODULE:FUNCTION'"
    " (custom_objects={'<lambda>': ...} in Python); it then stands for every lambda of the file"
)
_UNCONVERTED = ", so it cannot be converted; replace it before the model is converted"

_BY_WORDS = ((LAMBDA, _LAMBDA_BY_NAME), ("{'value': ['", _LAMBDA_AS_CODE))
"""Help by a part of an error text of Keras, which has no codes: the name of a lambda, or its
bytecode where Keras expects the name of a function.
"""


def explain_lambda(cause: str) -> str | None:
    """Return what to do if Keras could not read a lambda in a custom object.

    It is recognized by the text of Keras's error; None if that is about something else.
    """
    return next((text for words, text in _BY_WORDS if words in cause), None)


def explain_refusal(refusal: Refusal, *, can_give: bool = True) -> str:
    """Return which forbidden name the file uses, and what to do.

    Args:
        refusal: What the file names.
        can_give: Whether the user can give what is missing; a conversion takes nothing.
    """
    if refusal.name == LAMBDA:
        told = _LAMBDA_BY_NAME if can_give else f"a function in it is a lambda{_UNCONVERTED}"
        return f"{refusal.where}{told}"
    name = _cut(refusal.name)
    if refusal.kind == PATH:
        return (
            f"{refusal.where}its config names the file {name!r}, which loading would open; give the"
            " layer its vocabulary as a list in the program that built the model, and save it"
            " again"
        )
    if refusal.kind == OPERATION:
        return (
            f"{refusal.where}it runs TensorFlow's {name}, which is not on the list of operations"
            f" that only compute; {_TRUST.format('ops')}"
        )
    if refusal.kind == SIZE:
        return (
            f"{refusal.where}{name} must be at most {LIMITS[refusal.name]:,}, got {refusal.value};"
            " the file is damaged, save the model again"
        )
    kind = "class" if refusal.kind == LAYER else refusal.kind
    if refusal.other_keras:
        return f"{refusal.where}{_OTHER_KERAS[refusal.other_keras].format(repr(name))}"
    if refusal.is_given:
        return (
            f"{refusal.where}{name!r} is used as {refusal.kind} and is not one; give the"
            f" {refusal.kind} of that name, or do not load the file, which is not safe"
        )
    named = (
        f"the {kind} {name!r} of {_cut(refusal.module)!r}"
        if refusal.module
        else f"the {kind} {name!r}"
    )
    if not name.rsplit(">", 1)[-1].isidentifier() or _is_pythons(refusal):
        return (
            f"{refusal.where}{named} is not one that a model file may name; the file is not safe to"
            " load"
        )
    if not can_give:
        return f"{refusal.where}{named} is not part of Keras{_UNCONVERTED}"
    return (
        f"{refusal.where}{named} is not part of Keras; give it with --custom-objects"
        f" MODULE:{name.rsplit('>', 1)[-1]} (custom_objects={{{name!r}: ...}} in Python)"
    )


_OTHER_KERAS = {
    KERAS_3: (
        "the class that was given as {} is built on Keras 3 (module keras), and this model is one"
        " of tf_keras; import tf_keras instead of keras where the class is written, or set"
        " TF_USE_LEGACY_KERAS=1 where it imports tensorflow.keras"
    ),
    TF_KERAS: (
        "the class that was given as {} is built on tf_keras, and this model is one of Keras 3;"
        " import keras instead of tf_keras where the class is written, or unset"
        " TF_USE_LEGACY_KERAS where it imports tensorflow.keras"
    ),
}
"""Help by the Keras of the user's class, which is not that of the model."""


def _is_pythons(refusal: Refusal) -> bool:
    """Return whether a file names a part of Python itself, which must not be given to it."""
    return (
        refusal.name in vars(builtins)
        or refusal.module.partition(".")[0] in sys.stdlib_module_names
    )


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
