"""The interface between training runs and a Keras: what each does for `train` and `resume`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from graphprune.archive import read_archive
from graphprune.archive.archive import Archive
from graphprune.engine.callbacks import MaskUpdates
from graphprune.engine.data_function import import_object
from graphprune.engine.file_data import FileData
from graphprune.engine.given_data import GivenData
from graphprune.engine.held import PrunedLayer
from graphprune.engine.live_compiling import LiveCompiling
from graphprune.engine.pruner import Pruner
from graphprune.engine.recorder import Arrays, RunRecorder
from graphprune.engine.run_record import RunData
from graphprune.engine.shares import WHOLE, Share
from graphprune.engine.workers import Workers
from graphprune.plan import Plan
from graphprune.plan.make import LoadedModel
from graphprune.runs.checkpoints import RunState
from graphprune.runs.cluster import Cluster
from graphprune.runs.labels import LabelRule
from graphprune.runs.run_options import Compiling, RunOptions
from graphprune.sparsity.positions import Run

Load = Callable[[str | Path], Any]
"""Loads a saved model with the user's own classes."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How the models of a run are loaded; the attributes are those of `graphprune.load_model`."""

    custom_objects: Mapping[str, Any] | None = None
    unsafe_lambda: bool = False
    unsafe_ops: bool = False

    def with_named(self, compiling: Compiling, seam: ModelSeam) -> Loading:
        """Return it with the losses and metrics that the settings of a run name.

        Raises:
            TrainingError: one cannot be imported.
        """
        found: dict[str, Any] = {}
        for spec in compiling.named_objects:
            value = import_object(spec)
            named = value if hasattr(value, "__name__") else type(value)
            found |= {named.__name__: named, seam.registered_name(named): named}
        return replace(self, custom_objects={**found, **(self.custom_objects or {})})

    def by(self, seam: ModelSeam) -> Load:
        """Return the function that loads a saved model in this way."""

        def load(path: str | Path) -> Any:
            return seam.load_archive(
                read_archive(path),
                self.custom_objects or {},
                unsafe_lambda=self.unsafe_lambda,
                unsafe_ops=self.unsafe_ops,
            )

        return load


class Spread(Protocol):
    """How a run is distributed over devices."""

    @property
    def name(self) -> str:
        """`none`, `mirrored:N` or `multiworker:NxM`, as the run's folder records it."""
        ...

    @property
    def replicas(self) -> int:
        """The number of replicas that share a batch."""
        ...

    @property
    def workers(self) -> Workers:
        """The processes that train the run together."""
        ...

    @property
    def share(self) -> Share:
        """The part of each batch that this process takes."""
        ...

    def scope(self, place: Path) -> AbstractContextManager[Any]:
        """Return the scope to make the model and its optimizer in.

        Inside, a lost worker is a `WorkerError` about the run in the folder `place`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """A training from the position of `start` to the end of the run.

    Attributes:
        model: The compiled model with pruned layers.
        data: Its data.
        options: What the run was asked to do.
        start: The position to start from.
    """

    model: Any
    data: Any
    options: RunOptions
    start: RunState

    @property
    def class_weight(self) -> dict[int, float] | None:
        """The weight of each class in the loss; None for equal weights."""
        weights = self.options.fitting.class_weight
        return None if weights is None else {int(name): one for name, one in weights.items()}


class ModelSeam(Protocol):
    """Models of a Keras: loading, saving, and what a run needs to know of them."""

    def is_model(self, value: object) -> bool:
        """Return whether this is a live model of this Keras."""
        ...

    def check_model(self, model: Any) -> None:
        """Refuse a live model that cannot be pruned.

        Raises:
            GraphError: it is of a kind that is not supported.
        """
        ...

    def registered_name(self, value: Any) -> str:
        """Return the name by which files have a class or function."""
        ...

    def own_objects(self, model: Any) -> dict[str, Any]:
        """Return the user's own classes and functions in a model, by the names in its files.

        Raises:
            TrainingError: two have the same name, so a file cannot distinguish them.
        """
        ...

    def load_archive(
        self,
        archive: Archive,
        custom_objects: Mapping[str, Any],
        *,
        unsafe_lambda: bool = False,
        unsafe_ops: bool = False,
    ) -> Any:
        """Return the model in a file, with its optimizer and pruned layers; see `load_model`."""
        ...

    def save_model(self, model: Any, path: Path) -> None:
        """Write a model, with its optimizer and pruned layers, to a file.

        Raises:
            OutputError: it cannot be written.
        """
        ...

    def in_precision(self, model: Any, policy: str) -> Any:
        """Return a clone of a float32 model that computes by a mixed dtype policy.

        It is recorded in the provenance of the pruned layers.

        Raises:
            TrainingError: the model cannot be built with the policy.
        """
        ...

    def strip_model(self, model: Any) -> Any:
        """Return a clone without pruning, in the original's precision, compiled like the model."""
        ...

    def check_reads_back(self, model: Any, suffix: str, place: str, load: Load) -> None:
        """Save a model with custom classes to a temporary file and load it.

        Raises:
            OutputError: the file cannot be written, or loading it does not return the same model.
        """
        ...

    def apply_plan(self, model: Any, plan: Plan) -> Any:
        """Return a clone of the model with the layers of a plan pruned."""
        ...

    def pruned_layers(self, model: Any) -> Mapping[str, PrunedLayer]:
        """Return the pruned layers of a model by address."""
        ...

    def live_graph(self, model: Any, asked: Mapping[str, Sequence[str]]) -> LoadedModel:
        """Return the graph of a model with custom layers; `asked` names their weights to prune."""
        ...

    def read_updates(self, model: Any) -> int:
        """Return the step count of the model's optimizer."""
        ...

    def find_label_rules(self, model: Any) -> Sequence[LabelRule | None]:
        """Return the label rule of each output's loss; None if it is unknown."""
        ...

    def reset_metrics(self, model: Any) -> None:
        """Set the sums of all metrics to zero."""
        ...


class TrainingSeam(ModelSeam, Protocol):
    """A Keras, as far as training runs need it."""

    @property
    def keras(self) -> Literal[2, 3]:
        """2 for tf_keras, or 3."""
        ...

    @property
    def backend(self) -> str:
        """The name of the backend: `tensorflow`, `jax` or `torch`."""
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that a run depends on, by the package's name."""
        ...

    def given_data(self, data: Any) -> str | GivenData:
        """Return the user's data as one of its kinds.

        Raises:
            TypeError: it is of no supported kind.
        """
        ...

    def read_data(
        self,
        given: str | GivenData | FileData,
        *,
        batch_size: int | None = None,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        replicas: int = 1,
        share: Share = WHOLE,
    ) -> RunData:
        """Return the data that `given` names or holds.

        Raises:
            DataError: it is missing, damaged or invalid for its kind.
        """
        ...

    def open_spread(self, strategy: str, cluster: Cluster | None = None) -> Spread:
        """Return the spread for the strategy of this name, on this cluster.

        Raises:
            TrainingError: there is no such strategy, or it cannot be used here.
        """
        ...

    def compile_model(self, model: Any, asked: Compiling, place: str, run: Run = ...) -> None:
        """Compile a model in place, unless it is compiled as asked; `run` is in updates.

        Raises:
            TrainingError: a name is unknown, or a setting is neither saved nor given.
        """
        ...

    def metric_names(self, model: Any) -> tuple[str, ...]:
        """Return the names of loss and metrics of a compiled model whose metrics are built."""
        ...

    def evaluate(self, model: Any, data: Any) -> dict[str, float]:
        """Return loss and metrics on the validation data; empty without validation data.

        The state of the model stays as it was.
        """
        ...

    @property
    def live_kinds(self) -> Mapping[str, tuple[type, ...]]:
        """The classes of an `optimizer`, a `loss` and of `metrics`."""
        ...

    @property
    def callback(self) -> type:
        """The class of callbacks."""
        ...

    @property
    def rate_callbacks(self) -> tuple[type, ...]:
        """The classes of callbacks that set the learning rate."""
        ...

    def follows_schedule(self, model: Any) -> bool:
        """Return whether the learning rate of a compiled model follows a schedule of Keras."""
        ...

    def compile_live(self, model: Any, live: LiveCompiling, asked: Compiling, place: str) -> None:
        """Compile a model with objects that were given in Python; names come later.

        Raises:
            TrainingError: there is no optimizer.
        """
        ...

    def check_finite(self, model: Any, place: str, remedy: str) -> None:
        """Refuse weights that are not finite.

        Raises:
            TrainingError: some are NaN or infinite.
        """
        ...

    def check_data_fits(self, model: Any, data: Any) -> None:
        """Refuse data that a compiled model cannot take, and build its metrics.

        Raises:
            DataError: the data does not fit.
        """
        ...

    def check_gradients(self, model: Any, data: Any, place: str) -> None:
        """Refuse a compiled model if the loss gives a pruned layer, or every weight, no gradient.

        Raises:
            TrainingError: a weight gets none.
        """
        ...

    def saved_randomness(self, model: Any, seed: int) -> AbstractContextManager[Any]:
        """Let all random layers draw from generators seeded by `seed`, whose state can be saved.

        Everything is restored afterwards.
        """
        ...

    def restore_state(self, model: Any, randomness: Any, state: Mapping[str, Arrays]) -> None:
        """Restore what a recorder read, except the sums of metrics; a missing kind is empty.

        Raises:
            CheckpointError: the model is a different one.
        """
        ...

    def pruner(self, model: Any) -> Pruner:
        """Return a pruner of the model that is not started."""
        ...

    def mask_updates(self, run: Run, done: int) -> MaskUpdates:
        """Return the callback that updates masks."""
        ...

    def summaries(self, log_dir: Path, run: Run) -> Any:
        """Return the callback that writes TensorBoard events; it has a method `close`."""
        ...

    def recorder(self, randomness: Any, *args: Any, **kwargs: Any) -> RunRecorder:
        """Return the recorder of a run as a callback; further arguments as for `RunRecorder`."""
        ...

    def fit(self, task: Fit, callbacks: Sequence[Any]) -> None:
        """Train in one call of the Keras's `fit`, from a position that may be inside an epoch.

        Counts, metrics, validation and callbacks are those of an uninterrupted training. Work that
        is done once per training, such as writing weight averages at the end, is done once.
        """
        ...

    def is_data_fault(self, fault: Exception) -> bool:
        """Return whether an error of `fit` may come from reading the data."""
        ...
