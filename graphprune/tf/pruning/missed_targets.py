"""The pruned tensors of a live model that are not at their targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tf_keras

from graphprune.sparsity.missed_targets import MissedTarget
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.live_tfmot import is_toolkit_layer
from graphprune.tf.pruning.model_clone import clone_with_state, clone_wrapped
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def find_missed_targets(model: tf_keras.Model) -> tuple[MissedTarget, ...]:
    """Return the pruned tensors of a wrapped model that have fewer zeros than when their schedules
    are finished, in the model's order.

    Of a live model that the TensorFlow toolkit wrapped, it looks at the conversion.
    """
    if any(is_toolkit_layer(layer) for layer in model._flatten_layers()):
        model = clone_with_state(model, clone_wrapped, set(), compiled=False)
    return tuple(
        missed
        for address, wrapper in find_wrappers(model).items()
        for missed in _missed_in(address, wrapper)
    )


def _missed_in(address: str, wrapper: PruneLowMagnitude) -> Iterator[MissedTarget]:
    for name, (weight, mask, _) in zip(wrapper.pruning.weights, wrapper.pruning_vars, strict=False):
        wanted, size = wrapper.pruning.target_zeros(name, weight.shape), weight.shape.num_elements()
        if (
            size - np.count_nonzero(mask.numpy()) >= wanted
        ):  # counting a mask takes a tenth of the time of counting weights
            continue
        zeros = size - int(np.count_nonzero(weight.numpy()))
        if zeros < wanted:
            yield MissedTarget(
                address,
                name,
                size,
                zeros,
                wanted,
                was_updated=bool(wrapper.last_update.numpy() >= 0),
            )
