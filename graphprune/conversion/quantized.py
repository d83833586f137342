"""Models that tfmot made ready for quantization, as files without its wrappers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphprune.archive.allowed import find_refused
from graphprune.archive.allowed.refusals import explain_refusal
from graphprune.conversion.libraries import Library
from graphprune.conversion.weights import write_converted
from graphprune.errors import ArchiveError
from graphprune.files import temporary_folder
from graphprune.graph.quantizers import without_quantizers
from graphprune.graph.read import ModelFile, open_model_file


def has_quantizers(model: ModelFile) -> bool:
    """Return whether the layers of a model are in tfmot's quantization wrappers."""
    return without_quantizers(model) is not model


@contextmanager
def opened_plain(model: ModelFile) -> Iterator[Path]:
    """Give a temporary file of tf_keras with the layers inside the quantization wrappers.

    Their weights are those of the model; the ranges of the quantizers, the compile settings and the
    optimizer are left out.

    Raises:
        ArchiveError: the file is damaged, or names something that is not allowed.
        GraphError: tf_keras cannot build the model.
    """
    plain = without_quantizers(model)
    config = plain.graph.to_config()
    refusal = find_refused(config, {})
    if refusal is not None:
        raise ArchiveError(explain_refusal(refusal), place=model.path)
    library = Library(2)
    with temporary_folder() as folder:
        built, path = Path(folder, "built.keras"), Path(folder, "plain.keras")
        library.save(library.build(config, model.path), built)
        with path.open("wb") as stream:
            write_converted(plain, open_model_file(built), {}, stream)
        yield path
