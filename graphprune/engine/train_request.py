"""The arguments of `train`, checked before a Keras is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from graphprune.arguments import check_whole, wrong_type
from graphprune.errors import TrainingError
from graphprune.plan.changes import Plan
from graphprune.plan.from_document import is_plan, plan_of
from graphprune.rules.building.read import is_rule_text, rule_set_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.runs.best import parse_ranking
from graphprune.runs.cluster import WAIT
from graphprune.runs.resume_point import Tell
from graphprune.runs.run_options import KEPT, MAX_EPOCHS, Compiling, Fitting
from graphprune.runs.run_settings import SETTINGS
from graphprune.runs.setting_values import plain_value
from graphprune.runs.training_arguments import NONE, OnProgress, StopRequest, check_settings
from graphprune.sparsity.positions import Position

LOADING = "loading the model"
READING = "reading the data"
CHECKING = "checking that model and data fit"
MEASURING = "measuring the original"
TRACING = "tracing the training step"
WAITING = "waiting for the other workers"

Rules = RuleSet | str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]]
"""Rules as users give them."""

_PARTS = {field.name: field.default for part in (Compiling, Fitting) for field in fields(part)}
"""The defaults of settings in parts of a request."""
_KINDS = (
    "a RuleSet, the path of a rule file, 'builtin:NAME', YAML text, a dict, a list of these, a Plan"
    " or the path of its JSON file, or None for a model that is wrapped already"
)


def tell_nobody(_text: str) -> None:
    """Do nothing: the default of `on_stage`."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """The settings of a new run; the attributes are those of `graphprune.train`.

    Attributes:
        compiling: `optimizer`, `loss`, `metrics`, `learning_rate` and `reset_optimizer`.
        fitting: `callbacks`, `early_stopping`, `class_weight` and `validation_split`.
        callbacks: Callbacks given in Python.
        dry_run, evaluate: Check everything, or measure the model, and write nothing.
        run_file: Keys of the run file that do not follow from the others.
        given: The arguments that are live objects, in words, for the run file.
    """

    epochs: int
    compiling: Compiling
    batch_size: int | None = None
    checkpoint_every: Position | str = "1 epoch"
    keep: int = KEPT
    keep_best: str | None = None
    steps_per_epoch: int | None = None
    seed: int = 0
    force: bool = False
    tensorboard: str | Path | None = None
    strategy: str = NONE
    workers: tuple[str, ...] | None = None
    wait: int = WAIT
    stop_after_step: int | None = None
    allow_missed: bool = False
    on_progress: OnProgress | None = None
    on_stage: Tell = tell_nobody
    stop: StopRequest | None = None
    fitting: Fitting = field(default_factory=Fitting)
    callbacks: tuple[Any, ...] = ()
    dry_run: bool = False
    evaluate: bool = False
    run_file: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()

    def checked(self, custom_objects: Any) -> TrainRequest:
        """Return the settings with the metrics as a tuple, after a check of all types.

        Raises:
            TypeError: one of them, or `custom_objects`, has another type.
        """
        check_whole("epochs", self.epochs)
        metrics = check_settings(
            counts={
                "batch_size": self.batch_size,
                "steps_per_epoch": self.steps_per_epoch,
                "seed": self.seed,
                "stop_after_step": self.stop_after_step,
                "keep": self.keep,
            },
            names={"optimizer": self.compiling.optimizer, "loss": self.compiling.loss},
            metrics=self.compiling.metrics,
            learning_rate=self.compiling.learning_rate,
            checkpoint_every=self.checkpoint_every,
            custom_objects=custom_objects,
            strategy=self.strategy,
            stop=self.stop,
        )
        if self.keep_best is not None and not isinstance(self.keep_best, str):
            raise wrong_type("keep_best", "a metric such as 'val_accuracy'", self.keep_best)
        return replace(self, compiling=replace(self.compiling, metrics=metrics))

    def written_settings(self) -> dict[str, Any]:
        """Return the settings for a run file, as plain values by key.

        Defaults are left out.
        """
        defaults = {field.name: field.default for field in fields(self)}
        found = dict(self.run_file)
        for setting in SETTINGS:
            name = setting.argument
            parts = [part for part in (self.compiling, self.fitting, self) if hasattr(part, name)]
            value = getattr(parts[0], name) if parts else None
            default = {**defaults, **_PARTS}.get(name)
            if value is not None and value != default and value != ():
                found[setting.key] = plain_value(value, value)
        return found

    def check_numbers(self, place: str) -> None:
        """Refuse a number out of range, and a metric to keep the best by that cannot be read.

        Raises:
            TrainingError: there is one; the text begins with `place`.
        """
        if self.keep < 1:
            raise TrainingError(f"keep must be at least 1, got {self.keep}", place=place)
        if self.keep_best is not None:
            parse_ranking(self.keep_best)
        if not 1 <= self.epochs <= MAX_EPOCHS:
            raise TrainingError(
                f"the number of epochs must be from 1 to {MAX_EPOCHS:,}, got {self.epochs}",
                place=place,
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


def named_rules(rules: Any) -> dict[str, Any]:
    """Return the key `rules` of a run file, for rules that are named by paths."""
    named = list(rules) if isinstance(rules, list | tuple) else [rules]
    is_named = all(isinstance(one, str | PathLike) and not is_rule_text(one) for one in named)
    if not is_named or is_plan(rules):
        return {}
    return {"rules": [str(one) for one in named]}


def plain_setting(value: Any) -> Any:
    """Return a mapping as a dict; None for text and numbers, which have checks of their own."""
    return None if value is None or isinstance(value, str | int | float) else value


def text_keys(weights: Any) -> Any:
    """Return class weights as JSON has them; anything else is left to the check."""
    if not isinstance(weights, Mapping):
        return weights
    return {str(name): weight for name, weight in weights.items()}
