"""Whether a run is long enough for its schedules, checked before the first step."""

from __future__ import annotations

from collections.abc import Mapping

from graphprune.diagnostics.diagnostic import Diagnostic, Where, sort_by_place
from graphprune.engine.held import PrunedLayer
from graphprune.engine.timetables import find_unreached
from graphprune.errors import RuleError
from graphprune.plan import Plan
from graphprune.rules.resolving.conflicts import list_layers
from graphprune.sparsity.counts import percent
from graphprune.sparsity.positions import Run

_HELP = (
    "train for longer, let the schedule end earlier (in % of the run it fits any run), or go on"
    " with --allow-missed (in Python: allow_missed=True)"
)


def check_targets_reached(layers: Mapping[str, PrunedLayer], run: Run, plan: Plan | None) -> None:
    """Refuse a run that ends before a layer's schedule reaches its target.

    Args:
        layers: The pruned layers by address; layers trained before continue from their step.
        run: The length of the run.
        plan: The plan that wrapped the model, for the places of its rules.

    Raises:
        RuleError: a target is out of reach; each rule gets one diagnostic.
    """
    places = (
        {}
        if plan is None
        else {
            change.address: change.rule.where for change in plan.changes if change.rule is not None
        }
    )
    groups: dict[tuple[str, Where | None, str, int, int], list[str]] = {}
    for address, end, last in find_unreached(layers, run):
        layer = layers[address]
        groups.setdefault(
            (
                layer.provenance.rule,
                places.get(address),
                layer.pruning.describe_target(percent),
                end,
                last,
            ),
            [],
        ).append(address)
    faults = [
        _fault(rule, where, target, end, last, addresses)
        for (rule, where, target, end, last), addresses in groups.items()
    ]
    if faults:
        raise RuleError(sort_by_place(faults))


def _fault(
    rule: str, where: Where | None, target: str, end: int, last: int, layers: list[str]
) -> Diagnostic:
    subject = f"rule '{rule}'" if rule else list_layers(layers)
    message = (
        f"{subject}: the schedule reaches its target of {target} at step {end}, and the run ends at"
        f" step {last}"
    )
    return Diagnostic("schedule/never-reached", message, where, _HELP)
