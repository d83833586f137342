"""The shipped models are what `fixtures/make_fixtures.py` makes: same architecture, trained on the
shipped digits, with their optimizer.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import graphprune

pytestmark = pytest.mark.tf

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_fixtures", FIXTURES / "make_fixtures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILES = ["digits-cnn.keras", "digits-cnn-keras3.keras"]


@pytest.mark.parametrize("name", FILES)
def test_the_classifier_has_the_architecture_that_the_script_builds(maker, name):
    built = graphprune.read_graph(maker.build_classifier(maker.FILES[name]))
    assert built.sha256 == graphprune.read_graph(FIXTURES / name).sha256


@pytest.mark.parametrize("name", FILES)
def test_the_classifier_is_trained_and_keeps_its_optimizer(maker, name):
    model = graphprune.load_model(FIXTURES / name)
    steps = -(-(1797 - maker.TEST_DIGITS) // 32)
    assert int(model.optimizer.iterations.numpy()) == maker.EPOCHS * steps
    with np.load(FIXTURES / "digits.npz") as digits:
        found = model.evaluate(digits["x_test"], digits["y_test"], verbose=0, return_dict=True)
    assert found["accuracy"] > 0.99


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
