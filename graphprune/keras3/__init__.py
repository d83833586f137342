"""The interface to Keras 3, on TensorFlow, JAX and PyTorch: how its models hold pruning.

What belongs here: everything that names `keras`. What does not: decisions on numbers and NumPy
arrays (`engine`), and anything that imports tensorflow, jax, torch or tf_keras itself.
"""

import keras

from graphprune.conversion.libraries import check_version

check_version(keras.__version__)
