"""The variables of a SavedModel folder that `model.export()` wrote: names and values, no layers."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import Any

from numpy.typing import NDArray

from graphprune.archive.saved_model.folder import EXPORTED, METADATA, is_export
from graphprune.archive.saved_model.tensor_bundle import (
    DTYPES,
    BundleEntry,
    Checkpoint,
    read_checkpoint,
)


@dataclass(frozen=True)
class ExportedVariables:
    """The variables of an exported model.

    Attributes:
        path: The folder.
        keys: The key of each variable of real numbers in the checkpoint, by its name, which is that
            of its layers: `lstm/lstm_cell/kernel`. Names that two variables have are left out, unless
            both have the same values.
        nameless: The keys of the other variables.
    """

    path: str
    keys: Mapping[str, str]
    nameless: tuple[str, ...]
    checkpoint: Checkpoint

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a variable."""
        return self.checkpoint.entries[key].shape

    def read(self, key: str) -> NDArray[Any]:
        """Return the values of a variable.

        Raises:
            ArchiveError: the file is damaged.
        """
        return self.checkpoint.read(key)


def find_exported(path: str | PathLike[str]) -> ExportedVariables | None:
    """Return the variables of a folder that `model.export()` wrote; None for all other files.

    Raises:
        ArchiveError: the folder is damaged.
    """
    folder = fspath(path)
    if not os.path.isdir(folder) or not is_export(folder):
        return None
    if any(os.path.exists(os.path.join(folder, name)) for name in (METADATA, EXPORTED)):
        return None  # Keras reads the model's config there
    checkpoint = read_checkpoint(os.path.join(folder, "variables", "variables"))
    keys: dict[str, dict[BundleEntry, str]] = defaultdict(dict)
    for tracked in checkpoint.read_objects():
        entry = checkpoint.entries.get(tracked.variable or "")
        if entry is not None and _is_real(entry.dtype):
            found = keys[tracked.full_name.partition(":")[0]]
            # tf_keras stores a variable of a layer in mixed_float16 twice
            content = replace(entry, shard=0, offset=0)
            found[content] = min(str(tracked.variable), found.get(content, str(tracked.variable)))
    named = {
        name: key
        for name, found in keys.items()
        for key in found.values()
        if name and len(found) == 1
    }
    nameless = {key for found in keys.values() for key in found.values()} - set(named.values())
    return ExportedVariables(folder, named, tuple(sorted(nameless)), checkpoint)


def _is_real(dtype: int) -> bool:
    return DTYPES.get(dtype, "").startswith(("float", "bfloat"))
