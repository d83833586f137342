"""Prune saved Keras models by rules: plan, apply, train, resume, strip, and see every change.

Every name resolves on first use, so that importing this package costs nothing and TensorFlow is
imported only by the names that need it.

What belongs here: the public names, and modules that every package may use (errors, files,
signals). What does not: what one package alone needs.
"""

from __future__ import annotations

from graphprune.lazy import lazy_names

# not from typing, whose import takes as long as all else before the command line listens to signals
TYPE_CHECKING = False

if TYPE_CHECKING:
    from graphprune.diagnostics.diagnostic import Diagnostic, Where
    from graphprune.diff import GraphDiff, diff_graphs
    from graphprune.dispatch import (
        Pruner,
        PruningSummaries,
        UpdatePruningStep,
        collect_prunable_layers,
        prune_low_magnitude,
        prune_scope,
        strip_pruning,
    )
    from graphprune.engine.prunable_layer import PrunableLayer
    from graphprune.engine.schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
    from graphprune.engine.training_result import TrainingResult
    from graphprune.errors import (
        ArchiveError,
        CheckpointError,
        DataError,
        GraphError,
        GraphpruneError,
        OutputError,
        PlanError,
        RuleError,
        StalePlanError,
        TrainingError,
    )
    from graphprune.graph import LayerGraph
    from graphprune.interface import (
        apply_plan,
        apply_rules,
        convert,
        diff_models,
        load_model,
        make_plan,
        prune_one_shot,
        read_graph,
        save_model,
        verify,
        write_plan,
    )
    from graphprune.plan import Plan, read_plan
    from graphprune.plan.verify import Verification
    from graphprune.rules import RuleSet, read_rules
    from graphprune.runs.training_arguments import StopRequest
    from graphprune.sparsity.positions import Run
    from graphprune.sparsity.schedules import Schedule
    from graphprune.tf.pruning.wrapper import PruneLowMagnitude
    from graphprune.training import resume, train

__version__ = "0.1.0"

_HOMES: dict[str, tuple[str, ...]] = {
    "diagnostics.diagnostic": ("Diagnostic", "Where"),
    "errors": (
        "ArchiveError",
        "CheckpointError",
        "DataError",
        "GraphError",
        "GraphpruneError",
        "OutputError",
        "PlanError",
        "RuleError",
        "StalePlanError",
        "TrainingError",
    ),
    "graph": ("LayerGraph",),
    "interface": (
        "apply_plan",
        "apply_rules",
        "convert",
        "diff_models",
        "load_model",
        "make_plan",
        "prune_one_shot",
        "read_graph",
        "save_model",
        "verify",
        "write_plan",
    ),
    "rules": ("RuleSet", "read_rules"),
    "runs.training_arguments": ("StopRequest",),
    "sparsity.positions": ("Run",),
    "plan": ("Plan", "read_plan"),
    "plan.verify": ("Verification",),
    "diff": ("GraphDiff", "diff_graphs"),
    "dispatch": (
        "Pruner",
        "PruningSummaries",
        "UpdatePruningStep",
        "collect_prunable_layers",
        "prune_low_magnitude",
        "prune_scope",
        "strip_pruning",
    ),
    "engine.prunable_layer": ("PrunableLayer",),
    "engine.schedules": ("ConstantSparsity", "PolynomialDecay", "PruningSchedule"),
    "engine.training_result": ("TrainingResult",),
    "sparsity.schedules": ("Schedule",),
    "training": ("resume", "train"),
    "tf.pruning.wrapper": ("PruneLowMagnitude",),
}

__all__ = [
    "ArchiveError",
    "CheckpointError",
    "ConstantSparsity",
    "DataError",
    "Diagnostic",
    "GraphDiff",
    "GraphError",
    "GraphpruneError",
    "LayerGraph",
    "OutputError",
    "Plan",
    "PlanError",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneLowMagnitude",
    "Pruner",
    "PruningSchedule",
    "PruningSummaries",
    "RuleError",
    "RuleSet",
    "Run",
    "Schedule",
    "StalePlanError",
    "StopRequest",
    "TrainingError",
    "TrainingResult",
    "UpdatePruningStep",
    "Verification",
    "Where",
    "apply_plan",
    "apply_rules",
    "collect_prunable_layers",
    "convert",
    "diff_graphs",
    "diff_models",
    "load_model",
    "make_plan",
    "prune_low_magnitude",
    "prune_one_shot",
    "prune_scope",
    "read_graph",
    "read_plan",
    "read_rules",
    "resume",
    "save_model",
    "strip_pruning",
    "train",
    "verify",
    "write_plan",
]


if not TYPE_CHECKING:  # so that type checkers know every name, and no other
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
