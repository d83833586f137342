"""The layer's address: `name`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Tag, model_validator

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.graph.classes.builtin_layers import is_custom
from graphprune.graph.layers import Layer
from graphprune.graph.out_of_reach import explain_out_of_reach
from graphprune.rules.matchers.key import MatcherKey, Place
from graphprune.rules.matchers.layer_set import LayerSet
from graphprune.rules.matchers.matcher import Context, Matcher, Places, quoted
from graphprune.rules.text.regexes import RegexError, compile_glob, compile_regex
from graphprune.rules.text.shape import Fault, Shape, kind_of, optional
from graphprune.rules.text.words import RegexText, Text, Texts
from graphprune.suggestions import find_close

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.matches import Matches

SHOWN = 3


@dataclass(frozen=True, slots=True)
class NameIs(Matcher):
    """The address is one of these; `places` has one entry per address."""

    addresses: tuple[str, ...]
    places: Places = field(default=(), compare=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers at these addresses."""
        return matches.order.of(self.addresses)

    def words(self) -> str:
        """Return `name 'a' or 'b'`."""
        return f"name {' or '.join(map(repr, self.addresses))}"

    def spelled(self) -> str:
        """Return `name: [a, b]`."""
        if len(self.addresses) == 1:
            return f"name: {self.addresses[0]}"
        return f"name: [{', '.join(self.addresses)}]"

    def faults(self, matches: Matches, context: Context) -> Iterator[Diagnostic]:
        """Yield a fault for each address that is unknown, or not a candidate if it must be one."""
        places = self.places or (context.where,) * len(self.addresses)
        for address, place in zip(self.addresses, places, strict=True):
            layer = matches.graph.layers.get(address)
            if layer is None:
                yield Diagnostic(
                    "layer/unknown",
                    f"no layer has the address {address!r}",
                    place,
                    address_help(matches, address) if matches.spend_search() else None,
                )
            elif context.judges_candidates and not layer.is_candidate:
                yield _not_prunable(matches, layer, place)


@dataclass(frozen=True, slots=True)
class NameGlob(Matcher):
    """The glob matches the whole address: `*` does not cross `::`, `**` does."""

    glob: str
    places: Places = field(default=(), compare=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers whose address the glob matches."""
        return _named(matches, compile_glob(self.glob).matches)

    def words(self) -> str:
        """Return `name glob 'block_*'`."""
        return f"name glob {self.glob!r}"

    def spelled(self) -> str:
        """Return `name: {glob: 'block_*'}`."""
        return f"name: {{glob: {self.glob!r}}}"

    def reason(self, failures: Failures, address: str) -> str:
        """Return that the address is inside a model, if that is why it does not match."""
        if address in failures.matches.of(self) or address not in failures.matches.of(self._wide()):
            return ""
        return f"'*' stays inside one model; '**{self.glob}' would match"

    def wider(self, matches: Matches) -> str:
        """Return what the glob matches inside models, or similar addresses."""
        wide = matches.of(self._wide())
        found = [layer.address for layer in matches.graph.candidates() if layer.address in wide]
        if found and not self.glob.startswith("**"):
            return (
                f"'*' stays inside one model; did you mean '**{self.glob}'? It finds"
                f" {quoted(found, SHOWN)}"
            )
        return _close(matches, self.glob.replace("*", ""))

    def _wide(self) -> NameGlob:
        return NameGlob(f"**{self.glob}")


@dataclass(frozen=True, slots=True)
class NameRegex(Matcher):
    """The regular expression matches the whole address."""

    regex: str
    places: Places = field(default=(), compare=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers whose whole address the expression matches."""
        return _named(matches, compile_regex(self.regex).matches)

    def words(self) -> str:
        """Return `name regex 'block_[0-9]'`."""
        return f"name regex {self.regex!r}"

    def spelled(self) -> str:
        """Return `name: {regex: 'block_[0-9]'}`."""
        return f"name: {{regex: {self.regex!r}}}"

    def reason(self, failures: Failures, address: str) -> str:
        """Return the part of the address that the expression matches."""
        if address in failures.matches.of(self):
            return ""
        part = compile_regex(self.regex).find(address)
        return f"finds only {part!r}, and the whole address must match" if part else ""

    def wider(self, matches: Matches) -> str:
        """Return the addresses of which the expression matches a part, or similar ones."""
        find = compile_regex(self.regex).find
        addresses = [layer.address for layer in matches.graph.candidates()]
        found = [address for address in addresses if find(address) is not None]
        if not found:
            return _close(matches, self.regex)
        return (
            f"a regex must match the whole address; did you mean '.*{self.regex}.*'? It finds"
            f" {quoted(found, SHOWN)}"
        )


def _named(matches: Matches, accepts: Callable[[str], bool]) -> LayerSet:
    return LayerSet(matches.order, bytes(map(accepts, matches.order.addresses)))


def _close(matches: Matches, text: str) -> str:
    addresses = [layer.address for layer in matches.graph.candidates()]
    close = find_close(text, addresses, count=SHOWN)
    return f"closest: {', '.join(map(repr, close))}" if close else ""


def _not_prunable(matches: Matches, layer: Layer, place: Where) -> Diagnostic:
    help = explain_out_of_reach(matches.graph, layer.address) if matches.spend_search() else ""
    if not help and layer.kind == "model":
        help = f"it is a nested model; match the layers in it: {{glob: '{layer.address}::**'}}"
    return Diagnostic(
        "layer/not-prunable",
        f"layer {layer.address!r} ({layer.type}) has no prunable weights",
        place,
        help
        or _custom_help(layer)
        or "rules match only layers with prunable weights; delete the name",
    )


def _custom_help(layer: Layer) -> str:
    """Return how to make a custom layer prunable.

    "" for Keras layers, and for layers without a matrix.
    """
    names = [tensor.name for tensor in layer.tensors if len(tensor.shape) > 1]
    if not names or not is_custom(layer.entry):
        return ""
    more = f"; its weights with axes are {', '.join(map(repr, names))}" if len(names) > 1 else ""
    return (
        f"its class is not a Keras class; declare its prunable weights: layers: {{{layer.type}:"
        f" {{prunable: {{{names[0]!r}: [in, out]}}}}}}{more}"
    )


def address_help(matches: Matches, address: str) -> str:
    """Return the help for an address that no layer has."""
    if any(sign in address for sign in "*?["):
        return f"a plain name is compared as it is; for a pattern write {_pattern(address)}"
    reason = explain_out_of_reach(matches.graph, address)
    if reason:
        return reason
    nested = [known for known in matches.graph.layers if known.endswith(f"::{address}")]
    close = nested[:2] or find_close(address, matches.graph.layers)
    hint = f"closest: {', '.join(map(repr, close))}.  " if close else ""
    return f"{hint}All addresses: graphprune layers MODEL"


def _pattern(address: str) -> str:
    if address.startswith(("re:", "^")) or address.endswith("$") or ".*" in address:
        return f"{{regex: {address.removeprefix('re:').strip('^$')!r}}}"
    return f"{{glob: {address!r}}}"


class NamePatternShape(Shape):
    """A pattern for addresses: exactly one of the two."""

    glob: Text = optional(
        "* matches any text inside one model, ** any text, ? one character.", '"block_*"'
    )
    regex: RegexText = optional(
        "A regular expression (RE2) that matches the whole address.", '"block_[0-9]+"'
    )

    @model_validator(mode="after")
    def check_one(self) -> NamePatternShape:
        """Refuse a mapping with neither key or with both."""
        if len(self.model_fields_set) != 1:
            raise Fault("value/range", "must be exactly one of {glob: ...} and {regex: ...}")
        return self


NameValue = Annotated[
    Annotated[Text, Tag("~text")]
    | Annotated[Texts, Tag("~list")]
    | Annotated[NamePatternShape, Tag("~mapping")],
    kind_of(True, "must be an address, a list of addresses, {glob: ...} or {regex: ...}"),
]


def _build(value: Any, place: Place) -> Matcher:
    if not isinstance(value, NamePatternShape):
        addresses = (value,) if isinstance(value, str) else tuple(value)
        return NameIs(addresses, place.where_items(addresses))
    if value.given("regex") is not None:
        return NameRegex(value.regex, (place.where("regex"),))
    try:
        compile_glob(value.glob)
    except RegexError as err:
        place.under("glob").fault(
            "regex/invalid",
            f"glob {err.reason}, got {value.glob!r}",
            "'[' and ']' enclose single characters, as in 'block_[0-9]'",
        )
    return NameGlob(value.glob, (place.where("glob"),))


NAME = MatcherKey(
    "name",
    NameValue,
    (
        "The layer's address (graphprune layers MODEL lists them): text, a list, {glob: ...} or"
        " {regex: ...}."
    ),
    '{glob: "block_*"}',
    build=_build,
    meant_by=("layer", "address"),
)
