"""What a run was asked to do, and how it ended: the content of `run.json` and `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from graphprune.documents import Expected, FirstOnly
from graphprune.errors import TrainingError
from graphprune.graph.precision import POLICIES
from graphprune.runs.best import Best
from graphprune.runs.data_files import DataFiles
from graphprune.runs.records import (
    BestName,
    Count,
    Hash,
    HashOrNone,
    Length,
    Many,
    ModelName,
    PathText,
    RunId,
)
from graphprune.runs.run_facts import RunFacts
from graphprune.runs.setting_values import is_object
from graphprune.sparsity.positions import Run

KEPT = 3
"""Checkpoints that a run keeps unless it was asked for another number."""
MAX_EPOCHS = 1_000_000
ORIGINAL = "original.keras"
"""The name, in a run's folder, of the model that the run began with, where that was a live one."""
GIVEN = "data given in Python"
"""The beginning of the description of data that is neither a file nor a function."""


def _check_name(name: str) -> str:
    """Refuse the name of a file that a run does not write at its beginning."""
    folder, slash, file = name.rpartition("/")
    is_rule_file = slash and folder == "rules" and file not in ("", ".", "..") and "\0" not in file
    known = ("plan.json", "original.graph.json", "run.yaml", ORIGINAL)
    if name not in known and not is_rule_file:
        raise ValueError(f"{', '.join(known)} or a file in rules")
    return name


FileName = Annotated[str, AfterValidator(_check_name)]
Rate = Annotated[float, Expected("a number above 0", gt=0, allow_inf_nan=False)]
Epochs = Annotated[int, Expected(f"a whole number from 1 to {MAX_EPOCHS:,}", ge=1, le=MAX_EPOCHS)]
Strategy = Annotated[
    str,
    Expected(
        "none, mirrored:N or multiworker:NxM",
        pattern=r"^(none|mirrored:[1-9][0-9]{0,2}|multiworker:[1-9][0-9]{0,4}x[1-9][0-9]{0,2})$",
    ),
]

MixedPolicy = Annotated[
    str, Expected(f"one of {', '.join(POLICIES)}", pattern=f"^({'|'.join(POLICIES)})$")
]
Keras = Annotated[int, Expected("2 or 3", ge=2, le=3)]
Backend = Annotated[
    str, Expected("the name of a backend of Keras", pattern=r"^[a-z][a-z0-9_]{0,31}$")
]


@dataclass(frozen=True, slots=True)
class Compiling:
    """How to compile a model for training; None keeps what the model was saved with.

    Attributes:
        optimizer: A name that Keras knows, such as `adam`, or a mapping with `name` and settings.
        loss: A name that Keras knows, `MODULE:FUNCTION`, or these by output.
        metrics: The same, several.
        learning_rate: A constant rate, or a curve; see `graphprune.runs.setting_values`.
        reset_optimizer: Reset the optimizer state: no moments, no iterations.
        jit_compile: Whether steps are compiled by XLA; `auto`: as Keras decides.
        steps_per_execution: Steps in one call of the compiled function.
        gradient_accumulation: Batches whose gradients make one update.
        mixed_precision: The dtype policy to train with; None for the model's own.
    """

    optimizer: str | Mapping[str, Any] | None = None
    loss: str | Mapping[str, str] | None = None
    metrics: Many[str] | Mapping[str, Many[str]] | None = None
    learning_rate: Rate | Mapping[str, Any] | None = None
    reset_optimizer: bool = False
    jit_compile: bool | Literal["auto"] | None = None
    steps_per_execution: Length = 1
    gradient_accumulation: Length = 1
    mixed_precision: MixedPolicy | None = None

    @property
    def keras_jit(self) -> bool | None:
        """The value of Keras's `jit_compile`; None lets Keras decide."""
        return None if self.jit_compile == "auto" else self.jit_compile

    @property
    def optimizer_name(self) -> str:
        """The optimizer that was asked for; empty for that of the model."""
        found = self.optimizer
        return str(found["name"]) if isinstance(found, Mapping) else found or ""

    @property
    def rate_name(self) -> str:
        """The learning rate that was asked for, or its curve; empty for that of the model."""
        found = self.learning_rate
        if isinstance(found, Mapping):
            return f"{found['curve']} from {found['from']:g}"
        return "" if found is None else f"{found:g}"

    @property
    def on_resume(self) -> Compiling:
        """What a model of a checkpoint must be compiled with again; its file has the rest."""
        return Compiling(
            jit_compile=self.jit_compile,
            steps_per_execution=self.steps_per_execution,
            gradient_accumulation=self.gradient_accumulation,
        )

    @property
    def named_objects(self) -> tuple[str, ...]:
        """The user's own losses and metrics, as `MODULE:FUNCTION`."""
        found: list[str] = []
        for given in (self.loss, self.metrics):
            parts = given.values() if isinstance(given, Mapping) else [given]
            for part in parts:
                found += [part] if isinstance(part, str) else list(part or ())
        return tuple(name for name in found if is_object(name))


@dataclass(frozen=True, slots=True)
class Fitting:
    """How `fit` is called, beside data and length.

    Attributes:
        callbacks: Functions that return callbacks, as `MODULE:FUNCTION`.
        live_callbacks: The number of callbacks that were given in Python.
        early_stopping: When to stop before the last epoch; see `graphprune.runs.setting_values`.
        class_weight: The weight of each class in the loss, by number as text.
        validation_split: The share of the samples that is kept for validation.
    """

    callbacks: Many[str] = ()
    live_callbacks: Count = 0
    early_stopping: str | Mapping[str, Any] | None = None
    class_weight: Mapping[str, float] | None = None
    validation_split: float | None = None


def run_of(steps_per_epoch: int, epochs: int, compiling: Compiling) -> Run:
    """Return the length of a run in optimizer updates.

    Raises:
        TrainingError: an epoch does not end with an update and an execution.
    """
    every = compiling.gradient_accumulation
    for name, size in (
        ("gradient accumulation", every),
        ("steps per execution", compiling.steps_per_execution),
    ):
        if steps_per_epoch % size:
            raise TrainingError(
                f"{name}: an epoch has {steps_per_epoch} batches, which is no multiple of {size};"
                " choose another batch size or another number"
            )
    return Run(steps_per_epoch // every, epochs)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(RunFacts):
    """What a run was asked to do: all that a new start needs, except the user's own objects.

    Attributes:
        model: The saved model that it began with: an absolute path, or `ORIGINAL` in the run's
            folder for a model that was live.
        model_name: The name of its model files, `model.keras` or `model.h5`.
        data: What `read_data` was given, an absolute path or a function; or, begun by `GIVEN`, the
            description of Python objects.
        own_steps_per_epoch: Whether the length of an epoch was given by the user.
        checkpoint_every: Optimizer steps between checkpoints.
        keep: How many of the newest checkpoints are kept.
        keep_best: The metric by which the best one is kept as well, as `METRIC[:min|max]`.
        compiling: Optimizer, loss, metrics and learning rate, as far as they were given.
        version: Of graphprune.
        tensorboard: The folder of TensorBoard's events, a relative one in the run's folder; None
            for none.
        strategy: `none`; `mirrored:N` with the number of replicas that share each batch; or
            `multiworker:NxM` with N workers of M replicas each.
        first_batch_sha256: Of the first training batch of datasets or a Sequence; empty for arrays
            and an `.npz`.
        files: The hash of each file that the run began with, by name.
        keras: 2 where tf_keras trains the model, or 3.
        backend: The backend of Keras that trains it.
        data_files: What is needed to read a CSV, images or TFRecord files; None for other data.
        fitting: Callbacks, early stopping, class weights and the like.
        original_metrics: Loss and metrics of the original on the validation data.
    """

    model: PathText
    model_sha256: Hash
    model_name: ModelName
    data: PathText
    data_sha256: HashOrNone
    epochs: Epochs
    own_steps_per_epoch: bool
    checkpoint_every: Length
    keep: Length = KEPT
    keep_best: str | None = None
    compiling: Compiling
    version: str
    tensorboard: PathText | None = None
    strategy: Strategy = "none"
    first_batch_sha256: HashOrNone = ""
    files: Annotated[Mapping[FileName, Hash], FirstOnly()] = field(default_factory=dict)
    keras: Keras = 2
    backend: Backend = "tensorflow"
    data_files: DataFiles | None = None
    fitting: Fitting = field(default_factory=Fitting)
    original_metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        """The length of the run in optimizer updates."""
        return run_of(self.steps_per_epoch, self.epochs, self.compiling)

    def updates_by(self, step: int) -> int:
        """Return the optimizer updates by a step of the run; steps are batches."""
        return step // self.compiling.gradient_accumulation

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def best_name(self) -> BestName | None:
        """The name of the best checkpoint's model; None if the run does not keep it."""
        if self.keep_best is None:
            return None
        return "best.h5" if self.model_name == "model.h5" else "best.keras"

    @property
    def written_models(self) -> tuple[str, ...]:
        """The names of the models that the run writes when it ends."""
        return (self.model_name,) if self.best_name is None else (self.model_name, self.best_name)

    @property
    def calls_function(self) -> bool:
        """Whether the data comes from a function; the path of a file is always absolute."""
        return not Path(self.data).is_absolute() and not self.is_data_given

    @property
    def is_data_given(self) -> bool:
        """Whether the data was given as Python objects, which must be given again to resume."""
        return self.data.startswith(GIVEN)

    @property
    def events_outside(self) -> bool:
        """Whether TensorBoard's events go into a folder that is not inside the run's."""
        folder = Path(self.tensorboard or "tensorboard")
        return folder.is_absolute() or ".." in folder.parts


@dataclass(frozen=True, slots=True)
class TensorResult:
    """One pruned tensor of a finished run, as in `TensorProgress`."""

    address: str
    name: str
    size: Length
    zeros: Count
    target_zeros: Count
    target: float
    threshold: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        step, steps: Optimizer updates done, and of the whole run.
        model: The name of the trained model's file.
        metrics: The last line of `metrics.jsonl`.
        tensors: Every pruned tensor.
        model_sha256: Of the trained model's file; empty in format 1.
        run_id: Of the run; empty in format 1.
        best: The best checkpoint; None if the run was not asked to keep it.
        best_model: The name of its model file.
        original_metrics: Loss and metrics of the original on the validation data.
        stopped_early: Why training ended before its last epoch; empty if it did not.
        stripped_metrics: Loss and metrics of the stripped model on the validation data, if the run
            trained in another precision.
    """

    step: Count
    steps: Count
    model: ModelName
    metrics: Mapping[str, Any]
    tensors: Many[TensorResult]
    model_sha256: HashOrNone = ""
    run_id: RunId = ""
    best: Best | None = None
    best_model: BestName | None = None
    original_metrics: Mapping[str, Any] = field(default_factory=dict)
    stopped_early: str = ""
    stripped_metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final_metrics(self) -> dict[str, Any]:
        """The last line of `metrics.jsonl`, with what was measured on the stripped model."""
        return with_stripped(self.metrics, self.stripped_metrics)


def with_stripped(metrics: Mapping[str, Any], stripped: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of the last epoch, those of validation as the stripped model has them.

    Example:
        >>> with_stripped({"loss": 0.5, "val_loss": 0.61}, {"loss": 0.6})
        {'loss': 0.5, 'val_loss': 0.6}
    """
    return {**metrics, **{f"val_{name}": value for name, value in stripped.items()}}
