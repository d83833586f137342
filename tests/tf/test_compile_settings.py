"""Compile settings that a file names and graphprune cannot restore: told in every format, and the
model comes without them.
"""

from __future__ import annotations

import warnings

import pytest
import tensorflow as tf
import tf_keras

from graphprune import load_model

pytestmark = pytest.mark.tf


def own_loss(wanted, found):
    return tf.reduce_mean(tf.square(wanted - found))


class OwnLoss(tf_keras.losses.Loss):
    def call(self, wanted, found):
        return own_loss(wanted, found)


class OwnSgd(tf_keras.optimizers.SGD):
    pass


SETTINGS = {
    "loss 'own_loss'": {"loss": own_loss},
    "loss 'OwnLoss'": {"loss": OwnLoss()},
    "loss 'own_loss' in a list": {"loss": [own_loss]},
    "loss 'own_loss' as metric": {"loss": "mse", "metrics": [own_loss]},
    "optimizer 'OwnSgd'": {"loss": "mse", "optimizer": OwnSgd},
}
LAMBDA = {"loss": lambda wanted, found: own_loss(wanted, found)}


def save(settings, path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))], name="net")
    chosen = {"optimizer": "sgd", **settings}
    if isinstance(chosen["optimizer"], type):
        chosen["optimizer"] = chosen["optimizer"]()  # an optimizer trains one model
    model.compile(**chosen)
    model.fit(tf.zeros((2, 3)), tf.zeros((2, 2)), verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path, save_format="tf" if path.suffix == "" else None)
    return path


@pytest.mark.parametrize("name", ["m", "m.keras", "m.h5"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_what_is_not_restored_is_named(tmp_path, kind, name):
    path = save(SETTINGS[kind], tmp_path / name)
    with pytest.warns(UserWarning, match="is not part of Keras; give it with") as told:
        model = load_model(path)
    assert len(told) == 1
    message = str(told[0].message)
    assert message.startswith(
        f"{path}: its compile settings could not be restored, so the model is not compiled ("
    )
    # only a .keras file tells a function that is a metric from one that is a loss
    what, own = kind.split(" ")[:2]
    is_metric = kind.endswith("as metric") and name.endswith(".keras")
    assert f"{'metric' if is_metric else what} {own}" in message
    assert told[0].filename == __file__
    assert not model._is_compiled


def test_a_loss_without_a_name_in_a_saved_model_is_named(tmp_path):
    path = save(LAMBDA, tmp_path / "m")
    with pytest.warns(UserWarning, match="a function in it is a lambda") as told:
        assert not load_model(path)._is_compiled
    assert len(told) == 1
