"""The shape of a rule file as pydantic models: the one source of the checker and of the JSON
Schema.
"""

from __future__ import annotations

from pydantic import model_validator

from graphprune.rules.shapes.action_shape import (
    BudgetShape,
    DefaultsShape,
    PruneShape,
    ScheduleShape,
)
from graphprune.rules.shapes.check_shape import CheckShape
from graphprune.rules.shapes.layers_shape import CustomLayerShape
from graphprune.rules.shapes.matcher_shape import MatcherValue, NumberTestValue, TextOrList
from graphprune.rules.shapes.scalars import Fault, Identifier, OnlyTrue, Variable, Version
from graphprune.rules.shapes.shape import OPTIONAL, Shape


def two_actions() -> Fault:
    """Return what is wrong with a rule that prunes and keeps."""
    return Fault(
        "value/range",
        "must have exactly one of 'prune' and 'keep', got both",
        "delete one of them",
        says_all=True,
    )


class RuleShape(Shape):
    """One rule: which layers, and what to do with them."""

    id: Identifier
    note: str = OPTIONAL
    match: MatcherValue
    prune: PruneShape = OPTIONAL
    keep: OnlyTrue = OPTIONAL
    overrides: TextOrList = OPTIONAL
    expect: NumberTestValue = OPTIONAL

    @model_validator(mode="after")
    def check_action(self) -> RuleShape:
        """Refuse a rule without an action, and one with two."""
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

    version: Version
    vars: dict[str, Variable] = OPTIONAL
    layers: dict[str, CustomLayerShape] = OPTIONAL
    schedules: dict[str, ScheduleShape] = OPTIONAL
    selectors: dict[str, MatcherValue] = OPTIONAL
    require: list[CheckShape] = OPTIONAL
    budgets: dict[str, BudgetShape] = OPTIONAL
    defaults: DefaultsShape = OPTIONAL
    rules: list[RuleShape] = OPTIONAL


for _shape in (RuleShape, FileShape):
    _shape.model_rebuild()
