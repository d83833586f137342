"""What a run was asked to do, and how it ended: the content of `run.json` and `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from graphprune.documents import Expected, FirstOnly
from graphprune.runs.data_files import DataFiles
from graphprune.runs.records import (
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
    str, Expected("none or mirrored:N", pattern=r"^(none|mirrored:[1-9][0-9]{0,2})$")
]

Keras = Annotated[int, Expected("2 or 3", ge=2, le=3)]
Backend = Annotated[
    str, Expected("the name of a backend of Keras", pattern=r"^[a-z][a-z0-9_]{0,31}$")
]


@dataclass(frozen=True, slots=True)
class Compiling:
    """How to compile a model for training; None keeps what the model was saved with.

    Attributes:
        optimizer, loss: Names that Keras knows, such as `adam` and
            `sparse_categorical_crossentropy`.
        metrics: Names that Keras knows, such as `accuracy`.
        learning_rate: A constant rate.
        reset_optimizer: Reset the optimizer state: no moments, no iterations.
    """

    optimizer: str | None = None
    loss: str | None = None
    metrics: Many[str] | None = None
    learning_rate: Rate | None = None
    reset_optimizer: bool = False


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
        compiling: Optimizer, loss, metrics and learning rate, as far as they were given.
        version: Of graphprune.
        tensorboard: The folder of TensorBoard's events, a relative one in the run's folder; None
            for none.
        strategy: `none`, or `mirrored:N` with the number of replicas that share each batch.
        first_batch_sha256: Of the first training batch of datasets or a Sequence; empty for arrays
            and an `.npz`.
        files: The hash of each file that the run began with, by name.
        keras: 2 where tf_keras trains the model, or 3.
        backend: The backend of Keras that trains it.
        data_files: What is needed to read a CSV, images or TFRecord files; None for other data.
    """

    model: PathText
    model_sha256: Hash
    model_name: ModelName
    data: PathText
    data_sha256: HashOrNone
    epochs: Epochs
    own_steps_per_epoch: bool
    checkpoint_every: Length
    compiling: Compiling
    version: str
    tensorboard: PathText | None = None
    strategy: Strategy = "none"
    first_batch_sha256: HashOrNone = ""
    files: Annotated[Mapping[FileName, Hash], FirstOnly()] = field(default_factory=dict)
    keras: Keras = 2
    backend: Backend = "tensorflow"
    data_files: DataFiles | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * self.steps_per_epoch

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
    """

    step: Count
    steps: Count
    model: ModelName
    metrics: Mapping[str, Any]
    tensors: Many[TensorResult]
    model_sha256: HashOrNone = ""
    run_id: RunId = ""
