"""Layer settings as comparable values, and the dotted paths at which two of them differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from graphprune.archive.entries import Entry
from graphprune.diff.changes import ConfigChange
from graphprune.graph.architecture import WHEN_BUILT, plain_config
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.completion import fill_from_other

GetRank = Callable[[], int | None]
"""Returns how many axes the tensor has that a layer takes; None where that is not known."""


def compare_layers(
    left: Entry,
    right: Entry,
    *,
    names: bool,
    is_model: bool = False,
    get_rank: GetRank = lambda: None,
) -> Iterator[ConfigChange]:
    """Yield what differs between the settings of two layers.

    Args:
        left: The layer before.
        right: The layer after.
        names: As in `plain_config`.
        is_model: Whether both are models.
        get_rank: Asked where one side counts an axis from the end.
    """
    before, after = (plain_config(entry, names=names, is_model=is_model) for entry in (left, right))
    if known_class(left) is None or known_class(right) is None:
        before, after = fill_from_other(before, after), fill_from_other(after, before)
    yield from compare_settings(before, after, "config", get_rank)


def compare_settings(
    before: Any, after: Any, path: str, get_rank: GetRank = lambda: None
) -> Iterator[ConfigChange]:
    """Yield what differs between two values that `plain_config` made; a missing key equals null.

    Example:
        >>> [
        ...     change.path
        ...     for change in compare_settings(
        ...         {"units": 3, "bias": {"seed": 1}}, {"units": 3, "bias": {"seed": 2}}, "config"
        ...     )
        ... ]
        ['config.bias.seed']
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            left, right = before.get(key), after.get(key)
            if not _is_same_when_built(key, left, right, get_rank):
                yield from compare_settings(left, right, f"{path}.{key}", get_rank)
    elif _is_list_of_dicts(before) and _is_list_of_dicts(after) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from compare_settings(left, right, f"{path}[{index}]", get_rank)
    elif not _is_same(before, after):
        yield ConfigChange(path, before, after)


def _is_same_when_built(key: str, before: Any, after: Any, get_rank: GetRank) -> bool:
    """Return whether two values of a setting differ only in that one of the layers was not built
    when it was saved.
    """
    if key in WHEN_BUILT:
        return before is None or after is None
    if (
        key != "axis"
        or not (_is_list_of_ints(before) and _is_list_of_ints(after))
        or len(before) != len(after)
    ):
        return False
    turned = [(left, right) for left, right in zip(before, after, strict=True) if left != right]
    if not turned or any((left < 0) == (right < 0) for left, right in turned):
        return False
    rank = get_rank()
    return rank is None or all((left - right) % rank == 0 for left, right in turned)


def _is_list_of_ints(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _is_list_of_dicts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _is_same(before: Any, after: Any) -> bool:
    """Return whether two plain values are equal; True is not 1, and NaN equals itself."""
    if isinstance(before, bool) != isinstance(after, bool):
        return False
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(
            _is_same(left, right) for left, right in zip(before, after, strict=True)
        )
    return bool(before == after) or bool(before != before and after != after)
