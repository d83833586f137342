"""Run checks on a model and on the finished plan; return each outcome with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.rules.matchers.call_graph import Links, trace
from graphprune.rules.matchers.failures import Failures
from graphprune.rules.matchers.matches import Matches
from graphprune.rules.matchers.number_test import format_share
from graphprune.rules.resolving.conflicts import list_layers
from graphprune.rules.values.checks import (
    Check,
    CheckOutcome,
    CountIs,
    Covers,
    EachSatisfies,
    ResultIs,
)

SHOWN = 3
Sizes = Mapping[str, tuple[int, int]]
"""Zeros and size of the prunable tensors of each layer in the finished plan, by address."""


def check_model(matches: Matches, checks: Iterable[Check]) -> tuple[CheckOutcome, ...]:
    """Return the outcomes of the checks on the model; those on the finished plan are left out."""
    return tuple(
        _outcome(check, _model_fault(matches, check))
        for check in checks
        if not isinstance(check.condition, ResultIs)
    )


def check_result(
    matches: Matches, checks: Iterable[Check], sizes: Sizes
) -> tuple[CheckOutcome, ...]:
    """Return the outcomes of the checks on the finished plan."""
    return tuple(
        _outcome(check, _result_fault(matches, check.condition, sizes))
        for check in checks
        if isinstance(check.condition, ResultIs)
    )


_WAY_OUT = (
    "change the model or the check; graphprune layers MODEL --match shows what a matcher finds"
)
Fault = tuple[str, str]
"""The failure of a check and its help; None for a check that passes."""


def _outcome(check: Check, fault: Fault | None) -> CheckOutcome:
    if fault is None:
        return CheckOutcome(check.id, "pass")
    text, help = fault
    is_error = check.severity == "error"
    message = f"check {check.id!r}: {text}{f'; {check.message}' if check.message else ''}"
    diagnostic = Diagnostic(
        "require/failed",
        message,
        check.where,
        help or _WAY_OUT,
        severity="error" if is_error else "warning",
    )
    return CheckOutcome(check.id, "fail" if is_error else "warn", diagnostic)


def _model_fault(matches: Matches, check: Check) -> Fault | None:
    match check.condition:
        case CountIs():
            return _count_fault(matches, check.condition)
        case EachSatisfies():
            return _each_fault(matches, check.condition)
        case Covers():
            return _covers_fault(matches, check.condition)
    raise AssertionError(f"not a check of the model: {check.condition}")


def _count_fault(matches: Matches, condition: CountIs) -> Fault | None:
    found = list(matches.of(condition.of))
    if condition.test.accepts(len(found)):
        return None
    which = f" ({list_layers(found)})" if found else ""
    return (
        f"wanted {condition.test} of {condition.of.words()}, got {len(found)}{which}",
        Failures(matches).nearest(condition.of, matches.universe),
    )


def _each_fault(matches: Matches, condition: EachSatisfies) -> Fault | None:
    judged = matches.of(condition.of)
    offenders = list(judged - matches.of(condition.satisfies))
    if not offenders:
        return None
    whole = f"{len(offenders)} of {len(judged)} in {condition.of.words()}"
    failures = Failures(matches)
    reasons = [failures.explain(condition.satisfies, address) for address in offenders[:SHOWN]]
    return (
        f"{list_layers(offenders)} ({whole}) should be {condition.satisfies.words()}",
        "; ".join(reasons),
    )


def _covers_fault(matches: Matches, condition: Covers) -> Fault | None:
    forward = condition.start == "inputs"
    covered = set(matches.calls.calls_of(matches.of(condition.by)))
    links = matches.calls.after if forward else matches.calls.before
    ends = (
        set(_output_calls(matches))
        if forward
        else {call for call, producers in enumerate(matches.calls.before) if not producers}
    )
    starts = _input_calls(matches) if forward else _output_calls(matches)
    walked = _walk([call for call in starts if call not in covered], links, covered)
    open_end = next((call for call in walked if call in ends), None)
    if open_end is None:
        return None
    path = trace(walked, open_end)
    text = (
        f"a path from the {condition.start} {'forward' if forward else 'backward'} meets no layer"
        f" that matches {condition.by.words()}: "
    )
    names = [matches.calls.address[call] for call in path]
    if len(names) > 2 * SHOWN:
        names[SHOWN:-SHOWN] = ["..."]
    walked_layers = {matches.calls.address[call] for call in walked}
    return text + (" > " if forward else " < ").join(names), Failures(matches).nearest(
        condition.by, walked_layers
    )


def _input_calls(matches: Matches) -> list[int]:
    """Return the calls of the input layers; in a model without any, calls without producers."""
    heads = [call for call, producers in enumerate(matches.calls.before) if not producers]
    inputs = [
        call for call in heads if matches.graph.layers[matches.calls.address[call]].kind == "input"
    ]
    return inputs or heads


def _output_calls(matches: Matches) -> list[int]:
    outputs = set(matches.graph.output_calls)
    return [number for number, call in enumerate(matches.graph.flow) if call in outputs]


def _walk(starts: Sequence[int], links: Links, covered: set[int]) -> dict[int, int | None]:
    """Return the calls that a search reaches before the covered ones, each with its predecessor.

    The nearest calls come first.
    """
    came: dict[int, int | None] = dict.fromkeys(starts)
    waiting = list(starts)
    for call in waiting:
        for other in links[call]:
            if other not in came and other not in covered:
                came[other] = call
                waiting.append(other)
    return came


def _result_fault(matches: Matches, condition: ResultIs, sizes: Sizes) -> Fault | None:
    matched = matches.of(condition.of)
    members = [address for address in sizes if address in matched]
    zeros, size = (sum(sizes[address][part] for address in members) for part in (0, 1))
    if not size:
        return f"no layer with prunable weights is {condition.of.words()}", Failures(
            matches
        ).nearest(condition.of, matches.candidates)
    share = zeros / size
    if condition.sparsity.accepts(share):
        return None
    ranked = sorted(members, key=lambda address: sizes[address][0] - sizes[address][1])
    dense = [
        f"{address} ({format_share(round(sizes[address][0] / sizes[address][1], 6))} of"
        f" {sizes[address][1]:,})"
        for address in ranked[:SHOWN]
    ]
    return (
        (
            f"wanted a sparsity of {condition.sparsity} over {condition.of.words()}, got"
            f" {format_share(round(share, 6))}"
        ),
        f"most weights left: {', '.join(dense)}",
    )
