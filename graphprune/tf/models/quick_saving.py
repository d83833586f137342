"""Saving by tf_keras in less time: the same file, without copies and without needless looking.

Keras looks at every attribute of every layer for others to save, thousands for a small model, and
reads each variable through an operation and two copies. Training stands still meanwhile
(benchmarks/checkpoint_speed.py).
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tensorflow.python.framework.ops import EagerTensor
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.losses import Loss
from tf_keras.src.metrics.base_metric import Metric
from tf_keras.src.optimizers.optimizer import Optimizer
from tf_keras.src.saving import saving_lib

from graphprune.replaced import replaced

_SAVED = (Layer, Optimizer, Metric, Loss)
"""What Keras saves (`_is_keras_trackable`, saving_lib.py)."""
_METHODS = (types.FunctionType, classmethod, staticmethod)
_OF_VARIABLES = frozenset(
    (
        *("weights", "trainable_weights", "non_trainable_weights", "losses", "updates"),
        *("variables", "trainable_variables", "non_trainable_variables"),
    )
)
"""Properties of layers that hold variables and tensors, collected anew each time."""


@contextmanager
def quick_saving() -> Iterator[None]:
    """Let Keras read variables without a copy, and look only where layers can be.

    The arrays that it reads are the memory of the variables: HDF5 only reads them. The name `dir`
    in the module that saves is what `_walk_trackable` lists attributes with; `_tracking_metadata`
    is a config of SavedModels, which is made when it is looked at.
    """
    skipped = frozenset({*saving_lib.ATTR_SKIPLIST, "_tracking_metadata"})
    with replaced(
        (EagerTensor, "numpy", _memory_of_tensor),
        (BaseResourceVariable, "numpy", _memory_of_variable),
        (saving_lib, "ATTR_SKIPLIST", skipped),
        (saving_lib, "_is_keras_trackable", _is_trackable),
        (saving_lib, "dir", _names_in),
    ):
        yield


def _memory_of_tensor(tensor: EagerTensor) -> Any:
    """Return the memory of a tensor, which `numpy` copies for readers that change it (ops.py)."""
    return tensor._numpy()


def _memory_of_variable(variable: BaseResourceVariable) -> Any:
    """Return the memory of a variable, without the operation that gives a tensor of its own."""
    return _memory_of_tensor(variable.value())


def _is_trackable(found: Any) -> bool:
    """Return whether Keras saves an object."""
    kind: Any = type(found)
    return _is_saved(kind)


@functools.cache
def _is_saved(kind: type) -> bool:
    return issubclass(kind, _SAVED)


def _names_in(owner: Any) -> Iterable[str]:
    """Return the names of the attributes of an object in which Keras may find what it saves."""
    kind: Any = type(owner)
    if kind.__dir__ is not object.__dir__:
        return dir(owner)
    return {*_names_of(kind), *vars(owner)}


@functools.cache
def _names_of(kind: type) -> tuple[str, ...]:
    """Return the names of the attributes of a class, without methods and lists of variables."""
    needless = _OF_VARIABLES if issubclass(kind, Layer) else frozenset()
    return tuple(
        name
        for name in dir(kind)
        if name not in needless and not isinstance(inspect.getattr_static(kind, name), _METHODS)
    )
