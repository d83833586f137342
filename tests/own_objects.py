"""Classes and functions of a user, for every place of a config where one may stand: plain ones, and
the same registered with Keras.
"""

import types

import tensorflow as tf
import tf_keras


def act(x):
    return tf.nn.tanh(x) * 0.5


def init(shape, dtype=None, **options):
    return tf.fill(shape, tf.constant(0.1, dtype or "float32"))


def penalty(weight):
    return 0.01 * tf.reduce_sum(weight * weight)


def clip(weight):
    return tf.clip_by_value(weight, -0.5, 0.5)


def loss(wanted, got):
    return tf.reduce_mean((wanted - got) ** 2, -1)


class Act:
    def __call__(self, x):
        return tf.nn.tanh(x)

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls()


class Init(tf_keras.initializers.Initializer):
    def __init__(self, value=0.1):
        self.value = value

    def __call__(self, shape, dtype=None, **options):
        return init(shape, dtype) * self.value

    def get_config(self):
        return {"value": self.value}


class Penalty(tf_keras.regularizers.Regularizer):
    def __init__(self, rate=0.1):
        self.rate = rate

    def __call__(self, weight):
        return self.rate * penalty(weight)

    def get_config(self):
        return {"rate": self.rate}


class Clip(tf_keras.constraints.Constraint):
    def __init__(self, most=0.5):
        self.most = most

    def __call__(self, weight):
        return tf.clip_by_value(weight, -self.most, self.most)

    def get_config(self):
        return {"most": self.most}


class Loss(tf_keras.losses.Loss):
    def call(self, wanted, got):
        return loss(wanted, got)


class OwnDense(tf_keras.layers.Dense):
    pass


PLAIN = {
    value.__name__: value
    for value in (act, init, penalty, clip, loss, Act, Init, Penalty, Clip, Loss, OwnDense)
}


def _registered(value):
    if isinstance(value, types.FunctionType):
        copy = types.FunctionType(
            value.__code__,
            value.__globals__,
            f"reg_{value.__name__}",
            value.__defaults__,
            value.__closure__,
        )
        copy.__module__ = value.__module__
    else:
        copy = type(f"Reg{value.__name__}", (value,), {"__module__": value.__module__})
    return tf_keras.utils.register_keras_serializable("own")(copy)


REGISTERED = {name: _registered(value) for name, value in PLAIN.items()}
