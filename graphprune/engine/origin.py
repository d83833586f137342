"""The model that a run begins with: a saved one, or a live one.

A live model is saved first, so that both are loaded in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphprune.arguments import check_path
from graphprune.engine.training_seam import Load, Loading, ModelSeam
from graphprune.errors import GraphpruneError, TrainingError
from graphprune.files import temporary_folder
from graphprune.graph.read import ModelFile
from graphprune.runs.run_options import ORIGINAL

_KINDS = "the path of a saved model, or a Keras model"


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that a run begins with.

    Attributes:
        place: Its name in messages.
        file: The saved model; a temporary file for a live model.
        is_live: Whether the model was live, so that the run keeps its file.
        has_own_objects: Whether it has, or may have, the user's own classes or functions.
        load: Loads a file of the model, this one or a checkpoint.
        custom_objects: The user's own classes and functions, by name.
    """

    place: str
    file: Path
    is_live: bool
    has_own_objects: bool
    load: Load
    custom_objects: Mapping[str, Any]

    def load_first(self) -> Any:
        """Return the model.

        Raises:
            GraphpruneError: it cannot be loaded; for a live model, the text begins with its name.
        """
        try:
            return self.load(self.file)
        except GraphpruneError as fault:
            if not self.is_live:
                raise
            raise TrainingError(fault.text, place=self.place) from fault

    def discard(self) -> None:
        """Remove the temporary file of a live model: a run that has begun has its own."""
        if self.is_live:
            self.file.unlink()

    @property
    def recorded(self) -> str:
        """What the run records as its model."""
        return ORIGINAL if self.is_live else str(self.file.absolute())


def check_origin(model: Any, seam: ModelSeam) -> None:
    """Raise unless a run can begin with `model`.

    Raises:
        GraphError: it is a model that cannot be pruned, such as a subclassed one.
        TypeError: it is neither a path nor a model.
    """
    if seam.is_model(model):
        seam.check_model(model)
    elif not isinstance(model, ModelFile):
        check_path("model", model, _KINDS)


@contextmanager
def open_origin(model: Any, loading: Loading, seam: ModelSeam) -> Iterator[Origin]:
    """Yield the model as a saved model.

    A live model is saved to a temporary file, which is removed when the block ends, or earlier by
    `discard`.

    The user's own classes and functions in a live model are known for loading its files, as if they
    were `custom_objects`.

    Raises:
        OutputError: the live model cannot be saved, or loading it does not return the same model.
        TrainingError: two of its own functions or classes have the same name.
    """
    if isinstance(model, ModelFile):
        model = model.need_archive().path
    if not seam.is_model(model):
        named = loading.custom_objects or {}
        yield Origin(str(model), Path(model), False, bool(named), loading.by(seam), named)
        return
    objects = {**seam.own_objects(model), **(loading.custom_objects or {})}
    load = replace(loading, custom_objects=objects).by(seam)
    seam.check_reads_back(model, Path(ORIGINAL).suffix, "model", load)
    with temporary_folder() as folder:
        file = Path(folder) / ORIGINAL
        seam.save_model(model, file)
        yield Origin(str(model.name), file, True, bool(objects), load, objects)
