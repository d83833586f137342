"""The names of the tensors that a layer takes, and of layers that the program gave no name.

Both Kerases number or name them in ways of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from graphprune.archive.entries import to_snake_case
from graphprune.archive.op_layers import find_operation
from graphprune.archive.operations import Operation
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.frames import Use
from graphprune.graph.layers import Layer

_NUMBER = re.compile(r"_\d+$")
_INPUTS = ("input", "input_layer")
_PREFIXES = ("", "compat.v1.")


def name_argument(layer: Layer, use: Use) -> str:
    """Return the argument for which a layer takes a tensor, alike in both Kerases.

    Example:
        >>> lstm = Layer("a", "LSTM", {"class_name": "LSTM", "config": {}})
        >>> [name_argument(lstm, Use("b", 0, 0, name)) for name in ("0", "1", "initial_state")]
        ['0', 'initial_state.0', 'initial_state.0']
    """
    known = known_class(layer.entry)
    if known is None or use.argument == "0":
        return use.argument
    if use.argument == known.rest:
        return f"{known.rest}.0"
    return known.argument_name(use.argument)


def named_arguments(layer: Layer, arguments: Sequence[str]) -> list[str]:
    """Return the names of arguments; the first has one only where the class gives it."""
    known = known_class(layer.entry)
    first = "0" if known is None else known.argument_name("0")
    return [first if argument == "0" else argument for argument in arguments]


def is_renamed(left: Layer, right: Layer) -> bool:
    """Return whether two layers have different addresses because the program named them so.

    The names that the Kerases give to operations and inputs without a name are not alike: `add` of
    Keras 3 is `tf.__operators__.add` in tf_keras.
    """
    if left.address == right.address:
        return False
    one, other = given_name(left), given_name(right)
    return left.container != right.container or not one or not other or one == other


def given_name(layer: Layer) -> str:
    """Return the name that Keras gave to an input or operation, without its number.

    Empty for other layers, and if the program gave a name.
    """
    name = _NUMBER.sub("", layer.name)
    if layer.kind == "input":
        return name if name in _INPUTS else ""
    operation = find_operation(layer.entry)
    # a class of a file's own may have two names too
    is_known = operation is not None and len(layer.types) > 1
    names = [to_snake_case(kind) for kind in layer.types] if is_known else []
    if isinstance(operation, Operation):
        names += [f"tf.{prefix}{each}" for each in operation.functions for prefix in _PREFIXES]
    return name if name in names else ""
