"""The names of the outputs of exported Keras 3 models: those of the layers that give them.

Keras exports the outputs of a model that returns a list, or one tensor, as `output_0`, `output_1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from graphprune.serving.outputs import served_names


def output_names(model: Any) -> tuple[str, ...]:
    """Return what exported forms call the outputs; nothing where Keras names them.

    That is where the model returns a dict, has a `call` of its own, or one layer gives several
    outputs.
    """
    functional = keras.src.models.functional.Functional
    if not isinstance(model, keras.Sequential | functional):
        return ()
    if type(model).call not in (keras.Sequential.call, functional.call):
        return ()
    returned = getattr(model, "_outputs_struct", None)
    if isinstance(returned, Mapping) or not model.outputs:
        return ()
    layers = [tensor._keras_history.operation.name for tensor in model.outputs]
    return served_names(layers, [tensor.name for tensor in model.inputs])


def with_named_outputs(model: Any) -> Any:
    """Return a model of the same layers that returns a dict, whose keys name what is exported.

    A model that Keras names the outputs of is returned itself.
    """
    names = output_names(model)
    if not names:
        return model
    outputs = dict(zip(names, model.outputs, strict=True))
    return keras.Model(inputs_of(model), outputs, name=model.name)


def inputs_of(model: Any) -> Any:
    """Return the symbolic inputs of a model, in the structure in which it is called.

    A Sequential model is called with its one input, not with a list of it.
    """
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model._inputs_struct if hasattr(model, "_inputs_struct") else model.inputs
