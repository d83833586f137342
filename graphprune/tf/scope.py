"""The names under which graphprune's own classes are found while a saved model loads."""

from __future__ import annotations

from typing import Any

import tf_keras

from graphprune.tf.wrapper import PACKAGE, PruneLowMagnitude


def prune_scope() -> Any:
    """Return a scope, for `with`, in which `tf_keras.models.load_model` knows graphprune's classes."""
    return tf_keras.utils.custom_object_scope({f"{PACKAGE}>{PruneLowMagnitude.__name__}": PruneLowMagnitude, PruneLowMagnitude.__name__: PruneLowMagnitude})
