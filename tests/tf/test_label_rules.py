import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from graphprune.errors import DataError
from graphprune.runs.labels import LabelRule
from graphprune.tf.training.data import StreamData, read_data
from graphprune.tf.training.evaluation import check_data_fits, find_label_rules

pytestmark = pytest.mark.tf
SPARSE, BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"
X = np.ones((6, 2), "float32")


def model(loss, outputs=1, units=3, dtype="float32"):
    x = layers.Input((2,))
    made = [
        layers.Dense(units, activation="softmax", name=f"out{number}", dtype=dtype)(x)
        for number in range(outputs)
    ]
    net = tf_keras.Model(x, made if outputs > 1 else made[0], name="net")
    net.compile("sgd", loss)
    return net


class OwnSparse(tf_keras.losses.SparseCategoricalCrossentropy):
    def call(self, y_true, y_pred):
        return super().call(tf.abs(y_true), y_pred)


CLASS = LabelRule("class", SPARSE, "out0", 3, rank=2)
ONE_HOT = "categorical_crossentropy"
RULES = {
    "name": (SPARSE, CLASS),
    "function": (tf_keras.losses.sparse_categorical_crossentropy, CLASS),
    "object": (tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), CLASS),
    "ignoring": (
        tf_keras.losses.SparseCategoricalCrossentropy(ignore_class=255),
        LabelRule("class", SPARSE, "out0", 3, 255, rank=2),
    ),
    "config": (tf_keras.losses.serialize(tf_keras.losses.SparseCategoricalCrossentropy()), CLASS),
    "list": ([SPARSE], CLASS),
    "dict": ({"out0": SPARSE}, CLASS),
    "binary": (BINARY, LabelRule("share", BINARY, "out0")),
    "binary-object": (tf_keras.losses.BinaryCrossentropy(), LabelRule("share", BINARY, "out0")),
    "focal": ("binary_focal_crossentropy", LabelRule("share", "binary_focal_crossentropy", "out0")),
    "one-hot": (ONE_HOT, LabelRule("one-hot", ONE_HOT, "out0", 3, rank=2)),
    "other": ("mse", None),
    "own": (lambda y, p: tf.reduce_mean(p), None),
    "own-class": (OwnSparse(), None),
    "none": (None, None),
}


@pytest.mark.parametrize("name", RULES)
def test_what_a_loss_takes_is_known_however_it_is_given(name):
    loss, rule = RULES[name]
    assert find_label_rules(model(loss)) == [rule]


def test_each_output_has_its_own():
    wanted = [CLASS, LabelRule("share", BINARY, "out1")]
    assert (
        find_label_rules(model([SPARSE, BINARY], 2))
        == find_label_rules(model({"out0": SPARSE, "out1": BINARY}, 2))
        == wanted
    )
    assert find_label_rules(model({"out1": BINARY}, 2)) == [None, wanted[1]]
    assert find_label_rules(model(SPARSE, 2)) == [
        CLASS,
        LabelRule("class", SPARSE, "out1", 3, rank=2),
    ]


def test_half_precision_holds_fewer_whole_numbers():
    assert find_label_rules(model(SPARSE, dtype="float16"))[0].exact == 2048


def test_masked_labels_may_be_anything():
    x = layers.Input((2, 2))
    net = tf_keras.Model(x, layers.Dense(1)(layers.Masking()(x)))
    net.compile("sgd", BINARY)
    assert find_label_rules(net) == [None]


@pytest.mark.parametrize("part", ["y_train", "y_test"])
@pytest.mark.parametrize(
    ("loss", "labels", "message"),
    [
        (
            SPARSE,
            [0, 1, 2, 0, 3, 1],
            (
                f"holds 3 at (4,), but output 'out0' has 3 classes; labels for {SPARSE} are"
                " integers from 0 to 2"
            ),
        ),
        (
            SPARSE,
            [0, 1, 2, 0, 0.5, 1],
            f"holds 0.5 at (4,); labels for {SPARSE} are class numbers; store them as integers",
        ),
        (
            BINARY,
            [0, 1, 0, 0, 2, 1],
            f"holds 2 at (4,); labels for {BINARY} are numbers from 0 to 1",
        ),
    ],
)
def test_wrong_labels_of_a_file_are_told_in_the_test_set_too(tmp_path, part, loss, labels, message):
    arrays = {
        "x_train": X,
        "y_train": np.zeros(6, "int64"),
        "x_test": X,
        "y_test": np.zeros(6, "int64"),
        part: np.array(labels),
    }
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError) as caught:
        check_data_fits(
            model(loss, units=3 if loss == SPARSE else 1),
            read_data(str(tmp_path / "d.npz"), batch_size=2),
        )
    assert str(caught.value) == f"{tmp_path}/d.npz: {part} {message}"


def test_labels_that_are_whole_floats_train_like_integers(tmp_path):
    losses = []
    for dtype in ("int32", "float32", "float64"):
        tf_keras.utils.set_random_seed(3)
        net = model(SPARSE)
        np.savez(tmp_path / "d.npz", x_train=X, y_train=np.array([0, 1, 2, 0, 1, 1], dtype))
        data = read_data(str(tmp_path / "d.npz"), batch_size=2)
        check_data_fits(net, data)
        losses.append(
            net.fit(data.batches(), steps_per_epoch=3, epochs=2, verbose=0).history["loss"]
        )
    assert losses[0] == losses[1] == losses[2]


def stream(train, test=None):
    return StreamData("my_data:load", train, test, 3)


def batches(*y, weight=None, x=X):
    parts = (x, y[0] if len(y) == 1 else y) if weight is None else (x, y[0], weight)
    return tf.data.Dataset.from_tensor_slices(parts).batch(6)


GOOD, BAD = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 2, 0, 7, 2])
WHY = (
    f"holds 7 at (4,), but output 'out0' has 3 classes; labels for {SPARSE} are integers from 0"
    " to 2"
)
STREAMS = {
    f"my_data:load: the first training batch: y {WHY}": (SPARSE, 1, lambda: stream(batches(BAD))),
    f"my_data:load: the first validation batch: y {WHY}": (
        SPARSE,
        1,
        lambda: stream(batches(GOOD), batches(BAD)),
    ),
    f"my_data:load: the first training batch: y of output 'out1' {WHY.replace('out0', 'out1')}": (
        SPARSE,
        2,
        lambda: stream(batches(GOOD, BAD)),
    ),
    "my_data:load: the validation dataset has no batches; return None where there is none": (
        SPARSE,
        1,
        lambda: stream(batches(GOOD), batches(GOOD).take(0)),
    ),
    "my_data:load: the training dataset has no batches; training needs at least one": (
        SPARSE,
        1,
        lambda: stream(batches(GOOD).filter(lambda x, y: False)),
    ),
    "my_data:load: validation: x has shape (5,), the model's input input takes (2,); reshape the"
    " data to fit": (SPARSE, 1, lambda: stream(batches(GOOD), batches(GOOD, x=np.ones((6, 5))))),
    "my_data:load: x is text, the model's input input takes float32; convert the data to fit": (
        SPARSE,
        1,
        lambda: stream(batches(GOOD, x=np.array([["a"] * 2] * 6))),
    ),
}


@pytest.mark.parametrize("message", STREAMS)
def test_first_batches_of_a_function_are_looked_at(message):
    loss, outputs, make = STREAMS[message]
    net = model(loss, outputs)
    with pytest.raises(DataError) as caught:
        check_data_fits(net, make())
    assert str(caught.value) == message.replace("input input", f"input {net.input_names[0]}")


def test_a_weight_may_leave_out_what_is_no_share():
    check_data_fits(
        model(BINARY, units=1),
        stream(batches(np.array([0, 1, -1, 0, 1, 1.0]), weight=np.array([1, 1, 0, 1, 1, 1.0]))),
    )


def test_a_dataset_is_begun_once_by_the_checks():
    begun = []

    def numbers():
        begun.append(1)
        yield X, GOOD

    signature = (tf.TensorSpec([None, 2]), tf.TensorSpec([None], tf.int64))
    check_data_fits(
        model(SPARSE), stream(tf.data.Dataset.from_generator(numbers, output_signature=signature))
    )
    assert begun == [1]
