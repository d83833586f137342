"""Keras 3 on TensorFlow: the case scripts run in one child process."""

import pytest
from keras3.child import check_cases

pytestmark = [pytest.mark.tf, pytest.mark.timeout(3600)]


def test_training(slow):
    check_cases("training_cases.py", "tensorflow", slow=slow)


def test_masks_are_those_of_tf_keras(slow, tf_keras_masks):
    check_cases("mask_cases.py", "tensorflow", slow=slow, given=tf_keras_masks)


@pytest.mark.slow  # JAX runs them in the suite
def test_groups_of_channels(slow):
    check_cases("channel_cases.py", "tensorflow", slow=slow)


def test_saving_and_resuming(slow):
    check_cases("saving_cases.py", "tensorflow", slow=slow)


def test_custom_loops(slow):
    check_cases("loop_cases.py", "tensorflow", slow=slow)


@pytest.mark.slow  # JAX runs them in the suite
def test_plans_on_live_models(slow):
    check_cases("surgery_cases.py", "tensorflow", slow=slow)


def test_exports_for_serving(slow):
    check_cases("export_cases.py", "tensorflow", slow=slow)


def test_loading(slow):
    check_cases("loading_cases.py", "tensorflow", slow=slow)


def test_runs(slow):
    check_cases("run_cases.py", "tensorflow", slow=slow)


def test_settings_of_runs(slow):
    check_cases("setting_cases.py", "tensorflow", slow=slow)


def test_mixed_precision(slow):
    check_cases("precision_cases.py", "tensorflow", slow=slow)


def test_commands(slow):
    check_cases("command_cases.py", "tensorflow", slow=slow)


@pytest.mark.slow  # JAX runs them in the suite
def test_optimizers(slow):
    check_cases("optimizer_cases.py", "tensorflow", slow=slow)


@pytest.mark.slow  # JAX runs them in the suite
def test_losing_masks_is_refused(slow):
    check_cases("refusal_cases.py", "tensorflow", slow=slow)


def test_two_devices(slow):
    check_cases("device_cases.py", "tensorflow", slow=slow)


def test_kinds_of_data(slow):
    check_cases("data_cases.py", "tensorflow", slow=slow)
