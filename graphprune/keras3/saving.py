"""Saving of Keras 3 models, whole or not at all: the same bytes for the same model.

Keras itself puts the time into the zip and its metadata, and memory addresses into the config as
`shared_object_id`.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from keras.src.saving import serialization_lib

from graphprune.archive.allowed import find_refused
from graphprune.archive.files import check_model_suffix
from graphprune.archive.keras3 import without_backend
from graphprune.arguments import check_path
from graphprune.engine.read_back import check_saved
from graphprune.errors import OutputError
from graphprune.files import whole_file, write_whole
from graphprune.keras3.layers import check_built
from graphprune.keras3.model import check_masks_fit
from graphprune.nested import rebuild

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_DATE_SAVED = "1980-01-01@00:00:00"


def save_model(model: Any, path: str | PathLike[str]) -> None:
    """Write `model`, with its optimizer and masks, to a `.keras` or `.h5` file.

    Raises:
        GraphError: `model` is not a model with weights.
        OutputError: the suffix names no format, the format cannot hold the model, or the file
            cannot be written.
    """
    check_built(model)
    check_model_suffix(check_path("path", path, "the path of a .keras or .h5 file"))
    target = Path(path)
    check_masks_fit(model, target)
    with TemporaryDirectory(prefix="graphprune-") as folder:
        written = Path(folder, f"model{target.suffix}")
        with _keras_faults(model, target):
            model.save(written)
        if target.suffix != ".keras":
            write_whole(target, written.read_bytes())
            return
        with whole_file(target, needed=written.stat().st_size) as stream:
            _write_timeless(written, stream)


def check_reads_back(model: Any, suffix: str, place: str, load: Callable[[Path], Any]) -> None:
    """Save `model` to a temporary file and load it, if the model has custom classes.

    Raises:
        OutputError: the file cannot be written, or loading it does not return the same model.
    """
    if has_custom_objects(model):
        check_saved(
            model, suffix, place, save=save_model, load=load, is_compiled=lambda one: one.compiled
        )


def has_custom_objects(model: Any, *, compiled: bool = True) -> bool:
    """Return whether loading the model needs classes or functions that Keras does not have.

    If not `compiled`, the model is to be loaded without its optimizer, loss and metrics.
    """
    config = without_backend(serialization_lib.serialize_keras_object(model))
    compiling = config.pop("compile_config", None)
    return find_refused(config, {}, unsafe_ops=True) is not None or (
        compiled and find_refused(compiling, {}, kind=None) is not None
    )


@contextmanager
def _keras_faults(model: Any, path: Path) -> Iterator[None]:
    """Turn errors of Keras into one line that says what cannot be saved and what to do instead."""
    logger = logging.getLogger("absl")  # warns of every .h5 file
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as err:
        lines = str(err).strip().splitlines() or [type(err).__name__]
        way_out = (
            "save it as .keras"
            if path.suffix == ".h5"
            else "every layer needs a get_config that returns plain values"
        )
        raise OutputError(
            f"{path.name}: Keras cannot save {model.name} ({lines[0]}); {way_out}"
        ) from err
    finally:
        logger.setLevel(level)


def _write_timeless(written: Path, stream: BinaryIO) -> None:
    """Copy a `.keras` file without times, memory addresses and classes of one backend."""
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(stream, "w") as target:
        for name in sorted(source.namelist(), key=_order):
            content = source.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": _DATE_SAVED}).encode()
            elif name == "config.json":
                config = _with_numbered_objects(without_backend(json.loads(content)))
                content = json.dumps(config).encode()
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.external_attr = 0o600 << 16  # the default of zipfile
            target.writestr(info, content)


def _order(name: str) -> tuple[bool, str]:
    """Return a key that puts Keras's own members before the assets of layers."""
    return name.startswith("assets/"), name


def _with_numbered_objects(config: Any) -> Any:
    """Return a config whose shared objects are numbered in the order of their places."""
    numbers: dict[int, int] = {}

    def number(entry: dict[str, Any]) -> dict[str, Any]:
        shared = entry.get("shared_object_id")
        if "class_name" in entry and isinstance(shared, int):
            entry["shared_object_id"] = numbers.setdefault(shared, len(numbers) + 1)
        return entry

    return rebuild(config, number)
