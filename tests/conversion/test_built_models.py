"""Models are built from the configs of all files of tf_keras."""

import pytest
import tf_keras
from tf_keras import layers

from graphprune.conversion.libraries import Library
from graphprune.graph.read import open_model_file

pytestmark = pytest.mark.tf


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_sequential_model_is_built_from_the_config_of_a_file(tmp_path, suffix):
    model = tf_keras.Sequential([layers.Input((3,)), layers.Dense(2, activation="relu")])
    path = tmp_path / f"net{suffix}"
    model.save(path)
    built = Library(2).build(open_model_file(path).graph.to_config(), str(path))
    assert built.get_config() == model.get_config()
