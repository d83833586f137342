"""What a plan brings on a target: warnings where a rule makes zeros that it does not use."""

from __future__ import annotations

from collections.abc import Iterator

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.plan.changes import LayerChange, Plan
from graphprune.targets.target import Gain, Target

SLUG = "target/no-gain"
_SHOWN = 3


def check_target(plan: Plan, target: Target) -> tuple[Diagnostic, ...]:
    """Return a warning for each rule and reason why zeros bring nothing on a target.

    On a target on which zeros can bring speed, it is speed that counts; elsewhere size.
    """
    wanted: Gain = "speed" if "speed" in target.gains else "size"
    groups: dict[tuple[str, Where, str], list[str]] = {}
    for change in plan.changes:
        if change.after is None or change.rule is None:
            continue
        reason = find_reason(change, target, wanted)
        if reason is not None:
            key = (change.rule.id, change.rule.where, reason)
            groups.setdefault(key, []).append(change.address)
    return tuple(
        _warning(target, wanted, rule, where, reason, addresses)
        for (rule, where, reason), addresses in groups.items()
    )


def find_reason(change: LayerChange, target: Target, wanted: Gain) -> str | None:
    """Return why the zeros of one layer bring nothing on a target; None if they do."""
    reasons = list(_misfits(change, target, wanted))
    if not reasons or None in reasons:
        return None if reasons else f"zeros bring no {wanted} there"
    told = [reason for reason in reasons if reason is not None]
    # what says most is about the layer's own class
    return next((reason for reason in told if not reason.startswith("no use")), told[0])


def _misfits(change: LayerChange, target: Target, wanted: Gain) -> Iterator[str | None]:
    for use in target.uses:
        if use.gain == wanted:
            yield use.find_misfit(change)


def _warning(
    target: Target, wanted: Gain, rule: str, where: Where, reason: str, addresses: list[str]
) -> Diagnostic:
    fits = ", ".join(f"builtin:{name}" for name in target.rules)
    return Diagnostic(
        SLUG,
        f"rule '{rule}' brings no {wanted} on {target.name}: {reason} ({_list(addresses)})",
        where,
        f"graphprune targets {target.name} lists what it uses"
        + (f"; rules that fit it: {fits}" if fits else ""),
        severity="warning",
    )


def _list(addresses: list[str]) -> str:
    """Return some addresses as a text.

    Example:
        >>> _list(["a", "b", "c", "d", "e"]), _list(["a"])
        ('a, b, c and 2 more', 'a')
    """
    more = len(addresses) - _SHOWN
    return ", ".join(addresses[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
