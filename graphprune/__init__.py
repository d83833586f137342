"""Declarative graph rewrites over saved Keras models: prune by rules, train, resume, strip, and see every change.

Every name resolves on first use, so that importing this package costs nothing and TensorFlow is imported only by the names that need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.diff import diff_graphs
    from graphprune.errors import (
        ArchiveError,
        CheckpointError,
        DataError,
        Diagnostic,
        GraphError,
        GraphpruneError,
        OutputError,
        PlanError,
        RuleError,
        StalePlanError,
        TrainingError,
        Where,
    )
    from graphprune.graph import LayerGraph, read_graph
    from graphprune.plan import Plan, make_plan, read_plan
    from graphprune.rules import RuleSet, read_rules
    from graphprune.sparsity.positions import Run
    from graphprune.tf.callbacks import UpdatePruningStep
    from graphprune.tf.keras_api import collect_prunable_layers, prune_low_magnitude, strip_pruning
    from graphprune.tf.keras_schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
    from graphprune.tf.loading import load_model
    from graphprune.tf.prunable_layer import PrunableLayer
    from graphprune.tf.pruner import Pruner
    from graphprune.tf.saving import save_model
    from graphprune.tf.scope import prune_scope
    from graphprune.tf.summaries import PruningSummaries
    from graphprune.tf.surgery import apply_plan, apply_rules
    from graphprune.tf.training import resume, train
    from graphprune.tf.wrapper import PruneLowMagnitude

__version__ = "0.1.0"

_HOMES: dict[str, tuple[str, ...]] = {
    "errors": (
        "ArchiveError",
        "CheckpointError",
        "DataError",
        "Diagnostic",
        "GraphError",
        "GraphpruneError",
        "OutputError",
        "PlanError",
        "RuleError",
        "StalePlanError",
        "TrainingError",
        "Where",
    ),
    "graph": ("LayerGraph", "read_graph"),
    "rules": ("RuleSet", "read_rules"),
    "sparsity.positions": ("Run",),
    "plan": ("Plan", "make_plan", "read_plan"),
    "diff": ("diff_graphs",),
    "tf.callbacks": ("UpdatePruningStep",),
    "tf.keras_api": ("collect_prunable_layers", "prune_low_magnitude", "strip_pruning"),
    "tf.keras_schedules": ("ConstantSparsity", "PolynomialDecay", "PruningSchedule"),
    "tf.loading": ("load_model",),
    "tf.prunable_layer": ("PrunableLayer",),
    "tf.pruner": ("Pruner",),
    "tf.saving": ("save_model",),
    "tf.scope": ("prune_scope",),
    "tf.summaries": ("PruningSummaries",),
    "tf.surgery": ("apply_plan", "apply_rules"),
    "tf.training": ("resume", "train"),
    "tf.wrapper": ("PruneLowMagnitude",),
}

__all__ = [
    "ArchiveError",
    "CheckpointError",
    "ConstantSparsity",
    "DataError",
    "Diagnostic",
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
    "StalePlanError",
    "TrainingError",
    "UpdatePruningStep",
    "Where",
    "apply_plan",
    "apply_rules",
    "collect_prunable_layers",
    "diff_graphs",
    "load_model",
    "make_plan",
    "prune_low_magnitude",
    "prune_scope",
    "read_graph",
    "read_plan",
    "read_rules",
    "resume",
    "save_model",
    "strip_pruning",
    "train",
]


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
