"""The interface to Keras 3, on TensorFlow, JAX and PyTorch: how its models hold pruning.

What belongs here: everything that names `keras`. What does not: decisions on numbers and NumPy
arrays (`engine`), and anything that imports tensorflow, jax, torch or tf_keras itself.
"""

import keras

from graphprune.errors import TrainingError

OLDEST = (3, 3)
"""The oldest version of Keras that is tested (`tests/keras3/versions.py`)."""


def check_version(version: str) -> None:
    """Raise unless this version of Keras is supported.

    Raises:
        TrainingError: it is too old.
    """
    major, minor = map(int, version.split(".")[:2])
    if (major, minor) < OLDEST:
        raise TrainingError(
            f"Keras {version} is installed, and graphprune needs Keras {OLDEST[0]}.{OLDEST[1]} or"
            " newer; run: pip install --upgrade keras"
        )


check_version(keras.__version__)
