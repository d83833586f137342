"""The shipped model is what `fixtures/make_fixtures.py` makes: same architecture, trained on the
shipped digits, with its optimizer.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from graphprune.graph import read_graph
from graphprune.tf.models.loading import load_model
from graphprune.tf.training.data import read_data
from graphprune.tf.training.evaluation import measure_accuracy

pytestmark = pytest.mark.tf

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_fixtures", FIXTURES / "make_fixtures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_classifier_has_the_architecture_that_the_script_builds(maker):
    assert (
        read_graph(maker.build_classifier().get_config()).sha256
        == read_graph(FIXTURES / "digits-cnn.keras").sha256
    )


def test_the_classifier_is_trained_and_keeps_its_optimizer(maker):
    model = load_model(FIXTURES / "digits-cnn.keras")
    steps = -(-(1797 - maker.TEST_DIGITS) // 32)
    assert int(model.optimizer.iterations.numpy()) == maker.EPOCHS * steps
    assert measure_accuracy(model, read_data(str(FIXTURES / "digits.npz"))) > 0.99


def test_the_digits_are_all_there(maker):
    with np.load(FIXTURES / "digits.npz") as digits:
        shapes = {name: digits[name].shape for name in digits.files}
        assert shapes == {
            "x_train": (1437, 8, 8, 1),
            "y_train": (1437,),
            "x_test": (360, 8, 8, 1),
            "y_test": (360,),
        }
        assert (
            digits["x_train"].min(),
            digits["x_train"].max(),
            sorted(set(digits["y_test"])),
        ) == (0, 16, list(range(10)))
