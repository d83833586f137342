"""Matchers in words."""

from __future__ import annotations

from graphprune.rules.values.matchers import (
    After,
    AllOf,
    AnyOf,
    Before,
    Between,
    Calls,
    ConfigIs,
    Everything,
    FedBy,
    Feeds,
    First,
    Flag,
    HasWeight,
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
    Use,
)


def describe(matcher: Matcher) -> str:
    """Return a matcher as one phrase, in the order of a rule file.

    Example:
        >>> describe(Not(Last(TypeIs(("Dense",)))))
        'not last Dense'
        >>> describe(AllOf((TypeIs(("Dense", "Conv2D")), NameGlob("block_*"))))
        "Dense or Conv2D, and name glob 'block_*'"
        >>> describe(After(TypeIs(("Conv2D",)), hops=2, until=FedBy(TypeIs(("ReLU",)), only=True)))
        'after Conv2D at most 2 calls away, not past fed_by only ReLU'
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
        case HasWeight():
            return f"weight {_weight_tests(matcher)}"
        case FedBy(inner, every, only):
            return f"fed_by {_how_many(every, only)}{_grouped(inner)}"
        case Feeds(inner, every, only):
            return f"feeds {_how_many(every, only)}{_grouped(inner)}"
        case After(inner, hops, until):
            return f"after {_grouped(inner)}{_bounds(hops, until)}"
        case Before(inner, hops, until):
            return f"before {_grouped(inner)}{_bounds(hops, until)}"
        case Between(after, before):
            return f"between {_grouped(after)} and {_grouped(before)}"
        case Use(name):
            return name
        case AllOf(parts):
            return ", and ".join(map(_grouped, parts))
        case AnyOf(parts):
            return "any of " + "; ".join(map(_grouped, parts))


def _grouped(matcher: Matcher) -> str:
    text = describe(matcher)
    return f"({text})" if isinstance(matcher, AllOf | AnyOf) and len(matcher.parts) > 1 else text


def _how_many(every: bool, only: bool) -> str:
    return "only " if only else "nothing but " if every else ""


def _bounds(hops: int | None, until: Matcher | None) -> str:
    near = "" if hops is None else f" at most {hops} call{'' if hops == 1 else 's'} away"
    return near if until is None else f"{near}{',' if near else ''} not past {_grouped(until)}"


def _weight_tests(weight: HasWeight) -> str:
    kernel = (
        f"[{', '.join(map(str, weight.kernel))}]"
        if isinstance(weight.kernel, tuple)
        else weight.kernel
    )
    tests = {
        "name": None if weight.names is None else " or ".join(weight.names),
        "rank": weight.rank,
        "in": weight.inputs,
        "out": weight.outputs,
        "kernel": kernel,
        "dtype": None if weight.dtypes is None else " or ".join(weight.dtypes),
        "sparsity": weight.sparsity,
    }
    return ", ".join(f"{name} {test}" for name, test in tests.items() if test is not None)
