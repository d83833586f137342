"""The formats of saved models: how each is told, and which module reads it.

A new format is a record here and the module that it names, with a `Source` (`archive.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from graphprune.archive.archive import Source


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One format of saved models.

    Attributes:
        label: What messages call it.
        suffixes: How the names of its files usually end; a file is told by its signature.
        signatures: The first bytes of its files; none for a folder.
        source: The module and the name of its `Source`, which takes the path.
    """

    label: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    source: tuple[str, str]

    def open_source(self, path: str) -> Source:
        """Return the saved model at a path."""
        module, name = self.source
        return cast("Source", getattr(import_module(module), name)(path))


FORMATS = (
    FileFormat(
        ".keras",
        (".keras",),
        (b"PK\x03\x04", b"PK\x05\x06"),
        ("graphprune.archive.keras_zip", "KerasZip"),
    ),
    FileFormat(
        ".h5",
        (".h5", ".hdf5"),
        (b"\x89HDF\r\n\x1a\n",),
        ("graphprune.archive.hdf5.model", "Hdf5Model"),
    ),
    FileFormat(
        "SavedModel folders", (), (), ("graphprune.archive.saved_model.folder", "SavedModelFolder")
    ),
)

SIGNATURE_BYTES = 32
"""What is read of a file to tell its format; no signature is longer."""


def format_of(signature: bytes) -> FileFormat | None:
    r"""Return the format of a file that begins so; None if it is none of them.

    Example:
        >>> format_of(b"PK\x03\x04").label
        '.keras'
    """
    return next((one for one in FORMATS if signature.startswith(one.signatures)), None)


def format_of_folder() -> FileFormat:
    """Return the format whose models are folders."""
    return next(one for one in FORMATS if not one.signatures)


READABLE = f"{', '.join(one.label for one in FORMATS)} and graph JSON"
"""What can be read, for messages."""
READABLE_SUFFIXES = (*(suffix for one in FORMATS for suffix in one.suffixes), ".json")
