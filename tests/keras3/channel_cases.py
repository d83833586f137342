"""Groups of channels on one backend of Keras 3: dead channels, training as unpruned, going on."""

import tempfile
from pathlib import Path

import keras
import residual_net
from keras3.child import Cases

CASES = Cases()


@CASES
def channels_are_dead_and_shrink_takes_them_out():
    with tempfile.TemporaryDirectory() as folder:
        residual_net.check_dead_channels(keras, Path(folder))


@CASES
def batch_normalization_trains_as_unpruned_until_masks_are_made():
    residual_net.check_same_training(keras)


@CASES
def training_goes_on_where_it_was_saved():
    with tempfile.TemporaryDirectory() as folder:
        residual_net.check_going_on(keras, Path(folder))


if __name__ == "__main__":
    CASES.run()
