"""The schema of TensorFlow Lite files, as the FlatBuffers compiler wrote it for Python.

It is a module of TensorFlow, and of ai-edge-litert, that needs `flatbuffers` alone. It is loaded by
its place, because importing it by name would import TensorFlow, which takes seconds.
"""

from __future__ import annotations

from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from graphprune.errors import ArchiveError

_PLACES = (
    ("tensorflow", "lite/python/schema_py_generated.py"),
    ("ai_edge_litert", "schema_py_generated.py"),
)
"""The package and the path in it."""


@cache
def load_schema() -> ModuleType:
    """Return the module of the schema.

    Raises:
        ArchiveError: neither package is installed.
    """
    for package, path in _PLACES:
        found = PathFinder.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            place = Path(folder, path)
            if place.is_file():
                return _load(place)
    raise ArchiveError(
        "reading a TensorFlow Lite file needs its schema, which comes with TensorFlow; pip install"
        " tensorflow, or ai-edge-litert"
    )


def _load(place: Path) -> ModuleType:
    spec = spec_from_file_location("graphprune_tflite_schema", place)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def names_of(table: str) -> dict[int, str]:
    """Return the names of an enumeration of the schema (`BuiltinOperator`) by their numbers."""
    members = vars(getattr(load_schema(), table)).items()
    return {value: name for name, value in members if isinstance(value, int)}
