import random
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from run_builders import (
    assert_same_bits,
    build_dense_model,
    build_model,
    build_setting,
    ramp,
    wrap,
    write_data,
)
from tf_keras import layers
from tf_keras.src.backend import RandomGenerator

import graphprune
from graphprune.errors import TrainingError
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.training import seam
from graphprune.tf.training.data import read_data
from graphprune.tf.training.evaluation import check_data_fits
from graphprune.tf.training.gradients import check_gradients
from graphprune.training import train

pytestmark = pytest.mark.tf
MISSED = "P: pruned layers that get no gradient from the loss would never reach their target: "
WAY_OUT = (
    "; leave them out of the rules, or freeze them (trainable = False) to prune them as they are"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return read_data(write_data(tmp_path_factory.mktemp("data") / "data.npz"), batch_size=8)


def build(middle, *, last=True, loss=None):
    """Return a model that does something between its two Dense layers."""
    image = layers.Input((4, 4, 1))
    x = layers.Lambda(middle, name="pick")(layers.Dense(3, name="fc")(layers.Flatten()(image)))
    model = tf_keras.Model(image, layers.Dense(3, name="out")(x) if last else x, name="net")
    model.compile("sgd", loss or tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def refusal(model, data) -> str:
    with pytest.raises(TrainingError) as caught:
        check_gradients(model, data, "P")
    return str(caught.value)


BLOCKERS = {
    "ArgMax": lambda x: tf.one_hot(tf.argmax(x, -1), 3),
    "Round": tf.round,
    "StopGradient": tf.stop_gradient,
    "Cast": lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32),
    "Greater": lambda x: tf.cast(x > 0, tf.float32),
}


@pytest.mark.parametrize("operation", BLOCKERS)
def test_the_layer_that_passes_no_gradient_on_is_named(data, operation):
    model = wrap(build(BLOCKERS[operation]), fc=ramp(), out=ramp())
    assert refusal(model, data) == f"{MISSED}fc (layer 'pick' stops it: {operation}){WAY_OUT}"


def test_an_operation_without_a_gradient_is_named(data):
    model = wrap(
        build(lambda x: x + tf.raw_ops.Lu(input=tf.reshape(x[:, :1], (-1, 1, 1)))[0][:, 0]),
        fc=ramp(),
    )
    why = (
        "layer 'pick' uses the operation Lu, for which TensorFlow has no gradient; put it where no"
        " trained layer comes before it"
    )
    assert refusal(model, data) == f"P: {why}"


def test_a_head_without_a_loss_is_named(data):
    image = layers.Input((4, 4, 1))
    x = layers.Flatten()(image)
    model = tf_keras.Model(image, [layers.Dense(3, name="a")(x), layers.Dense(3, name="b")(x)])
    model.compile("sgd", ["sparse_categorical_crossentropy", None])
    assert (
        refusal(wrap(model, a=ramp(), b=ramp()), data)
        == f"{MISSED}b (its output does not reach the loss){WAY_OUT}"
    )


def test_a_layer_that_is_frozen_inside_is_named(data):
    image = layers.Input((4, 4))
    x = layers.Bidirectional(layers.SimpleRNN(2), name="bi")(image)
    model = tf_keras.Model(image, layers.Dense(3, name="out")(x))
    wrapped = wrap(model, bi=ramp("forward_layer.kernel"))
    wrapped.get_layer("bi").layer.forward_layer.trainable = False
    wrapped.compile("sgd", "sparse_categorical_crossentropy")
    assert refusal(wrapped, data) == f"{MISSED}bi (a layer inside it is frozen){WAY_OUT}"


def test_many_layers_are_cut_short(data):
    image = layers.Input((4, 4, 1))
    x = layers.Flatten()(image)
    model = tf_keras.Model(
        image,
        [
            layers.Dense(3, name="used")(x),
            *(layers.Dense(3, name=f"n{number}")(x) for number in range(8)),
        ],
    )
    model.compile("sgd", ["mse", *[None] * 8])
    message = refusal(wrap(model, **{f"n{number}": ramp() for number in range(8)}), data)
    assert message.count("(its output does not reach the loss)") == 5
    assert " and 3 more; " in message


def test_a_loss_that_reaches_nothing_is_told(data):
    message = (
        "no weight gets a gradient from the loss, so nothing can be trained (layer 'pick' stops"
        " it: Round); change the model or the loss"
    )
    assert (
        refusal(wrap(build(tf.round, last=False, loss="mse"), fc=ramp()), data) == f"P: {message}"
    )


def test_a_model_of_frozen_layers_is_told(data):
    model = wrap(build_model())
    model.trainable = False
    check_gradients(model, data, "P")  # as in `fit`, what was trainable at compile time is
    model.compile("sgd", "mse")
    assert (
        refusal(model, data)
        == "P: no weight is trainable, so nothing can be trained; set trainable = True on layers"
        " and save the model again"
    )


def test_a_step_that_fails_is_told_with_its_reason(data):
    def fails(x, training=None):
        if training:
            raise ValueError("only for serving")
        return x

    message = refusal(wrap(build(fails), fc=ramp()), data)
    assert message.startswith("P: a training step fails: only for serving (")
    assert "test_gradients.py:" in message


class OwnStep(tf_keras.Model):
    def train_step(self, data):
        return {}


def own_step():
    image = layers.Input((4, 4, 1))
    model = OwnStep(image, layers.Dense(3)(layers.Flatten()(image)))
    model.compile("sgd", "mse")
    model.trainable = False
    return model


def frozen_before():
    model = wrap(build(tf.round), fc=ramp())
    model.get_layer("fc").trainable = False
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def scaled():
    model = wrap(build(tf.round), fc=ramp())
    model.compile(tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD()), "mse")
    return model


def only_while_training():
    def middle(x, training=None):
        return x if training else tf.round(x)

    return wrap(build(middle), fc=ramp())


@pytest.mark.parametrize(
    "make", [lambda: wrap(build_model()), own_step, frozen_before, scaled, only_while_training]
)
def test_what_can_reach_its_target_passes(data, make):
    check_gradients(make(), data, "P")


def state_of(model):
    generators = [
        value._seed
        for layer in model._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, RandomGenerator)
    ]
    variables = [
        *model.weights,
        *model.optimizer.variables,
        *(variable for metric in model.metrics for variable in metric.variables),
    ]
    states = [variable.numpy().tobytes() for variable in variables]
    return (
        states,
        generators,
        random.getstate(),
        np.random.get_state()[1].tolist(),
        tf.random.uniform(()).numpy(),
    )


def test_the_check_leaves_everything_as_it_was(data):
    model = wrap(build_model())
    model.optimizer.build(model.trainable_variables)
    check_data_fits(model, data)
    tf.random.set_seed(4)
    before = state_of(model)
    tf.random.set_seed(4)
    check_gradients(model, data, "P")
    assert state_of(model) == before
    assert not any(wrapper.pruners for wrapper in Pruner(model).attached.values())


def test_a_run_with_the_check_has_the_bits_of_one_without(tmp_path, monkeypatch):
    setting = build_setting(tmp_path)
    train(setting.model, None, setting.data, tmp_path / "with", **setting.options)
    monkeypatch.setattr(seam, "check_gradients", lambda *_: None)
    train(setting.model, None, setting.data, tmp_path / "without", **setting.options)
    assert_same_bits(tmp_path / "with" / "model.keras", tmp_path / "without" / "model.keras")


def test_a_run_that_cannot_reach_its_target_leaves_no_folder(tmp_path):
    image = layers.Input((4, 4, 1))
    x = layers.Flatten()(image)
    model = tf_keras.Model(
        image, [layers.Dense(3, name="a", activation="softmax")(x), layers.Dense(3, name="b")(x)]
    )
    model.compile("sgd", ["sparse_categorical_crossentropy", None])
    save_model(wrap(model, b=ramp()), tmp_path / "m.keras")
    with pytest.raises(TrainingError, match="b \\(its output does not reach the loss\\)"):
        train(
            tmp_path / "m.keras", None, write_data(tmp_path / "d.npz"), tmp_path / "run", epochs=1
        )
    assert not (tmp_path / "run").exists()


def fit(model, data, **options):
    """Train for an epoch, and return the warnings that are about layers without gradients."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            data.batches(),
            steps_per_epoch=3,
            epochs=1,
            verbose=0,
            callbacks=[graphprune.UpdatePruningStep()],
            **options,
        )
    return [
        str(warning.message)
        for warning in caught
        if "gradient" in str(warning.message) and "UpdatePruningStep" not in str(warning.message)
    ]


def test_fit_warns_of_layers_without_gradients_once(data):
    message = (
        "fc: the loss gives these layers no gradient, so no optimizer update reaches them and their"
        " schedules stand still; leave them out of the rules, or freeze them (trainable = False) to"
        " prune them as they are"
    )
    model = wrap(build(tf.round), fc=ramp(), out=ramp())
    assert fit(model, data) == [message]
    assert fit(model, data) == [message]


def test_layers_that_are_all_frozen_follow_the_optimizer(data):
    model = frozen_before()
    callback = graphprune.UpdatePruningStep()
    model.fit(data.batches(), steps_per_epoch=3, epochs=2, verbose=0, callbacks=[callback])
    assert (callback.pruner.step, callback.pruner.is_finished) == (6, True)
    assert [(tensor.zeros, tensor.target_zeros) for tensor in callback.pruner.tensors()] == [
        (36, 36)
    ]
    model.fit(data.batches(), steps_per_epoch=3, epochs=1, verbose=0, callbacks=[callback])
    assert callback.pruner.step == 9


@pytest.mark.parametrize(
    "make",
    [frozen_before, scaled, lambda: wrap(build_dense_model("adam", run_eagerly=False), fc=ramp())],
)
def test_fit_does_not_warn_of_layers_that_follow_their_schedules(data, make):
    assert fit(make(), data) == []


def test_stopping_early_is_no_advice_for_layers_without_gradients(data):
    model = wrap(build(tf.round), fc=ramp(), out=ramp())

    class Stop(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            data.batches(),
            steps_per_epoch=4,
            epochs=3,
            verbose=0,
            callbacks=[graphprune.UpdatePruningStep(), Stop()],
        )
    early = [str(warning.message) for warning in caught if "EarlyStopping" in str(warning.message)]
    assert [message.split(":")[1] for message in early] == [" out"]
