"""A check that a saved model loads again as it was: runs and users depend on the file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.engine.loading import UncompiledWarning
from graphprune.errors import GraphpruneError, OutputError
from graphprune.files import temporary_folder

IsCompiled = Callable[[Any], bool]


def check_saved(
    model: Any,
    suffix: str,
    place: str,
    *,
    save: Callable[[Any, Path], None],
    load: Callable[[Path], Any],
    is_compiled: IsCompiled,
) -> None:
    """Save `model` to a temporary file, and load it.

    Args:
        model: The model as it will be saved.
        suffix: `.keras` or `.h5`.
        place: The start of the error's text.
        save: Saves a model.
        load: Loads a saved model with the user's own classes.
        is_compiled: Returns whether a model has compile settings.

    Raises:
        OutputError: the file cannot be written, or loading it does not return the same model.
    """
    with temporary_folder() as folder:
        path = Path(folder) / f"model{suffix}"
        save(model, path)
        fault = _find_fault(model, path, load, is_compiled)
    if fault:
        raise OutputError(
            f"{model.name} can be saved as {suffix}, but not be loaded again ({fault});"
            f" {_remedy(suffix)}",
            place=place,
        )


def _find_fault(
    model: Any, path: Path, load: Callable[[Path], Any], is_compiled: IsCompiled
) -> str:
    """Return what is wrong with the model that `load` returns; empty if nothing is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loaded = load(path)
        except GraphpruneError as fault:
            return fault.text
    if is_compiled(model) and not is_compiled(loaded):
        messages = (told.message for told in caught)
        faults = (told.fault for told in messages if isinstance(told, UncompiledWarning))
        return next(faults, "its compile settings are lost")
    before, after = model.get_weights(), loaded.get_weights()
    if len(before) != len(after) or not all(
        np.array_equal(one, two) for one, two in zip(before, after, strict=True)
    ):
        return "its weights come back in another order or with other values"
    return ""


def _remedy(suffix: str) -> str:
    if suffix == ".h5":
        return "choose .keras: save the original model as .keras and start from that file"
    return (
        "give its classes get_config and from_config that fit each other, and name all of them with"
        " --custom-objects (custom_objects in Python)"
    )
