"""Why rules claim a layer or not: each condition and its outcome, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import RuleError
from graphprune.graph import Layer, LayerGraph
from graphprune.graph.out_of_reach import find_out_of_reach
from graphprune.rules.matchers.failures import Failures, explain_unconnected
from graphprune.rules.matchers.logic import AllOf, AnyOf, Not, Use, conditions_of
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.matches import Matches, Zeros
from graphprune.rules.matchers.names import address_help
from graphprune.rules.resolving.conflicts import describe_settings
from graphprune.rules.resolving.near_misses import Miss, explain_misses, find_misses
from graphprune.rules.resolving.resolve import resolve
from graphprune.rules.values.custom_layers import teach_layers
from graphprune.rules.values.rule_set import Keep, Resolution, Rule, RuleSet, describe_losses
from graphprune.shrink.axes import CoupledLayers, find_coupled_layers
from graphprune.suggestions import closest

FORMAT_VERSION = "1.0"
KIND = "graphprune.explanation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition on a layer.

    Attributes:
        text: The condition as written in a rule file.
        holds: Whether the layer meets it.
        why: The layer that satisfies the condition, or the layer's own value; "" if no reason is
            needed.
        parts: The conditions inside alternatives and selectors.
    """

    text: str
    holds: bool
    why: str = ""
    parts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """One rule on a layer: it matches when all of its conditions hold."""

    id: str
    where: Where
    matches: bool
    conditions: tuple[Verdict, ...]

    @property
    def met(self) -> int:
        """How many conditions hold."""
        return sum(condition.holds for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class LayerExplanation:
    """The outcome of all rules for one layer.

    Attributes:
        address, type: As in the layer graph.
        tensors: Its prunable tensors with their axes, in printed form.
        weights: The number of its prunable weights.
        after: The layers that it takes its inputs from.
        rules: The verdict of each rule, in file order; empty for a layer that rules cannot claim.
        result: The outcome for the layer, in one sentence.
        groups: The groups of channels that it can lose only together with other layers.
    """

    address: str
    type: str
    tensors: tuple[str, ...]
    weights: int
    after: tuple[str, ...]
    rules: tuple[RuleVerdict, ...]
    result: str
    groups: tuple[CoupledLayers, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleExplanation:
    """The layers that one rule selects.

    Attributes:
        id, where: The rule.
        selected: The candidates that it matches, in graph order.
        candidates: The number of candidates in the model.
        lost: (address, rule id) of the selected layers that another rule decides.
        misses: The nearest misses in one line, or other help; "" if there is none.
        nearest: The nearest misses.
    """

    id: str
    where: Where
    selected: tuple[str, ...]
    candidates: int
    lost: tuple[tuple[str, str], ...]
    misses: str
    nearest: tuple[Miss, ...] = ()


def explain_layer(
    graph: LayerGraph, rules: RuleSet, address: str, zeros: Zeros | None = None
) -> LayerExplanation:
    """Return why each rule matches the layer at `address` or not, and the outcome for it.

    Raises:
        RuleError: there is no such layer; the help names close matches.
    """
    graph = teach_layers(graph, rules.custom_layers)
    matches = Matches(graph, zeros)
    if address not in graph.layers:
        raise RuleError(
            (
                Diagnostic(
                    "layer/unknown",
                    f"no layer has the address {address!r}",
                    Where(f"--layer {address}"),
                    address_help(matches, address),
                ),
            )
        )
    layer = graph.layers[address]
    failures = Failures(matches)
    verdicts = (
        tuple(_rule_verdict(failures, rule, address) for rule in rules.rules)
        if layer.is_candidate
        else ()
    )
    reason = next(
        (other.reason for other in find_out_of_reach(graph) if other.address == address), ""
    )
    result = _result(resolve(matches, rules), reason, layer, verdicts)
    labels = tuple(tensor.label() for tensor in layer.prunable)
    weights = sum(tensor.size for tensor in layer.prunable)
    return LayerExplanation(
        address,
        layer.type,
        labels,
        weights,
        _producers(matches, address),
        verdicts,
        result,
        find_coupled_layers(graph, address),
    )


def explain_rule(
    graph: LayerGraph, rules: RuleSet, rule_id: str, zeros: Zeros | None = None
) -> RuleExplanation:
    """Return the layers that the rule selects, loses to others, and nearly selects.

    Raises:
        RuleError: there is no such rule; the help names close matches.
    """
    by_id = {rule.id: rule for rule in rules.rules}
    if rule_id not in by_id:
        help = closest(rule_id, by_id) or f"available: {', '.join(by_id)}"
        raise RuleError(
            (
                Diagnostic(
                    "rule/unknown",
                    f"no rule has the id {rule_id!r}",
                    Where(f"--rule {rule_id}"),
                    help,
                ),
            )
        )
    rule = by_id[rule_id]
    matches = Matches(teach_layers(graph, rules.custom_layers), zeros)
    resolution = resolve(matches, rules)
    selected = tuple(matches.claimed(rule.matcher))
    decided = {claim.address: claim.rule for claim in resolution.claims}
    lost = tuple(
        (address, winner.id)
        for address in selected
        if (winner := decided[address]) is not None and winner.id != rule_id
    )
    nearest = find_misses(matches, rule.matcher)
    misses = explain_misses(matches, rule.matcher) if nearest or not selected else ""
    return RuleExplanation(
        rule_id, rule.where, selected, len(matches.candidates), lost, misses, nearest
    )


def _producers(matches: Matches, address: str) -> tuple[str, ...]:
    calls = matches.calls
    return tuple(
        dict.fromkeys(
            calls.address[other]
            for call in calls.calls_of((address,))
            for other in calls.before[call]
        )
    )


def _rule_verdict(failures: Failures, rule: Rule, address: str) -> RuleVerdict:
    conditions = conditions_of(rule.matcher, through_selectors=False)
    return RuleVerdict(
        rule.id,
        rule.where,
        address in failures.matches.of(rule.matcher),
        tuple(_verdict(failures, part, address) for part in conditions),
    )


def _verdict(failures: Failures, matcher: Matcher, address: str) -> Verdict:
    inner = matcher.of if isinstance(matcher, Not) else matcher
    parts: tuple[Matcher, ...] = ()
    if isinstance(inner, Use):
        parts = conditions_of(inner.of, through_selectors=False)
    elif isinstance(inner, AnyOf | AllOf):
        parts = inner.parts
    verdicts = tuple(_verdict(failures, part, address) for part in parts)
    return Verdict(
        matcher.spelled(),
        address in failures.matches.of(matcher),
        explain_unconnected(failures.matches, inner, address) or matcher.reason(failures, address),
        verdicts,
    )


def _result(
    resolution: Resolution, reason: str, layer: Layer, verdicts: tuple[RuleVerdict, ...]
) -> str:
    if not layer.is_candidate:
        if reason:
            return reason
        return (
            "no prunable weights, so no rule can claim it"
            if layer.kind != "model"
            else "a nested model: rules claim the layers in it"
        )
    claim = next(claim for claim in resolution.claims if claim.address == layer.address)
    if claim.rule is None:
        rivals = [verdict.id for verdict in verdicts if verdict.matches]
        return (
            f"no rule decides: {' and '.join(rivals)} claim it with different settings"
            if rivals
            else "left dense, no rule claims it"
        )
    beaten = f" ({describe_losses(claim.rule.id, claim.lost)})" if claim.lost else ""
    if isinstance(claim.rule.action, Keep):
        return f"kept dense by {claim.rule.id}{beaten}"
    return f"pruned by {claim.rule.id}{beaten}: {describe_settings(claim.rule)}"


def explanation_to_config(found: LayerExplanation | RuleExplanation) -> Mapping[str, Any]:
    """Return an explanation as JSON data."""
    head = {"format_version": FORMAT_VERSION, "kind": KIND}
    if isinstance(found, RuleExplanation):
        lost = [{"address": address, "rule": rule} for address, rule in found.lost]
        facts = {
            "rule": found.id,
            "where": found.where.to_config(),
            "selected": list(found.selected),
            "candidates": found.candidates,
            "lost": lost,
        }
        nearest = [
            {"address": miss.address, "met": miss.met, "of": miss.total, "fails": list(miss.fails)}
            for miss in found.nearest
        ]
        return {**head, **facts, "misses": found.misses, "nearest": nearest}
    rules = [
        {
            "id": rule.id,
            "where": rule.where.to_config(),
            "matches": rule.matches,
            "met": rule.met,
            "conditions": [_verdict_to_config(condition) for condition in rule.conditions],
        }
        for rule in found.rules
    ]
    facts = {
        "layer": found.address,
        "type": found.type,
        "tensors": list(found.tensors),
        "weights": found.weights,
        "after": list(found.after),
    }
    groups = [
        {"channels": group.channels, "layers": list(group.layers), "stays": group.stays or None}
        for group in found.groups
    ]
    return {**head, **facts, "rules": rules, "result": found.result, "channel_groups": groups}


def _verdict_to_config(verdict: Verdict) -> dict[str, Any]:
    return {
        "condition": verdict.text,
        "holds": verdict.holds,
        "why": verdict.why,
        "parts": [_verdict_to_config(part) for part in verdict.parts],
    }
