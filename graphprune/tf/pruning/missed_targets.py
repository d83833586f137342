"""The pruned tensors of a live model that are not at their targets."""

from __future__ import annotations

import tf_keras

from graphprune.engine.progress import missed_targets
from graphprune.sparsity.missed_targets import MissedTarget
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.held import held_layers
from graphprune.tf.pruning.live_tfmot import is_toolkit_layer
from graphprune.tf.pruning.model_clone import clone_with_state, clone_wrapped


def find_missed_targets(model: tf_keras.Model) -> tuple[MissedTarget, ...]:
    """Return the pruned tensors of a wrapped model that have fewer zeros than when their schedules
    are finished, in the model's order.

    Of a live model that the TensorFlow toolkit wrapped, it looks at the conversion.
    """
    if any(is_toolkit_layer(layer) for layer in model._flatten_layers()):
        model = clone_with_state(model, clone_wrapped, set(), compiled=False)
    return missed_targets(held_layers(find_wrappers(model)))
