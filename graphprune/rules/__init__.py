"""Rule files: parsing to typed values with positions, matchers, and resolution of claims.

What belongs here: the content of rule files, and which layers each rule matches. What does not:
changes to layers (`plan`), and the texts of reports (`report`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.rules.building.parse import parse_rules
    from graphprune.rules.building.read import parse_matcher, read_rules
    from graphprune.rules.matchers.failures import find_matched
    from graphprune.rules.matchers.matcher import Matcher, reads_weights
    from graphprune.rules.matchers.matches import Matches
    from graphprune.rules.resolving.resolve import resolve_rules
    from graphprune.rules.values.rule_set import Claim, Keep, Prune, Resolution, Rule, RuleSet

__all__ = [
    "Claim",
    "Keep",
    "Matcher",
    "Matches",
    "Prune",
    "Resolution",
    "Rule",
    "RuleSet",
    "find_matched",
    "parse_matcher",
    "parse_rules",
    "read_rules",
    "reads_weights",
    "resolve_rules",
]

if not TYPE_CHECKING:  # so that type checkers know every name, and no other
    __getattr__ = lazy_names(
        __name__,
        {
            "matchers.matches": ["Matches"],
            "matchers.failures": ["find_matched"],
            "matchers.matcher": ["Matcher", "reads_weights"],
            "building.parse": ["parse_rules"],
            "building.read": ["parse_matcher", "read_rules"],
            "resolving.resolve": ["resolve_rules"],
            "values.rule_set": ["Claim", "Keep", "Prune", "Resolution", "Rule", "RuleSet"],
        },
    )
