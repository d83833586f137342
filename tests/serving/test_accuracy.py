import numpy as np
import pytest

from graphprune.errors import DataError
from graphprune.serving.accuracy import count_right


def test_labels_are_class_numbers_columns_or_one_hot_rows():
    outputs = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    for labels in ([1, 0, 1], [[1], [0], [1]], [[0, 1, 0], [1, 0, 0], [0, 1, 0]], [1.0, 0.0, 1.0]):
        assert count_right(outputs, np.array(labels)) == 2


def test_a_single_output_is_a_probability():
    assert count_right(np.array([[0.4], [0.6]]), np.array([0, 0])) == 1
    with pytest.raises(DataError, match="a probability from 0 to 1, got -3 to 2"):
        count_right(np.array([[-3.0], [2.0]]), np.array([0, 1]))


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        (np.ones((2, 4, 4)), np.zeros(2)),
        (np.ones((2, 3)), np.array([0.5, 1])),
        (np.ones((2, 3)), np.ones((2, 5))),
    ],
)
def test_what_is_no_classifier_has_no_accuracy(outputs, labels):
    with pytest.raises(DataError, match=r"accuracy needs|labels of shape"):
        count_right(outputs, labels)
