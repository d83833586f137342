"""The pruning wrapper: a layer of the same name that holds masks and keeps masked weights zero."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.engine.base_layer_utils import call_context
from tf_keras.src.saving.legacy.saved_model.utils import in_tf_saved_model_scope
from tf_keras.src.utils.tf_utils import maybe_init_scope

from graphprune.archive.tfmot import is_toolkit_config
from graphprune.arguments import wrong_type
from graphprune.engine.pruner import no_pruner
from graphprune.engine.schedules import PruningSchedule
from graphprune.graph.checkpoint_weights import state_attribute
from graphprune.graph.classes.python_patterns import pattern_arguments
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.tf.layers.live_tensors import (
    find_weight,
    holds_prunable_layer,
    is_builtin_layer,
    prunable_names,
    unburied,
    weight_names,
)
from graphprune.tf.layers.prunable_layer import live_class
from graphprune.tf.layers.replicas import copies
from graphprune.tf.layers.stored_names import keep_names, places_of
from graphprune.tf.pruning.keras_schedules import SCHEDULES, read_own_schedule, write_own_schedule
from graphprune.tf.pruning.stored_state import readable_state, write_state
from graphprune.tf.pruning.tfmot import convert_tfmot_config
from graphprune.tf.pruning.training_hooks import Projection, forget_first_traces, is_symbolic
from graphprune.wrapper_names import LAST_UPDATE, PACKAGE, STEP, mask_name, threshold_name


@tf_keras.utils.register_keras_serializable(package=PACKAGE)
class PruneLowMagnitude(tf_keras.layers.Wrapper):
    """A layer whose smallest weights are zero, as a pruner chooses them while the layer trains.

    It has the name of the layer that it wraps and calls it, so outputs, losses, masks, states and
    keyword tensors are those of the unwrapped layer. Masks are applied after each optimizer update,
    by the constraint of the pruned variables; nothing is assigned in the forward pass. Calls with
    `training=True` need a pruner: `UpdatePruningStep` in `fit`, a started `Pruner` elsewhere.

    Attributes:
        layer: The layer inside.
        pruning: What to prune, how much, and when; `pruning_schedule`, `block_size`,
            `block_pooling_type`, `sparsity_m_by_n` give it as arguments of `prune_low_magnitude`.
        provenance: The rule that asked for it.
        pruning_step: Optimizer updates since the wrap (int64), once built.
        last_update: The step of the last mask update (int64), -1 before the first; once built.
        own_schedule: The schedule, if of a user's own class; None if `pruning` describes it.
        pruners: The started pruners that follow this layer; several if models share it and train
            in turn.
        missed_pruner: Whether training was refused for lack of a pruner, and none was created
            since.
    """

    def __init__(
        self,
        layer: Layer,
        pruning: Pruning | Mapping[str, Any],
        provenance: Provenance | Mapping[str, str] | None = None,
        weight_names: Sequence[str] = (),
        weight_places: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        _check_arguments(layer, pruning)
        is_tfmot = bool(kwargs.pop("is_tfmot", False))
        schedule = read_own_schedule(kwargs.pop("own_schedule", None))
        own = {"name": layer.name, "trainable": layer.trainable, "dtype": layer._dtype_policy}
        super().__init__(layer, **{**own, **kwargs, "autocast": False})
        if hasattr(layer, "_batch_input_shape") and not hasattr(self, "_batch_input_shape"):
            # with it, a Sequential model is built when its first layer is added
            self._batch_input_shape = layer._batch_input_shape
        self.pruning = (
            pruning if isinstance(pruning, Pruning) else _read_pruning(layer.name, pruning)
        )
        self.provenance = (
            provenance
            if isinstance(provenance, Provenance)
            else Provenance.from_config(provenance or {})
        )
        self._weight_names = tuple(weight_names)
        self._weight_places = dict(weight_places or {})
        keep_names(layer, self._weight_names, decided=True)
        self._is_tfmot = is_tfmot
        self.own_schedule = schedule
        self.pruners: weakref.WeakSet[Any] = weakref.WeakSet()
        self.missed_pruner = False
        # Keras then passes the arguments that the inner layer expects (training, mask, its own
        # context arguments) and writes nodes with its argument names.
        self._call_spec = layer._call_spec
        self._call_context_args = layer._call_context_args
        self._supports_masking = layer.supports_masking

    @property
    def has_pruner(self) -> bool:
        """Whether a started pruner follows this layer."""
        return len(self.pruners) > 0

    @property
    def pruning_vars(self) -> list[tuple[tf.Variable, tf.Variable, tf.Variable]]:
        """(weight, mask, threshold) of each pruned tensor; empty before the layer is built."""
        if not hasattr(self, STEP):
            return []
        state = {
            name: [
                getattr(self, state_attribute(named(name))) for named in (mask_name, threshold_name)
            ]
            for name in self.pruning.weights
        }
        return [
            (find_weight(self.layer, name), mask, threshold)
            for name, (mask, threshold) in state.items()
        ]

    @property
    def pruning_schedule(self) -> PruningSchedule:
        """When masks change, and to which share of zeros."""
        return self.own_schedule or SCHEDULES.of_plan(self.pruning.schedule, self.pruning.sparsity)

    @property
    def block_size(self) -> tuple[int, int]:
        """(rows, columns) of the blocks that are zeroed whole; (1, 1) for single weights."""
        return pattern_arguments(self.pruning).block_size

    @property
    def block_pooling_type(self) -> str:
        """`MAX` if a block is scored by its largest magnitude, else `AVG`."""
        return pattern_arguments(self.pruning).block_pooling_type

    @property
    def sparsity_m_by_n(self) -> tuple[int, int] | None:
        """(m, n) if m of each n weights along the input axis are zeroed, else None."""
        return pattern_arguments(self.pruning).sparsity_m_by_n

    @property
    def pruning_state(self) -> list[tf.Variable]:
        """Masks, thresholds and steps in storage order; empty before the layer is built."""
        pairs = [
            variable for _, mask, threshold in self.pruning_vars for variable in (mask, threshold)
        ]
        return [*pairs, self.pruning_step, self.last_update] if hasattr(self, STEP) else []

    @property
    def input_spec(self) -> Any:
        """The inner layer's input spec.

        None for a layer that takes its states as further inputs (RNN), and so checks inputs itself.
        """
        return self.layer.input_spec if self._is_called_as_layer else None

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        self.layer.input_spec = value

    @property
    def _is_called_as_layer(self) -> bool:
        return type(self.layer).__call__ is Layer.__call__

    @property
    def stateful(self) -> bool:
        """Whether the inner layer carries state from batch to batch."""
        return bool(self.layer.stateful)

    @stateful.setter
    def stateful(self, value: bool) -> None:
        self.layer.stateful = value

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        """The weights that optimizers do not update.

        A wrapper read from the toolkit's config lists its state last, as the toolkit does, because
        `.h5` files depend on this order.
        """
        if not self._is_tfmot:
            return super().non_trainable_weights  # type: ignore[no-any-return]
        return [*self.layer.non_trainable_weights, *self._non_trainable_weights]

    def reset_states(self, *args: Any, **kwargs: Any) -> None:
        """Reset the states of a stateful inner layer."""
        self.layer.reset_states(*args, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        """Build the inner layer, masks and counters, and put the projection on each pruned weight.

        Attention layers are completed at their first call.
        """
        super().build(input_shape)
        if not hasattr(self, STEP) and not _builds_when_called(self.layer):
            self._add_pruning_state()

    def _add_pruning_state(self) -> None:
        if not self.pruning.weights and holds_prunable_layer(self.layer):
            self.pruning = replace(self.pruning, weights=prunable_names(self.layer))
        weights = [find_weight(self.layer, name) for name in self.pruning.weights]
        for name, weight in zip(self.pruning.weights, weights, strict=True):
            self._add_state(mask_name(name), weight.shape, tf.bool, True)
            self._add_state(threshold_name(name), (), tf.float32, 0)
        self._add_state(STEP, (), tf.int64, 0)
        self._add_state(LAST_UPDATE, (), tf.int64, -1)
        # the toolkit's files lack this variable, so it is not listed until the model is saved
        if self._is_tfmot:
            self._non_trainable_weights.pop()
        counter = self.pruning_step
        for weight, mask, _ in self.pruning_vars:
            for variable in copies(weight):
                variable._constraint = Projection(variable.constraint, mask, counter)
            counter = None

    def _add_state(self, name: str, shape: Any, dtype: tf.DType, value: float) -> None:
        variable = self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            initializer=tf_keras.initializers.Constant(value),
            trainable=False,
            # each replica counts its own updates, which happen on all of them at once
            aggregation=tf.VariableAggregation.NONE,
            experimental_autocast=False,
        )
        setattr(self, state_attribute(name), variable)
        if state_attribute(name) != name:
            # `add_weight` tracks a variable by its name, which Keras's loader of SavedModels reads
            # as a path
            self._delete_tracking(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the inner layer, after a check that a pruner follows the training.

        Raises:
            TrainingError: the layer is called for training and no pruner is attached.
        """
        context = call_context()
        # A layer called with a fixed `training=True` inside a model (Monte Carlo dropout) does not
        # train when its model does not.
        training = context.training if context.in_call else kwargs.get("training")
        if (
            training is True
            and not self.has_pruner
            and not context.saving
            and not is_symbolic((args, kwargs))
        ):
            self.missed_pruner = True
            forget_first_traces()
            raise unburied(no_pruner(self.name))
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what the inner layer returns."""
        if not self._is_called_as_layer:
            # When Keras saves, it passes arguments in the order of `call`; a recurrent layer's own
            # `__call__` has another order.
            kwargs |= zip(self.layer._call_spec.arg_names[1:], args, strict=False)
            args = ()
        outputs = self.layer(inputs, *args, **kwargs)
        if not hasattr(self, STEP):
            with maybe_init_scope(self):
                self._add_pruning_state()
        return outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the inner layer's output mask."""
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the inner layer's output shape."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return everything that `from_config` needs; the inner layer's own config is as unwrapped.

        For a custom layer, it also holds the names of the weights and their places in other
        formats, so that the file can be measured without the layer's class.
        """
        if self._is_tfmot and hasattr(self, STEP):
            self._is_tfmot = False
            self._non_trainable_weights.append(self.last_update)
        names = (weight_names(self.layer) if self.layer.built else ()) or self._weight_names
        places = (places_of(self.layer, names) if self.layer.built else {}) or self._weight_places
        own = {"pruning": self.pruning.to_config(), "provenance": self.provenance.to_config()}
        base = super().get_config()
        if getattr(self.layer, "_batch_input_shape", None) == base.get("batch_input_shape"):
            base.pop("batch_input_shape", None)  # the inner layer's config has it
        return {
            **base,
            **own,
            **write_own_schedule(self.own_schedule),
            **({"weight_names": list(names)} if names else {}),
            **({"weight_places": places} if places else {}),
        }

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return the variable or layer that a checkpoint of `save_weights` calls `name`.

        An earlier version kept the dots in the names of masks and thresholds.
        """
        found = super()._lookup_dependency(name, *args, **kwargs)
        return (
            super()._lookup_dependency(state_attribute(name), *args, **kwargs)
            if found is None
            else found
        )

    def save_own_variables(self, store: Any) -> None:
        """Write the state into a `.keras` file."""
        write_state(self, store)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Read the state from a `.keras` file."""
        repeated = len(self.pruning.weights) if self._is_tfmot else 0
        super().load_own_variables(readable_state(self, store, repeated=repeated))

    def get_build_config(self) -> None:
        """Return nothing: like a built-in layer, the wrapper is built when its model calls it."""
        return

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> PruneLowMagnitude:
        """Return the wrapper that `get_config` described; both of Keras's dialects are read."""
        config = copy.deepcopy(config)
        # Without `build_config`: the inner layer is built by `build`, under the wrapper's name, or
        # weight names of nested models would clash in an .h5 file.
        entry = {key: value for key, value in config.pop("layer").items() if key != "build_config"}
        # An .h5 file is being loaded; in its dialect a custom class is stored by its registered
        # name.
        if in_tf_saved_model_scope():
            entry = {
                "class_name": entry.get("registered_name") or entry["class_name"],
                "config": entry["config"],
            }
        # RNN.from_config takes the cell out of the config that it is given, and the toolkit's
        # config is read after it.
        layer = tf_keras.layers.deserialize(
            copy.deepcopy(entry), custom_objects, use_legacy_format="module" not in entry
        )
        if is_toolkit_config(config):
            return cls(layer, **convert_tfmot_config(config | {"layer": entry}, layer))
        config["own_schedule"] = read_own_schedule(config.get("own_schedule"), custom_objects)
        return cls(layer, **config)


def _check_arguments(layer: Any, pruning: Any) -> None:
    if not isinstance(layer, Layer):
        raise wrong_type(
            "layer",
            "a layer of tf_keras",
            layer,
            "give a layer that is not called yet, such as tf_keras.layers.Dense(10)",
        )
    if not isinstance(pruning, Pruning | Mapping):
        raise wrong_type(
            "pruning",
            "a Pruning",
            pruning,
            "prune_low_magnitude(layer, pruning_schedule) makes a wrapper from a schedule",
        )


def _read_pruning(name: str, config: Mapping[str, Any]) -> Pruning:
    try:
        return Pruning.from_config(config)
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError(
            f"{name}: 'pruning' is not what Pruning.to_config returns ({type(err).__name__}:"
            f" {err}); make wrappers by prune_low_magnitude"
        ) from err


def _builds_when_called(layer: Layer) -> bool:
    """Return whether the layer may have no weights before its first call.

    This holds for custom layers and for MultiHeadAttention, which needs the shapes of query, value
    and key.
    """
    if not is_builtin_layer(layer) or holds_prunable_layer(layer):
        return True
    return live_class(layer).is_built_by_call and not layer.weights
