"""Objects of the user's that are named as `package.module:function`: data, losses, callbacks."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from graphprune.engine.faults import find_place
from graphprune.errors import DataError, TrainingError
from graphprune.suggestions import closest

_LONGEST = 300
WANTED = (
    "return (train, validation) as batched tf.data.Dataset of (x, y), or as keras.utils.Sequence or"
    " PyDataset; validation may be None"
)
"""What a data function must do, in messages."""


def _do_nothing() -> None:
    """Do nothing: the default of `prepare`."""


def call_data_function(spec: str, prepare: Callable[[], None] = _do_nothing) -> Any:
    """Return what the function that `spec` names returns.

    Args:
        spec: `package.module:function`.
        prepare: Called after the module is imported and before the function is called.

    Raises:
        DataError: the module or function does not exist, or fails.
    """
    with _working_directory_kept(), _working_directory_first():
        function = _find_function(spec, WANTED)
        prepare()
        with _failure_named(spec, "failed"):
            return function()


def find_function(spec: str) -> Callable[..., Any]:
    """Return the function that `spec` names, without calling it.

    Raises:
        DataError: the module or function does not exist.
    """
    with _working_directory_kept(), _working_directory_first():
        return _find_function(spec, "take one record and return (x, y)")


def import_object(spec: str) -> Any:
    """Return the object that `package.module:name` names, such as a loss.

    Raises:
        TrainingError: the module or the object does not exist, or importing fails.
    """
    try:
        with _working_directory_kept(), _working_directory_first():
            return _find_function(spec, "be a function or a class")
    except DataError as fault:
        raise TrainingError(fault.text, place=fault.place) from fault


def call_named(spec: str) -> Any:
    """Return what the function that `spec` names returns, such as callbacks.

    Raises:
        TrainingError: the module or the function does not exist, or fails.
    """
    try:
        with _working_directory_kept(), _working_directory_first():
            function = _find_function(spec, "be a function")
            with _failure_named(spec, "failed"):
                return function()
    except DataError as fault:
        raise TrainingError(fault.text, place=fault.place) from fault


@contextmanager
def _failure_named(spec: str, what: str) -> Iterator[None]:
    """Turn any error of the user's code into a DataError that says where it failed.

    This includes `sys.exit()`, which must not look like the end of a run.
    """
    try:
        yield
    except BaseException as fault:
        if (
            isinstance(fault, KeyboardInterrupt)
            or type(fault).__module__.partition(".")[0] == "graphprune"
        ):
            raise  # the user stops the run
        said = (
            f"{type(fault).__name__}: {str(fault)[:_LONGEST]}"
            if str(fault)
            else type(fault).__name__
        )
        place = find_place(fault)
        raise DataError(
            f"{what}{f' at {place}' if place else ''} with {said}", place=spec
        ) from fault


@contextmanager
def _working_directory_kept() -> Iterator[None]:
    """Undo a change of the working directory: the run's folder may be given by a relative path."""
    here = Path.cwd()
    try:
        yield
    finally:
        os.chdir(here)


@contextmanager
def _working_directory_first() -> Iterator[None]:
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _find_function(spec: str, wanted: str) -> Callable[[], Any]:
    module_name, _, name = spec.partition(":")
    module = _import(spec, module_name)
    function = getattr(module, name, None)
    if function is None:
        public = [
            other
            for other, value in vars(module).items()
            if callable(value) and not other.startswith("_")
        ]
        raise DataError(
            f"module {module_name} has no function {name!r}{_closest(name, public)}", place=spec
        )
    if not callable(function):
        raise DataError(
            f"{name} is not a function, got {type(function).__name__}; it must {wanted}", place=spec
        )
    return function  # type: ignore[no-any-return]


def check_module(spec: str) -> None:
    """Refuse a function whose module does not exist, without importing anything.

    Only the outermost package is looked for.

    Raises:
        DataError: it does not exist.
    """
    name = spec.partition(":")[0].partition(".")[0]
    importlib.invalidate_caches()
    if name in sys.modules or name in sys.builtin_module_names:
        return
    if PathFinder.find_spec(name, [str(Path.cwd()), *sys.path]) is None:
        raise _no_module(spec, name)


def _no_module(spec: str, name: str) -> DataError:
    close = _closest(name, _modules_beside(name))
    return DataError(f"no module {name!r}{close}; run from the folder that holds it", place=spec)


def _import(spec: str, module_name: str) -> ModuleType:
    importlib.invalidate_caches()
    with _failure_named(spec, f"importing {module_name} failed"):
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as fault:
            if fault.name is None or not (
                module_name == fault.name or module_name.startswith(f"{fault.name}.")
            ):
                raise
            raise _no_module(spec, fault.name) from fault


def _modules_beside(name: str) -> list[str]:
    parent, dot, _ = name.rpartition(".")
    places = list(getattr(sys.modules.get(parent), "__path__", [])) if dot else [str(Path.cwd())]
    return [f"{parent}{dot}{found.name}" for found in pkgutil.iter_modules(places)]


def _closest(name: str, names: Iterable[str]) -> str:
    close = closest(name, names, count=3)
    return f"; {close}" if close else ""
