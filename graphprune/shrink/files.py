"""Writing a smaller model file: its config and its weights, without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from graphprune.archive.archive import Archive, as_written
from graphprune.archive.hdf5.file import damage_named
from graphprune.archive.keras_zip import WEIGHTS
from graphprune.errors import GraphError
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.out_of_reach import NEVER_BUILT, is_never_built
from graphprune.graph.read import ModelFile
from graphprune.graph.tensor_shapes import find_tensor_shapes
from graphprune.shrink.config import shrunk_config
from graphprune.shrink.dead import Removal, find_dead

_OF_TRAINING = frozenset(
    (
        *("compile_metrics", "loss_tracker", "metrics", "optimizer", "optimizer_weights"),
        *("_compile_metrics", "_loss_tracker", "_metrics", "_optimizer"),
    )
)
"""Groups that a compiled model has for its training."""


def write_shrunk(source: ModelFile, removal: Removal, stream: BinaryIO) -> None:
    """Write a model without the removed channels and its optimizer, in the format of its file.

    Nothing is compressed; see `graphprune.archive.small_files`.

    Args:
        source: A `.keras` or `.h5` file.
        removal: The channels to remove.
        stream: Where to write.

    Raises:
        ArchiveError: the file is damaged.
        GraphError: the weights are stored in another format.
    """
    archive = source.need_archive()
    written = as_written(archive).config
    config = shrunk_config(written, source.graph, removal, find_tensor_shapes(source.graph))
    changes = _changes_by_path(source, removal)
    with source.opened(), damage_named(archive.path):
        if archive.layout == "keras":
            _write_zip(archive, config, changes, stream)
        elif archive.layout == "h5":
            stream.write(_hdf5_model(archive, config, changes))
        else:
            raise GraphError(
                "is a SavedModel folder; save it as a .keras file and shrink that",
                place=archive.path,
            )


@dataclass(slots=True)
class _Change:
    """What happens to a data set.

    Attributes:
        kept: The axes that get shorter, with which of their places stay.
        added: What is added to its values before.
    """

    kept: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    added: NDArray[np.float64] | None = None

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the new values."""
        if self.added is not None:
            values = (values + self.added).astype(values.dtype)
        for axis, stays in self.kept.items():
            values = np.compress(stays, values, axis)
        return values


Changes = Mapping[str, _Change]
"""What happens to data sets, by their paths."""


def find_dead_in(source: ModelFile) -> Removal:
    """Return the channels of a saved model that can be removed, see `find_dead`.

    Raises:
        ArchiveError: the file is damaged, or holds no weights.
        GraphError: nested models are called too often, or weights of dead channels are not finite.
    """
    weights = source.weights
    places = {
        (address, name): stored.path
        for address, named in weights.tensors.items()
        for name, stored in named.items()
    }
    removal = find_dead(weights, places)
    _check_finite(source, removal)
    return removal


def _check_finite(source: ModelFile, removal: Removal) -> None:
    """Refuse to remove weights that are NaN or infinite: zero times one of them is NaN."""
    with source.weights.opened():
        for (address, tensor, axis), stays in removal.kept.items():
            values = np.compress(~stays, source.weights.read(address, tensor), axis)
            if not np.isfinite(values).all():
                raise GraphError(
                    f"NaN or infinity in {address}/{tensor}, in a channel that is dead otherwise:"
                    " without it, the outputs would change; train the model again",
                    place=source.need_archive().path,
                )


def _changes_by_path(source: ModelFile, removal: Removal) -> Changes:
    found: dict[str, _Change] = {}

    def change_of(address: str, tensor: str) -> _Change:
        path = source.weights.find(address, tensor).path.strip("/")
        return found.setdefault(path, _Change())

    for (address, tensor, axis), stays in removal.kept.items():
        change_of(address, tensor).kept[axis] = stays
    for (address, tensor), added in removal.folded.items():
        change_of(address, tensor).added = added
    return found


def _write_zip(
    archive: Archive, config: Mapping[str, Any], changes: Changes, stream: BinaryIO
) -> None:
    with zipfile.ZipFile(archive.path) as members, zipfile.ZipFile(stream, "w") as whole:
        for info in members.infolist():
            if info.filename == "config.json":
                content = json.dumps(config).encode()
            elif info.filename == WEIGHTS:
                content = _weights(members.read(info), changes)
            else:
                content = members.read(info)
            named = zipfile.ZipInfo(info.filename, info.date_time)
            whole.writestr(named, content)


def _weights(content: bytes, changes: Changes) -> bytes:
    made = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as old, h5py.File(made, "w") as new:
        _copy(old, new, changes)
    return made.getvalue()


def _hdf5_model(archive: Archive, config: Mapping[str, Any], changes: Changes) -> bytes:
    made = io.BytesIO()
    with h5py.File(archive.path, "r") as old, h5py.File(made, "w") as new:
        _copy(old, new, changes)
        new.attrs["model_config"] = json.dumps(config).encode()
        new.attrs.pop("training_config", None)
    return made.getvalue()


def _copy(old: h5py.Group, new: h5py.Group, changes: Changes) -> None:
    """Copy a group without the state of training, its data sets without the removed places."""
    for name, value in old.attrs.items():
        new.attrs[name] = value
    for name, item in old.items():
        if old.name == "/" and name in _OF_TRAINING:
            continue
        if isinstance(item, h5py.Group):
            _copy(item, new.create_group(name), changes)
            continue
        values = item[()]
        change = changes.get(item.name.strip("/"))
        values = values if change is None else change.apply(values)
        made = new.create_dataset(name, data=values, dtype=item.dtype)
        for key, value in item.attrs.items():
            made.attrs[key] = value


def check_shrinkable(source: ModelFile) -> None:
    """Refuse models from which no channel can be removed.

    Raises:
        ArchiveError: the file holds no weights.
        GraphError: the model is pruned or was never built, or its config does not hold its
            connections.
    """
    graph: LayerGraph = source.graph
    place = source.need_archive().path
    if any(layer.wrap is not None for layer in graph.layers.values()):
        raise GraphError(
            "is pruned and still has its masks; strip it first, with graphprune strip", place=place
        )
    if is_never_built(graph):
        raise GraphError(NEVER_BUILT, place=place)
    if not graph.is_connected:
        raise GraphError(
            f"the model's class is {graph.type!r}, whose config does not say how its layers are"
            " connected; rebuild it as a Functional or Sequential model",
            place=place,
        )
