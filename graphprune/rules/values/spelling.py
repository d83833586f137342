"""Matchers as a rule file spells them, on one line."""

from __future__ import annotations

from graphprune.rules.values.describe import describe
from graphprune.rules.values.matchers import (
    After,
    AllOf,
    AnyOf,
    Before,
    Between,
    ConfigIs,
    FedBy,
    Feeds,
    First,
    Inside,
    IsA,
    Last,
    Matcher,
    NameGlob,
    NameIs,
    NameRegex,
    Not,
    TypeIs,
    Use,
)


def spell(matcher: Matcher) -> str:
    """Return `matcher` in the keys of a rule file.

    Example:
        >>> spell(Not(Last(TypeIs(("Dense",)))))
        'not: last: type: Dense'
        >>> spell(After(AllOf((IsA(("Conv2D",)), NameGlob("stem*"))), hops=3))
        "after: {isa: Conv2D, name: {glob: 'stem*'}, hops: 3}"
    """
    match matcher:
        case NameIs(names) | TypeIs(names) | IsA(names):
            key = {NameIs: "name", TypeIs: "type", IsA: "isa"}[type(matcher)]
            return f"{key}: {names[0] if len(names) == 1 else _list(names)}"
        case NameGlob(glob):
            return f"name: {{glob: {glob!r}}}"
        case NameRegex(regex):
            return f"name: {{regex: {regex!r}}}"
        case ConfigIs():
            return f"config: {describe(matcher)}"
        case First(inner) | Last(inner) | Inside(inner) | Not(inner):
            return f"{type(matcher).__name__.lower()}: {_nested(inner)}"
        case FedBy(inner, every, only) | Feeds(inner, every, only):
            key = "fed_by" if isinstance(matcher, FedBy) else "feeds"
            return (
                f"{key}:"
                f" {_nested(inner, *(['every: true'] if every else []), *(['only: true'] if only else []))}"
            )
        case After(inner, hops, until) | Before(inner, hops, until):
            bounds = [
                *([] if hops is None else [f"hops: {hops}"]),
                *([] if until is None else [f"until: {_nested(until)}"]),
            ]
            return f"{type(matcher).__name__.lower()}: {_nested(inner, *bounds)}"
        case Between(after, before):
            return f"between: {{after: {_nested(after)}, before: {_nested(before)}}}"
        case Use(name):
            return f"use: {name}"
        case AllOf(parts):
            return ", ".join(map(spell, parts))
        case AnyOf(parts):
            return f"any: {_list([_nested(part) for part in parts])}"
        case _:
            key, _, test = describe(matcher).partition(" ")
            return describe(matcher) if not test or key.endswith(":") else f"{key}: {test}"


def _nested(matcher: Matcher, *more: str) -> str:
    """Return a matcher as the value of a key, in braces where it has several keys."""
    text = ", ".join([spell(matcher), *more])
    return (
        f"{{{text}}}" if more or (isinstance(matcher, AllOf) and len(matcher.parts) > 1) else text
    )


def _list(texts: tuple[str, ...] | list[str]) -> str:
    return f"[{', '.join(texts)}]"
