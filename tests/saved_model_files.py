"""Writes SavedModel folders without TensorFlow: Keras metadata, and a checkpoint of one shard, as
far as graphprune reads them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.archive.saved_model.tensor_bundle import MAGIC, crc32c, mask_crc

DTYPES = {"float32": 1, "int64": 9, "bool": 10}
Tree = Mapping[str, Any]
"""Attributes by name: arrays are variables, mappings are further objects."""


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def masked_crc(data: bytes) -> bytes:
    return struct.pack("<I", mask_crc(crc32c(data)))


def block(entries: Mapping[bytes, bytes]) -> bytes:
    """Return a block of a table; keys share their beginnings, as real ones do."""
    out, before = b"", b""
    for key, value in sorted(entries.items()):
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before, strict=False)) if a != b),
            min(len(key), len(before)),
        )
        out += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
        before = key
    return out + struct.pack("<II", 0, 1)


def table(entries: Mapping[bytes, bytes], compression: bytes = b"\0") -> bytes:
    out = b""

    def add(content: bytes) -> bytes:
        nonlocal out
        handle = varint(len(out)) + varint(len(content))
        out += content + compression + masked_crc(content + compression)
        return handle

    data = add(block(entries))
    footer = add(block({})) + add(block({max(entries, default=b""): data}))
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def entry(
    dtype: int, shape: tuple[int, ...], offset: int, size: int, checked: bytes = b""
) -> bytes:
    """Return a `BundleEntryProto`; `checked` is what its checksum is taken over."""
    dims = b"".join(field(2, field(1, length)) for length in shape)
    return (
        field(1, dtype)
        + field(2, dims)
        + field(4, offset)
        + field(5, size)
        + varint(6 << 3 | 5)
        + masked_crc(checked)
    )


def write_checkpoint(
    folder: Path,
    tree: Tree,
    *,
    extra: Mapping[str, bytes] | None = None,
    objects: bytes | None = None,
    names: Mapping[str, str] | None = None,
) -> None:
    """Write `variables/variables.index` and its shard; `extra` replaces index entries, `objects`
    the object graph. `names` are those of the variables, by their paths in the tree.
    """
    nodes: list[bytes] = []
    data, index = b"", {b"": field(1, 1)}

    def add(value: Any, path: str) -> int:
        nonlocal data
        number = len(nodes)
        nodes.append(b"")
        if isinstance(value, Mapping):
            nodes[number] = b"".join(
                field(1, field(1, add(item, f"{path}/{name}".lstrip("/"))) + field(2, name))
                for name, item in value.items()
            )
            return number
        key, array = f"{path}/.ATTRIBUTES/VARIABLE_VALUE", np.asarray(value)
        index[key.encode()] = entry(
            DTYPES[array.dtype.name], array.shape, len(data), array.nbytes, array.tobytes()
        )
        data += array.tobytes()
        named = field(2, (names or {}).get(path, ""))
        nodes[number] = field(2, field(1, "VARIABLE_VALUE") + named + field(3, key))
        return number

    add(tree, "")
    graph = b"".join(field(1, node) for node in nodes) if objects is None else objects
    length = struct.pack("<I", len(graph))
    text = varint(len(graph)) + masked_crc(length) + graph
    index[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = entry(
        7, (), len(data), len(text), length + masked_crc(length) + graph
    )
    index |= {key.encode(): value for key, value in (extra or {}).items()}
    (folder / "variables").mkdir(parents=True, exist_ok=True)
    (folder / "variables" / "variables.index").write_bytes(table(index))
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(data + text)


def write_saved_model(
    folder: Path,
    config: Mapping[str, Any],
    tree: Tree,
    *,
    kind: str = "_tf_keras_network",
    old: bool = False,
    **checkpoint: Any,
) -> Path:
    """Write a SavedModel of Keras; `old` puts the metadata where TensorFlow up to 2.4 did."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = json.dumps(
        {"class_name": config["class_name"], "config": config["config"], "keras_version": "2.11.0"}
    )
    user = field(4, field(1, kind) + field(3, metadata)) if old else b""
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, field(7, field(1, user))))
    if not old:
        (folder / "keras_metadata.pb").write_bytes(
            field(1, field(2, 0) + field(3, "root") + field(4, kind) + field(5, metadata))
        )
    write_checkpoint(folder, tree, **checkpoint)
    return folder
