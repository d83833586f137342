"""Checked shapes to typed rules: matchers, schedules and actions, with their places."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphprune.errors import Diagnostic
from graphprune.rules.config_test import Compares, ConfigTest, Equals, Every, Exists, Fits, Negation, OneOf, freeze
from graphprune.rules.contradictions import find_contradiction
from graphprune.rules.file_shape import ConfigTestShape, FileShape, MatcherShape, NamePatternShape, NumberTestShape, PruneShape, RuleShape, ScheduleShape
from graphprune.rules.globs import glob_to_regex
from graphprune.rules.matchers import (
    AllOf,
    AnyOf,
    Calls,
    ConfigIs,
    Everything,
    First,
    Flag,
    Inside,
    IsA,
    Last,
    Matcher,
    NameGlob,
    NameIs,
    NameRegex,
    Not,
    Params,
    Places,
    TypeIs,
)
from graphprune.rules.number_test import NumberTest
from graphprune.rules.rule_set import Keep, Prune, Rule
from graphprune.rules.yaml_text import Document, Path
from graphprune.sparsity.schedules import Schedule

AT_LEAST_ONE = NumberTest(gte=1)
_RAMP_FIELDS = {"from": ("linear", "polynomial"), "power": ("polynomial",)}


@dataclass(slots=True)
class Builder:
    """Builds the parts of one file; faults that show only now are collected in `faults`."""

    document: Document
    schedules: Mapping[str, Schedule]
    faults: list[Diagnostic] = field(default_factory=list)

    def rule(self, shape: RuleShape, path: Path) -> Rule | None:
        """Return the rule at `path`, or None where its schedule could not be built."""
        subject = f"rule {shape.id!r}: "
        matcher = self.matcher(shape.match, (*path, "match"), subject)
        reason = find_contradiction(matcher)
        if reason is not None:
            self._fault("match/contradiction", f"{subject}match can hold for no layer: {reason}", (*path, "match"), None)
        prune = shape.given("prune")
        action = Keep() if prune is None else self._prune(prune, (*path, "prune"), subject)
        if action is None:
            return None
        expect = shape.given("expect")
        return Rule(
            id=shape.id,
            where=self.document.value(path),
            matcher=matcher,
            action=action,
            expect=AT_LEAST_ONE if expect is None else self._number_test(expect, (*path, "expect"), subject),
            note=shape.given("note") or "",
        )

    def schedule(self, shape: ScheduleShape, path: Path, name: str | None, subject: str) -> Schedule | None:
        """Return the schedule at `path`, or None with a fault."""
        before = len(self.faults)
        for key, curves in _RAMP_FIELDS.items():
            if {"from": "initial"}.get(key, key) in shape.model_fields_set and shape.curve not in curves:
                help = f"only {' and '.join(curves)} schedules rise gradually; delete it" if key == "from" else "only polynomial schedules have one; delete it"
                self._fault("value/range", f"{subject}{key} has no meaning for the curve {shape.curve}", (*path, key), help)
        if len(self.faults) > before:
            return None
        given = {key: shape.given(key) for key in ("begin", "end", "every") if shape.given(key) is not None}
        try:
            return Schedule(curve=shape.curve, initial=shape.initial, power=shape.power, name=name, **given)
        except ValueError as err:
            text = str(err)
            self._fault("value/range", f"{subject}{text}", (*path, text.split(" ", 1)[0]), None)
            return None

    def _prune(self, shape: PruneShape, path: Path, subject: str) -> Prune | None:
        if isinstance(shape.schedule, ScheduleShape):
            schedule = self.schedule(shape.schedule, (*path, "schedule"), None, subject)
        else:
            schedule = self.schedules.get(shape.schedule)
        if schedule is None:
            return None
        if schedule.is_ramp and schedule.initial > shape.sparsity:
            text = f"{subject}sparsity {shape.sparsity:.10g} is below the {schedule.initial:.10g} that its schedule begins from"
            self._fault("value/range", text, (*path, "sparsity"), "sparsity never falls; lower 'from' of the schedule, or raise the sparsity")
        weights = shape.given("weights")
        return Prune(sparsity=shape.sparsity, schedule=schedule, pattern=shape.pattern, weights=weights)

    def matcher(self, shape: Any, path: Path, subject: str) -> Matcher:
        """Return the matcher at `path`."""
        if not isinstance(shape, MatcherShape):
            return Everything()
        parts = tuple(self._conditions(shape, path, subject))
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _conditions(self, shape: MatcherShape, path: Path, subject: str) -> Iterator[Matcher]:
        if shape.given("name") is not None:
            yield self._name(shape.name, (*path, "name"), subject)
        if shape.given("type") is not None:
            yield TypeIs(shape.type, self._places((*path, "type"), shape.type))
        if shape.given("isa") is not None:
            yield IsA(shape.isa, self._places((*path, "isa"), shape.isa))
        for key, test in (shape.given("config") or {}).items():
            yield ConfigIs(key, config_test(test), (self.document.key((*path, "config", key)),))
        if shape.given("params") is not None:
            yield Params(self._number_test(shape.params, (*path, "params"), subject))
        if shape.given("calls") is not None:
            yield Calls(self._number_test(shape.calls, (*path, "calls"), subject))
        for flag in ("trainable", "wrapped", "produces_output"):
            if shape.given(flag) is not None:
                yield Flag(flag, shape.given(flag))
        for key, kind in (("inside", Inside), ("first", First), ("last", Last)):
            if shape.given(key) is not None:
                yield kind(self.matcher(shape.given(key), (*path, key), subject))
        for attribute, key, joined in (("all_of", "all", AllOf), ("any_of", "any", AnyOf)):
            if shape.given(attribute) is not None:
                yield joined(tuple(self.matcher(part, (*path, key, index), subject) for index, part in enumerate(shape.given(attribute))))
        if shape.given("negation") is not None:
            yield Not(self.matcher(shape.negation, (*path, "not"), subject))

    def _name(self, value: Any, path: Path, subject: str) -> Matcher:
        if not isinstance(value, NamePatternShape):
            addresses = (value,) if isinstance(value, str) else tuple(value)
            return NameIs(addresses, self._places(path, addresses))
        if value.given("regex") is not None:
            return NameRegex(value.regex, (self.document.value((*path, "regex")),))
        try:
            re.compile(glob_to_regex(value.glob))
        except re.error as err:
            self._fault("regex/invalid", f"{subject}glob cannot be read: {err}, got {value.glob!r}", (*path, "glob"), None)
        return NameGlob(value.glob, (self.document.value((*path, "glob")),))

    def _number_test(self, value: Any, path: Path, subject: str) -> NumberTest:
        test = number_test(value)
        if test.is_empty():
            self._fault("match/contradiction", f"{subject}{path[-1]} can hold for no number: {test}", path, None)
        return test

    def _places(self, path: Path, items: tuple[str, ...]) -> Places:
        return tuple(self.document.value((*path, index)) for index in range(len(items)))

    def _fault(self, slug: str, message: str, path: Path, help: str | None) -> None:
        self.faults.append(Diagnostic(slug, message, self.document.value(path), help))


def number_test(value: Any) -> NumberTest:
    """Return the typed test of a checked shape: a number pins the value."""
    if not isinstance(value, NumberTestShape):
        return NumberTest(eq=value)
    given = {name: value.given(name) for name in ("eq", "ne", "gt", "gte", "lt", "lte", "multiple_of")}
    one_of = value.given("one_of")
    return NumberTest(**given, one_of=None if one_of is None else tuple(one_of))


def config_test(value: Any) -> ConfigTest:
    """Return the typed test of a checked shape: anything but a mapping of tests is compared by value."""
    if not isinstance(value, ConfigTestShape):
        return Equals(freeze(value))
    tests: list[ConfigTest] = []
    if value.given("one_of") is not None:
        tests.append(OneOf(tuple(freeze(item) for item in value.one_of)))
    if "negation" in value.model_fields_set:
        tests.append(Negation(config_test(value.negation)))
    if value.given("regex") is not None:
        tests.append(Fits(value.regex))
    tests += [Compares(name, value.given(name)) for name in ("gt", "gte", "lt", "lte") if value.given(name) is not None]
    if value.given("exists") is not None:
        tests.append(Exists(value.exists))
    return tests[0] if len(tests) == 1 else Every(tuple(tests))


def file_schedules(shape: FileShape) -> Mapping[str, ScheduleShape]:
    """Return the schedules that a file defines."""
    return shape.given("schedules") or {}
