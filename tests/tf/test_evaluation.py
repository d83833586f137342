import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from run_builders import build_model, write_data
from tf_keras import layers

from graphprune.errors import DataError, TrainingError
from graphprune.runs.run_options import Compiling
from graphprune.tf.models.saving import save_model
from graphprune.tf.training.data import StreamData, read_data
from graphprune.tf.training.evaluation import check_data_fits, evaluate, measure_accuracy

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return read_data(write_data(tmp_path_factory.mktemp("data") / "data.npz"), batch_size=4)


def test_a_model_is_measured_on_the_test_set(data, tmp_path):
    model = build_model()
    save_model(model, tmp_path / "net.keras")
    loss, accuracy = model.evaluate(data.held_out.x, data.held_out.y, verbose=0)
    assert (
        evaluate(model, data)
        == evaluate(tmp_path / "net.keras", data)
        == {"loss": pytest.approx(loss), "accuracy": pytest.approx(accuracy)}
    )
    assert measure_accuracy(model, data) == pytest.approx(accuracy)


def test_without_a_test_set_the_training_set_is_taken_whole(tmp_path):
    np.savez(
        tmp_path / "train.npz",
        **{
            name: np.load(write_data(tmp_path / "data.npz"))[name]
            for name in ("x_train", "y_train")
        },
    )
    model, data = build_model(), read_data(str(tmp_path / "train.npz"), batch_size=4)
    assert evaluate(model, data)["accuracy"] == pytest.approx(
        model.evaluate(data.train.x, data.train.y, verbose=0)[1]
    )


def test_a_model_without_compile_settings_is_measured_by_those_given(data):
    model = tf_keras.models.clone_model(build_model())
    assert measure_accuracy(model, data) is None
    with pytest.raises(TrainingError) as caught:
        evaluate(model, data)
    assert (
        str(caught.value)
        == "net: has no compile settings; compile the model before it is saved, or say how to train"
        " it with --loss and --optimizer (loss and optimizer in Python)"
    )
    found = evaluate(
        model, data, compiling=Compiling("sgd", "sparse_categorical_crossentropy", ("accuracy",))
    )
    assert list(found) == ["loss", "accuracy"]


def test_measuring_leaves_metrics_and_weights_as_they_were(data):
    model = build_model()
    before = [weight.numpy().tobytes() for weight in model.weights]
    check_data_fits(model, data)
    assert [weight.numpy().tobytes() for weight in model.weights] == before
    assert all(
        not variable.numpy().any() for metric in model.metrics for variable in metric.variables
    )


def test_checking_the_data_leaves_carried_states_as_they_were(tmp_path):
    model = tf_keras.Sequential(
        [layers.SimpleRNN(2, stateful=True, batch_input_shape=(4, 3, 1), name="rnn")], name="net"
    )
    model.compile("sgd", "mse")
    np.savez(tmp_path / "data.npz", x_train=np.ones((4, 3, 1)), y_train=np.ones((4, 2)))
    model.layers[0].reset_states(np.full((4, 2), 0.25))
    check_data_fits(model, read_data(str(tmp_path / "data.npz"), batch_size=4))
    assert (model.layers[0].states[0].numpy() == 0.25).all()


def test_inputs_are_counted_and_named(data):
    a, b = layers.Input((4, 4, 1), name="a"), layers.Input((2,), name="b")
    model = tf_keras.Model([a, b], layers.Dense(3)(layers.Concatenate()([layers.Flatten()(a), b])))
    model.compile("sgd", "mse")
    counted = "x has one tensor, the model takes 2 tensors (a, b)"
    with pytest.raises(DataError) as caught:
        check_data_fits(model, data)
    assert (
        str(caught.value)
        == f"{data.spec}: {counted}; name the arrays of an .npz by the inputs, such as"
        " x_train.image, or give a function that returns datasets with batches of ((x1, x2, ...),"
        " y), as --data MODULE:FUNCTION"
    )
    images, others, y = np.ones((2, 4, 4, 1)), np.ones((2, 2)), np.ones((2, 3))
    with pytest.raises(DataError) as caught:
        check_data_fits(model, one_batch(images, y))
    assert str(caught.value) == f"own:data: {counted}; give one for each"
    check_data_fits(model, one_batch((images, others), y))


def one_batch(x, y):
    return StreamData("own:data", tf.data.Dataset.from_tensors((x, y)), None, 1)


def test_a_dataset_without_batches_is_one_clear_line(data):
    samples = tf.data.Dataset.from_tensor_slices((data.train.x, data.train.y))
    with pytest.raises(DataError) as caught:
        check_data_fits(build_model(), StreamData("my_data:load", samples, None, 3))
    assert (
        str(caught.value)
        == "my_data:load: its elements are single samples of shape (4, 4, 1); call .batch(n) on the"
        " dataset"
    )


def test_a_label_that_the_model_has_no_class_for_is_one_clear_line(tmp_path):
    model, data = build_model(), read_data(write_data(tmp_path / "data.npz", classes=9))
    with pytest.raises(DataError) as caught:
        check_data_fits(model, data)
    first = int(np.flatnonzero(data.train.y > 2)[0])
    assert (
        str(caught.value)
        == f"{data.spec}: y_train holds {data.train.y[first]} at ({first},), but output"
        " 'predictions' has 3 classes; labels for sparse_categorical_crossentropy are integers"
        " from 0 to 2"
    )


def test_a_loss_that_fails_on_the_labels_is_one_clear_line(tmp_path):
    np.savez(
        tmp_path / "data.npz", x_train=np.ones((4, 4, 4, 1)), y_train=np.ones((4, 2, 5), "int64")
    )
    with pytest.raises(DataError) as caught:
        check_data_fits(build_model(), read_data(str(tmp_path / "data.npz"), batch_size=4))
    assert str(caught.value).startswith(
        f"{tmp_path}/data.npz: y has shape (2, 5), the model's output is (3,), and its loss fails"
        " on them: "
    )
