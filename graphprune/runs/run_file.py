"""The run file, `run.yaml`: what `train` is asked to do, as a file; read, checked and written.

Its keys are those of `graphprune.runs.run_settings`. Flags given beside it take their place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import create_model

from graphprune.diagnostics.diagnostic import Diagnostic, Where, sort_by_place
from graphprune.errors import RuleError, TrainingError
from graphprune.rules.building.file_faults import check_document
from graphprune.rules.text.document import Document
from graphprune.rules.text.files import PREFIX, read_text
from graphprune.rules.text.shape import Shape, optional, required
from graphprune.rules.text.words import Version
from graphprune.rules.text.yaml_text import parse_document, render_yaml
from graphprune.runs.run_settings import BY_KEY, SETTINGS, TENSORBOARD
from graphprune.runs.setting import Setting
from graphprune.runs.setting_values import is_object, plain_value
from graphprune.suggestions import ask_for_file

SUFFIXES = (".yaml", ".yml")
_VERSION = 1
_NO_FILE = "check the path; graphprune train --help shows how to train without a run file"
_ABOUT = {
    "train": "How to train: length, optimizer, loss.",
    "train.stop": "When to stop before the last epoch.",
    "checkpoints": "When to write checkpoints, and which to keep.",
    "on": "Devices and compilation.",
    "load": "What loading the model may run.",
    "show": "What the command prints.",
}
_EXAMPLES = {
    "train": "{epochs: 30, batch_size: 64}",
    "train.stop": "{early: {metric: val_loss, patience: 5}}",
    "checkpoints": "{every: 1 epoch}",
    "on": "{strategy: mirrored}",
    "load": "{custom_objects: [my_layers]}",
    "show": "{brief: true}",
}


class SectionShape(Shape):
    """A mapping of the run file."""

    takes_variables: ClassVar[bool] = False
    noun: ClassVar[str] = "run file"
    opening: ClassVar[str] = "begin with 'version: 1', 'model', 'data' and 'train'"
    missing: ClassVar[Mapping[str, str]] = {"version": "begin the file with 'version: 1'"}
    meant: ClassVar[Mapping[str, str]] = {
        "dataset": "data",
        "devices": "on",
        "checkpoint": "checkpoints",
        "training": "train",
        "fit": "train",
        "lr": "learning_rate",
        "variables": "vars",
        "output": "run",
        "monitor": "early",
    }


def _section(name: str) -> type[SectionShape]:
    """Return the shape of the mapping at a key's path; "" is the whole file."""
    depth = len(name.split(".")) if name else 0
    fields: dict[str, Any] = {}
    if not name:
        fields["version"] = (Version, required("The version of the run file: 1.", "1"))
    for setting in SETTINGS:
        if name and setting.path[:depth] != tuple(name.split(".")):
            continue
        key, inner = setting.path[depth], ".".join(setting.path[: depth + 1])
        if inner == setting.key:
            fields[key] = (setting.value, optional(setting.help, setting.example))
        elif key not in fields:
            fields[key] = (_section(inner), optional(_ABOUT[inner], _EXAMPLES[inner]))
    title = "".join(part.title() for part in name.split(".")) or "File"
    shape = create_model(f"Run{title}Shape", __base__=SectionShape, __module__=__name__, **fields)
    shape.__doc__ = _ABOUT.get(name, "The settings of a training run.")
    return shape


RunFileShape = _section("")


def is_run_file(path: str) -> bool:
    """Return whether `train` reads this path as a run file rather than as a model."""
    return path.lower().endswith(SUFFIXES)


def read_run_file(path: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the run file at `path`, and of the flags, which override them.

    Args:
        path: The file; its relative paths are relative to its folder.
        flags: Values by key; they need not come from the command line.

    Raises:
        RuleError: with all faults of the file.
    """
    kind = SectionShape.noun
    text = read_text(
        Path(path), path, kind, lambda: ask_for_file(path, lambda near: True) or _NO_FILE
    )
    if isinstance(text, Diagnostic):
        raise RuleError((text,))
    document = parse_document(text, path, kind)
    if not document.is_readable:
        raise RuleError(document.faults)
    written = _from_folder(check_settings(document), os.path.dirname(path))
    return _overridden(written, check_flags(flags))


def check_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of flags alone, as `check_settings` does."""
    document = Document("", {"version": _VERSION})
    for key, value in flags.items():
        setting = BY_KEY[key]
        document = document.with_value(setting.path, value, Where(setting.flag or setting.key))
    return check_settings(document)


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of `graphprune.train` that a run file would refuse.

    Args:
        arguments: Plain values by key of the run file.

    Raises:
        TrainingError: a value is wrong; the text begins with the argument.
    """
    for key, value in arguments.items():
        if value is None:
            continue
        setting = BY_KEY[key]
        document = Document("", {"version": _VERSION}).with_value(setting.path, value, Where(""))
        _, faults = check_document(RunFileShape, document)
        if faults:
            text = faults[0].message.removeprefix("train: ").removeprefix("on: ")
            help = f"; {faults[0].help}" if faults[0].help else ""
            raise TrainingError(f"{text}{help}", place=setting.argument)


def _overridden(written: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a file and of flags; single variables and fields are overridden."""
    gone = {"rules": ("plan",), "plan": ("rules", "vars", "only", "off", "set")}
    left_out = {name for flag in flags for name in gone.get(flag, ())}
    kept = {key: value for key, value in written.items() if key not in left_out}
    merged = {
        key: {**kept[key], **value}
        for key, value in flags.items()
        if key in kept and BY_KEY[key].form == "pairs"
    }
    return {**kept, **flags, **merged}


def check_settings(document: Document) -> dict[str, Any]:
    """Return the settings of a document as plain values by key.

    Raises:
        RuleError: with all faults.
    """
    shape, faults = check_document(RunFileShape, document)
    faults = (*document.faults, *faults)
    if shape is None or faults:
        raise RuleError(sort_by_place(faults))
    return {
        setting.key: plain_value(value, _find(document.data, setting.path))
        for setting in SETTINGS
        if (value := _given(shape, setting)) is not None
    }


def _given(shape: Shape, setting: Setting) -> Any:
    value: Any = shape
    for name in setting.path:
        value = None if value is None else value.given(name)
    return value


def _find(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        data = data[name]
    return data


def _from_folder(settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return settings with paths as seen from the working directory, not from `folder`."""

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(part) for part in value]
        if value.startswith(PREFIX) or value == TENSORBOARD or is_object(value):
            return value
        return os.path.normpath(os.path.join(folder, value))

    return {key: moved(value) if BY_KEY[key].is_path else value for key, value in settings.items()}


def arguments_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as arguments of `graphprune.train`, those that have one."""
    return {
        setting.argument: settings[setting.key]
        for setting in SETTINGS
        if setting.argument and setting.key in settings
    }


def render_run_file(settings: Mapping[str, Any], notes: tuple[str, ...] = ()) -> str:
    """Return the text of a run file with these settings, in the order of the table.

    Args:
        settings: Plain values by key; None and keys that are not recorded are left out.
        notes: Lines of comment at its beginning.
    """
    data: dict[str, Any] = {"version": _VERSION}
    for setting in SETTINGS:
        value = settings.get(setting.key)
        if value is None or not setting.is_recorded:
            continue
        place = data
        for name in setting.path[:-1]:
            place = place.setdefault(name, {})
        place[setting.path[-1]] = value
    return "".join(f"# {line}\n" for line in notes) + render_yaml(data)
