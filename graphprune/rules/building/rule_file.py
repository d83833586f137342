"""The shapes of a rule and of a whole rule file, and rules built from them.

The checks and the JSON Schema both come from these pydantic models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import model_validator

from graphprune.rules.building.actions import ActionBuilder
from graphprune.rules.building.budgets import BudgetShape
from graphprune.rules.building.checks import CheckShape
from graphprune.rules.building.layers import CustomLayerShape
from graphprune.rules.building.prune_fields import DefaultsShape, PruneShape
from graphprune.rules.building.schedules import ScheduleShape
from graphprune.rules.matchers.failures import find_contradiction
from graphprune.rules.matchers.keys import MatcherBuilder, MatcherValue
from graphprune.rules.matchers.logic import Use
from graphprune.rules.matchers.number_test import NumberTest, NumberTestValue
from graphprune.rules.text.document import Notes, Path
from graphprune.rules.text.shape import Fault, Shape, optional, required
from graphprune.rules.text.words import Identifier, OnlyTrue, TextOrList, Variable, Version
from graphprune.rules.values.rule_set import Keep, Prune, Rule

AT_LEAST_ONE = NumberTest(gte=1)
_RAMP = "{curve: polynomial, begin: 0 epochs, end: 4 epochs, every: 100 steps}"


def two_actions() -> Fault:
    """Return the fault of a rule with both `prune` and `keep`."""
    return Fault(
        "value/range",
        "must have exactly one of 'prune' and 'keep', got both",
        "delete one of them",
        says_all=True,
    )


class RuleShape(Shape):
    """One rule: the layers, and the action on them."""

    meant: ClassVar[Mapping[str, str]] = {
        "name": "id",
        "where": "match",
        "select": "match",
        "layers": "match",
        "comment": "note",
        "description": "note",
    }
    missing: ClassVar[Mapping[str, str]] = {
        "id": "add one, such as 'id: dense-90'; wrapped layers remember it",
        "match": (
            "add the conditions, such as 'match: {type: Dense}', or 'match: \"*\"' for every layer"
            " with prunable weights"
        ),
    }

    id: Identifier = required(
        "The rule's name: one word, unique over all files. Wrapped layers store it.", "dense-90"
    )
    note: str = optional("A comment.", "hidden layers only")
    match: MatcherValue = required(
        (
            'Which layers: a mapping of conditions that must all hold, or "*" for every layer with'
            " prunable weights."
        ),
        "{type: Dense}",
    )
    prune: PruneShape = optional("Prune the matching layers.", "{sparsity: 90%, schedule: ramp}")
    keep: OnlyTrue = optional("true: leave the matching layers dense. keep beats prune.", "true")
    overrides: TextOrList = optional(
        "Ids of rules that this one overrides on every layer that both match.", "[dense-90]"
    )
    expect: NumberTestValue = optional(
        "How many layers must match: a number, or a test. Default: at least one.", "{gte: 1}"
    )

    @model_validator(mode="after")
    def check_action(self) -> RuleShape:
        """Refuse a rule with no action or with two."""
        actions = {"prune", "keep"} & self.model_fields_set
        if not actions:
            help = (
                "write 'prune: {sparsity: 90%, schedule: ...}', or 'keep: true' to leave the layers"
                " dense"
            )
            raise Fault(
                "key/missing", "the key 'prune', or 'keep', is missing", help, says_all=True
            )
        if len(actions) > 1:
            raise two_actions()
        return self


class FileShape(Shape):
    """A whole rule file, without its `x-` keys."""

    missing: ClassVar[Mapping[str, str]] = {"version": "begin the file with 'version: 1'"}

    version: Version = required("The version of the rule language: 1.", "1")
    vars: dict[str, Variable] = optional(
        (
            'Variables and their defaults. Use one as a whole value: "${final}"; change it with'
            " --var final=0.8."
        ),
        "{final: 90%}",
    )
    layers: dict[str, CustomLayerShape] = optional(
        "Custom layers: their prunable weights, and the meaning of the axes.",
        "{MyPkg>LowRank: {prunable: {u: [in, rank], v: [rank, out]}}}",
    )
    schedules: dict[str, ScheduleShape] = optional(
        "Schedules by name, which rules can share.", f"{{ramp: {_RAMP}}}"
    )
    selectors: dict[str, MatcherValue] = optional(
        "Matchers by name, for rules and checks to use: {use: NAME}.",
        "{classifier: {last: {type: Dense}}}",
    )
    require: list[CheckShape] = optional(
        "Checks on the model and on the result; one that fails stops the plan.",
        "[{id: has-dense, count: {of: {type: Dense}, is: {gte: 1}}}]",
    )
    budgets: dict[str, BudgetShape] = optional(
        "Targets over several layers, by name.", "{net: {sparsity: 95%, allocate: erk}}"
    )
    defaults: DefaultsShape = optional(
        "Default fields for prune actions.", "{prune: {schedule: ramp}}"
    )
    rules: list[RuleShape] = optional(
        "Which layers are pruned, and how. The order does not matter.",
        "[{id: dense-90, match: {type: Dense}, prune: {sparsity: 90%, schedule: ramp}}]",
    )


def build_rule(
    shape: RuleShape, path: Path, notes: Notes, actions: ActionBuilder, selectors: Mapping[str, Use]
) -> Rule | None:
    """Return the rule at `path`, or None if its action could not be built."""
    subject = f"{notes.name('rule', shape.id)}: "
    matchers = MatcherBuilder(notes, selectors)
    matcher = matchers.matcher(shape.match, (*path, "match"), subject)
    found = find_contradiction(matcher)
    if found is not None:
        notes.fault(
            "match/contradiction",
            f"{subject}match cannot hold for any layer: {found.reason}",
            (*path, "match"),
            found.help,
        )
    action: Keep | Prune | None = Keep()
    if shape.given("prune") is not None:
        action = actions.prune(shape.id, shape.prune, notes, (*path, "prune"))
    if action is None:
        return None
    expect = AT_LEAST_ONE
    if shape.given("expect") is not None:
        expect = matchers.number_test(shape.expect, (*path, "expect"), subject)
    return Rule(
        id=shape.id,
        where=notes.document.value(path),
        matcher=matcher,
        action=action,
        expect=expect,
        note=shape.given("note") or "",
    )
