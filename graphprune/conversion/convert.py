"""Conversion of a saved model of one Keras to a saved model of the other.

The config is rewritten, the other Keras builds and saves the model from it, and the weights are
written into that file by layer address and name. Nothing in the file is executed: only Keras's own
classes are built.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphprune.archive import Archive, read_archive
from graphprune.archive.allowed import find_refused
from graphprune.archive.allowed.refusals import explain_refusal, refuse_settings
from graphprune.archive.archive import as_written, keras_of
from graphprune.arguments import user_level
from graphprune.conversion.compile_settings import UnknownSettingError, converted_compile_settings
from graphprune.conversion.libraries import Library
from graphprune.conversion.models import Converted, convert_config
from graphprune.conversion.settings import NAMES
from graphprune.conversion.weights import write_converted
from graphprune.errors import ArchiveError, GraphError
from graphprune.files import whole_file, write_whole
from graphprune.graph.from_config import check_models
from graphprune.graph.read import ModelFile, model_file_of, open_model_file
from graphprune.wrapper_names import REGISTERED


def convert(source: ModelFile, output: Path, keras: int) -> Converted:
    """Write a model as a file of Keras `keras` (2 or 3), and return its config.

    The optimizer keeps its settings but not its state, which is not converted.

    Args:
        source: The saved model.
        output: A `.keras` or `.h5` file; an existing file is replaced.
        keras: The major version of the Keras that will read the file.

    Raises:
        ArchiveError: the file is damaged, or holds no weights.
        GraphError: the model is already of that Keras, is wrapped, or has a layer, a setting or an
            operation without a counterpart; the text names it.
        OutputError: the file cannot be written.
    """
    archive = source.need_archive()
    check_convertible(source, keras)
    library = Library(keras)
    converted = convert_config(archive.config, library.parameters, keras=keras, place=archive.path)
    model = library.build(converted.config, archive.path)
    _compile(library, model, archive)
    with tempfile.TemporaryDirectory() as folder:
        built, whole = Path(folder, "built.keras"), Path(folder, "whole.keras")
        library.save(model, built)
        with whole.open("wb") as stream:
            write_converted(source, open_model_file(built), converted.renamed, stream)
        if output.suffix == ".h5":
            hdf5 = Path(folder, "whole.h5")
            library.save(library.load(whole), hdf5)
            write_whole(output, hdf5.read_bytes())
        else:
            with whole_file(output, needed=whole.stat().st_size) as target:
                target.write(whole.read_bytes())
    return converted


def check_convertible(source: ModelFile, keras: int) -> None:
    """Do the checks that need no Keras to be imported.

    Raises:
        ArchiveError: the file holds no weights, or names something that is not allowed.
        GraphError: the model already is one of that Keras, or is wrapped.
    """
    archive = source.need_archive()
    if keras_of(archive) == keras:
        raise GraphError(
            f"is a model of {NAMES[keras]} already; there is nothing to convert",
            "convert/refused",
            place=archive.path,
        )
    wrapped = next((layer for layer in source.graph.layers.values() if layer.wrap), None)
    if wrapped is not None:
        raise GraphError(
            f"layer {wrapped.address!r} has a pruning wrapper ({REGISTERED}); strip"
            " the model first, and convert the result",
            "convert/refused",
            place=archive.path,
        )
    check_models(archive.config, archive.path)
    written = as_written(archive).config
    model = {key: value for key, value in written.items() if key != "compile_config"}
    refusal = find_refused(model, {})
    if refusal is not None:
        raise ArchiveError(explain_refusal(refusal), place=archive.path)


@contextmanager
def readable_by(archive: Archive, keras: int) -> Iterator[Archive]:
    """Give the saved model, converted to Keras `keras` in a temporary file.

    Raises:
        ArchiveError, GraphError: as for `convert`.
    """
    with tempfile.TemporaryDirectory(prefix="graphprune-") as folder:
        path = Path(folder, "converted.keras")
        convert(model_file_of(archive), path, keras)
        yield read_archive(path)


def _compile(library: Library, model: Any, archive: Archive) -> None:
    """Compile the model as the file says, or warn that it is not compiled."""
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
