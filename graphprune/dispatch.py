"""The pruning functions of the Python interface, which serve both Kerases.

The Keras of the given object, tf_keras or Keras 3, decides which implementation is imported; the
other one is not imported.
"""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from typing import Any

from graphprune.conversion.libraries import import_keras
from graphprune.engine import pruner as engine
from graphprune.engine.callbacks import SparsityCurves, check_log_dir
from graphprune.engine.schedules import PruningSchedule
from graphprune.errors import GraphError, TrainingError
from graphprune.sparsity.positions import Run, check_run

SCOPES = {"tf_keras": "tf.pruning.keras_api", "keras": "keras3.scope"}
"""The modules with the `prune_scope` of each Keras."""
SEAMS = {
    "functions": ("tf.pruning.keras_api", "keras3.pruning"),
    "callbacks": ("tf.pruning.callbacks", "keras3.callbacks"),
    "pruner": ("tf.pruning.pruner", "keras3.pruner"),
    "surgery": ("tf.pruning.surgery", "keras3.surgery"),
    "live": ("tf.pruning.live_graph", "keras3.live"),
    "loading": ("tf.models.loading", "keras3.loading"),
    "training": ("tf.training.seam", "keras3.training.seam"),
    "evaluation": ("tf.training.file_accuracy", "keras3.evaluation"),
    "saving": ("tf.models.saving", "keras3.saving"),
    "export": ("tf.models.export", "keras3.export"),
}
"""The modules that serve tf_keras and Keras 3, by what they serve."""
_HOOKS = tuple(
    f"on_{part}_{place}"
    for part in (
        *("batch", "epoch", "train", "train_batch", "test", "test_batch"),
        *("predict", "predict_batch"),
    )
    for place in ("begin", "end")
)
"""The methods of a callback that Keras calls."""


def is_keras_3(value: Any) -> bool:
    """Return whether an object, or the first of a list, is of Keras 3 and not of tf_keras.

    Example:
        >>> is_keras_3(3), is_keras_3([])
        (False, False)
    """
    if isinstance(value, list | tuple) and value:
        kinds = {is_keras_3(item) for item in value}
        if len(kinds) > 1:
            raise GraphError(
                "the list mixes objects of Keras 3 (module keras) and tf_keras; give those of one"
            )
        return kinds.pop()
    packages = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
    return "keras" in packages and "tf_keras" not in packages


def seam(value: Any, serves: str) -> Any:
    """Return the module for the Keras of `value`; that of tf_keras refuses all other objects."""
    return importlib.import_module(f"graphprune.{SEAMS[serves][is_keras_3(value)]}")


def seam_of(keras: int, serves: str) -> Any:
    """Return the module for a Keras by its major version: 2 for tf_keras, or 3.

    Raises:
        GraphError: this Keras, or its backend, is not installed, or it is too old.
    """
    import_keras(keras)
    return importlib.import_module(f"graphprune.{SEAMS[serves][keras == 3]}")


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule | None = None,
    block_size: tuple[int, int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: Any = None,
    sparsity_m_by_n: tuple[int, int] | None = None,
    **kwargs: Any,
) -> Any:
    """Return a layer, a list of layers or a model set up for pruning, in its own Keras.

    A model is cloned, with its weights, compile settings and optimizer state, and is not touched; a
    layer alone is set up itself. In tf_keras, layers are wrapped. In Keras 3, layers are not
    wrapped: the optimizer holds the masks, and saved files also load without graphprune. Layers
    that cannot be pruned are carried over unchanged.

    Args:
        to_prune: A layer, a list of layers, or a model: Sequential or Functional, in Keras 3 also a
            subclassed one. A Sequential model not built yet gets its masks when it is built; with
            Keras 3 on TensorFlow, call it on a batch before `fit`, which would build it too late.
        pruning_schedule: When and how much; by default, half of the weights from step 0 on.
        block_size: (rows, columns) of blocks that are zeroed whole, on kernels of rank 2 and on
            those of 1x1 convolutions. Other convolutions are pruned by single weights.
        block_pooling_type: Whether a block is scored by the mean (`AVG`) or the largest (`MAX`) of
            its magnitudes.
        pruning_policy: Only with a model. Any object with `allow_pruning(layer)`, which returns
            whether a prunable layer should be pruned, and `ensure_model_supports_pruning(model)`,
            which is called first and raises if the model as a whole is not supported.
        sparsity_m_by_n: (m, n) to zero m of each n weights along the input axis; the schedule only
            decides when.
        **kwargs: In tf_keras, further arguments of a wrapper around a layer alone, such as
            `input_shape`.

    Raises:
        GraphError: a model that cannot be copied, or neither a layer nor a model.
        TrainingError: a model in which nothing can be pruned.
        TypeError: an unknown keyword, or a schedule that is not a `PruningSchedule`.
        ValueError: a single custom layer whose weights are unknown; an argument out of range; a
            kernel that does not fit the blocks or groups; a policy without a model, or an object
            that is not a policy.
    """
    module = seam(to_prune, "functions")
    return module.prune_low_magnitude(
        to_prune,
        pruning_schedule,
        block_size,
        block_pooling_type,
        pruning_policy,
        sparsity_m_by_n,
        **kwargs,
    )


def strip_pruning(model: Any) -> Any:
    """Return a clone of `model` without pruning: the original layers, masked weights zero.

    Warns if pruned weights have fewer zeros than their target, because the model was not trained to
    the end of its schedules.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    return seam(model, "functions").strip_pruning(model)


def collect_prunable_layers(model: Any) -> list[Any]:
    """Return the pruned layers of a model in its order, nested models included.

    In tf_keras these are wrappers, in Keras 3 objects with the same attributes `layer`, `pruning`
    and `pruning_vars`.

    Raises:
        GraphError: `model` is not a model.
    """
    return list(seam(model, "functions").collect_prunable_layers(model))


@contextmanager
def prune_scope() -> Iterator[None]:
    """Enter the scope in which Keras loads pruned models: each Keras that the program imported."""
    imported = [home for package, home in SCOPES.items() if package in sys.modules]
    with ExitStack() as stack:
        for home in imported or [SCOPES["tf_keras"]]:
            module = importlib.import_module(f"graphprune.{home}")
            stack.enter_context(module.prune_scope())
        yield


class Pruner(engine.Pruner):
    """Follows the schedules of all pruned layers of a model, of either Keras, in a custom loop.

    `start` it once before training; then call `on_step` after every optimizer update (more often
    does no harm). `UpdatePruningStep` does both in `fit`:

        pruner = Pruner(model)
        pruner.start(Run(steps_per_epoch=100, epochs=10))
        for x, y in batches:
            train_step(x, y)
            pruner.on_step()

    A loop whose model is not compiled gives its optimizer as `optimizer`; in Keras 3 on PyTorch,
    that may be one of `torch.optim`. In Keras 3 the pruner adds the masks to the optimizer, so
    start it before a step is compiled.
    """

    def __new__(cls, model: Any = None, optimizer: Any = None) -> Pruner:
        """Return the pruner of the model's Keras."""
        kind: Callable[..., Any] = seam(model, "pruner").Pruner
        made: Pruner = kind(model, optimizer)
        return made


class _CallbackOfEither(ABC):
    """A callback that delegates to one of the model's Keras once it is given the model."""

    def __init__(self) -> None:
        self.params: dict[str, Any] | None = None
        self.model: Any = None
        self._callback: Any = None

    @abstractmethod
    def _make(self, callbacks: Any) -> Any:
        """Return the callback of a Keras, from its module of callbacks."""

    def set_model(self, model: Any) -> None:
        """Find the model's pruned layers."""
        callback = self._make(seam(model, "callbacks"))
        callback.set_model(model)
        self.model, self._callback = model, callback

    def set_params(self, params: dict[str, Any] | None) -> None:
        """Take the length of the run from `params`."""
        self.params = params
        if self._callback is not None:
            self._callback.set_params(params)

    def _of_model(self) -> Any:
        if self._callback is None:
            raise TrainingError(
                f"{type(self).__name__} has no model; call set_model(model) first, as fit does"
            )
        return self._callback

    # read by tf_keras
    _supports_tf_logs = False
    _chief_worker_only: bool | None = None

    def _implements_train_batch_hooks(self) -> bool:
        return True

    def _implements_test_batch_hooks(self) -> bool:
        return False

    def _implements_predict_batch_hooks(self) -> bool:
        return False


def _forwarding(name: str) -> Callable[..., None]:
    def hook(self: _CallbackOfEither, *args: Any, **kwargs: Any) -> None:
        getattr(self._of_model(), name)(*args, **kwargs)

    hook.__name__ = name
    return hook


for _name in _HOOKS:
    setattr(_CallbackOfEither, _name, _forwarding(_name))


class UpdatePruningStep(_CallbackOfEither):
    """The pruner as a callback of either Keras: `fit(x, y, callbacks=[UpdatePruningStep()])`.

    Put it before callbacks that save or measure the model, so that they see the masks of the
    current step. If `EarlyStopping` stops training before the target, or restores earlier weights,
    `fit` ends with a warning, whatever the order of the two callbacks. A custom loop may call its
    methods as Keras does; a missed call is made up for by the next one.

    Args:
        run: The length of the run, if `fit` cannot know it: an input of unknown size with a
            schedule in epochs or percent.
        done: Steps of that run already done, if it is resumed.
    """

    def __init__(self, run: Run | None = None, *, done: int = 0) -> None:
        super().__init__()
        check_run(run)
        self.run, self._done = run, done

    @property
    def pruner(self) -> Any:
        """The pruner of the callback's model.

        Raises:
            TrainingError: the callback has no model yet.
        """
        return self._of_model().pruner

    def _make(self, callbacks: Any) -> Any:
        return callbacks.UpdatePruningStep(self.run, done=self._done)


class PruningSummaries(_CallbackOfEither):
    """The TensorBoard callback of either Keras, with the sparsity of each pruned tensor.

    It also writes the target sparsity, the measured sparsity and the threshold of the mask of each
    pruned tensor.

    Put it after `UpdatePruningStep`. The tags are `target_sparsity/LAYER/TENSOR`,
    `sparsity/LAYER/TENSOR` and `threshold/LAYER/TENSOR`, with the layer's address and the tensor's
    name; the horizontal axis counts optimizer updates since pruning began, so resumed training
    continues the same curve. The last point is the final state.

    Args:
        log_dir: The folder that TensorBoard shows; events go into its folder `train`.
        update_freq: `epoch`, `batch`, or a number of steps.
        run: The length of the run, if `fit` cannot know it; as for `UpdatePruningStep`.
        **kwargs: Further arguments of the `TensorBoard` callback of the model's Keras.

    Raises:
        TrainingError: the tensorboard package is not installed.
        TypeError: `log_dir` is not a path, or `run` is not a `Run`.
        ValueError: `update_freq` is something else, or `log_dir` is empty.
    """

    def __init__(
        self,
        log_dir: str | PathLike[str] = "logs",
        update_freq: str | int = "epoch",
        *,
        run: Run | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        check_log_dir(log_dir)
        SparsityCurves(update_freq, run)  # checks both, before there is a model
        self.log_dir, self.update_freq, self.run = log_dir, update_freq, run
        self._options = kwargs

    def close(self) -> None:
        """Flush pending events if training ended before `on_train_end`."""
        if self._callback is not None:
            self._callback.close()

    def _make(self, callbacks: Any) -> Any:
        return callbacks.PruningSummaries(
            self.log_dir, self.update_freq, run=self.run, **self._options
        )
