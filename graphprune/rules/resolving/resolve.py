"""Which rule decides each layer, and the faults of rules against a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, compress, repeat

from graphprune.archive.files import collector_paused
from graphprune.diagnostics.diagnostic import Diagnostic, sort_by_place
from graphprune.graph import Layer, LayerGraph
from graphprune.graph.layers import is_named, means_any
from graphprune.rules.matchers.facts import Flag
from graphprune.rules.matchers.failures import find_matcher_faults
from graphprune.rules.matchers.logic import AnyOf, conditions_of
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.matches import Matches, Zeros
from graphprune.rules.resolving.conflicts import conflict, list_layers, same_settings, settings_on
from graphprune.rules.resolving.near_misses import explain_miscount, explain_misses
from graphprune.rules.resolving.run_checks import check_model
from graphprune.rules.text.files import ANY_MODEL, PREFIX
from graphprune.rules.values.checks import Check, matchers_of
from graphprune.rules.values.custom_layers import find_layer_faults, teach_layers
from graphprune.rules.values.rule_set import Claim, Keep, Loss, Prune, Resolution, Rule, RuleSet
from graphprune.suggestions import closest

# The layers that both rules of a pair claim, by their ids.
Pairs = dict[tuple[str, str], list[str]]


@collector_paused()
def resolve_rules(graph: LayerGraph, rules: RuleSet, zeros: Zeros | None = None) -> Resolution:
    """Return one claim a candidate, in graph order, and the diagnostics, sorted by place.

    `zeros` are the measured zeros by layer address and tensor name, for matchers of a tensor's
    sparsity. Custom layers that the rules describe are candidates too.

    A rule beats those that it overrides; among the rest, `keep` beats `prune`. Among rules with the
    same settings the alphabetically first is recorded; different settings are the error
    `rule/conflict`, and no rule decides.
    """
    return resolve(Matches(teach_layers(graph, rules.custom_layers), zeros), rules)


def resolve(matches: Matches, rules: RuleSet) -> Resolution:
    """Return what `resolve_rules` does, for a model with the custom layers of the rules applied."""
    _announce(matches, rules)
    conflicts: Pairs = {}
    doubles: Pairs = {}
    claims = _claims(matches, sorted(rules.rules, key=lambda rule: rule.id), conflicts, doubles)
    decided = {claim.address: claim.rule.id for claim in claims if claim.rule is not None}
    takers = tuple(map(decided.get, matches.order.addresses))
    by_id = {rule.id: rule for rule in rules.rules}
    faults = [fault for rule in rules.rules for fault in _rule_faults(matches, rule, takers)]
    faults += _conflict_faults(matches, by_id, conflicts)
    faults += find_layer_faults(matches.graph, rules.custom_layers)
    notes = [
        same_settings(by_id[first], by_id[second], addresses)
        for (first, second), addresses in doubles.items()
    ]
    unknown = {check.id: list(_check_faults(matches, check)) for check in rules.checks}
    sound = tuple(check for check in rules.checks if not unknown[check.id])
    checks = check_model(matches, sound)
    failed = [outcome.diagnostic for outcome in checks if outcome.diagnostic is not None]
    return Resolution(
        claims=claims,
        diagnostics=sort_by_place(
            [*faults, *notes, *chain.from_iterable(unknown.values()), *failed]
        ),
        checks=checks,
        sound_checks=sound,
        is_decided=all(
            fault.severity != "error" or fault.slug == "layer/frozen" for fault in faults
        ),
    )


def _announce(matches: Matches, rules: RuleSet) -> None:
    """Register all matchers, so that their searches run together; evaluate the selectors."""
    written = [
        *(rule.matcher for rule in rules.rules),
        *(matcher for check in rules.checks for matcher in matchers_of(check)),
    ]
    matches.announce([*(selector.of for selector in rules.selectors), *written])
    # each selector comes after those that it uses, so that evaluation does not recurse
    for selector in rules.selectors:
        matches.of(selector)


def _conflict_faults(
    matches: Matches, rules: Mapping[str, Rule], conflicts: Pairs
) -> Iterator[Diagnostic]:
    """Yield the fault of each pair of rules that claim layers with different settings."""
    sizes = (
        {id: len(matches.claimed(rule.matcher)) for id, rule in rules.items()} if conflicts else {}
    )
    for (first, second), addresses in conflicts.items():
        yield conflict(rules[first], rules[second], addresses, sizes)


def _claims(
    matches: Matches, rules: Sequence[Rule], conflicts: Pairs, doubles: Pairs
) -> tuple[Claim, ...]:
    """Return one claim a candidate, in order.

    Layers that the same rules match and whose weights have the same names are decided once.
    """
    order = matches.order
    alike: dict[tuple[tuple[int, ...], tuple[str, ...]], list[Layer]] = {}
    for layer, row in zip(matches.graph.candidates(), _rows(matches, rules), strict=True):
        alike.setdefault((row, tuple(tensor.name for tensor in layer.prunable)), []).append(layer)
    claims: dict[str, Claim] = {}
    for (row, _), layers in alike.items():
        differing: Pairs = {}
        agreeing: Pairs = {}
        claim = _claim(layers[0], tuple(compress(rules, row)), differing, agreeing)
        addresses = [layer.address for layer in layers]
        claims |= {address: Claim(address, claim.rule, claim.lost) for address in addresses}
        for found, pairs in ((conflicts, differing), (doubles, agreeing)):
            for pair in pairs:
                found.setdefault(pair, []).extend(addresses)
    for addresses in (*conflicts.values(), *doubles.values()):
        addresses.sort(key=order.position.__getitem__)
    return tuple(claims[address] for address in matches.candidates)


def _rows(matches: Matches, rules: Sequence[Rule]) -> Iterator[tuple[int, ...]]:
    """Yield for each candidate which rules match it: 1 for each that does, else 0."""
    inside = matches.candidates.marks
    marks = [compress(matches.of(rule.matcher).marks, inside) for rule in rules]
    return zip(*marks, strict=True) if marks else repeat((), inside.count(1))


def _claim(layer: Layer, rules: Sequence[Rule], conflicts: Pairs, doubles: Pairs) -> Claim:
    """Return the claim on one layer; `rules` are those that match it, by id."""
    unbeaten = [rule for rule in rules if not any(rule.id in other.overrides for other in rules)]
    keeping = [rule for rule in unbeaten if isinstance(rule.action, Keep)]
    standing = keeping or unbeaten
    if not standing:
        return Claim(layer.address, None)
    winner, *others = standing
    lost = [_loss(rule, winner, unbeaten) for rule in rules if rule not in standing]
    differing = [rule for rule in others if not _agree(layer, winner, rule)]
    for rule in others:
        (conflicts if rule in differing else doubles).setdefault((winner.id, rule.id), []).append(
            layer.address
        )
    lost += [Loss(rule.id, "same settings", winner.id) for rule in others if rule not in differing]
    return Claim(layer.address, None if differing else winner, tuple(sorted(lost)))


def _loss(rule: Rule, winner: Rule, unbeaten: Sequence[Rule]) -> Loss:
    """Return how and to which rule a rule lost.

    If several rules override it, the deciding one is named, or one that nothing overrides.
    """
    if rule in unbeaten:
        return Loss(rule.id, "keep", winner.id)
    overriding = [other for other in unbeaten if rule.id in other.overrides]
    return Loss(rule.id, "override", winner.id if winner in overriding else overriding[0].id)


def _agree(layer: Layer, first: Rule, second: Rule) -> bool:
    if isinstance(first.action, Keep) or isinstance(second.action, Keep):
        return first.action == second.action
    return settings_on(layer, first.action) == settings_on(layer, second.action)


def _check_faults(matches: Matches, check: Check) -> Iterator[Diagnostic]:
    for matcher in matchers_of(check):
        yield from find_matcher_faults(matches, matcher, check.where, judges_candidates=False)


def _rule_faults(
    matches: Matches, rule: Rule, takers: Sequence[str | None]
) -> Iterator[Diagnostic]:
    """Yield the faults of a rule; `takers` has the id of the deciding rule of each layer."""
    claimed = matches.claimed(rule.matcher)
    unknown = list(find_matcher_faults(matches, rule.matcher, rule.where, judges_candidates=True))
    yield from unknown
    if not rule.expect.accepts(len(claimed)):
        if not unknown:  # the fault of an unknown name already gives the reason
            yield _miscount(matches, rule, list(claimed))
        return
    deciding = set(compress(takers, claimed.marks))
    if deciding and not unknown and not deciding & {rule.id, None}:
        others = ", ".join(map(repr, sorted(filter(None, deciding))))
        message = (
            f"rule {rule.id!r} decides nothing: every layer that it matches is taken by {others}"
        )
        yield Diagnostic(
            "rule/shadowed",
            message,
            rule.where,
            "narrow the other match, or delete the rule",
            severity="warning",
        )
    if isinstance(rule.action, Prune):
        own = (
            address
            for address, taker in zip(claimed, compress(takers, claimed.marks), strict=True)
            if taker in (rule.id, None)
        )
        yield from _prune_faults(
            rule, rule.action, [matches.graph.layers[address] for address in own]
        )


def _miscount(matches: Matches, rule: Rule, addresses: Sequence[str]) -> Diagnostic:
    is_explained = matches.spend_search()
    if addresses:
        message = (
            f"rule {rule.id!r} matches the wrong number of layers: wanted {rule.expect}, got"
            f" {len(addresses)}"
        )
        return Diagnostic(
            "rule/count",
            message,
            rule.where,
            explain_miscount(matches, rule, addresses) if is_explained else None,
        )
    if not is_explained:
        help = None
    elif rule.where.file.startswith(PREFIX):
        help = f"{explain_misses(matches, rule.matcher)}; {ANY_MODEL}"
    else:
        help = (
            f"{explain_misses(matches, rule.matcher)}; write 'expect: {{gte: 0}}' if none is fine"
        )
    return Diagnostic("rule/no-match", f"rule {rule.id!r} matches no layer", rule.where, help)


def _prune_faults(rule: Rule, action: Prune, layers: Sequence[Layer]) -> Iterator[Diagnostic]:
    frozen = [layer.address for layer in layers if not layer.trainable]
    if frozen and not _wants_frozen(rule.matcher):
        message = (
            f"rule {rule.id!r} prunes {list_layers(frozen)}, which"
            f" {'is' if len(frozen) == 1 else 'are'} frozen (trainable: false)"
        )
        help = (
            "add 'trainable: true' to the match to leave frozen layers out, or 'trainable: false'"
            " if you mean them"
        )
        yield Diagnostic("layer/frozen", message, rule.where, help)
    if action.weights is not None:
        yield from _weight_faults(rule, action.weights, layers)


def _weight_faults(
    rule: Rule, weights: tuple[str, ...], layers: Sequence[Layer]
) -> Iterator[Diagnostic]:
    """Yield a fault for each unknown name, and for layers that have none of the names."""
    names = {layer.address: [tensor.name for tensor in layer.prunable] for layer in layers}
    there = sorted({name for tensors in names.values() for name in tensors})
    missing = [name for name in weights if layers and not means_any(name, there)]
    for name in missing:
        message = f"rule {rule.id!r}: none of its layers has a prunable tensor {name!r}"
        yield Diagnostic(
            "layer/not-prunable",
            message,
            rule.where,
            closest(name, there) or f"available: {', '.join(map(repr, there))}",
        )
    without = [
        address
        for address, tensors in names.items()
        if not any(is_named(tensor, weights) for tensor in tensors)
    ]
    if without and len(missing) < len(weights):
        message = (
            f"rule {rule.id!r}: {list_layers(without)} {'has' if len(without) == 1 else 'have'} no"
            f" prunable tensor named {' or '.join(map(repr, weights))}"
        )
        yield Diagnostic(
            "layer/not-prunable",
            message,
            rule.where,
            "narrow the match, or name a tensor of each layer under 'weights'",
        )


def _wants_frozen(matcher: Matcher) -> bool:
    waiting = [matcher]
    seen: set[Matcher] = set()
    while waiting:
        conditions = set(conditions_of(waiting.pop())) - seen
        if Flag("trainable", False) in conditions:
            return True
        seen |= conditions
        waiting += [
            part
            for condition in conditions
            if isinstance(condition, AnyOf)
            for part in condition.parts
        ]
    return False
