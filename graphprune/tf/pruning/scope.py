"""The names under which classes are found while a saved model loads, where Keras does not know
them: graphprune's own, and some of Keras's.
"""

from __future__ import annotations

from typing import Any

import tf_keras

from graphprune.tf.pruning.wrapper import PruneLowMagnitude
from graphprune.wrapper_names import REGISTERED

UNLISTED: tuple[type, ...] = (
    tf_keras.layers.SpectralNormalization,
    tf_keras.layers.experimental.RandomFourierFeatures,
    tf_keras.optimizers.Adafactor,
    tf_keras.optimizers.Lion,
)
"""Classes that Keras exports and does not find again by name in a file that it wrote."""


def prune_scope() -> Any:
    """Return a scope, for `with`, in which `tf_keras.models.load_model` knows graphprune's classes,
    and all of its own.
    """
    return tf_keras.utils.custom_object_scope(prune_objects())


def prune_objects() -> dict[str, type]:
    """Return the classes of `prune_scope` by name."""
    own = {REGISTERED: PruneLowMagnitude, PruneLowMagnitude.__name__: PruneLowMagnitude}
    return {**{unlisted.__name__: unlisted for unlisted in UNLISTED}, **own}
