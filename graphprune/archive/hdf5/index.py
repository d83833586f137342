"""Which tensors an HDF5 file holds, by the groups of its layers, in the two layouts of Keras.

Layout of `.keras` (tf_keras/src/saving/saving_lib.py): each layer has a group named by its place in
the model, with data sets `vars/0`, `vars/1`, ... Layout of `.h5`
(tf_keras/src/saving/legacy/hdf5_format.py): `model_weights/<layer>` with an attribute
`weight_names`, or parts `weight_names0`, ...
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import h5py

from graphprune.archive.archive import StoredTensor, Stretch
from graphprune.archive.files import MAX_JSON
from graphprune.archive.hdf5.file import (
    OpenedFile,
    damage_named,
    describe_dataset,
    find_stretch,
    open_dataset,
)
from graphprune.archive.hdf5.headers import Blocks, is_group, read_messages, read_texts
from graphprune.errors import ArchiveError

LAYERS = "layers"
LAYERS_UNTIL_2_14 = "_layer_checkpoint_dependencies"
"""Where the weights in a `.keras` file of TensorFlow 2.12 to 2.14 have a model's layers
(keras/saving/saving_lib.py there); it is `layers` since 2.15.
"""
MAX_NAME = 4096
"""Bytes of a layer's name."""
_OF_TRAINING = frozenset(
    (
        *("compile_metrics", "loss_tracker", "metrics", "optimizer"),
        *("_compile_metrics", "_loss_tracker", "_metrics", "_optimizer"),
    )
)
"""Where a compiled model keeps what its training needs."""
_DAMAGED = "the file is damaged, save the model again"


def index_keras_groups(file: OpenedFile, place: str) -> dict[str, tuple[StoredTensor, ...]]:
    """Return the tensors of the layers in a `.keras` file's weights, by group.

    Raises:
        ArchiveError: the file is damaged or not safe to read.
    """
    with damage_named(place):
        groups: dict[str, list[str]] = {}
        objects = _all_objects(file, place)
        for path in map(_text, objects):
            group, found, name = f"/{path}".rpartition("/vars/")
            if found and "/" not in name and is_layer_group(group[1:]):
                groups.setdefault(group[1:], []).append(name)
        return {
            group: tuple(
                _stored(file, group, name, _join(group, f"vars/{name}"), objects, place)
                for name in sorted(names, key=_number)
            )
            for group, names in groups.items()
        }


def is_layer_group(group: str) -> bool:
    """Return whether the weights of a model may be in a group, and not those of its training.

    Example:
        >>> is_layer_group("layers/dense_1"), is_layer_group("head"), is_layer_group("optimizer")
        (True, True, False)
    """
    return group.partition("/")[0] not in _OF_TRAINING


def read_group_name(file: OpenedFile, group: str, place: str) -> str:
    """Return the name of the layer that a group belongs to; empty where the file has none.

    Keras 3 writes it as the attribute `name` of the group of its variables.

    Raises:
        ArchiveError: the file is damaged.
    """
    with damage_named(place):
        variables = _join(group, "vars")
        if variables not in file:
            return ""
        with file.raw() as raw:
            texts = read_texts(file[variables], "name", MAX_NAME, raw)
        return _text(texts[0]) if texts else ""


def _join(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _all_objects(file: OpenedFile, place: str) -> Mapping[bytes, Stretch | None]:
    """Return where the values of plain data sets lie, by path; None for groups and other data sets.

    Each object's header is read before the library opens it. The file holds no link that leads
    elsewhere, and no group twice, and no data set that keeps its values in another file: Keras
    reads those of the optimizer and of metrics as well.
    """
    objects: dict[bytes, Stretch | None] = {}
    others: list[bytes] = []
    seen: set[int] = set()
    faults: list[Exception] = []
    with file.raw() as raw:
        headers = Blocks(raw)

        def visit(name: bytes, info: Any) -> bytes | None:
            objects[name] = None
            if info.type != h5py.h5l.TYPE_HARD:
                return name
            try:
                messages = dict(read_messages(headers, info.u))
                if not is_group(headers, messages):
                    objects[name] = find_stretch(messages, headers.size)
                    if objects[name] is None:
                        others.append(name)
                elif info.u in seen:
                    raise ValueError("one group at two paths")
                else:
                    seen.add(info.u)
            except (ValueError, struct.error, OverflowError) as err:  # h5py lets no exception pass
                faults.append(err)
            return name if faults else None

        link = file.id.links.visit(visit, info=True)
    if faults:
        raise faults[0]
    if link is not None:
        raise ArchiveError(
            f"{_text(link)} is a link, which Keras never writes; the file is not safe to"
            " read, save the model again",
            place=place,
        )
    for path in map(_text, others):
        open_dataset(file, path, place)
    return objects


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 30, name)


def index_legacy_groups(file: OpenedFile, place: str) -> dict[str, tuple[StoredTensor, ...]]:
    """Return the tensors of an `.h5` file by the name of the model's layer that they are in.

    Raises:
        ArchiveError: the file is damaged or not safe to read.
    """
    with damage_named(place):
        objects = _all_objects(file, place)
        if b"model_weights" not in objects:
            raise ArchiveError(
                "no model_weights group; the weights are missing, save the model again", place=place
            )
        root = file["model_weights"]
        index: dict[str, tuple[StoredTensor, ...]] = {}
        layers = read_names(root, "layer_names")
        if layers is None or len(set(layers)) < len(layers):
            raise ArchiveError(
                f"its list of layers (layer_names)"
                f" {'is missing' if layers is None else 'names one twice'}; {_DAMAGED}",
                place=place,
            )
        for layer in layers:
            # this takes half the time of root[layer]
            group = h5py.Group(h5py.h5g.open(root.id, layer.encode()))
            names = read_names(group, "weight_names")
            if names is None:
                raise ArchiveError(
                    f"layer {layer!r} has no list of its weights (weight_names); the file"
                    " was not written to its end, save the model again",
                    place=place,
                )
            if names:
                index[layer] = tuple(
                    _stored(file, layer, name, f"model_weights/{layer}/{name}", objects, place)
                    for name in names
                )
        return index


def read_names(group: h5py.Group, attribute: str) -> list[str] | None:
    """Return a list of names from an attribute; None where there is none.

    It may be cut in parts, because HDF5 limits an object header to 64 kB.
    """
    texts = read_texts(group, attribute, MAX_JSON)
    if texts is not None:
        return list(map(_text, texts))
    names: list[str] = []
    part = 0
    while (texts := read_texts(group, f"{attribute}{part}", MAX_JSON)) is not None:
        names += map(_text, texts)
        part += 1
    return names if part else None


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _stored(
    file: h5py.File,
    group: str,
    name: str,
    path: str,
    objects: Mapping[bytes, Stretch | None],
    place: str,
) -> StoredTensor:
    return describe_dataset(file, group, name, path, objects.get(path.encode()), place)
