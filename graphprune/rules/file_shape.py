"""The shape of a rule file as pydantic models: the one source of the checker and of the JSON Schema."""

from __future__ import annotations

from pydantic import model_validator

from graphprune.rules.action_shape import BudgetShape, DefaultsShape, PruneShape, ScheduleShape
from graphprune.rules.check_shape import CheckShape
from graphprune.rules.layers_shape import CustomLayerShape
from graphprune.rules.matcher_shape import MatcherValue, NumberTestValue, TextOrList
from graphprune.rules.scalars import Fault, Identifier, OnlyTrue, Variable, Version
from graphprune.rules.shape import OPTIONAL, Shape

ONE_ACTION = "must have exactly one of 'prune' and 'keep'"
ACTION_HELP = "write 'prune: {sparsity: 90%, schedule: ...}' or 'keep: true'"


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
        if ("prune" in self.model_fields_set) == ("keep" in self.model_fields_set):
            raise Fault("value/range", ONE_ACTION, ACTION_HELP)
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
