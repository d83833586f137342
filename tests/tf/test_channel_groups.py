"""Groups of channels in tf_keras: dead channels, training as unwrapped, and going on."""

import pytest
import residual_net
import tf_keras

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:schedule/never-reached")]


def test_channels_are_dead_and_shrink_takes_them_out(tmp_path):
    residual_net.check_dead_channels(tf_keras, tmp_path)


def test_batch_normalization_trains_as_unwrapped_until_masks_are_made():
    residual_net.check_same_training(tf_keras)


def test_training_goes_on_where_it_was_saved(tmp_path):
    residual_net.check_going_on(tf_keras, tmp_path)
