"""A model file is written whole or not at all, and a full disk is one line."""

import subprocess
import sys

import numpy as np
import pytest
import tf_keras

from graphprune.archive import read_archive
from graphprune.tf.models.saving import save_model

pytestmark = pytest.mark.tf

PROGRAM = """
import resource, sys
import tf_keras
from graphprune.errors import OutputError
from graphprune.tf.models.saving import save_model
model = tf_keras.Sequential([tf_keras.layers.Dense(100, input_shape=(100,))], name="net")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_model(model, sys.argv[1])
except OutputError as fault:
    print(fault)
"""


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_file_that_cannot_grow_is_one_line_and_nothing_is_left(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (
        0,
        (
            f"{tmp_path}/{name}: cannot be written: File too large; raise the limit on the size of"
            " files (ulimit -f), or give another place\n"
        ),
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
