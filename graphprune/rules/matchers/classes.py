"""The layer's class: `type`, `isa`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graphprune.archive.allowed.keras_names import MODELS, OPERATION_LAYERS
from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.graph import Layer
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS
from graphprune.rules.matchers.key import MatcherKey
from graphprune.rules.matchers.matcher import Context, Matcher, Places, quoted
from graphprune.rules.text.words import TextOrList
from graphprune.suggestions import closest

if TYPE_CHECKING:
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches


_BASES = (base for layer_class in BUILTIN_LAYERS.values() for base in layer_class.bases)
KERAS_CLASSES = frozenset(
    name
    for name in (*BUILTIN_LAYERS, *_BASES, *MODELS, *OPERATION_LAYERS)
    if not name.startswith("_")
)
"""Classes of Keras and their bases: one that a model lacks is not a typo."""


def class_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of the layer's class and of its bases.

    Every layer is a Layer, and a Sequential model is a Functional one.
    """
    models = () if layer.kind != "model" else ("Functional", "Model")
    return (*layer.types, *layer.bases, *models, "Layer")


@dataclass(frozen=True, slots=True)
class TypeIs(Matcher):
    """The registered class name is one of these."""

    types: tuple[str, ...]
    places: Places = field(default=(), compare=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers of these classes."""
        return matches.where(
            "type",
            lambda layer: layer.types,
            lambda names: any(name in self.types for name in names),
        )

    def words(self) -> str:
        """Return `Dense or Conv2D`."""
        return " or ".join(self.types)

    def spelled(self) -> str:
        """Return `type: [Dense, Conv2D]`."""
        return f"type: {_one_or_list(self.types)}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the layer's class."""
        return layer.type

    def wider(self, matches: Matches) -> str:
        """Return which of the names is a base class here, or the classes in the model."""
        bases = [name for name in self.types if matches.claimed(IsA((name,)))]
        if bases:
            return f"{bases[0]} is a base class here; did you mean 'isa: {bases[0]}'?"
        return what_there_is(matches)

    def faults(self, matches: Matches, context: Context) -> Iterator[Diagnostic]:
        """Yield each class that the model does not have."""
        yield from _faults(matches, self.types, self.places, context.where, "type")


@dataclass(frozen=True, slots=True)
class IsA(Matcher):
    """The class, or one of its bases, has one of these names."""

    types: tuple[str, ...]
    places: Places = field(default=(), compare=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers of these classes and of those that extend them."""
        return matches.where(
            "bases", class_names, lambda names: any(name in self.types for name in names)
        )

    def words(self) -> str:
        """Return `isa Conv2D`."""
        return f"isa {' or '.join(self.types)}"

    def noun(self) -> str:
        """Return `Conv2D`."""
        return " or ".join(self.types)

    def spelled(self) -> str:
        """Return `isa: Conv2D`."""
        return f"isa: {_one_or_list(self.types)}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the layer's class."""
        return layer.type

    def faults(self, matches: Matches, context: Context) -> Iterator[Diagnostic]:
        """Yield each class that no layer of the model has or extends."""
        yield from _faults(matches, self.types, self.places, context.where, "class or base class")


def what_there_is(matches: Matches) -> str:
    """Return the number of candidates of each class."""
    types = Counter(layer.type for layer in matches.graph.candidates())
    if not types:
        return "the model has no layer with prunable weights"
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(types.items()))
    return f"the model's prunable layers are {counts}"


def _faults(
    matches: Matches, types: tuple[str, ...], places: Places, where: Where, named: str
) -> Iterator[Diagnostic]:
    for name, place in zip(types, places or (where,) * len(types), strict=True):
        if name not in matches.types and name not in KERAS_CLASSES:
            message = f"no layer of the model has the {named} {name!r}"
            help = _type_help(matches, name) if matches.spend_search() else None
            yield Diagnostic("type/unknown", message, place, help)


def _type_help(matches: Matches, name: str) -> str:
    present = matches.types
    bare = name.rpartition(".")[2]
    if bare != name and (bare in present or bare in KERAS_CLASSES):
        return f"write {bare!r}, without the module"
    packaged = sorted(known for known in present if known.endswith(f">{name}"))
    if packaged:
        return f"closest: {quoted(packaged, len(packaged))}"
    near = closest(name, present) or closest(name, KERAS_CLASSES)
    shown = ", ".join(sorted({layer.type for layer in matches.graph.candidates()}))
    return near or f"types with prunable weights here: {shown}"


def _one_or_list(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


TYPE = MatcherKey(
    "type",
    TextOrList,
    "The class is exactly this, or one of these. For a wrapper, the class of the wrapped layer.",
    "Dense",
    build=lambda types, place: TypeIs(types, place.where_items(types)),
    meant_by=("class", "kind", "class_name"),
)
ISA = MatcherKey(
    "isa",
    TextOrList,
    "The class, or one of its bases, has this name.",
    "Conv2D",
    build=lambda types, place: IsA(types, place.where_items(types)),
)
