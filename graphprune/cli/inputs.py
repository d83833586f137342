"""What commands read: models and the user's own objects, opened once and in one way."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from graphprune.errors import CheckpointError, TrainingError
from graphprune.graph import ModelFile, open_model_file
from graphprune.runs.run_folder import RunFolder


def open_model(path: str) -> ModelFile:
    """Return the model at `path`: a saved model, a layer graph as JSON, or the finished model of a training run's folder.

    Raises:
        ArchiveError: there is no readable model.
    """
    if not path:
        raise click.UsageError("the name of the model is empty")
    return replace(open_model_file(find_model_file(path)), path=path)


def find_model_file(path: str) -> str:
    """Return `path`, or the trained model inside it when it is the folder of a training run.

    Raises:
        CheckpointError: the run is damaged, or not finished.
    """
    run = RunFolder(Path(path))
    if not run.is_run:
        return path
    model = run.path / run.read_options().model_name
    if not model.is_file():
        raise CheckpointError(f"{path}: this training run is not finished; go on with graphprune resume {path}")
    return str(model)


def find_training_origin(path: str) -> str:
    """Return the model that the training run in `path` began with; `path` itself when it is no run, or that model is gone."""
    run = RunFolder(Path(path))
    origin = run.read_options().model if run.is_run else path
    return origin if Path(origin).exists() else path


def import_custom_objects(specs: tuple[str, ...]) -> dict[str, Any]:
    """Return custom objects by name: of `MODULE:NAME` that one, of `MODULE` every public class and function.

    Raises:
        TrainingError: a module cannot be imported, or has no such name.
    """
    if specs and "" not in sys.path:
        sys.path.insert(0, "")
    found: dict[str, Any] = {}
    for spec in specs:
        module_name, _, name = spec.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ImportError as fault:
            raise TrainingError(f"--custom-objects {spec}: cannot import {module_name}: {fault}; run from the folder that holds it, or install it") from fault
        if name and not hasattr(module, name):
            raise TrainingError(f"--custom-objects {spec}: {module_name} has no {name}; it has {', '.join(n for n in vars(module) if not n.startswith('_'))}")
        names = [name] if name else [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        found |= {n: getattr(module, n) for n in names}
    return found
