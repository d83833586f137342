"""Checked shapes to checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.rules.building.contradictions import contradiction_help, find_contradiction
from graphprune.rules.building.matcher_build import MatcherBuilder
from graphprune.rules.shapes.check_shape import CheckShape
from graphprune.rules.text.notes import Notes
from graphprune.rules.text.yaml_text import Path
from graphprune.rules.values.checks import (
    Check,
    Condition,
    CountIs,
    Covers,
    EachSatisfies,
    ResultIs,
)
from graphprune.rules.values.matchers import Matcher, Use


def build_check(shape: CheckShape, path: Path, notes: Notes, selectors: Mapping[str, Use]) -> Check:
    """Return the check at `path`."""
    builder = _CheckBuilder(notes, selectors, f"check {shape.id!r}: ")
    condition = builder.condition(shape, path)
    return Check(
        shape.id,
        notes.document.value(path),
        condition,
        shape.given("message") or "",
        shape.given("severity") or "error",
    )


class _CheckBuilder:
    def __init__(self, notes: Notes, selectors: Mapping[str, Use], subject: str) -> None:
        self._notes = notes
        self._matchers = MatcherBuilder(notes, selectors)
        self._subject = subject

    def condition(self, shape: CheckShape, path: Path) -> Condition:
        if shape.given("count") is not None:
            test = self._matchers.number_test(
                shape.count.test, (*path, "count", "is"), self._subject
            )
            return CountIs(self._matcher(shape.count.of, (*path, "count", "of")), test)
        if shape.given("covers") is not None:
            return Covers(
                shape.covers.start, self._matcher(shape.covers.by, (*path, "covers", "by"))
            )
        if shape.given("result") is not None:
            sparsity = self._matchers.share_test(
                shape.result.sparsity, (*path, "result", "sparsity"), self._subject
            )
            return ResultIs(self._matcher(shape.result.of, (*path, "result", "of")), sparsity)
        return EachSatisfies(
            self._matcher(shape.every, (*path, "every")),
            self._matcher(shape.satisfies, (*path, "satisfies")),
        )

    def _matcher(self, shape: Any, path: Path) -> Matcher:
        matcher = self._matchers.matcher(shape, path, self._subject)
        reason = find_contradiction(matcher)
        if reason is not None:
            self._notes.fault(
                "match/contradiction",
                f"{self._subject}{path[-1]} can hold for no layer: {reason}",
                path,
                contradiction_help(reason),
            )
        return matcher
