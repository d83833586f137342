"""Facts of a layer that are true or false: `trainable`, `wrapped`, `produces_output`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from graphprune.graph import Layer
from graphprune.rules.matchers.key import MatcherKey
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.shapes.scalars import Truth

if TYPE_CHECKING:
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches

Fact = Literal["trainable", "wrapped", "produces_output"]

_FACTS: Mapping[Fact, Callable[[Layer], bool]] = {
    "trainable": lambda layer: layer.trainable,
    "wrapped": lambda layer: layer.wrap is not None,
    "produces_output": lambda layer: layer.produces_output,
}


@dataclass(frozen=True, slots=True)
class Flag(Matcher):
    """A yes-or-no fact of the layer."""

    name: Fact
    wanted: bool

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers of which the fact is so."""
        return matches.where(self.name, _FACTS[self.name], lambda value: value is self.wanted)

    def words(self) -> str:
        """Return `trainable: true`."""
        return f"{self.name}: {str(self.wanted).lower()}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the other value."""
        return str(not self.wanted).lower()


def _key(name: Fact, description: str, example: str) -> MatcherKey:
    return MatcherKey(
        name, Truth, description, example, build=lambda wanted, place: Flag(name, wanted)
    )


TRAINABLE = _key("trainable", "Whether the layer is trainable.", "true")
WRAPPED = _key("wrapped", "Whether the layer is in a pruning wrapper.", "false")
PRODUCES_OUTPUT = _key(
    "produces_output", "Whether an output of the model comes from the layer.", "true"
)
