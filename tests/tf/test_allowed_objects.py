"""What Keras itself writes is not refused: every object of Keras in a saved model, by name and as
an object, comes back from `.keras` and `.h5`.
"""

import inspect
import warnings

import pytest
import tf_keras
from tf_keras import layers

from graphprune.tf.models.loading import load_model

pytestmark = pytest.mark.tf
FORMATS = ("m.keras", "m.h5")
RATE = {
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9},
    "PiecewiseConstantDecay": {"boundaries": [1, 2], "values": [0.1, 0.2, 0.3]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
}
ARGUMENTS = {
    "MeanIoU": {"num_classes": 2}, "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 2}, "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "BinaryIoU": {"target_class_ids": [0]}, "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5}, "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5}, "MeanRelativeError": None,
    "Constant": {"value": 0.5}, "MeanMetricWrapper": None, "SumOverBatchSizeMetricWrapper": None,
    "Reduction": None,
}  # fmt: skip
ABSTRACT = frozenset({
    "Metric", "Loss", "Initializer", "Regularizer", "Constraint", "Optimizer",
    "LearningRateSchedule", "PyMetric", "Mean", "Sum", "MeanTensor",
})  # fmt: skip


def made(module):
    """Return an object of each class that a module of Keras exports, by name."""
    found = {}
    for name, kind in vars(module).items():
        arguments = ARGUMENTS.get(name, RATE.get(name, {}))
        if (
            inspect.isclass(kind)
            and name not in ABSTRACT
            and name[0].isupper()
            and arguments is not None
        ):
            found[name] = kind(**arguments)
    return found


def functions(module):
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and name not in ("get", "serialize", "deserialize")
    ]


NOT_IN_H5 = frozenset(
    {
        "KLD",
        "binary_focal_crossentropy",
        "categorical_focal_crossentropy",
        "kl_divergence",
        "kld",
        "kullback_leibler_divergence",
    }
)
"""Metric functions that Keras itself does not find again in an `.h5` file (tf_keras 2.21)."""


def reload(model, folder, formats=FORMATS):
    """Return the model as it comes back in each format; any warning fails."""
    for name in formats:
        model.save(folder / name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield load_model(folder / name)


def test_objects_in_layers(tmp_path):
    inputs = tf_keras.Input((4,))
    activations = [
        *functions(tf_keras.activations),
        layers.ReLU(),
        layers.LeakyReLU(),
        layers.Softmax(),
    ]
    outputs = [
        layers.Dense(4, activation=activation, name=f"a{number}")(inputs)
        for number, activation in enumerate(activations)
        if activation != "glu"
    ]
    for number, (name, initializer) in enumerate(made(tf_keras.initializers).items()):
        outputs.append(layers.Dense(4, kernel_initializer=initializer, name=f"i{number}")(inputs))
        outputs.append(
            layers.Dense(4, kernel_initializer=name, name=f"j{number}")(inputs)
            if name != "Constant"
            else inputs
        )
    for number, regularizer in enumerate(
        [*made(tf_keras.regularizers).values(), "l1", "l2", "l1_l2"]
    ):
        outputs.append(layers.Dense(4, kernel_regularizer=regularizer, name=f"r{number}")(inputs))
    outputs.append(layers.Dense(4, activity_regularizer="l1", name="active")(inputs))
    for number, constraint in enumerate(made(tf_keras.constraints).values()):
        rank4 = layers.Reshape((2, 2, 1), name=f"s{number}")(inputs)
        outputs.append(
            layers.Flatten(name=f"f{number}")(
                layers.Conv2D(
                    1, 2, kernel_constraint=constraint, padding="same", name=f"c{number}"
                )(rank4)
            )
        )
    outputs += [
        layers.Dense(4, dtype=policy, name=policy)(inputs)
        for policy in ("mixed_float16", "mixed_bfloat16", "float64")
    ]
    model = tf_keras.Model(
        inputs,
        [
            layers.Activation("linear", dtype="float32", name=f"o{n}")(each)
            for n, each in enumerate(outputs)
        ],
    )
    for loaded in reload(model, tmp_path):
        assert loaded.get_config() == model.get_config()


def test_losses_and_metrics(tmp_path):
    losses, metrics = made(tf_keras.losses), made(tf_keras.metrics)
    wanted = [*functions(tf_keras.losses), *losses.values()]
    names = [name for name in functions(tf_keras.metrics) if name not in NOT_IN_H5]
    model = tf_keras.Model(
        inputs := tf_keras.Input((2,)),
        [layers.Dense(2, name=f"o{number}")(inputs) for number in range(len(wanted))],
    )
    assert len(names) > 10
    model.compile("adam", wanted, metrics={"o0": [*names, "acc", "accuracy", *metrics.values()]})
    for loaded in reload(model, tmp_path):
        assert loaded._is_compiled
        assert len(loaded.compiled_loss._user_losses) == len(wanted)


OPTIMIZERS = {
    **{
        f"{name}": lambda name=name: name
        for name in (
            "adam",
            "sgd",
            "rmsprop",
            "Adam",
            "nadam",
            "ftrl",
            "adagrad",
            "adadelta",
            "adamax",
        )
    },
    **{
        f"object {name}": getattr(tf_keras.optimizers, name)
        for name in (
            "Adam",
            "SGD",
            "Lion",
            "AdamW",
            "Adafactor",
            "Ftrl",
            "Nadam",
            "Adamax",
            "Adadelta",
        )
    },
    **{
        f"legacy {name}": getattr(tf_keras.optimizers.legacy, name)
        for name in ("Adam", "SGD", "RMSprop", "Ftrl", "Nadam", "Adamax", "Adadelta", "Adagrad")
    },
    **{
        f"rate {name}": lambda name=name: tf_keras.optimizers.Adam(
            getattr(tf_keras.optimizers.schedules, name)(**RATE[name])
        )
        for name in RATE
    },
    "scaled": lambda: tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD()),
    "scaled legacy": lambda: tf_keras.mixed_precision.LossScaleOptimizer(
        tf_keras.optimizers.legacy.SGD()
    ),
}


def test_optimizers_and_schedules(tmp_path):
    failed = {}
    for what, make in OPTIMIZERS.items():
        model = tf_keras.Sequential([layers.Input((2,)), layers.Dense(2)])
        model.compile(make(), "mse", ["mae"], weighted_metrics=["mse"])
        # Keras itself does not load it from .keras
        formats = FORMATS[1:] if what == "scaled" else FORMATS
        try:
            assert all(
                type(loaded.optimizer) is type(model.optimizer)
                for loaded in reload(model, tmp_path, formats)
            )
        except Exception as fault:
            failed[what] = f"{type(fault).__name__}: {fault}"
    assert failed == {}
