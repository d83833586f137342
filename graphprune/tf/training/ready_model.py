"""The model of a run, planned by the given rules and made ready for its first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import tf_keras

from graphprune.arguments import wrong_type
from graphprune.errors import TrainingError
from graphprune.graph.read import open_model_file
from graphprune.plan.changes import Plan
from graphprune.plan.from_document import is_plan, plan_of
from graphprune.plan.make import LoadedModel, plan_saved_model
from graphprune.rules.building.read import rule_set_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.runs.run_options import Compiling
from graphprune.sparsity.positions import Run
from graphprune.tf.layers.live_tensors import check_finite
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.live_graph import count_zeros, graph_of_model, weight_reader
from graphprune.tf.pruning.surgery import apply_plan
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.data import Data
from graphprune.tf.training.evaluation import check_data_fits
from graphprune.tf.training.gradients import check_gradients
from graphprune.tf.training.origin import Origin


def make_ready(
    model: tf_keras.Model, plan: Plan | None, asked: Compiling, data: Data, place: str
) -> tf_keras.Model:
    """Return the model wrapped by `plan` and compiled as asked, once it was found to fit the data.

    Raises:
        TrainingError: no layer is pruned, a weight is not finite, or a setting does not exist.
        DataError: the data does not fit.
    """
    if plan is not None:
        model = apply_plan(model, plan)
    if not find_wrappers(model) and plan is not None:
        raise TrainingError(
            "the plan wraps no layer, so there is nothing to train for; graphprune plan shows why",
            place=place,
        )
    if not find_wrappers(model):
        raise TrainingError(
            "no layer is pruned; give rules with -r RULES (rules in Python), or wrap the"
            " model first with graphprune apply",
            place=place,
        )
    check_finite(model, place, "such a model cannot be pruned by magnitude; train it anew")
    compile_model(model, asked, place)
    check_data_fits(model, data)
    check_gradients(model, data, place)
    return model


_KINDS = (
    "a RuleSet, the path of a rule file, 'builtin:NAME', YAML text, a dict, a list of these, a Plan"
    " or the path of its JSON file, or None for a model that is wrapped already"
)


def given_rules(rules: Any) -> Plan | RuleSet | None:
    """Return the plan or the rules that the user gave.

    Raises:
        PlanError: a plan's file cannot be read.
        RuleError: the rules have faults.
        TypeError: `rules` is something else.
    """
    if rules is None:
        return None
    if is_plan(rules):
        return plan_of(rules)
    is_list = isinstance(rules, list | tuple) and len(rules) > 0
    if not is_list and not isinstance(rules, RuleSet | str | PathLike | Mapping):
        raise wrong_type("rules", _KINDS, rules)
    return rule_set_of(rules)


def plan_for(
    origin: Origin,
    model: tf_keras.Model,
    rules: Plan | RuleSet | None,
    run: Run,
    *,
    allow_missed: bool,
) -> Plan | None:
    """Return the plan by which to wrap `model`, which was loaded from the file of `origin`; None
    for a model that is wrapped already.

    Raises:
        RuleError: the rules do not fit the model, or the length of the run.
    """
    if not isinstance(rules, RuleSet):
        return rules
    saved = replace(open_model_file(origin.file), path=origin.place)
    asked = {custom.type: tuple(custom.axes) for custom in rules.custom_layers}
    loaded = None
    if origin.has_own_objects:  # custom layers say themselves what to prune
        loaded = LoadedModel(
            graph_of_model(model, asked), count_zeros(model, asked), weight_reader(model, asked)
        )
    return plan_saved_model(saved, rules, run, loaded=loaded, allow_missed=allow_missed)
