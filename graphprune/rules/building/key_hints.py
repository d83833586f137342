"""Help for schema errors: an example for each key, and likely meanings of unknown ones."""

from __future__ import annotations

from typing import Any

from graphprune.rules.building.checks import CheckShape, CountShape, CoversShape, ResultShape
from graphprune.rules.building.prune_fields import DefaultsShape, PruneShape
from graphprune.rules.building.rule_file import FileShape, RuleShape
from graphprune.rules.matchers.config import ConfigTestShape
from graphprune.rules.matchers.keys import MatcherShape
from graphprune.rules.matchers.weights import WeightShape
from graphprune.rules.text.shape import Form, Shape, example_of, keys_of
from graphprune.suggestions import closest, find_close

# The outer key of each nested key, for a key that is found one level too high.
_INSIDE: tuple[tuple[type[Shape], str, type[Shape]], ...] = (
    (DefaultsShape, "prune", PruneShape),
    (RuleShape, "prune", PruneShape),
    (RuleShape, "match", MatcherShape),
    (CountShape, "of", MatcherShape),
    (ResultShape, "of", MatcherShape),
    (CoversShape, "by", MatcherShape),
    (CheckShape, "every", MatcherShape),
    (FileShape, "rules", RuleShape),
)
_ELSEWHERE = {
    "hops": "it belongs inside 'after' or 'before', such as 'after: {type: Add, hops: 3}'",
    "until": (
        "it belongs inside 'after' or 'before', such as 'after: {type: Add, until: {type: ReLU}}'"
    ),
    "every": "it belongs inside 'fed_by' or 'feeds', such as 'fed_by: {type: Add, every: true}'",
    "only": "it belongs inside 'fed_by' or 'feeds', such as 'fed_by: {type: Add, only: true}'",
    "glob": "it belongs inside 'name', such as 'name: {glob: \"block_*\"}'",
    "regex": "it belongs inside 'name', such as 'name: {regex: \"block_[0-9]+\"}'",
}


def missing_help(shape: type[Shape], key: str) -> str | None:
    """Return help on how to write a missing key.

    Example:
        >>> missing_help(CountShape, "of")
        "add it, such as 'of: {type: Dense}'"
    """
    example = example_of(shape, key)
    if key in shape.missing or example is None:
        return shape.missing.get(key)
    return f"add it, such as '{key}: {example}'"


def meant_key(shape: type[Shape], key: str) -> str | None:
    """Return the known key that an unknown one most likely means or belongs inside."""
    if key.lower() in shape.meant:
        return shape.meant[key.lower()]
    return next(iter(find_close(key, keys_of(shape)) or _outer_keys(shape, key)), None)


def unknown_help(shape: type[Shape], key: str, owner: str, value: Any) -> str:
    """Return the likely meaning of an unknown key, and the known keys.

    It may be a misspelt key, another common name for one, or a key of another mapping.

    Args:
        shape: The shape of the mapping with the key.
        key: The key.
        owner: The key of that mapping; "" if it has none.
        value: The key's value.

    Example:
        >>> unknown_help(CountShape, "type", "count", "Dense")
        "it belongs inside 'of', such as 'of: {type: Dense}'; known keys: of, is"
    """
    keys = keys_of(shape)
    hint = (
        _meant(shape, key)
        or _config_help(shape, key, owner, value)
        or closest(key, keys)
        or _inside(shape, key)
        or _ELSEWHERE.get(key, "")
    )
    return "; ".join(filter(None, (hint, f"known keys: {', '.join(keys)}")))


def value_help(shape: type[Shape], key: str, value: Any, form: Form, label: str) -> str | None:
    """Return help on how to write a value that has no help of its own.

    Args:
        shape: The shape of the nearest mapping around it with keys of the language.
        key: The key of that mapping above the value.
        value: The value.
        form: How to show a correct value.
        label: The text directly before the value: its key with a colon; "" in a list.

    Example:
        >>> value_help(MatcherShape, "last", "Dense", "matcher", "last: ")
        "write 'last: {type: Dense}'"
        >>> value_help(MatcherShape, "config", 3, "example", "config: ")
        "write for example 'config: {padding: same, units: {gte: 64}}'"
    """
    if form == "matcher":
        return _matcher_help(label, value)
    example = example_of(shape, key)
    if shape is WeightShape and key == "kernel":
        return f"write for example 'kernel: {example}'"
    return None if example is None or form == "shown" else f"write for example '{key}: {example}'"


def _meant(shape: type[Shape], key: str) -> str:
    word = shape.meant.get(key.lower())
    return f"did you mean {word!r}?" if word else ""


def _config_help(shape: type[Shape], key: str, owner: str, value: Any) -> str:
    """Return the likely meaning of a mapping under a config key that is not a test."""
    if not issubclass(shape, ConfigTestShape):
        return ""
    if key == "eq":
        return "write the value itself, such as 'units: 64'"
    if key == "multiple_of":
        return f"list the values, such as '{owner}: {{in: [64, 128]}}'"
    inner = value if isinstance(value, str | int | float) and not isinstance(value, bool) else "..."
    return (
        closest(key, keys_of(shape))
        or f"if {owner!r} is a mapping, write '{owner}.{key}: {inner}' for the value inside it"
    )


def _outer_keys(shape: type[Shape], key: str) -> dict[str, type[Shape]]:
    """Return the keys under which `key` belongs, each with the shape of its mapping."""
    return {
        outer: inner
        for place, outer, inner in _INSIDE
        if issubclass(shape, place) and key in keys_of(inner)
    }


def _inside(shape: type[Shape], key: str) -> str:
    found = _outer_keys(shape, key)
    if not found:
        return ""
    (outer, inner), *_ = found.items()
    example = f"{{{key}: {example_of(inner, key)}}}"
    return (
        f"it belongs inside {outer!r}, such as '{outer}:"
        f" {f'[{example}]' if outer == 'rules' else example}'"
    )


def _matcher_help(label: str, value: Any) -> str | None:
    """Return the matcher that a value probably means, with the text before it."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return (
            f"write '{label}{{any: [...]}}' where one of them is enough, or '{label}{{all: [...]}}'"
        )
    if isinstance(value, str) and value.strip() in ("**", "all", "any", "everything"):
        return f"write '{label}\"*\"' for every layer with prunable weights"
    if isinstance(value, str) and value.strip():
        return f"write '{label}{{{'type' if value[0].isupper() else 'name'}: {value}}}'"
    return (
        f"write for example '{label}{{type: Dense}}'"
        if isinstance(value, bool | int | float)
        else None
    )
