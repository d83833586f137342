"""SavedModel folders of tf_keras and tf.keras: the config, and which tensor belongs to which layer.

Since TensorFlow 2.5 the config is in `keras_metadata.pb`
(tf_keras/protobuf/saved_metadata.proto), before that in the objects of `saved_model.pb`
(tensorflow/core/protobuf/saved_object_graph.proto); `export_saved_model` of TensorFlow 1.13 to 2.3
put it into `assets/saved_model.json` (tensorflow/python/keras/saving/saved_model_experimental.py).
Layers are the attributes `layer-0`, `layer-1`, ... of their model
(tf_keras/src/engine/functional.py).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from graphprune.archive.archive import GroupFacts, Header, Layout, StoredTensor
from graphprune.archive.files import parse_object, read_whole
from graphprune.archive.formats import READABLE
from graphprune.archive.keras2 import upgrade_config
from graphprune.archive.saved_model.protobuf import messages_in, read_fields, texts_of
from graphprune.archive.saved_model.tensor_bundle import (
    DTYPES,
    INCOMPLETE,
    Checkpoint,
    TrackedObject,
    message_damage_named,
    read_checkpoint,
)
from graphprune.errors import ArchiveError
from graphprune.nested import rebuild

METADATA = "keras_metadata.pb"
GRAPH = "saved_model.pb"
EXPORTED = "assets/saved_model.json"
MAX_METADATA = 256 * 2**20
MAX_GRAPH = 2**30
MAX_GROUPS = 500_000
MAX_LEVELS = 50
ROOT_KINDS = ("_tf_keras_network", "_tf_keras_sequential", "_tf_keras_model")
_LAYER = re.compile(r"layer-(0|[1-9][0-9]{0,6})")
_OF_EXPORT = frozenset(("_endpoint_names", "_endpoint_signatures", "_tracked", "serve"))
"""Attributes of Keras's ExportArchive (keras/src/export/saved_model.py and
tf_keras/src/export/export_lib.py).
"""
NOT_OWN = re.compile(
    "keras_api|signatures|optimizer|loss|losses|metrics|layers|layer_metrics|layer_with_weights-.*"
    "|(layer_)?regularization_losses|(non_)?(trainable_)?variables|inbound_nodes|outbound_nodes"
)
"""Attributes of a layer that repeat its weights or hold those of others."""


@dataclass(frozen=True, slots=True)
class SavedModelFolder:
    """A SavedModel folder."""

    layout: ClassVar[Layout] = "savedmodel"
    path: str

    @contextmanager
    def opened(self) -> Iterator[OpenedSavedModel]:
        """Keep what was read of the folder.

        Raises:
            ArchiveError: it is not a SavedModel.
        """
        if not is_saved_model(self.path):
            raise ArchiveError(
                f"is a directory without saved_model.pb, so not a SavedModel; graphprune"
                f" reads {READABLE}",
                place=self.path,
            )
        yield OpenedSavedModel(self.path)


class OpenedSavedModel:
    """A SavedModel folder, whose checkpoint is opened when it is first asked for."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read_header(self) -> Header:
        """Return what Keras wrote of the model.

        Raises:
            ArchiveError: Keras wrote nothing, or it is damaged.
        """
        metadata = read_metadata(self._path)
        version = str(metadata.get("keras_version") or "")
        entry: dict[str, Any] = {
            key: metadata[key] for key in ("class_name", "config") if key in metadata
        }
        training = metadata.get("training_config")
        return Header(
            version,
            upgrade_config(entry, self._path, version),
            training if isinstance(training, dict) else None,
        )

    def index(self) -> Mapping[str, tuple[StoredTensor, ...]]:
        """Return the tensors by the position of the layer that they are in.

        Raises:
            ArchiveError: the checkpoint is missing or damaged.
        """
        return index_checkpoint(self._checkpoint)

    def describe(self, group: str, /) -> GroupFacts:
        """Return nothing: the config holds all layers."""
        return GroupFacts()

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            ArchiveError: the checkpoint is missing or damaged.
        """
        return self._checkpoint.read(tensor.path)

    def check_checksums(self) -> None:
        """Do nothing: the checksums of a checkpoint are checked as tensors are read."""

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return read_checkpoint(f"{self._path}/variables/variables")


def is_saved_model(folder: str) -> bool:
    """Return whether `folder` looks like a SavedModel."""
    return (Path(folder) / GRAPH).exists() or (Path(folder) / METADATA).exists()


def read_metadata(folder: str) -> dict[str, Any]:
    """Return what Keras wrote of the model, with tuples and shapes as lists.

    It has `class_name` and `config`, perhaps `training_config` and `keras_version`.

    Raises:
        ArchiveError: Keras wrote nothing, or it is damaged.
    """
    if (Path(folder) / METADATA).exists():
        place = f"{folder}/{METADATA}"
        text = _root_of_metadata(place)
        _check_graph(f"{folder}/{GRAPH}")
    else:
        place = f"{folder}/{GRAPH}"
        text = _root_of_graph(place)
    if not text and (Path(folder) / EXPORTED).exists():
        place = f"{folder}/{EXPORTED}"
        return parse_object(read_whole(place, MAX_METADATA), place, "the model's config")
    if not text:
        raise _without_layers(folder)
    value: dict[str, Any] = rebuild(
        parse_object(text.encode(), place, "its Keras metadata"), _plain
    )
    return value


def _without_layers(folder: str) -> ArchiveError:
    """Return the error for a SavedModel that says what to compute and not which layers do."""
    if is_export(folder):
        return ArchiveError(
            "is what model.export() writes to serve a model, and holds no layers; give the .keras"
            " file of the model, prune it, and export it again",
            "model/exported",
            place=folder,
        )
    return ArchiveError(
        "is a SavedModel without Keras metadata (tf.saved_model.save writes such), so its layers"
        " are unknown; give what model.save() wrote, or save the model with"
        " model.save('model.keras')",
        "model/exported",
        place=folder,
    )


def is_export(folder: str) -> bool:
    """Return whether `model.export()` wrote a SavedModel folder."""
    try:
        return bool(_root_attributes(f"{folder}/{GRAPH}") & _OF_EXPORT)
    except ArchiveError:  # a graph of TensorFlow 1, or a damaged one
        return False


def _root_attributes(place: str) -> set[str]:
    """Return the names of the attributes of object 0 (1 in an object are children, 2 the name)."""
    with message_damage_named(place):
        for graph in messages_in(memoryview(read_whole(place, MAX_GRAPH)), 2):
            for objects in messages_in(graph, 7):
                root = next(messages_in(objects, 1), None)
                if root is not None:
                    return {texts_of(child).get(2, "") for child in messages_in(root, 1)}
    return set()


def _root_of_metadata(place: str) -> str:
    """Return the JSON of the root object.

    Field 1 holds the objects: 2 is the number, 4 the kind, 5 the JSON.
    """
    with message_damage_named(place):
        for node in messages_in(memoryview(read_whole(place, MAX_METADATA)), 1):
            texts = texts_of(node)
            if texts.get(3) == "root" and texts.get(4) in ROOT_KINDS:
                return texts.get(5, "")
    return ""


def _check_graph(place: str) -> None:
    """Check that TensorFlow's half of the model is there and whole.

    Nothing is read from it, but a folder without it is not a model, whatever Keras wrote.
    """
    with message_damage_named(place):
        graphs = [
            number
            for graph in messages_in(memoryview(read_whole(place, MAX_GRAPH, INCOMPLETE)), 2)
            for number, _ in read_fields(graph)
        ]
    if not graphs:
        raise ArchiveError(
            "holds no graph; the SavedModel is damaged, save or copy the model again", place=place
        )


def _root_of_graph(place: str) -> str:
    """Return the JSON of object 0.

    Field 2 holds the graphs, 7 in it the objects, 1 in it each of them, 4 in it what Keras
    wrote (1 the kind, 3 the JSON).
    """
    with message_damage_named(place):
        for graph in messages_in(memoryview(read_whole(place, MAX_GRAPH)), 2):
            for objects in messages_in(graph, 7):
                root = next(messages_in(objects, 1), None)
                for user in messages_in(root, 4) if root is not None else ():
                    texts = texts_of(user)
                    if texts.get(1) in ROOT_KINDS:
                        return texts.get(3, "")
    return ""


def _plain(value: dict[str, Any]) -> Any:
    """Return JSON of a SavedModel as that of an `.h5` file, with lists for tuples and shapes.

    See tf_keras/src/saving/legacy/saved_model/json_utils.py.
    """
    is_sequence = value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value
    return value["items"] if is_sequence else value


def index_checkpoint(checkpoint: Checkpoint) -> dict[str, tuple[StoredTensor, ...]]:
    """Return the tensors of each layer by its position (`layer-1/layer-0`).

    The name of a tensor is the path of attributes (`cell/kernel`).

    Raises:
        ArchiveError: the objects are damaged.
    """
    place = f"{checkpoint.prefix}.index"
    objects = checkpoint.read_objects()
    if not objects:
        raise ArchiveError("holds no objects; save the model again", place=place)
    index: dict[str, tuple[StoredTensor, ...]] = {}
    for group, number in _layers(objects, place):
        index[group] = tuple(
            _stored(checkpoint, group, path, key, place)
            for path, key in _variables(objects, number, place)
        )
    return index


def _layers(objects: Sequence[TrackedObject], place: str) -> Iterator[tuple[str, int]]:
    """Yield position and object of each layer that is not a model, also in models inside layers."""
    waiting: list[tuple[str, int, int]] = [("", 0, 0)]
    made = 0
    while waiting:
        path, number, level = waiting.pop()
        children = [
            (name, child)
            for name, child in children_of(objects, number, place)
            if _LAYER.fullmatch(name)
        ]
        if path and not children:
            yield path, number
            children = _held_layers(objects, number, place)
        made += len(children)
        if level > MAX_LEVELS or made > MAX_GROUPS:
            raise ArchiveError(
                "layers are nested too deep or in a cycle; the file is damaged,"
                " save the model again",
                place=place,
            )
        waiting += [(f"{path}/{name}".lstrip("/"), child, level + 1) for name, child in children]


def _held_layers(
    objects: Sequence[TrackedObject], number: int, place: str
) -> list[tuple[str, int]]:
    """Return the layers of a model inside a layer.

    Wrappers may be nested (`layer/layer/layer-0`).
    """
    path = ""
    for _ in range(MAX_LEVELS):
        inner = dict(children_of(objects, number, place)).get("layer")
        if inner is None:
            return []
        path, number = f"{path}layer/", inner
        children = [
            (f"{path}{name}", child)
            for name, child in children_of(objects, number, place)
            if _LAYER.fullmatch(name)
        ]
        if children:
            return children
    return []


def _variables(
    objects: Sequence[TrackedObject], layer: int, place: str
) -> Iterator[tuple[str, str]]:
    """Yield path and key of each variable of a layer, the nearest first."""
    waiting = deque([("", layer)])
    seen = {layer}
    while waiting:
        path, number = waiting.popleft()
        key = objects[number].variable
        if key is not None:
            yield path, key
        for name, child in children_of(objects, number, place):
            if child not in seen and not NOT_OWN.fullmatch(name):
                seen.add(child)
                waiting.append((f"{path}/{name}".lstrip("/"), child))


def children_of(
    objects: Sequence[TrackedObject], number: int, place: str
) -> Iterator[tuple[str, int]]:
    """Yield the attributes of an object.

    Raises:
        ArchiveError: it names an object that does not exist.
    """
    for name, child in objects[number].children.items():
        if not 0 <= child < len(objects):
            raise ArchiveError(
                f"names object {child}, but has only {len(objects)}; the file is damaged,"
                " save the model again",
                place=place,
            )
        yield name, child


def _stored(checkpoint: Checkpoint, group: str, path: str, key: str, place: str) -> StoredTensor:
    entry = checkpoint.entries.get(key)
    if entry is None:
        raise ArchiveError(
            f"no tensor {key!r}, which the model should have; the file is damaged, save"
            " the model again",
            place=place,
        )
    dtype = DTYPES.get(entry.dtype)
    if dtype is None:
        raise ArchiveError(
            f"{key!r} has the type {entry.dtype}, which is not numeric; save the model again",
            place=place,
        )
    return StoredTensor(group, path, key, entry.shape, "float32" if dtype == "bfloat16" else dtype)
