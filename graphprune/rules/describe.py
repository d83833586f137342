"""Matchers in words."""

from __future__ import annotations

from graphprune.rules.matchers import (
    AllOf,
    AnyOf,
    Calls,
    ConfigIs,
    Everything,
    First,
    Flag,
    Inside,
    IsA,
    Last,
    Matcher,
    NameGlob,
    NameIs,
    NameRegex,
    Not,
    Params,
    TypeIs,
)


def describe(matcher: Matcher) -> str:
    """Return a matcher as one phrase, in the order of a rule file.

    Example:
        >>> describe(Not(Last(TypeIs(("Dense",)))))
        'not last Dense'
        >>> describe(AllOf((TypeIs(("Dense", "Conv2D")), NameGlob("block_*"))))
        "Dense or Conv2D, and name glob 'block_*'"
    """
    match matcher:
        case Everything():
            return "*"
        case NameIs(addresses):
            return f"name {' or '.join(map(repr, addresses))}"
        case NameGlob(glob):
            return f"name glob {glob!r}"
        case NameRegex(regex):
            return f"name regex {regex!r}"
        case TypeIs(types):
            return " or ".join(types)
        case IsA(types):
            return f"isa {' or '.join(types)}"
        case ConfigIs(key, test):
            return f"{key}: {test}"
        case Params(test):
            return f"params {test}"
        case Calls(test):
            return f"calls {test}"
        case Flag(name, wanted):
            return f"{name}: {str(wanted).lower()}"
        case Inside(inner):
            return f"inside {_grouped(inner)}"
        case First(inner):
            return f"first {_grouped(inner)}"
        case Last(inner):
            return f"last {_grouped(inner)}"
        case Not(inner):
            return f"not {_grouped(inner)}"
        case AllOf(parts):
            return ", and ".join(map(_grouped, parts))
        case AnyOf(parts):
            return "any of " + "; ".join(map(_grouped, parts))


def _grouped(matcher: Matcher) -> str:
    text = describe(matcher)
    return f"({text})" if isinstance(matcher, AllOf | AnyOf) and len(matcher.parts) > 1 else text
