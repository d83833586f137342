"""Keras 3 on PyTorch: the case scripts run in one child process."""

from importlib.util import find_spec

import pytest
from keras3.child import check_cases

pytestmark = [
    pytest.mark.tf,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed"),
]


def test_training(slow):
    check_cases("training_cases.py", "torch", slow=slow)


def test_masks_are_those_of_tf_keras(slow, tf_keras_masks):
    check_cases("mask_cases.py", "torch", slow=slow, given=tf_keras_masks)


def test_groups_of_channels(slow):
    check_cases("channel_cases.py", "torch", slow=slow)


def test_saving_and_resuming(slow):
    check_cases("saving_cases.py", "torch", slow=slow)


def test_custom_loops(slow):
    check_cases("loop_cases.py", "torch", slow=slow)


def test_plans_on_live_models(slow):
    check_cases("surgery_cases.py", "torch", slow=slow)


def test_exports_for_serving(slow):
    check_cases("export_cases.py", "torch", slow=slow)


def test_loading(slow):
    check_cases("loading_cases.py", "torch", slow=slow)


def test_runs(slow):
    check_cases("run_cases.py", "torch", slow=slow)


def test_commands(slow):
    check_cases("command_cases.py", "torch", slow=slow)


def test_optimizers(slow):
    check_cases("optimizer_cases.py", "torch", slow=slow)


def test_losing_masks_is_refused(slow):
    check_cases("refusal_cases.py", "torch", slow=slow)


def test_mixed_precision(slow):
    check_cases("precision_cases.py", "torch", slow=slow)
