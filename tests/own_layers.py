"""Custom layers, as users write them: a module for `--custom-objects own_layers`."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from graphprune.engine.prunable_layer import PrunableLayer
from graphprune.tf.pruning.keras_schedules import PruningSchedule


class Gated(tf_keras.layers.Layer, PrunableLayer):
    """Two kernels of its own and a layer inside that has its weights from the first call on; the
    gate stays dense.
    """

    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.blocks = [tf_keras.layers.Dense(units)]

    def build(self, input_shape):
        self.kernel = self.add_weight(name="w", shape=(input_shape[-1], self.units))
        self.gate = self.add_weight(name="g", shape=(input_shape[-1], self.units))

    def call(self, inputs):
        return self.blocks[0](
            tf.matmul(inputs, self.kernel) * tf.sigmoid(tf.matmul(inputs, self.gate))
        )

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    def get_prunable_weights(self):
        return [self.kernel, self.blocks[0].kernel]


class Twofold(tf_keras.layers.Layer, PrunableLayer):
    """Two layers inside, each with a kernel to prune."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = tf_keras.layers.Dense(6), tf_keras.layers.Dense(4)

    def call(self, inputs):
        return self.second(self.first(inputs))

    def get_prunable_weights(self):
        return [self.first.kernel, self.second.kernel]


class BiasedDense(tf_keras.layers.Dense, PrunableLayer):
    """A built-in layer that prunes its bias and not its kernel."""

    def get_prunable_weights(self):
        return [self.bias]


class Cell(tf_keras.layers.SimpleRNNCell):
    """The cell of a recurrent layer, with the method alone: classes written for another library
    have another base.
    """

    def get_prunable_weights(self):
        return [self.recurrent_kernel]


class Stairs(PruningSchedule):
    """A schedule with a curve of its own, in the form that users of Keras pruning write."""

    def __init__(self, height, begin_step=1, end_step=9, frequency=4):
        self.height, self.begin_step, self.end_step, self.frequency = (
            height,
            begin_step,
            end_step,
            frequency,
        )

    def __call__(self, step):
        due = self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency)
        return (
            due,
            tf.cast((step - self.begin_step) // self.frequency + 1, tf.float32) * self.height,
        )

    def get_config(self):
        arguments = {
            "height": self.height,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
        }
        return {"class_name": "Stairs", "config": arguments}
