"""Packages whose names are imported on first use, so that a command pays only for what it needs."""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False  # see graphprune/__init__.py

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose names are in the modules `homes` below it.

    Example:
        >>> lazy_names("os", {"path": ["join"]})("join")("a", "b")
        'a/b'
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
