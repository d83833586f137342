"""Checked shapes to typed rules."""

from __future__ import annotations

from collections.abc import Mapping

from graphprune.rules.building.action_build import ActionBuilder
from graphprune.rules.building.contradictions import contradiction_help, find_contradiction
from graphprune.rules.building.matcher_build import MatcherBuilder
from graphprune.rules.shapes.file_shape import RuleShape
from graphprune.rules.text.notes import Notes
from graphprune.rules.text.yaml_text import Path
from graphprune.rules.values.matchers import Use
from graphprune.rules.values.number_test import NumberTest
from graphprune.rules.values.rule_set import Keep, Rule

AT_LEAST_ONE = NumberTest(gte=1)


def build_rule(
    shape: RuleShape, path: Path, notes: Notes, actions: ActionBuilder, selectors: Mapping[str, Use]
) -> Rule | None:
    """Return the rule at `path`, or None where its action could not be built."""
    subject = f"rule {shape.id!r}: "
    matchers = MatcherBuilder(notes, selectors)
    matcher = matchers.matcher(shape.match, (*path, "match"), subject)
    reason = find_contradiction(matcher)
    if reason is not None:
        notes.fault(
            "match/contradiction",
            f"{subject}match can hold for no layer: {reason}",
            (*path, "match"),
            contradiction_help(reason),
        )
    action = (
        Keep()
        if shape.given("prune") is None
        else actions.prune(shape.id, shape.prune, notes, (*path, "prune"))
    )
    if action is None:
        return None
    expect = shape.given("expect")
    return Rule(
        id=shape.id,
        where=notes.document.value(path),
        matcher=matcher,
        action=action,
        expect=(
            AT_LEAST_ONE
            if expect is None
            else matchers.number_test(expect, (*path, "expect"), subject)
        ),
        note=shape.given("note") or "",
    )
