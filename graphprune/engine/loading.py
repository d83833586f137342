"""What every Keras's loading of a saved model shares: compile settings that may be lost, errors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

from graphprune.archive import Archive
from graphprune.archive.allowed import Refusal
from graphprune.archive.allowed.entries import is_of_keras
from graphprune.archive.allowed.refusals import explain_lambda, explain_refusal
from graphprune.arguments import user_level
from graphprune.errors import ArchiveError, GraphpruneError

# Errors of Keras and Python have no codes; they are recognized by their texts in tf_keras 2.21 and
# Keras 3.15 (src/saving) and CPython 3.11 (marshal.c).
_MISSING = re.compile(
    r"(?:Cannot deserialize object of type|Unknown [\w ]+:|Could not (?:locate|deserialize)"
    r" (?:class|function)) [`'](?P<name>[^`']+)[`']"
    r"|'(?P<path>keras\.[\w.]+)' because it is not a KerasSaveable subclass"
)
_CAUSE = "Exception encountered: "
_LONGEST_CAUSE = 400
"""Characters of Keras's own error that a message shows."""

_BY_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"bad marshal data|EOF read where object expected|marshal data too short"),
        (
            "a Lambda layer holds bytecode that another version of Python wrote, which this one"
            " cannot read; make it a layer class of your own in the program that built the model,"
            " and save it again"
        ),
    ),
    (
        re.compile(r"Model expected 0 layers, found [1-9]"),
        (
            "the file holds the weights of a Sequential model but not the shape of its input; give"
            " it an Input in the program that built it, and save it again"
        ),
    ),
)


class UncompiledWarning(UserWarning):
    """A model was loaded without the compile settings that its file has.

    Attributes:
        fault: What is wrong, without the path of the file.
    """

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(f"{path}: {fault}")
        self.fault = fault


def load_settled(
    archive: Archive, refused: str | None, load: Callable[[bool], Any], version: str
) -> Any:
    """Return the model that `load` returns; uncompiled, with a warning, if its settings are lost.

    Args:
        archive: The saved model.
        refused: Why compile settings must not be restored; None if they may be.
        load: Loads the model, with or without its compile settings.
        version: The Keras that loads it, such as `tf_keras 2.21.0`.

    Raises:
        ArchiveError: the model cannot be loaded without them either.
    """
    if refused is not None:
        return _load_uncompiled(archive, refused, load, version)
    try:
        return load(True)
    except GraphpruneError:
        raise
    except Exception as err:  # Keras raises whatever the classes in the file raise
        return _load_uncompiled(archive, _explain(err, archive, version), load, version)


def _load_uncompiled(
    archive: Archive, reason: str, load: Callable[[bool], Any], version: str
) -> Any:
    """Return the model without compile settings; `reason` says why they were not restored."""
    try:
        model = load(False)
    except GraphpruneError:
        raise
    except Exception as err:
        raise ArchiveError(_explain(err, archive, version), place=archive.path) from err
    fault = (
        f"its compile settings could not be restored, so the model is not compiled ({reason});"
        " compile it again, or say how to train it with --loss and --optimizer"
    )
    warnings.warn(UncompiledWarning(archive.path, fault), stacklevel=user_level())
    return model


def _explain(err: Exception, archive: Archive, version: str) -> str:
    """Return in one line what went wrong, and what to do."""
    cause = _find_cause(err)
    about_lambda = explain_lambda(cause)
    if about_lambda is not None:
        return about_lambda
    missing = _MISSING.search(str(err))
    if missing is not None:
        return _explain_missing(missing, archive, version)
    known = next((text for words, text in _BY_WORDS if words.search(str(err))), None)
    if known is not None:
        return known
    shown = cause if len(cause) <= _LONGEST_CAUSE else f"{cause[:_LONGEST_CAUSE]}..."
    said = f"{type(err).__name__}: {shown or 'no message'}"
    return f"Keras cannot load it ({said}); {_advise(archive, version)}"


def _explain_missing(missing: re.Match[str], archive: Archive, version: str) -> str:
    """Return what to do about a class or function that this Keras does not find."""
    name = re.split(r"[>.]", missing["path"] or missing["name"])[-1]
    if missing["path"] is None and not is_of_keras(name):
        return explain_refusal(Refusal(name, "class or function"))
    saved = archive.keras_version
    if saved and saved != version.rpartition(" ")[2]:
        return f"{version} has no {name!r}; load the file with Keras {saved}, which saved it"
    return f"{version} has no {name!r}; load the file with the version of Keras that saved it"


def _find_cause(err: Exception) -> str:
    """Return the line that names the cause.

    Keras puts it after the whole config of each layer around it.
    """
    lines = str(err).rpartition(_CAUSE)[2].strip().splitlines()
    return lines[0].rstrip() if lines else ""


def _advise(archive: Archive, version: str) -> str:
    saved = archive.keras_version
    if saved and saved != version.rpartition(" ")[2]:
        return (
            f"it was saved by Keras {saved}, and this is {version}: load it with the version"
            " that saved it, and save it as .keras"
        )
    return (
        "its config and weights do not fit each other or their layers; save the model again in the"
        " program that built it"
    )
