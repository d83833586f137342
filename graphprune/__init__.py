"""Declarative graph rewrites over saved Keras models: prune by rules, train, resume, strip, and see
every change.

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
    from graphprune.runs.stopping import StopRequest
    from graphprune.sparsity.positions import Run
    from graphprune.tf.layers.prunable_layer import PrunableLayer
    from graphprune.tf.models.loading import load_model
    from graphprune.tf.models.saving import save_model
    from graphprune.tf.pruning.callbacks import UpdatePruningStep
    from graphprune.tf.pruning.keras_api import (
        collect_prunable_layers,
        prune_low_magnitude,
        strip_pruning,
    )
    from graphprune.tf.pruning.keras_schedules import (
        ConstantSparsity,
        PolynomialDecay,
        PruningSchedule,
    )
    from graphprune.tf.pruning.one_shot import prune_one_shot
    from graphprune.tf.pruning.pruner import Pruner
    from graphprune.tf.pruning.scope import prune_scope
    from graphprune.tf.pruning.summaries import PruningSummaries
    from graphprune.tf.pruning.surgery import apply_plan, apply_rules
    from graphprune.tf.pruning.wrapper import PruneLowMagnitude
    from graphprune.tf.training.run import resume, train

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
    "runs.stopping": ("StopRequest",),
    "sparsity.positions": ("Run",),
    "plan": ("Plan", "make_plan", "read_plan"),
    "diff": ("diff_graphs",),
    "tf.pruning.callbacks": ("UpdatePruningStep",),
    "tf.pruning.keras_api": ("collect_prunable_layers", "prune_low_magnitude", "strip_pruning"),
    "tf.pruning.keras_schedules": ("ConstantSparsity", "PolynomialDecay", "PruningSchedule"),
    "tf.models.loading": ("load_model",),
    "tf.layers.prunable_layer": ("PrunableLayer",),
    "tf.pruning.one_shot": ("prune_one_shot",),
    "tf.pruning.pruner": ("Pruner",),
    "tf.models.saving": ("save_model",),
    "tf.pruning.scope": ("prune_scope",),
    "tf.pruning.summaries": ("PruningSummaries",),
    "tf.pruning.surgery": ("apply_plan", "apply_rules"),
    "tf.training.run": ("resume", "train"),
    "tf.pruning.wrapper": ("PruneLowMagnitude",),
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
    "StopRequest",
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
    "prune_one_shot",
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
