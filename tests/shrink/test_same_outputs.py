"""A model without its dead channels computes what the model with zeros does, in both Kerases."""

from functools import partial

import numpy as np
import pytest
from dead_channels import assert_shrinks, kill_channels, randomize
from shrink.nets import NETS

pytestmark = pytest.mark.tf


def kerases():
    import keras
    import tf_keras

    return {"keras": keras, "tf_keras": tf_keras}


def loader(keras):
    return partial(keras.models.load_model, compile=False)


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_net_without_its_dead_channels_computes_the_same(name, package, suffix, tmp_path):
    keras, rng = kerases()[package], np.random.default_rng(len(name))
    path = tmp_path / f"zeroed{suffix}"
    NETS[name](keras).save(path)
    randomize(path, rng)
    killed = kill_channels(path, rng)
    assert killed > 0
    removal = assert_shrinks(path, tmp_path / f"small{suffix}", loader(keras), rng)
    assert sum(removal.removed.values()) > 0
