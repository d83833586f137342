"""Nested plain data (configs, JSON, YAML): one walk over all values, and one copy with changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def values_in(value: Any) -> Iterator[Any]:
    """Yield `value` and everything inside its mappings, lists and tuples, in their order.

    It is a loop, so data of any depth are walked; mapping keys are not yielded.

    Example:
        >>> list(values_in({"a": [1, "b"], "c": None}))
        [{'a': [1, 'b'], 'c': None}, [1, 'b'], 1, 'b', None]
    """
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, Mapping):
            waiting += reversed(list(item.values()))
        elif isinstance(item, list | tuple):
            waiting += reversed(item)


def mappings_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in nested data, outer ones first."""
    return (item for item in values_in(value) if isinstance(item, Mapping))


def rebuild(value: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    """Return a copy of nested data with each mapping replaced by `change` of it, inner ones first.

    Lists, tuples and mappings are copied, other values are kept. The copy recurses: a config that
    was read from a file is at most `archive.files.MAX_DEPTH` deep.

    Example:
        >>> rebuild([{"a": {"b": 1}}], lambda item: item | {"size": len(item)})
        [{'a': {'b': 1, 'size': 1}, 'size': 1}]
    """
    if isinstance(value, Mapping):
        return change({key: rebuild(item, change) for key, item in value.items()})
    if isinstance(value, list):
        return [rebuild(item, change) for item in value]
    return tuple(rebuild(item, change) for item in value) if type(value) is tuple else value
