"""What a rule says of a model that is not so: addresses, classes and config keys that do not exist,
layers that cannot be pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.errors import Diagnostic, Where
from graphprune.graph.classes.builtin_layers import is_custom
from graphprune.graph.layers import Layer
from graphprune.graph.out_of_reach import explain_out_of_reach
from graphprune.rules.resolving.class_names import KERAS_CLASSES
from graphprune.rules.selecting.evaluate import Matches
from graphprune.rules.values.config_test import ConfigTest, Every, Exists, find_config_value
from graphprune.rules.values.matchers import (
    AllOf,
    AnyOf,
    ConfigIs,
    HasWeight,
    IsA,
    Matcher,
    NameIs,
    Not,
    TypeIs,
    Use,
    conditions_of,
    parts_of,
)
from graphprune.rules.values.rule_set import Rule
from graphprune.rules.values.weight_names import means_any
from graphprune.suggestions import closest, find_close


def find_model_faults(matches: Matches, rule: Rule) -> Iterator[Diagnostic]:
    """Yield each name in the rule's match that the model does not know."""
    yield from find_matcher_faults(matches, rule.matcher, rule.where, judges_candidates=True)


def find_matcher_faults(
    matches: Matches, matcher: Matcher, where: Where, *, judges_candidates: bool
) -> Iterator[Diagnostic]:
    """Yield each name in a matcher, and in the selectors that it uses, that the model does not
    know.

    Args:
        matches: The model.
        matcher: What to look at.
        where: The place of faults whose own is not known.
        judges_candidates: Whether only layers with prunable weights can be meant, so that naming
            another is a fault.
    """
    waiting: list[_Part] = [_Part(matcher, judges_candidates)]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part.matcher, Use):
            if (part.matcher.name, part.judges_candidates) not in seen:
                seen.add((part.matcher.name, part.judges_candidates))
                waiting.append(_Part(part.matcher.of, part.judges_candidates, part.beside))
            continue
        yield from _own_faults(matches, part, where)
        waiting += reversed(_inner(part))


@dataclass(frozen=True, slots=True)
class _Part:
    """A matcher that stands in another; `beside` are the conditions that must hold together with
    it.
    """

    matcher: Matcher
    judges_candidates: bool
    beside: tuple[Matcher, ...] = ()


def _inner(part: _Part) -> list[_Part]:
    match part.matcher:
        case AllOf(parts):
            beside = (*part.beside, *conditions_of(part.matcher))
            return [_Part(inner, part.judges_candidates, beside) for inner in parts]
        case AnyOf() | Not():
            return [
                _Part(inner, part.judges_candidates, part.beside)
                for inner in parts_of(part.matcher)
            ]
        case _:
            return [_Part(inner, False) for inner in parts_of(part.matcher)]


def _own_faults(matches: Matches, part: _Part, where: Where) -> Iterator[Diagnostic]:
    match part.matcher:
        case NameIs(addresses, places):
            for address, place in zip(addresses, places or (where,) * len(addresses), strict=True):
                fault = _name_fault(
                    matches, address, place, judges_candidates=part.judges_candidates
                )
                if fault is not None:
                    yield fault
        case TypeIs(types, places) | IsA(types, places):
            named = "type" if isinstance(part.matcher, TypeIs) else "class or base class"
            yield from _type_faults(matches, types, places or (where,) * len(types), named)
        case ConfigIs():
            fault = _config_fault(matches, part.matcher, part.beside, where)
            if fault is not None:
                yield fault
        case HasWeight():
            yield from _weight_faults(
                matches, part.matcher, part.matcher.places[0] if part.matcher.places else where
            )


def _weight_faults(matches: Matches, matcher: HasWeight, where: Where) -> Iterator[Diagnostic]:
    """Yield a fault for each tensor name that no layer has, and where zeros are asked for that
    nobody measured.
    """
    known = (
        {tensor.name for layer in matches.graph.candidates() for tensor in layer.prunable}
        if matcher.names
        else set()
    )
    for name in matcher.names or ():
        if known and not means_any(name, known):
            message = f"no layer of the model has a prunable weight {name!r}"
            help = (
                closest(name, known) or f"there are {', '.join(map(repr, sorted(known)))}"
                if matches.spend_search()
                else None
            )
            yield Diagnostic("layer/not-prunable", message, where, help)
    if matcher.sparsity is not None and matches.zeros is None:
        message = (
            "'weight: {sparsity: ...}' needs measured zeros, and here only the model's graph is"
            " known"
        )
        yield Diagnostic(
            "weight/not-measured",
            message,
            where,
            "give the saved model itself (.keras, .h5, SavedModel)",
        )


def _custom_help(layer: Layer) -> str:
    """Return how to say what of a custom layer can be pruned; nothing for layers of Keras, and
    layers without a matrix.
    """
    names = [tensor.name for tensor in layer.tensors if len(tensor.shape) > 1]
    if not names or not is_custom(layer.entry):
        return ""
    more = f"; its weights with axes are {', '.join(map(repr, names))}" if len(names) > 1 else ""
    return (
        f"its class is not one of Keras; say what can be pruned: layers: {{{layer.type}:"
        f" {{prunable: {{{names[0]!r}: [in, out]}}}}}}{more}"
    )


def _name_fault(
    matches: Matches, address: str, place: Where, *, judges_candidates: bool
) -> Diagnostic | None:
    layer = matches.graph.layers.get(address)
    if layer is None:
        return Diagnostic(
            "layer/unknown",
            f"no layer has the address {address!r}",
            place,
            address_help(matches, address) if matches.spend_search() else None,
        )
    if not judges_candidates or layer.is_candidate:
        return None
    help = explain_out_of_reach(matches.graph, address) if matches.spend_search() else ""
    if not help and layer.kind == "model":
        help = f"it is a nested model; match the layers in it: {{glob: '{address}::**'}}"
    help = (
        help
        or _custom_help(layer)
        or "rules match only layers with prunable weights; delete the name"
    )
    return Diagnostic(
        "layer/not-prunable",
        f"layer {address!r} ({layer.type}) has no prunable weights",
        place,
        help,
    )


def address_help(matches: Matches, address: str) -> str:
    """Return the help for an address that no layer has."""
    if any(sign in address for sign in "*?["):
        return f"a plain name is compared as it is; for a pattern write {_pattern(address)}"
    reason = explain_out_of_reach(matches.graph, address)
    if reason:
        return reason
    nested = [known for known in matches.graph.layers if known.endswith(f"::{address}")]
    close = nested[:2] or find_close(address, matches.graph.layers)
    hint = f"closest: {', '.join(map(repr, close))}.  " if close else ""
    return f"{hint}All addresses: graphprune layers MODEL"


def _pattern(address: str) -> str:
    is_regex = address.startswith(("re:", "^")) or address.endswith("$") or ".*" in address
    return (
        f"{{regex: {address.removeprefix('re:').strip('^$')!r}}}"
        if is_regex
        else f"{{glob: {address!r}}}"
    )


def _type_faults(
    matches: Matches, types: tuple[str, ...], places: tuple[Where, ...], named: str
) -> Iterator[Diagnostic]:
    present = matches.types
    for name, place in zip(types, places, strict=True):
        if name in present or name in KERAS_CLASSES:
            continue
        if not matches.spend_search():
            yield Diagnostic(
                "type/unknown", f"no layer of the model has the {named} {name!r}", place
            )
            continue
        packaged = sorted(known for known in present if known.endswith(f">{name}"))
        bare = name.rpartition(".")[2]
        if bare != name and (bare in present or bare in KERAS_CLASSES):
            help = f"write {bare!r}, without the module"
        else:
            help = (
                f"closest: {', '.join(map(repr, packaged))}"
                if packaged
                else closest(name, present) or closest(name, KERAS_CLASSES)
            )
        shown = ", ".join(sorted({layer.type for layer in matches.graph.candidates()}))
        yield Diagnostic(
            "type/unknown",
            f"no layer of the model has the {named} {name!r}",
            place,
            help or f"types with prunable weights here: {shown}",
        )


def _config_fault(
    matches: Matches, matcher: ConfigIs, beside: tuple[Matcher, ...], where: Where
) -> Diagnostic | None:
    """Return a fault where no layer of the types named beside it has the config key."""
    if _asks_existence(matcher.test):
        return None
    addresses = matches.universe
    types: list[str] = []
    for other in beside:
        if isinstance(other, TypeIs | IsA):
            types += [name for name in other.types if name not in types]
            addresses &= matches.of(other)
    if not addresses or any(
        find_config_value(matches.graph.layers[address].config, matcher.key) is not None
        for address in addresses
    ):
        return None
    owner = f"{' or '.join(types)} layer" if types else "layer"
    message, place = (
        f"no {owner} of the model has the config key {matcher.key!r}",
        matcher.places[0] if matcher.places else where,
    )
    return Diagnostic(
        "config/unknown-key",
        message,
        place,
        _key_help(matches, addresses, matcher.key) if matches.spend_search() else None,
    )


def _key_help(matches: Matches, addresses: Iterable[str], key: str) -> str:
    known = sorted(
        {key for address in addresses for key in _dotted_keys(matches.graph.layers[address].config)}
    )
    return closest(key, known) or f"known here: {', '.join(key for key in known if '.' not in key)}"


def _asks_existence(test: ConfigTest) -> bool:
    return isinstance(test, Exists) or (
        isinstance(test, Every) and any(isinstance(part, Exists) for part in test.tests)
    )


def _dotted_keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted_keys(value, f"{prefix}{key}.")
