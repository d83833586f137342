"""Objects of Keras 3 and of tf_keras in one program: each call says which it takes."""

from importlib import import_module

import pytest
from keras3.versions import CORE

import graphprune
from graphprune import ConstantSparsity, PruneLowMagnitude, Pruner, Run, UpdatePruningStep
from graphprune.errors import GraphError

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.tf
SCHEDULE = ConstantSparsity(0.5, 0)


@pytest.fixture(scope="module")
def models():
    """A pruned model of Keras 3 and one of tf_keras."""
    import tf_keras

    made = []
    for package in (keras, tf_keras):
        layers = [package.layers.Input((8,)), package.layers.Dense(4, name="a")]
        model = package.Sequential(layers, name="net")
        model.compile("sgd", "mse")
        made.append(graphprune.prune_low_magnitude(model, SCHEDULE))
    return made


def fit(model, callback):
    import numpy as np

    model.fit(np.ones((8, 8)), np.ones((8, 4)), verbose=0, callbacks=[callback])


def test_a_list_of_both_is_refused():
    import tf_keras

    mixed = [keras.layers.Dense(4), tf_keras.layers.Dense(4)]
    for both in (mixed, mixed[::-1]):
        with pytest.raises(GraphError) as err:
            graphprune.prune_low_magnitude(both)
        assert str(err.value) == (
            "the list mixes objects of Keras 3 (module keras) and tf_keras; give those of one"
        )


def test_the_callback_of_one_keras_refuses_models_of_the_other(models):
    from graphprune.keras3 import callbacks as callbacks_3
    from graphprune.tf.pruning import callbacks as callbacks_2

    with pytest.raises(GraphError, match=r"Sequential is of Keras 3 \(module keras\)"):
        fit(models[0], callbacks_2.UpdatePruningStep())
    with pytest.raises(GraphError, match=r"tf_keras.*Sequential is not a Keras 3 model"):
        fit(models[1], callbacks_3.UpdatePruningStep())


def test_an_optimizer_of_the_other_keras_is_refused(models):
    import tf_keras

    with pytest.raises(TypeError) as err:
        Pruner(models[0], tf_keras.optimizers.SGD())
    assert str(err.value) == (
        "optimizer must be an optimizer of Keras 3 or of torch.optim, got SGD of tf_keras"
    )


def test_an_optimizer_of_keras_3_is_refused_for_a_model_of_tf_keras(models):
    with pytest.raises(TypeError) as err:
        Pruner(models[1], keras.optimizers.SGD())
    assert str(err.value) == "optimizer must be an optimizer of tf_keras, got SGD of Keras 3"


def test_a_wrapper_of_tf_keras_refuses_a_layer_of_keras_3():
    with pytest.raises(TypeError, match=r"^layer must be a layer of tf_keras, got Dense of Keras"):
        PruneLowMagnitude(keras.layers.Dense(4), SCHEDULE)


def test_one_callback_serves_models_of_both_in_turn(models):
    callback = UpdatePruningStep(run=Run())
    for model in (*models, models[0]):
        fit(model, callback)
        held = graphprune.collect_prunable_layers(model)
        assert [layer.pruning.sparsity for layer in held] == [0.5]


def test_the_cases_that_versions_run_exist():
    for script, names in CORE.items():
        assert set(names) <= set(import_module(f"keras3.{script}").CASES), script


def test_versions_train_before_any_case_imports_tf_keras():
    assert next(iter(CORE)) == "training_cases"
