"""Two rules on one layer: their settings in words, and whether these are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph import Layer
from graphprune.rules.values.rule_set import Prune, Rule
from graphprune.sparsity.counts import percent
from graphprune.sparsity.schedules import Schedule


def settings_on(layer: Layer, action: Prune) -> tuple[Any, ...]:
    """Return the effect of `action` on `layer`, equal for rules with the same effect.

    The names of schedules do not count.
    """
    weights = tuple(tensor.name for tensor in action.tensors_of(layer))
    return (
        action.sparsity,
        action.budget,
        replace(action.schedule, name=None),
        action.pattern,
        weights,
        action.misfit,
        action.group,
        action.method,
    )


def conflict(
    first: Rule, second: Rule, addresses: Sequence[str], sizes: Mapping[str, int]
) -> Diagnostic:
    """Return the error for two rules that claim the same layers with different settings.

    `sizes` is how many layers each rule matches, by id. A rule whose layers the other also matches
    is the exception and should win.
    """
    first, second = sorted(
        (first, second),
        key=lambda rule: (rule.where.file, rule.where.line or 0, rule.where.column or 0, rule.id),
    )
    labels = describe_settings(first), describe_settings(second)
    if labels[0] == labels[1]:
        labels = describe_settings(first, long=True), describe_settings(second, long=True)
    width = max(len(rule.id) for rule in (first, second))
    edge = max(len(str(rule.where)) for rule in (first, second))
    related = tuple(
        (rule.where, f"{' ' * (edge - len(str(rule.where)))}{rule.id:<{width}}   {label}")
        for rule, label in zip((first, second), labels, strict=True)
    )
    claimed = "is claimed twice" if len(addresses) == 1 else "are claimed twice"
    winner, loser = (
        (second, first) if sizes[second.id] == len(addresses) < sizes[first.id] else (first, second)
    )
    help = f"add 'overrides: [{loser.id}]' to {winner.id}, or narrow one match"
    return Diagnostic(
        "rule/conflict",
        f"{list_layers(addresses)} {claimed} with different settings",
        second.where,
        help,
        related=related,
    )


def same_settings(winner: Rule, other: Rule, addresses: Sequence[str]) -> Diagnostic:
    """Return the note for two rules with the same settings."""
    message = (
        f"rules {winner.id!r} and {other.id!r} have the same settings for {list_layers(addresses)};"
        f" {winner.id!r} is recorded"
    )
    return Diagnostic("rule/same-settings", message, other.where, severity="note")


def list_layers(addresses: Sequence[str], shown: int = 3) -> str:
    """Return `layer 'a'`, `layers 'a' and 'b'`, or the first few and how many more.

    Example:
        >>> list_layers(["a"]), list_layers(["a", "b"]), list_layers(list("abcde"))
        ("layer 'a'", "layers 'a' and 'b'", "layers 'a', 'b', 'c' and 2 more")
    """
    names = [repr(address) for address in addresses]
    if len(names) == 1:
        return f"layer {names[0]}"
    if len(names) > shown:
        names[shown:] = [f"{len(names) - shown} more"]
    return f"layers {', '.join(names[:-1])} and {names[-1]}"


def describe_settings(rule: Rule, *, long: bool = False) -> str:
    """Return the settings of a rule in a few words; `long` includes the whole schedule."""
    action = rule.action
    if not isinstance(action, Prune):
        return "keep"
    if action.method == "keep":
        weights = "" if action.weights is None else f", weights {', '.join(action.weights)}"
        return f"method keep, the {action.budget and action.budget.name}{weights}"
    schedule = (
        _long_schedule(action.schedule) if long else action.schedule.name or action.schedule.curve
    )
    weights = "" if action.weights is None else f", weights {', '.join(action.weights)}"
    misfit = f", misfit {action.misfit}" if long and action.misfit != "error" else ""
    group = "" if action.group == "none" else f", group {action.group}"
    return f"{_target(action, long=long)}, {schedule}{weights}{misfit}{group}"


def _target(action: Prune, *, long: bool) -> str:
    """Return the target sparsity and the pattern; the names of some patterns have both."""
    if action.pattern.fixed_sparsity is not None:
        return action.pattern.short
    if action.budget is not None and action.budget.threshold is not None:
        return f"{action.budget.name} {action.pattern}"
    if action.budget is not None:
        return (
            f"budget {action.budget.name}{f' ({action.budget})' if long else ''} {action.pattern}"
        )
    return f"{percent(action.sparsity)} {action.pattern}"


def _long_schedule(schedule: Schedule) -> str:
    ramp = f" from {percent(schedule.initial)} power {schedule.power:g}" if schedule.is_ramp else ""
    name = f"{schedule.name} ({schedule.curve})" if schedule.name else schedule.curve
    end = "" if schedule.end is None else f"..{schedule.end}"
    every = "" if schedule.every is None else f" every {schedule.every}"
    return f"{name}{ramp} {schedule.begin}{end}{every}"
