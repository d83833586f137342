"""Keras 3 on JAX: every case in one child process."""

from importlib.util import find_spec

import pytest
from keras3.child import check_cases

pytestmark = [
    pytest.mark.tf,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed"),
]


def test_training():
    check_cases("training_cases.py", "jax")


def test_saving_and_resuming():
    check_cases("saving_cases.py", "jax")


def test_custom_loops():
    check_cases("loop_cases.py", "jax")
