import numpy as np
import pytest

from graphprune.errors import DataError
from graphprune.runs.samples import LabelRule, check_labels, check_samples, find_first, read_samples

X, Y = np.arange(12, dtype="float32").reshape(4, 3), np.arange(4)


def write(path, **arrays) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_samples_are_read_with_and_without_a_test_set(tmp_path):
    read = read_samples(write(tmp_path / "a.npz", x_train=X, y_train=Y))
    assert (
        read.x_train.tolist(),
        read.y_train.tolist(),
        read.x_test,
        read.y_test,
        read.unused,
    ) == (X.tolist(), Y.tolist(), None, None, ())
    read = read_samples(write(tmp_path / "b.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2]))
    assert (read.x_test.tolist(), read.y_test.tolist()) == (X[:2].tolist(), [0, 1])


def test_headers_alone_show_most_faults(tmp_path, monkeypatch):
    monkeypatch.setattr("graphprune.runs.npz._load", lambda *_: pytest.fail("was read"))
    check_samples(write(tmp_path / "a.npz", x_train=X, y_train=Y))
    for arrays, message in [
        ({"x_train": X}, "has no y_train"),
        ({"x_train": X, "y_train": Y[:2]}, "x_train has 4 samples and y_train has 2"),
        ({"x_train": X, "y_train": Y + 1j}, "y_train has dtype complex128"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
            "samples of x_test have shape (2,)",
        ),
    ]:
        with pytest.raises(DataError) as caught:
            read_samples(write(tmp_path / "b.npz", **arrays))
        assert message in str(caught.value)


UNUSED = {
    "x_val": "x_val is not used; for evaluation after each epoch, name it x_test",
    "Y_Valid": "Y_Valid is not used; for evaluation after each epoch, name it y_test",
    "sample_weight": (
        "sample_weight is not used; for weights, give a data function that returns (x, y, weight)"
    ),
    "x_tst": "x_tst is not used; did you mean x_test?",
    "class_names": (
        "class_names is not used; x_train and y_train are required, x_test and y_test are optional"
    ),
}


@pytest.mark.parametrize("name", UNUSED)
def test_arrays_that_training_does_not_use_are_told(tmp_path, name):
    path = write(tmp_path / "a.npz", x_train=X, y_train=Y, **{name: X})
    with pytest.warns(UserWarning, match="not used") as caught:
        assert read_samples(path).unused == (f"{path}: {UNUSED[name]}",)
    assert [str(warning.message) for warning in caught] == [f"{path}: {UNUSED[name]}"]


def test_objects_that_training_does_not_use_stay_unread(tmp_path):
    path = write(tmp_path / "a.npz", x_train=X, y_train=Y, notes=np.array([{}]))
    with pytest.warns(UserWarning, match="notes is not used"):
        assert read_samples(path).x_train.tolist() == X.tolist()


def test_a_long_list_of_names_is_cut(tmp_path):
    path = write(tmp_path / "a.npz", **{f"array_{number:02}": Y for number in range(30)})
    with pytest.raises(DataError) as caught:
        read_samples(path)
    names = ", ".join(f"array_{number:02}" for number in range(10))
    assert (
        str(caught.value)
        == f"{path}: has no x_train, it holds {names} and 20 more; x_train and y_train are"
        " required, x_test and y_test are optional"
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_values_that_are_no_numbers_are_found_in_both_orders_and_beyond_the_first_block(
    tmp_path, order
):
    x = np.zeros((3, 2**20), order=order)
    x[2, 12345] = np.nan
    path = write(tmp_path / "a.npz", x_train=x, y_train=np.arange(3))
    with pytest.raises(DataError) as caught:
        read_samples(path)
    assert (
        str(caught.value)
        == f"{path}: x_train holds nan at (2, 12345); training needs finite numbers, clean the"
        " data first"
    )


def test_the_first_place_is_that_in_the_order_of_the_file():
    values = np.array([[0, 1], [1, 0]])
    assert find_first(values, lambda block: block > 0) == (0, 1)
    assert find_first(np.asfortranarray(values), lambda block: block > 0) == (1, 0)
    assert find_first(values, lambda block: block > 1) is None


CLASSES = LabelRule("class", "scce", "probs", 3)
SHARES = LabelRule("share", "bce", "p")
PROBS = "output 'probs' has 3 classes; labels for scce are integers from 0 to 2"
WRONG = {
    f"y holds 3 at (1,), but {PROBS}": (np.array([0, 3]), CLASSES),
    f"y holds -1 at (1, 0), but {PROBS}": (np.array([[0], [-1]]), CLASSES),
    "y holds 1 at (0,), but output 'o' has 1 class; labels for scce are integers from 0 to 0": (
        np.array([1], "uint8"),
        LabelRule("class", "scce", "o", 1),
    ),
    "y holds -2 at (1,); labels for scce are integers from 0": (
        np.array([5, -2]),
        LabelRule("class", "scce", "o"),
    ),
    f"y holds 18446744073709551615 at (0,), but {PROBS}": (
        np.array([2**64 - 1], "uint64"),
        CLASSES,
    ),
    "y holds 0.5 at (1,); labels for scce are class numbers; store them as integers": (
        np.array([1, 0.5]),
        CLASSES,
    ),
    f"y holds 3.0 at (0,), but {PROBS}": (np.array([3.0]), CLASSES),
    "y holds 254 at (0,), but output 'o' has 9 classes; labels for scce are integers from 0 to 8": (
        np.array([254, 255]),
        LabelRule("class", "scce", "o", 9, ignored=255),
    ),
    "y is float32, but output 'o' is exact only up to 2048; store labels as integers": (
        np.array([1], "float32"),
        LabelRule("class", "scce", "o", 5000, exact=2048),
    ),
    "y holds 2 at (1,); labels for bce are numbers from 0 to 1": (np.array([1, 2]), SHARES),
    "y holds -0.5 at (0,); labels for bce are numbers from 0 to 1": (np.array([-0.5]), SHARES),
}


@pytest.mark.parametrize("message", WRONG)
def test_labels_that_the_loss_does_not_take_are_refused(message):
    labels, rule = WRONG[message]
    with pytest.raises(DataError) as caught:
        check_labels("y", labels, rule)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        (np.array([0, 2]), CLASSES),
        (np.array([0.0, 2.0]), CLASSES),
        (np.array([True, False]), CLASSES),
        (np.array([255, 0, -3]), LabelRule("class", "scce", "o", 256, ignored=-3)),
        (np.array([1], "float32"), LabelRule("class", "scce", "o", 2049, exact=2048)),
        (np.array([5000]), LabelRule("class", "scce", "o", 5001, exact=2048)),
        (np.array([0.0, 0.3, 1.0]), SHARES),
        (np.array(["a"]), SHARES),
    ],
)
def test_labels_that_the_loss_takes_pass(labels, rule):
    check_labels("y", labels, rule)
