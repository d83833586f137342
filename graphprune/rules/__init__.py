"""Rule files: text to typed values with places, matchers, and which rule claims which layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.rules.building.read import parse_rules, read_rules
    from graphprune.rules.match_text import find_matched, parse_matcher
    from graphprune.rules.resolving.resolve import resolve_rules
    from graphprune.rules.selecting.evaluate import Matches
    from graphprune.rules.values.matchers import Matcher, reads_weights
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
            "selecting.evaluate": ["Matches"],
            "match_text": ["find_matched", "parse_matcher"],
            "values.matchers": ["Matcher", "reads_weights"],
            "building.read": ["parse_rules", "read_rules"],
            "resolving.resolve": ["resolve_rules"],
            "values.rule_set": ["Claim", "Keep", "Prune", "Resolution", "Rule", "RuleSet"],
        },
    )
