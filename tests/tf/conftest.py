"""Leaves out of recurrent layers what only a GPU would run; lets SpectralNormalization be built."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _no_functions_for_a_gpu(request):
    """Build LSTM and GRU layers without the functions that TensorFlow would run on a GPU, unless
    there is one, or `--slow` asks for everything.

    Keras traces them, and their gradients, whenever such a layer is called on a symbolic tensor,
    which takes most of the time that this takes. On a CPU nothing calls them.
    """
    import tensorflow as tf
    from tf_keras.src.layers.rnn import gru_lstm_utils

    if request.config.getoption("--slow") or tf.config.list_physical_devices("GPU"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gru_lstm_utils, "function_register", lambda *args, **kwargs: None)
        yield


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
