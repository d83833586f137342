"""The records of all layer classes of Keras, and the facts about one serialized layer.

The order of weights is that of `add_weight` calls in `build` (tf_keras/src/layers), trainable ones
first, which is how both file formats store them. Shapes follow the `build` and
`compute_output_shape` methods. If a setting is missing, nothing is known: in old files a
class of Keras and one of the user's with the same name look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.archive.entries import Entry, is_builtin, is_entry, is_model, type_of
from graphprune.archive.op_layers import find_operation
from graphprune.archive.operations import Operation
from graphprune.graph.classes import (
    activations,
    applications,
    attention,
    convolutions,
    dense,
    normalization,
    operations,
    pooling,
    preprocessing,
    recurrent,
    reshaping,
    wrappers,
)
from graphprune.graph.classes.channels import ChannelRule
from graphprune.graph.classes.layer_class import (
    MAX_INSIDE,
    Expected,
    LayerCall,
    LayerClass,
    Part,
    Weight,
)
from graphprune.graph.classes.lengths import Lengths, Open
from graphprune.graph.shapes.axis_lengths import MAX_RANK, Shape
from graphprune.graph.shapes.operation_calls import OperationCall

BUILTIN_LAYERS: Mapping[str, LayerClass] = {
    **dense.CLASSES,
    **convolutions.CLASSES,
    **recurrent.CLASSES,
    **attention.CLASSES,
    **wrappers.CLASSES,
    **normalization.CLASSES,
    **activations.CLASSES,
    **pooling.CLASSES,
    **reshaping.CLASSES,
    **preprocessing.CLASSES,
    **operations.CLASSES,
}
"""Every class that `tf_keras.layers` or `keras.layers` of Keras 3 exports, except those that run
functions or files of other libraries (JaxLayer, TFSMLayer).
"""

NO_CLASS = LayerClass()
"""What is known of classes without a record."""

ShapesInside = Callable[[Entry, Sequence[Shape | None]], Sequence[Shape | None]]

DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What rules of output shapes and channels raise for settings that Keras would not write, and
for what they do not know.
"""


def layer_class(name: str) -> LayerClass:
    """Return the record of a class by its name alone; an empty one for classes without a record.

    Example:
        >>> layer_class("LSTM").argument_name("1"), layer_class("Own").category
        ('initial_state.0', 'operation')
    """
    return BUILTIN_LAYERS.get(name) or operations.OPERATIONS.get(name) or NO_CLASS


def known_class(entry: Entry) -> LayerClass | None:
    """Return the record of the entry's class, None for classes without one.

    Files of Keras 3 always name modules: without one, a name that only Keras 3 has is a user's.
    """
    if not is_builtin(entry):
        return None
    known = BUILTIN_LAYERS.get(type_of(entry))
    if known is None:
        is_own = not applications.find_application(entry)
        return None if is_own else applications.CLASSES[entry["class_name"]]
    return known if "module" in entry or 2 in known.versions else None


def same_class(entry: Entry) -> str:
    """Return the name of an entry's class, that of Keras 3 where tf_keras has another for the same.

    Example:
        >>> same_class({"class_name": "SyncBatchNormalization", "config": {}})
        'BatchNormalization'
        >>> same_class({"class_name": "TFOpLambda", "config": {"function": "math.reduce_mean"}})
        'Mean'
    """
    operation = find_operation(entry)
    if isinstance(operation, Operation):
        return operation.name
    known = known_class(entry)
    if known is None or not known.keras3_class:
        return applications.without_package(type_of(entry))
    return known.keras3_class


def find_channel_rule(entry: Entry) -> ChannelRule | None:
    """Return what is known of the channels of a layer; None where nothing is.

    Example:
        >>> [find_channel_rule({"class_name": name, "config": {}}) is None for name in ("Add", "X")]
        [False, True]
    """
    if not is_builtin(entry) or is_model(entry):
        return None
    known = known_class(entry) or operations.OPERATIONS.get(type_of(entry))
    return None if known is None else known.channels


def is_custom(entry: Entry) -> bool:
    """Return whether the class is a user's own.

    Files that name modules say so; in others it is a class without a record.

    Example:
        >>> [is_custom({"class_name": name, "config": {}}) for name in ("Own", "TFOpLambda")]
        [True, False]
        >>> is_custom({"module": "own", "class_name": "Dense", "config": {}})
        True
    """
    if "module" in entry:
        return not is_builtin(entry)
    return known_class(entry) is None and type_of(entry) not in operations.OPERATIONS


def weights_of(entry: Entry) -> tuple[Weight, ...] | None:
    """Return the weights that a layer with this entry makes, in storage order, copies included.

    None if no record has them.

    Example:
        >>> lstm = {"class_name": "LSTM", "config": {"use_bias": False}}
        >>> [weight.name for weight in weights_of(lstm)]
        ['kernel', 'recurrent_kernel']
    """
    known = known_class(entry)
    if known is None or known.parts is None:
        return None if known is None else known.weights_in(entry["config"])
    parts = known.parts(entry["config"])
    found = None if parts is None else _weights_inside(parts)
    return found if found is None or known.around is None else known.around(found)


def _weights_inside(parts: Sequence[Part]) -> tuple[Weight, ...] | None:
    """Return the weights of layers inside another; None where one of them is unknown."""
    weights: list[Weight] = []
    for part in parts:
        found = weights_of(part.entry) if is_entry(part.entry) else None
        if found is None:
            return None
        name = part.entry["config"].get("name", "")
        scope = () if part.before is None else (f"{part.before}{name}",)
        weights += [
            replace(
                weight,
                name=_below(part, weight.name),
                path=f"{part.path}/{weight.path}".rstrip("/"),
                scopes=scope + weight.scopes,
            )
            for weight in found
        ]
    return tuple(weights)


def _below(part: Part, name: str) -> str:
    return f"{part.name}.{name}" if part.name else name


def has_too_many_inside(entry: Entry) -> bool:
    """Return whether a built-in layer holds more than `MAX_INSIDE` layers.

    They may be one in the other or side by side; a Bidirectional holds its layer twice.

    Example:
        >>> cells = [{"class_name": "LSTMCell", "config": {}}] * 2000
        >>> has_too_many_inside({"class_name": "StackedRNNCells", "config": {"cells": cells}})
        True
    """
    waiting = [entry]
    for count, inner in enumerate(waiting):  # grows while it is walked
        if count > MAX_INSIDE:
            return True
        known = known_class(inner)
        parts = () if known is None or known.parts is None else known.parts(inner["config"])
        waiting += [part.entry for part in parts or () if is_entry(part.entry)]
    return False


def find_expected_shapes(entry: Entry) -> Expected:
    """Return the shapes of a layer's weights as far as its class and config define them.

    Lengths that depend on the layer's input are open. Nothing is known of custom layers.

    Raises:
        SettingError: a setting is no number that the layer can be built with.

    Example:
        >>> shapes = find_expected_shapes({"class_name": "Dense", "config": {"units": 3}})
        >>> shapes["bias"], [str(length) for length in shapes["kernel"]]
        ((3,), ['in', '3'])
    """
    known = known_class(entry)
    if known is None:
        return {}
    if known.parts is None:
        try:
            return known.weight_shapes(entry["config"])
        except KeyError:
            return {}
    found: dict[str, Lengths] = {}
    for part in known.parts(entry["config"]) or ():
        inside = find_expected_shapes(part.entry) if is_entry(part.entry) else {}
        for name, lengths in inside.items():
            found[_below(part, name)] = tuple(
                replace(length, name=_below(part, length.name))
                if isinstance(length, Open)
                else length
                for length in lengths
            )
    return found if known.shapes_around is None else known.shapes_around(found)


def find_output_shapes(
    entry: Entry,
    taken: Sequence[Shape | None],
    operation: OperationCall | None = None,
    shapes_inside: ShapesInside | None = None,
) -> tuple[Shape | None, ...]:
    """Return the output shapes of a layer, in order, as far as they are known.

    Args:
        entry: The layer.
        taken: The shapes of the tensors that it takes, positional ones first; None where they are
            not known.
        operation: The call with all its arguments, for operations; `taken` are all of them unless
            it is given.
        shapes_inside: Returns what a layer inside it gives; this function unless it is given.

    Example:
        >>> find_output_shapes({"class_name": "Dense", "config": {"units": 3}}, [(None, 7)])
        ((None, 3),)
        >>> find_output_shapes({"class_name": "X", "config": {}}, [(None, 7)])
        ()
    """
    if not taken or not is_builtin(entry) or is_model(entry):
        return ()
    known = known_class(entry) or operations.OPERATIONS.get(type_of(entry))
    if known is None or known.output_shapes is None:
        return ()
    call = LayerCall(entry["config"], taken, operation, shapes_inside or find_output_shapes)
    try:
        found = known.output_shapes(call)
    except DAMAGED:
        return ()
    return tuple(shape if shape is not None and _is_shape(shape) else None for shape in found)


def _is_shape(shape: Sequence[Any]) -> bool:
    return len(shape) <= MAX_RANK and all(
        length is None or (type(length) is int and length >= 0) for length in shape
    )
