"""The variables of a SavedModel folder that `model.export()` wrote: names and values, no layers."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

from numpy.typing import NDArray

from graphprune.archive.saved_model.folder import EXPORTED, METADATA, is_export
from graphprune.archive.saved_model.tensor_bundle import DTYPES, Checkpoint, read_checkpoint


@dataclass(frozen=True)
class ExportedVariables:
    """The variables of an exported model.

    Attributes:
        path: The folder.
        keys: The key of each variable of real numbers in the checkpoint, by its name, which is that
            of its layers: `lstm/lstm_cell/kernel`. Names that two variables have are left out.
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

    def content(self, key: str) -> tuple[object, ...]:
        """Return what copies of a variable have in common: type, shape, size and checksum."""
        return _content(self.checkpoint, key)


def _content(checkpoint: Checkpoint, key: str) -> tuple[object, ...]:
    entry = checkpoint.entries[key]
    return entry.dtype, entry.shape, entry.size, entry.crc


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
    keys = defaultdict(set)
    for tracked in checkpoint.read_objects():
        entry = checkpoint.entries.get(tracked.variable or "")
        if entry is not None and _is_real(entry.dtype):
            keys[tracked.full_name.partition(":")[0]].add(str(tracked.variable))
    named = {
        name: max(found)
        for name, found in keys.items()
        if name and (len(found) == 1 or _is_one(found, checkpoint))
    }
    nameless = {key for found in keys.values() for key in found} - set(named.values())
    return ExportedVariables(folder, named, tuple(sorted(nameless)), checkpoint)


def _is_one(keys: Collection[str], checkpoint: Checkpoint) -> bool:
    """Return whether keys are of one variable, which different lists of variables have.

    tf_keras stores a variable of a layer in 16 bits in `variables` and in `_all_variables`.
    """
    lists = {key.partition("/")[0] for key in keys}
    return len(lists) == len(keys) and len({_content(checkpoint, key) for key in keys}) == 1


def _is_real(dtype: int) -> bool:
    return DTYPES.get(dtype, "").startswith(("float", "bfloat"))
