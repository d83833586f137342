"""The layer's config: `config`, and tests of its values, which are compared as typed values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, Tag

from graphprune.archive.entries import Entry
from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph import Layer
from graphprune.graph.classes.completion import activation_names, find_other_setting, is_activation
from graphprune.rules.matchers.classes import IsA, TypeIs
from graphprune.rules.matchers.key import MatcherKey, Place
from graphprune.rules.matchers.matcher import Context, Matcher, Places
from graphprune.rules.matchers.number_test import BOUNDS_HELP, BOUNDS_MEANT
from graphprune.rules.text.numbers import NumberValue
from graphprune.rules.text.regexes import compile_regex
from graphprune.rules.text.shape import Conditions, kind_of, optional
from graphprune.rules.text.words import RegexText, Truth
from graphprune.suggestions import closest

if TYPE_CHECKING:
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches

# A value in a comparable form: (kind, value), where lists equal tuples, 1 equals 1.0,
# and True is not 1.
Frozen = tuple[Any, ...]


def freeze(value: Any) -> Frozen:
    """Return `value` in a form whose equality is the rule language's equality.

    Example:
        >>> freeze((1, 1)) == freeze([1.0, 1.0])
        True
        >>> freeze(True) == freeze(1), freeze("1") == freeze(1)
        (False, False)
    """
    if value is None:
        return ("nothing",)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int | float):
        return ("number", "nan") if math.isnan(value) else ("number", value)
    if isinstance(value, str):
        return ("text", value)
    if isinstance(value, Mapping):
        if value.get("class_name") == "__tuple__" and "items" in value:
            return freeze(value["items"])
        return ("mapping", tuple((str(key), freeze(value[key])) for key in sorted(value, key=str)))
    if isinstance(value, list | tuple):
        return ("list", tuple(freeze(item) for item in value))
    return ("text", repr(value))


def thaw(frozen: Frozen) -> str:
    """Return a frozen value as a rule file would write it.

    Example:
        >>> thaw(freeze({"a": [1, True, None, "same"]}))
        '{a: [1, true, null, same]}'
    """
    kind, *rest = frozen
    if kind == "nothing":
        return "null"
    if kind == "bool":
        return "true" if rest[0] else "false"
    if kind == "list":
        return f"[{', '.join(map(thaw, rest[0]))}]"
    if kind == "mapping":
        return "{" + ", ".join(f"{key}: {thaw(item)}" for key, item in rest[0]) + "}"
    return str(rest[0])


@dataclass(frozen=True, slots=True)
class Equals:
    """The value is this one."""

    value: Frozen

    def accepts(self, value: Frozen) -> bool:
        """Return whether a config value passes."""
        return value == self.value

    def __str__(self) -> str:
        return thaw(self.value)


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these."""

    values: tuple[Frozen, ...]

    def accepts(self, value: Frozen) -> bool:
        """Return whether a config value passes."""
        return value in self.values

    def __str__(self) -> str:
        return f"in [{', '.join(map(thaw, self.values))}]"


@dataclass(frozen=True, slots=True)
class Fits:
    """The value is text, and the regular expression matches all of it."""

    regex: str

    def accepts(self, value: Frozen) -> bool:
        """Return whether a config value passes."""
        return value[0] == "text" and compile_regex(self.regex).matches(value[1])

    def __str__(self) -> str:
        return f"regex {self.regex!r}"


@dataclass(frozen=True, slots=True)
class Compares:
    """The value is a number (bools are not) on this side of a bound."""

    operator: str
    bound: float

    def accepts(self, value: Frozen) -> bool:
        """Return whether a config value passes."""
        if value[0] != "number" or value[1] == "nan":
            return False
        number: float = value[1]
        answers = {
            "gt": number > self.bound,
            "gte": number >= self.bound,
            "lt": number < self.bound,
            "lte": number <= self.bound,
        }
        return answers[self.operator]

    def __str__(self) -> str:
        return f"{self.operator} {self.bound}"


@dataclass(frozen=True, slots=True)
class Exists:
    """The config has the key, or lacks it."""

    wanted: bool

    def __str__(self) -> str:
        return f"exists {str(self.wanted).lower()}"


@dataclass(frozen=True, slots=True)
class Negation:
    """The value passes none of these tests."""

    test: ConfigTest

    def __str__(self) -> str:
        return f"not {self.test}"


@dataclass(frozen=True, slots=True)
class Every:
    """The value passes all of these tests."""

    tests: tuple[ConfigTest, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.tests))


ConfigTest = Equals | OneOf | Fits | Compares | Exists | Negation | Every


def accepts_config(test: ConfigTest, values: Sequence[Frozen]) -> bool:
    """Return whether a config value passes `test`.

    Args:
        test: The test.
        values: The value; several if it is a name and others mean the same (`swish`, `silu`); none
            for a missing key, which passes only `exists: false`.
    """
    if isinstance(test, Every):
        return all(accepts_config(part, values) for part in test.tests)
    if isinstance(test, Exists):
        return test.wanted == bool(values)
    if isinstance(test, Negation):
        return bool(values) and not accepts_config(test.test, values)
    return any(test.accepts(value) for value in values)


def _spellings(key: str, value: Frozen | None) -> Sequence[Frozen]:
    """Return the frozen value under a key as each Keras writes it; none if there is none."""
    if value is None:
        return ()
    if value[0] != "text" or not is_activation(key):
        return (value,)
    return [("text", name) for name in activation_names(value[1])]


def find_config_value(entry: Entry, key: str) -> Frozen | None:
    """Return the frozen value under a dotted key of a layer's config, or None if there is none.

    A setting that only the other Keras writes has its default.

    Example:
        >>> dense = {"class_name": "Dense", "config": {"kernel_initializer": {"seed": 3}}}
        >>> find_config_value(dense, "kernel_initializer")
        ('mapping', (('seed', ('number', 3)),))
        >>> find_config_value(dense, "kernel_initializer.seed")
        ('number', 3)
    """
    first, *rest = key.split(".")
    value: Any = entry["config"]
    if first not in value:
        other = find_other_setting(entry, first)
        value = {} if other is None else {first: other}
    for part in (first, *rest):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return freeze(value)


class ConfigTestShape(Conditions):
    """Tests of one value of a layer's config."""

    meant: ClassVar[Mapping[str, str]] = BOUNDS_MEANT | {
        "one_of": "in",
        "any": "in",
        "ne": "not",
        "matches": "regex",
        "glob": "regex",
    }

    one_of: Annotated[list[Any], Field(min_length=1)] = optional(
        "One of these.", "[same, valid]", alias="in"
    )
    negation: ConfigTestValue = optional("The value does not pass this.", "same", alias="not")
    regex: RegexText = optional(
        "The value is text, and this regular expression (RE2) matches all of it.", '"(relu|elu).*"'
    )
    gt: NumberValue = optional(BOUNDS_HELP["gt"], "0")
    gte: NumberValue = optional(BOUNDS_HELP["gte"], "64")
    lt: NumberValue = optional(BOUNDS_HELP["lt"], "64")
    lte: NumberValue = optional(BOUNDS_HELP["lte"], "64")
    exists: Truth = optional("Whether the config has the key at all.", "true")


ConfigTestValue = Annotated[
    Annotated[Any, Tag("~value")] | Annotated[ConfigTestShape, Tag("~mapping")],
    kind_of(False, "must be a value or a test"),
]


def to_config_test(value: Any) -> ConfigTest:
    """Return the typed test of a checked value; any other value must be equal."""
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
        Compares(name, value.given(name)) for name in BOUNDS_HELP if value.given(name) is not None
    ]
    if value.given("exists") is not None:
        tests.append(Exists(value.exists))
    return tests[0] if len(tests) == 1 else Every(tuple(tests))


SHOWN = 3


@dataclass(frozen=True, slots=True)
class ConfigIs(Matcher):
    """The config value under a dotted key passes a test."""

    key: str
    test: ConfigTest
    places: Places = field(default=(), compare=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers whose config value passes."""
        return matches.where(
            ("config", self.key),
            lambda layer: find_config_value(layer.entry, self.key),
            lambda value: accepts_config(self.test, _spellings(self.key, value)),
        )

    def words(self) -> str:
        """Return `padding: valid`."""
        return f"{self.key}: {self.test}"

    def spelled(self) -> str:
        """Return `config: padding: valid`."""
        return f"config: {self.words()}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the layer's value."""
        value = find_config_value(layer.entry, self.key)
        return "not there" if value is None else thaw(value)

    def wider(self, matches: Matches) -> str:
        """Return the candidates' values of the key, the most frequent first."""
        found = (find_config_value(layer.entry, self.key) for layer in matches.graph.candidates())
        values = Counter(thaw(value) for value in found if value is not None)
        if not values:
            return ""
        shown = ", ".join(f"{value} ({count})" for value, count in values.most_common(SHOWN))
        more = f" and {len(values) - SHOWN} other values" if len(values) > SHOWN else ""
        return f"{self.key!r} is {shown}{more}"

    def faults(self, matches: Matches, context: Context) -> Iterator[Diagnostic]:
        """Yield a fault if no layer of the types named beside it has the config key."""
        if _asks_existence(self.test):
            return
        addresses = matches.universe
        types: list[str] = []
        for other in context.beside:
            if isinstance(other, TypeIs | IsA):
                types += [name for name in other.types if name not in types]
                addresses &= matches.of(other)
        layers = matches.graph.layers
        if not addresses or any(
            find_config_value(layers[address].entry, self.key) is not None for address in addresses
        ):
            return
        owner = f"{' or '.join(types)} layer" if types else "layer"
        message = f"no {owner} of the model has the config key {self.key!r}"
        place = self.places[0] if self.places else context.where
        configs = (layers[address].config for address in addresses)
        help = _key_help(configs, self.key) if matches.spend_search() else None
        yield Diagnostic("config/unknown-key", message, place, help)


def _key_help(configs: Iterable[Mapping[str, Any]], key: str) -> str:
    known = sorted({known for config in configs for known in _dotted_keys(config)})
    return closest(key, known) or f"known keys: {', '.join(key for key in known if '.' not in key)}"


def _asks_existence(test: ConfigTest) -> bool:
    if isinstance(test, Every):
        return any(isinstance(part, Exists) for part in test.tests)
    return isinstance(test, Exists)


def _dotted_keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted_keys(value, f"{prefix}{key}.")


def _build(tests: Mapping[str, Any], place: Place) -> tuple[Matcher, ...]:
    return tuple(
        ConfigIs(key, to_config_test(test), (place.where_key(key),)) for key, test in tests.items()
    )


CONFIG = MatcherKey(
    "config",
    Annotated[dict[str, ConfigTestValue], Field(min_length=1)],
    "Values of the layer's config by dotted key; each is a value to equal, or a test. Each name of"
    " an activation matches (`swish`, `silu`).",
    "{padding: same, units: {gte: 64}}",
    build=_build,
)
