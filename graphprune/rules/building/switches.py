"""Which rules the command line leaves out: `--only`, `--off`."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.errors import Diagnostic, Where
from graphprune.rules.values.rule_set import Rule, Switches
from graphprune.suggestions import closest


def select_rules(
    rules: Sequence[Rule], switches: Switches, known: frozenset[str]
) -> tuple[list[Rule], list[Diagnostic]]:
    """Return the rules that are used, and a fault for each id that names none of `known`, or where
    no rule is left.
    """
    faults = [
        Diagnostic(
            "rule/unknown",
            f"no rule has the id {id!r}",
            Where(f"{option} {id}"),
            closest(id, known) or f"there are {', '.join(sorted(known))}",
        )
        for option, ids in (("--only", switches.only), ("--off", switches.off))
        for id in ids
        if id not in known
    ]
    left = [
        rule
        for rule in rules
        if (not switches.only or rule.id in switches.only) and rule.id not in switches.off
    ]
    if rules and not left and not faults:
        options = " ".join(
            [*(f"--only {id}" for id in switches.only), *(f"--off {id}" for id in switches.off)]
        )
        faults.append(
            Diagnostic(
                "rule/unknown",
                "no rule is left",
                Where(options),
                f"the files have {', '.join(sorted(known))}",
            )
        )
    return left, faults
