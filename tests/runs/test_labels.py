import numpy as np
import pytest

from graphprune.errors import DataError
from graphprune.runs.labels import LabelRule, check_labels

CLASSES = LabelRule("class", "scce", "probs", 3)
SHARES = LabelRule("share", "bce", "p")
PROBS = "output 'probs' has 3 classes; labels for scce are integers from 0 to 2"
WRONG = {
    f"y holds 3 at (1,), and {PROBS}": (np.array([0, 3]), CLASSES),
    f"y holds -1 at (1, 0), and {PROBS}": (np.array([[0], [-1]]), CLASSES),
    "y holds 1 at (0,), and output 'o' has 1 class; labels for scce are integers from 0 to 0": (
        np.array([1], "uint8"),
        LabelRule("class", "scce", "o", 1),
    ),
    "y holds -2 at (1,); labels for scce are integers from 0": (
        np.array([5, -2]),
        LabelRule("class", "scce", "o"),
    ),
    f"y holds 18446744073709551615 at (0,), and {PROBS}": (
        np.array([2**64 - 1], "uint64"),
        CLASSES,
    ),
    "y holds 0.5 at (1,); labels for scce are class numbers; store them as integers": (
        np.array([1, 0.5]),
        CLASSES,
    ),
    f"y holds 3.0 at (0,), and {PROBS}": (np.array([3.0]), CLASSES),
    "y holds 254 at (0,), and output 'o' has 9 classes; labels for scce are integers from 0 to 8": (
        np.array([254, 255]),
        LabelRule("class", "scce", "o", 9, ignored=255),
    ),
    "y is float32, and output 'o' holds whole numbers up to 2048 only; store labels as integers": (
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
