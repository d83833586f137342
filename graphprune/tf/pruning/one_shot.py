"""One-shot pruning: the smallest weights become zero at once, without data and without training."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import tf_keras

from graphprune.engine.masks import prune_at_once
from graphprune.plan.changes import Plan
from graphprune.rules.values.rule_set import RuleSet
from graphprune.tf.layers.finite import check_finite
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.held import held_layers
from graphprune.tf.pruning.surgery import apply_plan, apply_rules, strip_model


def prune_one_shot(
    model: tf_keras.Model, rules: RuleSet | Plan | str | PathLike[str] | Mapping[str, Any]
) -> tf_keras.Model:
    """Return a clone of `model` in which the smallest weights that `rules` select are zero at once;
    nothing else is changed, and nothing is wrapped.

    The targets, patterns, budgets and thresholds of the rules hold; their schedules play no part,
    since nothing is trained. Layers that are wrapped already get the target of their wrapper.
    Counts are exact: those that the plan tells.

    Args:
        model: A built Sequential or Functional model; it is not changed.
        rules: What to prune: rules in any form that `apply_rules` takes, or a plan that was made
            for this model.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules do not fit the model.
        StalePlanError: the plan was made for another model.
        TrainingError: a weight is NaN or infinite, so magnitudes say nothing.
    """
    check_finite(model, model.name, "such a model cannot be pruned by magnitude; train it anew")
    wrapped = apply_plan(model, rules) if isinstance(rules, Plan) else apply_rules(model, rules)
    prune_at_once(held_layers(find_wrappers(wrapped)).values())
    return strip_model(wrapped)
