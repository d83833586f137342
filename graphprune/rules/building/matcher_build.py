"""Checked shapes to matchers, with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphprune.rules.shapes.matcher_shape import (
    ConfigTestShape,
    MatcherShape,
    NamePatternShape,
    NumberTestShape,
    ShareTestShape,
    WeightShape,
)
from graphprune.rules.text.globs import compile_glob
from graphprune.rules.text.notes import Notes
from graphprune.rules.text.regexes import RegexError
from graphprune.rules.text.yaml_text import Path
from graphprune.rules.values.config_test import (
    Compares,
    ConfigTest,
    Equals,
    Every,
    Exists,
    Fits,
    Negation,
    OneOf,
    freeze,
)
from graphprune.rules.values.matchers import (
    After,
    AllOf,
    AnyOf,
    Before,
    Between,
    Calls,
    ConfigIs,
    Everything,
    FedBy,
    Feeds,
    First,
    Flag,
    HasWeight,
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
    Use,
)
from graphprune.rules.values.number_test import NumberTest
from graphprune.suggestions import closest

_LENGTHS = {"rank": "rank", "inputs": "in", "outputs": "out"}


@dataclass(frozen=True, slots=True)
class MatcherBuilder:
    """Builds the matchers of one file; `selectors` are those of all files."""

    notes: Notes
    selectors: Mapping[str, Use] = field(default_factory=dict)

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
            yield ConfigIs(
                key, to_config_test(test), (self.notes.document.key((*path, "config", key)),)
            )
        if shape.given("params") is not None:
            yield Params(self.number_test(shape.params, (*path, "params"), subject))
        if shape.given("weight") is not None:
            yield self._weight(shape.weight, (*path, "weight"), subject)
        if shape.given("calls") is not None:
            yield Calls(self.number_test(shape.calls, (*path, "calls"), subject))
        for flag in ("trainable", "wrapped", "produces_output"):
            if shape.given(flag) is not None:
                yield Flag(flag, shape.given(flag))
        for key, kind in (("inside", Inside), ("first", First), ("last", Last)):
            if shape.given(key) is not None:
                yield kind(self.matcher(shape.given(key), (*path, key), subject))
        yield from self._relations(shape, path, subject)
        for attribute, key, joined in (("all_of", "all", AllOf), ("any_of", "any", AnyOf)):
            if shape.given(attribute) is not None:
                yield joined(
                    tuple(
                        self.matcher(part, (*path, key, index), subject)
                        for index, part in enumerate(shape.given(attribute))
                    )
                )
        if shape.given("negation") is not None:
            yield Not(self.matcher(shape.negation, (*path, "not"), subject))
        if shape.given("use") is not None:
            yield self._use(shape.use, (*path, "use"), subject)

    def _relations(self, shape: MatcherShape, path: Path, subject: str) -> Iterator[Matcher]:
        for key, near in (("fed_by", FedBy), ("feeds", Feeds)):
            if (value := shape.given(key)) is not None:
                of = self.matcher(value, (*path, key), subject)
                yield (
                    near(of)
                    if value == "*"
                    else near(of, value.given("every") or False, value.given("only") or False)
                )
        for key, far in (("after", After), ("before", Before)):
            if (value := shape.given(key)) is not None:
                of = self.matcher(value, (*path, key), subject)
                yield (
                    far(of)
                    if value == "*"
                    else far(
                        of, value.given("hops"), self._until(value, (*path, key, "until"), subject)
                    )
                )
        if (ends := shape.given("between")) is not None:
            after, before = (
                self.matcher(getattr(ends, end), (*path, "between", end), subject)
                for end in ("after", "before")
            )
            yield Between(after, before)

    def _until(self, shape: MatcherShape, path: Path, subject: str) -> Matcher | None:
        return (
            None
            if shape.given("until") is None
            else self.matcher(shape.given("until"), path, subject)
        )

    def _use(self, name: str, path: Path, subject: str) -> Matcher:
        if name not in self.selectors:
            self.notes.fault(
                "selector/unknown",
                f"{subject}use must name a selector that is defined, got {name!r}",
                path,
                lambda: self._known(name),
            )
            return Everything()
        return self.selectors[name]

    def _known(self, name: str) -> str:
        there = ", ".join(sorted(self.selectors))
        return closest(name, self.selectors) or (
            f"defined: {there}" if there else "there are none; add a section 'selectors'"
        )

    def _weight(self, shape: WeightShape, path: Path, subject: str) -> HasWeight:
        numbers = {
            key: self.number_test(shape.given(name), (*path, key), subject)
            for name, key in _LENGTHS.items()
            if shape.given(name) is not None
        }
        kernel = shape.given("kernel")
        sparsity = (
            None
            if shape.given("sparsity") is None
            else self.share_test(shape.sparsity, (*path, "sparsity"), subject)
        )
        return HasWeight(
            names=shape.given("name"),
            rank=numbers.get("rank"),
            inputs=numbers.get("in"),
            outputs=numbers.get("out"),
            kernel=(
                tuple(kernel)
                if isinstance(kernel, list)
                else (
                    None if kernel is None else self.number_test(kernel, (*path, "kernel"), subject)
                )
            ),
            dtypes=shape.given("dtype"),
            sparsity=sparsity,
            places=(self.notes.document.key(path),),
        )

    def _name(self, value: Any, path: Path, subject: str) -> Matcher:
        if not isinstance(value, NamePatternShape):
            addresses = (value,) if isinstance(value, str) else tuple(value)
            return NameIs(addresses, self._places(path, addresses))
        if value.given("regex") is not None:
            return NameRegex(value.regex, (self.notes.document.value((*path, "regex")),))
        try:
            compile_glob(value.glob)
        except RegexError as err:
            self.notes.fault(
                "regex/invalid",
                f"{subject}glob {err.reason.replace('a regular expression', 'a glob')}, got"
                f" {value.glob!r}",
                (*path, "glob"),
                "'[' and ']' enclose single characters, as in 'block_[0-9]'",
            )
        return NameGlob(value.glob, (self.notes.document.value((*path, "glob")),))

    def number_test(self, value: Any, path: Path, subject: str) -> NumberTest:
        """Return the test at `path`."""
        return self._possible(to_number_test(value), path, subject)

    def share_test(self, value: Any, path: Path, subject: str) -> NumberTest:
        """Return the test of a share at `path`."""
        return self._possible(to_share_test(value), path, subject)

    def _possible(self, test: NumberTest, path: Path, subject: str) -> NumberTest:
        if test.is_empty():
            self.notes.fault(
                "match/contradiction",
                f"{subject}{path[-1]} can hold for no number: {test}",
                path,
                "change one of the bounds",
            )
        return test

    def _places(self, path: Path, items: tuple[str, ...]) -> Places:
        return tuple(self.notes.document.value((*path, index)) for index in range(len(items)))


def to_number_test(value: Any) -> NumberTest:
    """Return the typed test of a checked shape: a number pins the value."""
    if not isinstance(value, NumberTestShape):
        return NumberTest(eq=value)
    given = {
        name: value.given(name) for name in ("eq", "ne", "gt", "gte", "lt", "lte", "multiple_of")
    }
    one_of = value.given("one_of")
    return NumberTest(**given, one_of=None if one_of is None else tuple(one_of))


def to_share_test(value: Any) -> NumberTest:
    """Return the typed test of a checked shape: a share alone pins the value."""
    if not isinstance(value, ShareTestShape):
        return NumberTest(eq=value, is_share=True)
    return NumberTest(
        **{name: value.given(name) for name in ("eq", "ne", "gt", "gte", "lt", "lte")},
        is_share=True,
    )


def to_config_test(value: Any) -> ConfigTest:
    """Return the typed test of a checked shape: anything but a mapping of tests is compared by
    value.
    """
    if not isinstance(value, ConfigTestShape):
        return Equals(freeze(value))
    tests: list[ConfigTest] = []
    if value.given("one_of") is not None:
        tests.append(OneOf(tuple(freeze(item) for item in value.one_of)))
    if "negation" in value.model_fields_set:
        tests.append(Negation(to_config_test(value.negation)))
    if value.given("regex") is not None:
        tests.append(Fits(value.regex))
    tests += [
        Compares(name, value.given(name))
        for name in ("gt", "gte", "lt", "lte")
        if value.given(name) is not None
    ]
    if value.given("exists") is not None:
        tests.append(Exists(value.exists))
    return tests[0] if len(tests) == 1 else Every(tuple(tests))
