"""The fields of a prune action: their shape, and how `like` and `defaults` fill in missing ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from graphprune.rules.building.patterns import PatternValue, fixes_sparsity
from graphprune.rules.building.schedules import ScheduleValue
from graphprune.rules.text.document import Help, Notes, Path
from graphprune.rules.text.numbers import Magnitude, Share
from graphprune.rules.text.shape import Shape, optional
from graphprune.rules.text.words import Text, TextOrList, choice
from graphprune.rules.values.rule_set import Misfit
from graphprune.sparsity.pruning import GROUPS, METHODS, Group, Method
from graphprune.suggestions import closest

TARGETS = ("sparsity", "budget", "threshold")
"""The fields of a prune action that set how many weights become zero. A rule has exactly one of
them, or a pattern that fixes the share.
"""
UNUSED = (*TARGETS, "schedule", "pattern", "misfit", "group")
"""The fields that `method: keep` does not take: the zeros that are there say all."""


MisfitName = Annotated[
    Misfit,
    *choice(
        ("error", "skip", "pad"),
        {
            "ignore": "misfit: skip",
            "dense": "misfit: skip",
            "warn": "misfit: skip",
            "raise": "misfit: error",
            "fail": "misfit: error",
        },
        (
            "error refuses a tensor that the pattern does not fit, skip leaves it dense, pad prunes"
            " a short last group too"
        ),
    ),
]

GroupName = Annotated[
    Group,
    *choice(
        GROUPS,
        {
            "coupled": "group: auto",
            "all": "group: auto",
            "depgraph": "group: auto",
            "off": "group: none",
            "layer": "group: none",
        },
        (
            "auto prunes channels together that other layers are coupled to, none each layer by"
            " itself"
        ),
    ),
]


MethodName = Annotated[
    Method,
    *choice(
        METHODS,
        {"hold": "method: keep", "frozen": "method: keep", "fine-tune": "method: keep"},
        "gradual follows the schedule, keep holds the zeros that are there",
    ),
]


class PruneFieldsShape(Shape):
    """The settings of a prune action.

    Missing fields are known only after `like` and `defaults` have been applied.
    """

    meant: ClassVar[Mapping[str, str]] = {
        "target": "sparsity",
        "final_sparsity": "sparsity",
        "amount": "sparsity",
        "cutoff": "threshold",
        "block_size": "pattern",
        "on_misfit": "misfit",
        "groups": "group",
        "coupled": "group",
    }

    sparsity: Share = optional("The share of weights that become zero: 0.9 or 90%.", "90%")
    budget: Text = optional(
        "The name of a budget that gives each tensor its share, instead of sparsity.", "net"
    )
    threshold: Magnitude = optional(
        (
            "Instead of sparsity: weights with a magnitude below this become zero, measured when"
            " the plan is made."
        ),
        "0.05",
    )
    schedule: ScheduleValue = optional(
        "When masks change: the name of a schedule, or a schedule.",
        "{curve: polynomial, begin: 0 epochs, end: 4 epochs, every: 100 steps}",
    )
    pattern: PatternValue = optional(
        "Which weights are zeroed together; 'unstructured': each by itself.",
        "{block: {in: 4, out: 1}}",
    )
    weights: TextOrList = optional(
        (
            "Names of the tensors to prune inside the layer: kernel, or forward_layer.kernel for"
            " one of several. Default: all prunable tensors."
        ),
        "[kernel]",
    )
    misfit: MisfitName = optional(
        (
            "What to do with a tensor that the pattern does not fit: error, skip (leave it dense)"
            " or pad (prune a short last group too)."
        ),
        "skip",
    )
    group: GroupName = optional(
        (
            "With the pattern {channel: ...}: auto scores and prunes coupled channels together,"
            " none each layer by itself."
        ),
        "auto",
        default="none",
    )
    method: MethodName = optional(
        (
            "gradual: sparsity follows the schedule. keep: the weights that are zero stay zero"
            " while the others are trained; it takes no sparsity, schedule or pattern."
        ),
        "keep",
        default="gradual",
    )


class PruneShape(PruneFieldsShape):
    """How a layer is pruned."""

    like: Text = optional(
        (
            "The id of a rule whose fields are copied; fields given beside it replace the copied"
            " ones."
        ),
        "dense-90",
    )


class DefaultsShape(Shape):
    """Values for missing fields of every action."""

    prune: PruneFieldsShape = optional("Default fields for prune actions.", "{schedule: ramp}")


@dataclass(frozen=True, slots=True)
class Given:
    """One field in a file: its checked value and its position.

    Messages about it begin with `subject`.
    """

    value: Any
    notes: Notes
    path: Path
    subject: str

    def fault(self, slug: str, message: str, help: Help) -> None:
        """Note a fault of the value."""
        self.notes.fault(slug, f"{self.subject}{message}", self.path, help)


Fields = Mapping[str, Given]


def fields_of(shape: PruneFieldsShape | None, notes: Notes, path: Path, subject: str) -> Fields:
    """Return the fields of the mapping at `path`, by key."""
    names = (
        ()
        if shape is None
        else [name for name in type(shape).model_fields if name in shape.model_fields_set]
    )
    return {name: Given(getattr(shape, name), notes, (*path, name), subject) for name in names}


@dataclass(frozen=True, slots=True)
class Inheritance:
    """The fields that actions of all files get from `like` and `defaults`.

    Attributes:
        actions: The fields in each rule itself, by rule id; None for a rule that keeps.
        defaults: The fields under `defaults`.
        unread: Ids of rules with faults, which are not reported again.
        lost_defaults: Whether `defaults` have faults, so that their values are unknown.
    """

    actions: Mapping[str, Fields | None]
    defaults: Fields
    unread: frozenset[str] = frozenset()
    lost_defaults: bool = False

    def complete(self, id: str, own: Fields) -> Fields | None:
        """Return the fields of the action of rule `id`, completed from `like` and `defaults`.

        None, after noting a fault, if `like` does not name a rule that prunes.
        """
        chain = self._chain(id, own)
        if chain is None:
            return None
        merged = self.defaults
        for fields in reversed(chain):
            merged = _merge(fields, merged)
        return merged

    def _chain(self, id: str, own: Fields) -> list[Fields] | None:
        """Return the fields of the rule, of the rule named by its `like`, and so on."""
        seen, chain = [id], [own]
        while "like" in chain[-1]:
            like = chain[-1]["like"]
            if like.value in seen:
                _tell_of_cycle(seen, like.value, own["like"])
                return None
            if like.value in self.unread or not self._can_copy(like, seen[-1]):
                return None
            seen.append(like.value)
            chain.append(self._fields(like.value))
        return chain

    def _fields(self, id: str) -> Fields:
        fields = self.actions[id]
        assert fields is not None, f"{id} keeps"
        return fields

    def _can_copy(self, like: Given, id: str) -> bool:
        if like.value not in self.actions:
            like.fault(
                "rule/unknown",
                f"like must name a rule, got {like.value!r}",
                lambda: closest(like.value, self.actions) or self._others(id),
            )
            return False
        if self.actions[like.value] is None:
            like.fault(
                "value/range",
                f"like must name a rule that prunes, and {like.value!r} keeps its layers",
                "name another rule, or write the fields out",
            )
            return False
        return True

    def _others(self, id: str) -> str:
        pruning = [
            other for other, fields in self.actions.items() if fields is not None and other != id
        ]
        return (
            f"available: {', '.join(sorted(pruning))}"
            if pruning
            else "no other rule prunes; write the fields out"
        )


def _tell_of_cycle(seen: list[str], back: str, like: Given) -> None:
    """Note a cycle once: at `like` of the first of its rules by name, when that rule is built."""
    if back == seen[0] == min(seen):
        like.fault(
            "like/cycle",
            f"like refers back to itself: {' > '.join((*seen, back))}",
            "write the fields out in one of them",
        )


def holds_zeros(fields: Fields) -> bool:
    """Return whether the fields of an action hold the zeros that are there."""
    return "method" in fields and fields["method"].value == "keep"


def _merge(own: Fields, inherited: Fields) -> Fields:
    """Return `own`, with missing fields from `inherited`.

    A target, or a pattern that fixes it, replaces every inherited target; `method: keep` replaces
    all that it does not take.
    """
    fixes_target = bool(own.keys() & set(TARGETS)) or (
        "pattern" in own and fixes_sparsity(own["pattern"].value)
    )
    dropped: tuple[str, ...] = TARGETS if fixes_target else ()
    if holds_zeros(own):
        dropped = UNUSED
    return {
        name: given for name, given in inherited.items() if name not in dropped and name != "like"
    } | dict(own)
