"""Training data from a function of the user's, `package.module:function`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from graphprune.engine.faults import find_place
from graphprune.errors import DataError
from graphprune.suggestions import closest

_LONGEST = 300
_WANTED = "return (train, validation) as batched tf.data.Dataset of (x, y); validation may be None"


def call_data_function(spec: str) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
    """Return what the function that `spec` names returns.

    It is the training dataset, and the validation dataset or None.

    Raises:
        DataError: the module or function does not exist, fails, or returns something else.
    """
    with _working_directory_kept(), _working_directory_first():
        function = _find_function(spec)
        with _failure_named(spec, "failed"):
            result = function()
    return _check_result(spec, result)


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


def _find_function(spec: str) -> Callable[[], Any]:
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
            f"{name} is not a function, got {type(function).__name__}; it must {_WANTED}",
            place=spec,
        )
    return function  # type: ignore[no-any-return]


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
            close = _closest(fault.name, _modules_beside(fault.name))
            raise DataError(
                f"no module {fault.name!r}{close}; run from the folder that holds it", place=spec
            ) from fault


def _modules_beside(name: str) -> list[str]:
    parent, dot, _ = name.rpartition(".")
    places = list(getattr(sys.modules.get(parent), "__path__", [])) if dot else [str(Path.cwd())]
    return [f"{parent}{dot}{found.name}" for found in pkgutil.iter_modules(places)]


def _closest(name: str, names: Iterable[str]) -> str:
    close = closest(name, names, count=3)
    return f"; {close}" if close else ""


def _check_result(spec: str, result: Any) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
    if not isinstance(result, tuple) or len(result) != 2:
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise DataError(f"returned {got}; it must {_WANTED}", place=spec)
    train, test = result
    for name, dataset in (("train", train), ("validation", test)):
        if dataset is None and name == "validation":
            continue
        if not isinstance(dataset, tf.data.Dataset):
            raise DataError(
                f"{name} is {type(dataset).__name__}; the function must {_WANTED}", place=spec
            )
        check_elements(f"{spec}: {name}", dataset.element_spec, f"the function must {_WANTED}")
    return train, test


def check_elements(place: str, element_spec: Any, remedy: str) -> None:
    """Refuse a dataset whose elements are not batches of (x, y) or (x, y, weight).

    Raises:
        DataError: they are something else.
    """
    if not isinstance(element_spec, tuple) or len(element_spec) not in (2, 3):
        raise DataError(f"{place} has elements that are not (x, y); {remedy}")
