"""From a layer graph and rules to a plan, from a plan to the rewritten graph, and back.

What belongs here: decisions for every layer, their JSON, budgets, drift and the check of a result.
What does not: matching (`rules`), texts (`report`), and live models (`tf`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.plan.changes import LayerChange, Plan
    from graphprune.plan.from_document import plan_from_config, read_plan
    from graphprune.plan.make import make_plan
    from graphprune.plan.measured import measure_planned
    from graphprune.plan.rewrite import wrap_graph
    from graphprune.plan.staleness import check_plan_fits, check_weights_fit, other_model
    from graphprune.plan.timing import check_reached
    from graphprune.plan.to_document import plan_sha256, plan_to_config
    from graphprune.plan.verification_document import verification_to_config
    from graphprune.plan.verify import Verification, verify_plan

__all__ = [
    "LayerChange",
    "Plan",
    "Verification",
    "check_plan_fits",
    "check_reached",
    "check_weights_fit",
    "make_plan",
    "measure_planned",
    "other_model",
    "plan_from_config",
    "plan_sha256",
    "plan_to_config",
    "read_plan",
    "verification_to_config",
    "verify_plan",
    "wrap_graph",
]

if not TYPE_CHECKING:  # so that type checkers know every name, and no other
    __getattr__ = lazy_names(
        __name__,
        {
            "changes": ["LayerChange", "Plan"],
            "make": ["make_plan"],
            "to_document": ["plan_sha256", "plan_to_config"],
            "from_document": ["plan_from_config", "read_plan"],
            "rewrite": ["wrap_graph"],
            "staleness": ["check_plan_fits", "check_weights_fit", "other_model"],
            "timing": ["check_reached"],
            "measured": ["measure_planned"],
            "verification_document": ["verification_to_config"],
            "verify": ["Verification", "verify_plan"],
        },
    )
