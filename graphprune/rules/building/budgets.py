"""Build budgets from their checked shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from graphprune.rules.building.prune_fields import Fields
from graphprune.rules.text.document import Notes, Path
from graphprune.rules.text.numbers import Share
from graphprune.rules.text.shape import Shape, optional, required
from graphprune.rules.text.words import choice
from graphprune.rules.values.rule_set import Allocate, Budget, Of, Over

AllocateName = Annotated[
    Allocate,
    *choice(
        ("uniform", "erk", "magnitude"),
        {
            "global": "allocate: magnitude",
            "local": "allocate: uniform",
            "layerwise": "allocate: uniform",
            "equal": "allocate: uniform",
            "er": "allocate: erk",
            "erdos-renyi": "allocate: erk",
        },
        (
            "uniform makes all tensors equally sparse, erk leaves small ones denser, magnitude"
            " takes the smallest weights of all"
        ),
    ),
]
OverName = Annotated[
    Over,
    *choice(
        ("claimed", "prunable"),
        {
            "all": "over: prunable",
            "model": "over: prunable",
            "rules": "over: claimed",
            "members": "over: claimed",
        },
        (
            "claimed are the tensors of the rules that name the budget, prunable are all that can"
            " be pruned"
        ),
    ),
]


OfName = Annotated[
    Of,
    *choice(
        ("weights", "bytes", "params", "macs"),
        {
            "parameters": "of: params",
            "multiply-adds": "of: macs",
            "flops": "of: macs",
            "channels": "of: weights",
            "size": "of: bytes",
            "memory": "of: bytes",
        },
        (
            "weights are those that become zero, bytes what these take by their dtype; with"
            " 'group: auto', params, macs and bytes are the parameters, multiply-adds and bytes of"
            " the model that go with the channels"
        ),
    ),
]


class BudgetShape(Shape):
    """A target that several layers share."""

    meant: ClassVar[Mapping[str, str]] = {
        "allocation": "allocate",
        "target": "sparsity",
        "minimum": "min",
        "maximum": "max",
    }
    missing: ClassVar[Mapping[str, str]] = {
        "sparsity": "add the share of zeros over all tensors, such as 'sparsity: 95%'"
    }

    sparsity: Share = required("The share of zeros over all tensors of the budget.", "95%")
    allocate: AllocateName = optional(
        (
            "How the zeros are distributed: uniform, erk (by the sum of the axes) or magnitude (one"
            " threshold)."
        ),
        "erk",
        default="uniform",
    )
    over: OverName = optional(
        (
            "Which tensors count: claimed (by the rules that name the budget) or prunable (all of"
            " the model)."
        ),
        "claimed",
        default="claimed",
    )
    of: OfName = optional(
        (
            "What the sparsity is a share of: weights, their bytes, or with 'group: auto' params,"
            " macs or bytes of the model (parameters, multiply-adds), which shrink removes."
        ),
        "macs",
        default="weights",
    )
    minimum: Share = optional("The smallest share of zeros of one tensor.", "10%", alias="min")
    maximum: Share = optional("The largest share of zeros of one tensor.", "99%", alias="max")


def build_budget(
    shape: BudgetShape, notes: Notes, path: Path, name: str, subject: str
) -> Budget | None:
    """Return the budget at `path`, or None after noting a fault."""
    minimum, maximum = shape.given("minimum"), shape.given("maximum")
    if minimum is not None and maximum is not None and minimum > maximum:
        message = f"{subject}min must be at most max, got {minimum:.10g} and {maximum:.10g}"
        notes.fault("value/range", message, (*path, "min"), "lower 'min', or raise 'max'")
        return None
    return Budget(
        name,
        shape.sparsity,
        shape.allocate,
        shape.over,
        minimum,
        maximum,
        notes.document.key(path),
        of=shape.of,
    )


def check_budget_of_groups(budget: Budget, fields: Fields, *, is_grouped: bool) -> None:
    """Note a fault if a budget counts what its rule does not have."""
    given = fields["budget"]
    if not is_grouped and budget.of not in ("weights", "bytes"):
        given.fault(
            "value/range",
            f"budget {budget.name!r} counts {budget.of}, which only groups of channels change",
            "write 'group: auto' and 'pattern: {channel: out}' beside it, or delete 'of'",
        )
