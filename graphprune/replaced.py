"""Attributes of the modules and classes of other libraries, replaced for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def replaced(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Give attributes other values, and take them back in the end.

    Args:
        changes: Owner, name and value of each. An attribute that the owner inherits, or that is
            builtin, is hidden meanwhile.

    Example:
        >>> import string
        >>> with replaced((string, "digits", "01"), (string, "len", lambda _: 5)):
        ...     string.digits, string.len("")
        ('01', 5)
        >>> string.digits, hasattr(string, "len")
        ('0123456789', False)
    """
    before = [(owner, name, vars(owner).get(name, _ABSENT)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            if value is not _ABSENT:
                setattr(owner, name, value)
            elif name in vars(owner):
                delattr(owner, name)
