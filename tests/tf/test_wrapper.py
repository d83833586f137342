from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers
from tf_zoo import IN_FILES, build, pruning, sample, wrap_all

from graphprune.errors import TrainingError
from graphprune.sparsity.pruning import Provenance
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_scope
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

pytestmark = pytest.mark.tf

NO_PRUNER = (
    "d1: a pruned layer is being trained and no pruner is attached, so it would stay dense; add"
    " graphprune.UpdatePruningStep() to the callbacks of fit, or start a graphprune Pruner and call"
    " its on_step() in a custom loop"
)


def wrapped_dense(**kwargs):
    wrapper = PruneLowMagnitude(
        layers.Dense(4, name="d1", **kwargs), pruning("kernel"), Provenance("r", "ab", "cd")
    )
    wrapper.build((None, 3))
    return wrapper


def test_state_follows_the_layers_own_weights_by_name():
    wrapper = PruneLowMagnitude(layers.LSTM(2, name="l"), pruning("kernel", "recurrent_kernel"))
    wrapper(np.ones((1, 3, 2), "float32"))
    names = [
        (weight.name.rsplit("/", 1)[-1], weight.dtype.name, tuple(weight.shape))
        for weight in wrapper.non_trainable_weights
    ]
    assert names == [
        ("mask_kernel:0", "bool", (2, 8)),
        ("threshold_kernel:0", "float32", ()),
        ("mask_recurrent_kernel:0", "bool", (2, 8)),
        ("threshold_recurrent_kernel:0", "float32", ()),
        ("pruning_step:0", "int64", ()),
        ("last_update:0", "int64", ()),
    ]
    assert wrapper.pruning_state == wrapper.non_trainable_weights
    assert [(weight.name, mask.name) for weight, mask, _ in wrapper.pruning_vars] == [
        ("l/lstm_cell/kernel:0", "l/mask_kernel:0"),
        ("l/lstm_cell/recurrent_kernel:0", "l/mask_recurrent_kernel:0"),
    ]


def test_config_is_complete_and_the_inner_config_is_as_unwrapped():
    wrapper = wrapped_dense(kernel_regularizer="l2", trainable=False)
    config = wrapper.get_config()
    assert (
        config["layer"]["config"]
        == layers.Dense(4, name="d1", kernel_regularizer="l2", trainable=False).get_config()
    )
    assert json.loads(json.dumps(config)).keys() == {
        "name",
        "trainable",
        "dtype",
        "layer",
        "pruning",
        "provenance",
    }
    again = PruneLowMagnitude.from_config(json.loads(json.dumps(config)))
    again.build((None, 3))
    assert again.get_config() == config
    assert (again.pruning, again.provenance, again.trainable) == (
        pruning("kernel"),
        Provenance("r", "ab", "cd"),
        False,
    )


def test_the_constraint_projects_after_the_layers_own_and_counts_steps():
    wrapper = wrapped_dense(kernel_constraint=tf_keras.constraints.NonNeg())
    kernel, mask, _ = wrapper.pruning_vars[0]
    kernel.assign([[1, -1, 2, -2], [3, 3, 3, 3], [-0.0, np.nan, np.inf, 4]])
    mask.assign([[True, True, False, False], [True] * 4, [False] * 4])
    projected = kernel.constraint(kernel).numpy()
    np.testing.assert_array_equal(projected, [[1, 0, 0, 0], [3, 3, 3, 3], [0, 0, 0, 0]])
    assert not np.signbit(projected[2]).any()
    assert wrapper.pruning_step.numpy() == 1
    assert isinstance(wrapper.layer.kernel_constraint, tf_keras.constraints.NonNeg)


@pytest.mark.parametrize("name", IN_FILES)
def test_saved_and_loaded_models_have_the_same_state(name, tmp_path):
    model = wrap_all(build(name))
    rng = np.random.default_rng(5)
    for wrapper in find_wrappers(model).values():
        for variable in wrapper.pruning_state:
            variable.assign(
                rng.integers(0, 2, variable.shape).astype(variable.dtype.as_numpy_dtype)
            )
    outputs = model(sample(model))
    # Keras saves neither a StringLookup in .h5, nor layers of one name in models in models
    for suffix in (".keras",) if name in ("text", "deep") else (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}")
        with prune_scope():
            loaded = tf_keras.models.load_model(tmp_path / f"m{suffix}")
        assert find_wrappers(loaded).keys() == find_wrappers(model).keys()
        for address, wrapper in find_wrappers(model).items():
            twin = find_wrappers(loaded)[address]
            assert (twin.pruning, twin.provenance) == (wrapper.pruning, wrapper.provenance)
            for one, other in zip(wrapper.weights, twin.weights, strict=True):
                np.testing.assert_array_equal(one.numpy(), other.numpy())
        tf.nest.map_structure(np.testing.assert_array_equal, outputs, loaded(sample(model)))
        if name not in ("text", "deep"):
            loaded.save(tmp_path / "again.h5")


def test_h5_files_name_the_wrapper_by_its_registered_name(tmp_path):
    wrap_all(build("sequential")).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        entry = json.loads(file.attrs["model_config"])["config"]["layers"][1]
        names = [name for name in file["model_weights"]["d1"].attrs["weight_names"]]
    assert (
        entry["class_name"],
        entry["config"]["name"],
        entry["config"]["layer"]["class_name"],
    ) == ("graphprune>PruneLowMagnitude", "d1", "Dense")
    assert names == [
        "d1/kernel:0",
        "d1/bias:0",
        "d1/mask_kernel:0",
        "d1/threshold_kernel:0",
        "d1/pruning_step:0",
        "d1/last_update:0",
    ]


def test_a_custom_layer_inside_is_found_by_its_registered_name_in_both_formats(tmp_path):
    @tf_keras.utils.register_keras_serializable("zoo")
    class Own(layers.Dense):
        pass

    model = tf_keras.Sequential(
        [layers.Input((3,)), PruneLowMagnitude(Own(2, name="own"), pruning("kernel"))]
    )
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}")
        with prune_scope():
            assert type(tf_keras.models.load_model(tmp_path / f"m{suffix}").layers[0].layer) is Own


@pytest.mark.parametrize("eagerly", [False, True])
def test_training_without_a_pruner_is_an_error_and_inference_is_not(eagerly, tmp_path):
    model = wrap_all(build("sequential"))
    model.compile("sgd", "mse", run_eagerly=eagerly)
    data = np.ones((4, 5), "float32"), np.ones((4, 2), "float32")
    with pytest.raises(TrainingError, match="^" + re.escape(NO_PRUNER) + "$"):
        model.fit(*data, verbose=0)
    with pytest.raises(TrainingError, match="^" + re.escape(NO_PRUNER) + "$"):
        model(data[0], training=True)
    model.evaluate(*data, verbose=0)
    model.predict(data[0], verbose=0)
    model(data[0], training=False)
    model.save(tmp_path / "saved")
    tf_keras.Model(model.inputs, model(model.inputs, training=True))
    model.fit(*data, verbose=0, callbacks=[UpdatePruningStep()])
    with pytest.raises(TrainingError, match="^" + re.escape(NO_PRUNER) + "$"):
        model.fit(*data, verbose=0)
    model.fit(*data, verbose=0, callbacks=[UpdatePruningStep()])


def test_a_layer_that_always_behaves_as_in_training_does_not_train():
    x = layers.Input((3, 2))
    lstm = PruneLowMagnitude(layers.LSTM(2, dropout=0.5, name="l"), pruning("kernel"))
    model = tf_keras.Model(x, lstm(x, training=True))
    assert np.asarray(model(np.ones((2, 3, 2), "float32"))).shape == (2, 2)
    assert model.predict(np.ones((2, 3, 2)), verbose=0).shape == (2, 2)


def test_stateful_layers_are_reset():
    x = layers.Input(batch_shape=(2, 3, 2))
    model = wrap_all(tf_keras.Model(x, layers.SimpleRNN(2, stateful=True, name="l")(x)))
    first = model(np.ones((2, 3, 2), "float32")).numpy()
    assert (model(np.ones((2, 3, 2), "float32")).numpy() != first).any()
    model.reset_states()
    np.testing.assert_array_equal(model(np.ones((2, 3, 2), "float32")).numpy(), first)


def test_bad_input_is_refused_as_unwrapped():
    message = (
        'Input 0 of layer "d1" is incompatible with the layer: expected axis -1 of input shape to'
        " have value 3, but received input with shape (2, 7)"
    )
    wrapper = wrapped_dense()
    assert wrapper.input_spec is wrapper.layer.input_spec
    with pytest.raises(ValueError, match=re.escape(message)):
        wrapper(np.ones((2, 7), "float32"))
