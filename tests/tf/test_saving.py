"""A model file is written whole or not at all, and a full disk is one line."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest
import tf_keras

from graphprune.archive import read_archive
from graphprune.errors import OutputError
from graphprune.tf.models.saving import save_model

pytestmark = pytest.mark.tf


@contextmanager
def files_of_at_most(size):
    """Let no file of this process grow beyond a size, as `ulimit -f` does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_file_that_cannot_grow_is_one_line_and_nothing_is_left(tmp_path, name):
    model = tf_keras.Sequential([tf_keras.layers.Dense(100, input_shape=(100,))], name="net")
    with files_of_at_most(20_000), pytest.raises(OutputError) as caught:
        save_model(model, tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path}/{name}: cannot be written: File too large; raise the limit on the size of"
        " files (ulimit -f), or give another place"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_h5_file_holds_model_and_optimizer(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(2,), name="fc")], name="net")
    model.compile("adam", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)
    save_model(model, tmp_path / "model.h5")
    assert read_archive(tmp_path / "model.h5").training_config is not None
    again = tf_keras.models.load_model(tmp_path / "model.h5")
    for one, other in zip(
        [*model.weights, *model.optimizer.variables],
        [*again.weights, *again.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
