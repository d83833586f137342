import numpy as np
import pytest

from graphprune.errors import DataError
from graphprune.runs.labels import LabelRule, check_labels, find_first
from graphprune.runs.samples import check_samples, read_samples

X, Y = np.arange(12, dtype="float32").reshape(4, 3), np.arange(4)


def write(path, **arrays) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_samples_are_read_with_and_without_a_test_set(tmp_path):
    read = read_samples(write(tmp_path / "a.npz", x_train=X, y_train=Y))
    x, y = read.train.take(slice(None))
    assert (x.tolist(), y.tolist(), read.test) == (X.tolist(), Y.tolist(), None)
    read = read_samples(write(tmp_path / "b.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2]))
    assert [part.tolist() for part in read.test.take(slice(None))] == [X[:2].tolist(), [0, 1]]


def test_training_takes_x_val_and_measuring_takes_x_test(tmp_path):
    parts = {"x_val": X[:3], "y_val": Y[:3], "x_test": X[:2], "y_test": Y[:2]}
    path = write(tmp_path / "a.npz", x_train=X, y_train=Y, **parts)
    assert [len(read_samples(path, part).test) for part in ("val", "test")] == [3, 2]
    assert [read_samples(path, part).test.part for part in ("val", "test")] == ["val", "test"]


def test_weights_and_several_inputs_and_outputs_are_taken_together(tmp_path):
    path = write(
        tmp_path / "a.npz",
        **{"x_train.image": X, "x_train.size": Y, "y_train.heads": Y, "y_train.box": X},
        w_train=Y / 4,
    )
    x, y, w = read_samples(path).train.take(np.array([2, 0]))
    assert {name: array.tolist() for name, array in x.items()} == {
        "image": X[[2, 0]].tolist(),
        "size": [2, 0],
    }
    assert (y["heads"].tolist(), y["box"].shape, w.tolist()) == ([2, 0], (2, 3), [0.5, 0.0])


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


def test_weights_of_one_output_leave_the_others_at_one(tmp_path):
    arrays = {"x_train": X, "y_train.a": Y, "y_train.b": Y, "w_train.b": Y / 4}
    samples = read_samples(write(tmp_path / "w.npz", **arrays))
    _, labels, weights = samples.train.take(np.array([2, 1]))
    assert list(labels) == list(weights) == ["a", "b"]
    assert weights["a"].tolist() == [1, 1]
    assert weights["b"].tolist() == (Y[[2, 1]] / 4).tolist()


KNOWN = "x_train, y_train, w_train, x_val, y_val, w_val, x_test, y_test, w_test and x_train.NAME"
FINE = {"x_train": X, "y_train": Y}
NAMED = {"x_train.a": X, "y_train": Y}
WRONG_NAMES = {
    "unknown array x_valid; did you mean x_val?": {**FINE, "x_valid": X},
    "unknown array Y_Validation; did you mean y_val?": {**FINE, "Y_Validation": Y},
    "unknown array sample_weight; did you mean w_train?": {**FINE, "sample_weight": Y},
    "unknown array x_tst; did you mean x_test?": {**FINE, "x_tst": X},
    "unknown array X_train; did you mean x_train?": {"X_train": X, "y_train": Y},
    "w_train.a weighs an output, and y_train has no names; name weights as labels are named": {
        **FINE,
        "w_train.a": Y,
    },
    "w_train.a weighs an output, and y_train has the outputs b; name weights as labels are named": {
        "x_train": X,
        "y_train.b": Y,
        "w_train.a": Y,
    },
    "has w_train and w_train.a; give one array, or one for each name": {
        **FINE,
        "w_train": Y,
        "w_train.a": Y,
    },
    f"unknown array class_names; known are {KNOWN}": {**FINE, "class_names": Y},
    "has w_val but no x_val and y_val; w_val needs it": {**FINE, "w_val": Y},
    "has x_val but no y_val; give both or neither": {**FINE, "x_val": X},
    "has x_train and x_train.a; give one array, or one for each name": {**FINE, "x_train.a": X},
    "x_train has 4 samples and w_train has 3; each sample needs one weight": {
        **FINE,
        "w_train": Y[:3],
    },
    "x_train.a has 4 samples and x_train.b has 3; each sample needs one row": {
        **NAMED,
        "x_train.b": X[:3],
    },
    "x_train has a, x_val has b; give both the same names": {**NAMED, "x_val.b": X, "y_val": Y},
    "samples of x_val.a have shape (2,), those of x_train.a (3,); give both the same": {
        **NAMED,
        "x_val.a": X[:, :2],
        "y_val": Y,
    },
}


@pytest.mark.parametrize("message", WRONG_NAMES)
def test_names_that_are_unknown_or_do_not_belong_together_are_refused(tmp_path, message):
    path = write(tmp_path / "a.npz", **WRONG_NAMES[message])
    with pytest.raises(DataError) as caught:
        check_samples(path)
    assert str(caught.value) == f"{path}: {message}"


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
