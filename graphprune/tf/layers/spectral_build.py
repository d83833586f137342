"""SpectralNormalization takes its InputSpec from `tf.keras`: where that is Keras 3, tf_keras
refuses it, and no model with such a layer can be built.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tf_keras
from tf_keras.src.layers.normalization import spectral_normalization


@contextmanager
def spectral_layers_buildable() -> Iterator[None]:
    """Let SpectralNormalization build with the InputSpec of its own package, whatever `tf.keras`
    is; nothing else sees a change.
    """
    before = spectral_normalization.tf
    spectral_normalization.tf = _TensorFlowOfTfKeras(before)
    try:
        yield
    finally:
        spectral_normalization.tf = before


class _TensorFlowOfTfKeras:
    """TensorFlow, with tf_keras as its `keras`."""

    keras = tf_keras

    def __init__(self, tensorflow: Any) -> None:
        self._tensorflow = tensorflow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tensorflow, name)
