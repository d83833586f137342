"""What commands read: models and the user's own objects, opened once and in one way."""

from __future__ import annotations

import gc
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from graphprune.cli.options import LoadingOptions
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.errors import TrainingError
from graphprune.graph import ModelFile, open_model_file


def open_model(path: str) -> ModelFile:
    """Return the model at `path`: a saved model, graph JSON, or that of a run or checkpoint.

    Of a run that is not finished, that is its newest checkpoint, which a note on stderr says.

    Raises:
        ArchiveError: there is no readable model.
    """
    if not path:
        raise click.UsageError("the name of the model is empty")
    model = replace(open_model_file(_find_readable(path)), path=path)
    gc.freeze()  # the graph lives until the process ends; the collector need not walk it again
    return model


def _find_readable(path: str) -> str:
    """Return what `find_model_file` does, and of an unfinished run its newest checkpoint."""
    if not Path(path).is_dir():
        return path
    from graphprune.runs.run_folder import RunFolder
    from graphprune.runs.run_status import newest_model

    run = RunFolder(Path(path))
    if not run.is_run:
        return find_model_file(path)
    return str(newest_model(run, _note))


def _note(text: str) -> None:
    click.echo(escape_controls(f"graphprune: note: {text}"), err=True)


def find_model_file(path: str) -> str:
    """Return `path`, or the model in it if it is the folder of a training run or a checkpoint.

    Raises:
        CheckpointError: the run is damaged or not finished, its model is not the one that it wrote,
            or a file of the checkpoint has changed.
    """
    if not Path(path).is_dir():
        return path
    # only now: these import pydantic, which a model's file does not need
    from graphprune.runs.checkpoints import is_checkpoint, read_checkpoint
    from graphprune.runs.run_folder import RunFolder

    folder = Path(path).absolute()
    if is_checkpoint(folder):
        return str(read_checkpoint(folder).model)
    run = RunFolder(Path(path))
    return str(run.need_model()) if run.is_run else path


def find_training_origin(path: str) -> str:
    """Return the original model of the training run in `path`, or `path` if it is not a run.

    If that model is missing or has changed, a warning says so, and `path` is returned.
    """
    if not Path(path).is_dir():
        return path
    from graphprune.runs.resume_point import find_original, find_original_fault
    from graphprune.runs.run_folder import RunFolder

    run = RunFolder(Path(path))
    if not run.is_run:
        return path
    options = run.read_options()
    fault = find_original_fault(run.path, options)
    if fault is None:
        return str(find_original(run.path, options))
    click.echo(
        escape_controls(
            f"graphprune: warning: {fault}; compared with the trained model of {path} itself"
            " instead"
        ),
        err=True,
    )
    return path


def loading_arguments(loading: LoadingOptions) -> dict[str, Any]:
    """Return these options as arguments of `graphprune.load_model`, `train` and `resume`.

    Raises:
        TrainingError: a custom object cannot be imported.
    """
    objects = import_custom_objects(loading.custom_objects)
    return {
        "custom_objects": objects,
        "unsafe_lambda": loading.unsafe_lambda,
        "unsafe_ops": loading.unsafe_ops,
    }


def _import_module(spec: str, name: str) -> ModuleType:
    if not name or name.startswith("."):
        raise TrainingError(
            f"--custom-objects {spec}: does not name a module; write it as MODULE or MODULE:NAME"
        )
    try:
        return importlib.import_module(name)
    except ImportError as fault:
        raise TrainingError(
            f"--custom-objects {spec}: cannot import {name}: {fault}; run from the folder that"
            " holds it, or install it"
        ) from fault
    except Exception as fault:  # the user's own code raises errors of all kinds
        from graphprune.engine.faults import find_place

        place = find_place(fault)
        raise TrainingError(
            f"--custom-objects {spec}: importing {name} failed{f' at {place}' if place else ''}"
            f" with {type(fault).__name__}: {fault}; mend it there"
        ) from fault


def _is_own(value: Any, module_name: str) -> bool:
    """Return whether a class or function comes from the package of a module."""
    home = getattr(value, "__module__", None)
    return (
        callable(value)
        and isinstance(home, str)
        and home.partition(".")[0] == module_name.partition(".")[0]
    )


def import_custom_objects(specs: tuple[str, ...]) -> dict[str, Any]:
    """Return custom objects by name.

    `MODULE:NAME` gives that object, `MODULE` every public class and function of its package, and
    `OTHER=MODULE:NAME` the object under the name that a file has for it.

    Names that a module imports from elsewhere (`from subprocess import run`) are left out, since a
    model file could use them.

    Raises:
        TrainingError: a module cannot be imported, has no such name, or is given another name
            as a whole.
    """
    if specs and "" not in sys.path:
        sys.path.insert(0, "")
    found: dict[str, Any] = {}
    for spec in specs:
        renamed, _, source = spec.rpartition("=")
        module_name, _, name = source.partition(":")
        if renamed and not name:
            raise TrainingError(
                f"--custom-objects {spec}: only one class or function can have another name; write"
                f" it as {renamed}={module_name}:NAME"
            )
        module = _import_module(spec, module_name)
        if name and not hasattr(module, name):
            public = [n for n, value in vars(module).items() if n[0] != "_" and callable(value)]
            raise TrainingError(
                f"--custom-objects {spec}: {module_name} has no {name}; it has"
                f" {', '.join(public) or 'no classes and functions'}"
            )
        names = (
            [name]
            if name
            else [
                n
                for n, value in vars(module).items()
                if not n.startswith("_") and _is_own(value, module_name)
            ]
        )
        found |= {renamed or n: getattr(module, n) for n in names}
    return found
