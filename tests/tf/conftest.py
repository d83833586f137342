"""Lets SpectralNormalization be built."""

import pytest


@pytest.fixture(scope="module")
def own_input_spec():
    """Let SpectralNormalization be built: it takes InputSpec from `tf.keras`, which is Keras 3
    where TF_USE_LEGACY_KERAS is not set.
    """
    import tensorflow as tf
    import tf_keras

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.keras.layers, "InputSpec", tf_keras.layers.InputSpec)
        yield
