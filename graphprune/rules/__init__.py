"""Rule files: text to typed values with places, matchers, and which rule claims which layer."""

from __future__ import annotations

from graphprune.rules.read import parse_rules, read_rules
from graphprune.rules.resolve import resolve_rules
from graphprune.rules.rule_set import Claim, Keep, Prune, Resolution, Rule, RuleSet

__all__ = ["Claim", "Keep", "Prune", "Resolution", "Rule", "RuleSet", "parse_rules", "read_rules", "resolve_rules"]
