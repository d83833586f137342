"""Conversion of a saved model of one Keras to a saved model of the other.

The config is rewritten, the other Keras builds and saves the model from it, and the weights are
written into that file by layer address and name. Nothing in the file is executed: only Keras's own
classes are built.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphprune.archive import Archive, read_archive
from graphprune.archive.allowed import find_refused
from graphprune.archive.allowed.refusals import explain_refusal, refuse_settings
from graphprune.archive.archive import as_written, keras_of
from graphprune.archive.files import check_holds_masks
from graphprune.archive.small_files import write_small
from graphprune.arguments import user_level
from graphprune.conversion.compile_settings import (
    UnknownSettingError,
    converted_compile_settings,
    with_plain_names,
)
from graphprune.conversion.learned import learned_settings
from graphprune.conversion.libraries import Library
from graphprune.conversion.models import Converted, convert_config
from graphprune.conversion.pruned import (
    check_all_pruned,
    check_schedules,
    is_pruned,
    unwrapped_config,
)
from graphprune.conversion.settings import NAMES
from graphprune.conversion.weights import write_converted
from graphprune.engine.saved_pruning import read_saved_pruning
from graphprune.errors import ArchiveError, GraphError
from graphprune.files import temporary_folder
from graphprune.graph.from_config import check_models
from graphprune.graph.read import ModelFile, model_file_of, open_model_file


def convert(source: ModelFile, output: Path, keras: int) -> Converted:
    """Write a model as a file of Keras `keras` (2 or 3), and return its config.

    Pruned layers keep their masks, steps and schedules. The optimizer keeps its settings but not
    its state, which is not converted.

    Args:
        source: The saved model.
        output: A `.keras` or `.h5` file; an existing file is replaced.
        keras: The major version of the Keras that will read the file.

    Raises:
        ArchiveError: the file is damaged, or holds no weights.
        GraphError: the model is already of that Keras, or has a layer, a setting, an operation or a
            schedule without a counterpart; the text names it.
        OutputError: the file cannot be written, or cannot hold masks.
    """
    archive = source.need_archive()
    check_convertible(source, output, keras)
    saved = read_saved_pruning(source)
    library = Library(keras)
    config = unwrapped_config(source.graph, learned_settings(source))
    converted = convert_config(config, library.parameters, keras=keras, place=archive.path)
    model = library.build(converted.config, archive.path)
    _compile(library, model, archive)
    with temporary_folder() as folder:
        built, made = Path(folder, "built.keras"), Path(folder, "whole.keras")
        library.save(model, built)
        with made.open("wb") as stream:
            write_converted(source, open_model_file(built), converted.renamed, stream)
        if saved or output.suffix != ".keras":
            pruned = {converted.renamed.get(name, name): each for name, each in saved.items()}
            loaded = library.load(made)
            made = Path(folder, f"finished{output.suffix}")
            library.save(library.prune(loaded, pruned) if pruned else loaded, made)
            check_all_pruned(source, open_model_file(made), converted.renamed)
        write_small(made, output)
    return converted


def check_convertible(source: ModelFile, output: Path, keras: int) -> None:
    """Do the checks that need no Keras to be imported.

    Raises:
        ArchiveError: the file holds no weights, or names something that is not allowed.
        GraphError: the model already is one of that Keras, or a schedule is of a user's own class.
        OutputError: the file cannot hold masks.
    """
    archive = source.need_archive()
    if keras_of(archive) == keras:
        raise GraphError(
            f"is a model of {NAMES[keras]} already; there is nothing to convert",
            "convert/refused",
            place=archive.path,
        )
    check_schedules(source)
    if keras == 3 and any(map(is_pruned, source.graph.layers.values())):
        check_holds_masks(output)
    check_models(archive.config, archive.path)
    written = (
        as_written(archive).config
        if archive.dialect == "keras3"
        else unwrapped_config(source.graph)
    )
    model = {key: value for key, value in written.items() if key != "compile_config"}
    refusal = find_refused(model, {})
    if refusal is not None:
        raise ArchiveError(explain_refusal(refusal, can_give=False), place=archive.path)


@contextmanager
def readable_by(archive: Archive, keras: int) -> Iterator[Archive]:
    """Give the saved model, converted to Keras `keras` in a temporary file.

    Raises:
        ArchiveError, GraphError: as for `convert`.
    """
    with temporary_folder() as folder:
        path = Path(folder, "converted.keras")
        convert(model_file_of(archive), path, keras)
        yield read_archive(path)


def _compile(library: Library, model: Any, archive: Archive) -> None:
    """Compile the model as the file says, or warn that it is not compiled."""
    archive = with_plain_names(archive)
    refused = refuse_settings(archive, {}, unsafe_lambda=False)
    if refused is not None:
        _warn_uncompiled(archive, refused)
        return
    try:
        settings = converted_compile_settings(archive, library.parameters)
        if settings is not None:
            library.compile(model, settings)
    except UnknownSettingError as err:
        reason = f"there is no {err}"
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
    else:
        return
    _warn_uncompiled(archive, reason)


def _warn_uncompiled(archive: Archive, reason: str) -> None:
    warnings.warn(
        f"{archive.path}: the compile settings could not be converted ({reason}); compile the model"
        " before it is trained",
        stacklevel=user_level(),
    )
