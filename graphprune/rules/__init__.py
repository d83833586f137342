"""Rule files: text to typed values with places, matchers, and which rule claims which layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.rules.evaluate import Matches
    from graphprune.rules.match_text import find_matched, parse_matcher
    from graphprune.rules.matchers import Matcher, reads_weights
    from graphprune.rules.read import parse_rules, read_rules
    from graphprune.rules.resolve import resolve_rules
    from graphprune.rules.rule_set import Claim, Keep, Prune, Resolution, Rule, RuleSet

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

__getattr__ = lazy_names(
    __name__,
    {
        "evaluate": ["Matches"],
        "match_text": ["find_matched", "parse_matcher"],
        "matchers": ["Matcher", "reads_weights"],
        "read": ["parse_rules", "read_rules"],
        "resolve": ["resolve_rules"],
        "rule_set": ["Claim", "Keep", "Prune", "Resolution", "Rule", "RuleSet"],
    },
)
