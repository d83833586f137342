"""The layer's config: `config`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph import Layer
from graphprune.rules.matchers.classes import IsA, TypeIs
from graphprune.rules.matchers.config_test import (
    ConfigTest,
    ConfigTestValue,
    Every,
    Exists,
    accepts_config,
    find_config_value,
    thaw,
    to_config_test,
)
from graphprune.rules.matchers.key import MatcherKey, Place
from graphprune.rules.matchers.matcher import Context, Matcher, Places
from graphprune.suggestions import closest

if TYPE_CHECKING:
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches

SHOWN = 3


@dataclass(frozen=True, slots=True)
class ConfigIs(Matcher):
    """The config value under a dotted key passes a test; a key that is not there passes only
    `exists: false`.
    """

    key: str
    test: ConfigTest
    places: Places = field(default=(), compare=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers whose config value passes."""
        return matches.where(
            ("config", self.key),
            lambda layer: find_config_value(layer.config, self.key),
            lambda value: accepts_config(self.test, value),
        )

    def words(self) -> str:
        """Return `padding: valid`."""
        return f"{self.key}: {self.test}"

    def spelled(self) -> str:
        """Return `config: padding: valid`."""
        return f"config: {self.words()}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the layer's value."""
        value = find_config_value(layer.config, self.key)
        return "not there" if value is None else thaw(value)

    def wider(self, matches: Matches) -> str:
        """Return the values that the key has in the layers that rules can claim, the most frequent
        first.
        """
        found = (find_config_value(layer.config, self.key) for layer in matches.graph.candidates())
        values = Counter(thaw(value) for value in found if value is not None)
        if not values:
            return ""
        shown = ", ".join(f"{value} ({count})" for value, count in values.most_common(SHOWN))
        more = f" and {len(values) - SHOWN} other values" if len(values) > SHOWN else ""
        return f"{self.key!r} is {shown}{more}"

    def faults(self, matches: Matches, context: Context) -> Iterator[Diagnostic]:
        """Yield a fault where no layer of the types named beside it has the config key."""
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
            find_config_value(layers[address].config, self.key) is not None for address in addresses
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
    return closest(key, known) or f"known here: {', '.join(key for key in known if '.' not in key)}"


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
    "Values of the layer's config by dotted key; each is a value to equal, or a test.",
    "{padding: same, units: {gte: 64}}",
    build=_build,
)
